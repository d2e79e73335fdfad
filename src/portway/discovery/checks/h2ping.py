"""``h2ping``: an HTTP/2 server at ``host:port`` answers a PING.

Over TLS unless ``h2ping_use_tls`` is false, then without. Passing when the answer comes,
critical when it does not. Timeout 10 s.
"""

from __future__ import annotations

import asyncio
import os
from functools import partial
from typing import TYPE_CHECKING

from portway.discovery.checks.context import H2, Context
from portway.discovery.checks.dial import DialError, connect, split_address
from portway.discovery.checks.result import Result, critical, passing
from portway.discovery.model import CheckDefinition

if TYPE_CHECKING:
    from h2.events import Event

TIMEOUT = 10.0


async def run_once(definition: CheckDefinition, context: Context) -> Result:
    """Connect, send a PING, wait for its answer."""
    from h2.events import PingAckReceived

    from portway.discovery.checks.http2 import Http2, Http2Error

    payload = os.urandom(8)

    def is_answer(event: Event) -> bool:
        return isinstance(event, PingAckReceived) and event.ping_data == payload

    end = asyncio.get_running_loop().time() + (definition.timeout or TIMEOUT)
    target = definition.h2ping
    try:
        _, connection = await connect(
            partial(Http2, lambda h2: h2.ping(payload), is_answer),
            split_address(target),
            end,
            context.tls(definition, H2) if definition.h2ping_use_tls is not False else None,
        )
    except DialError as error:
        return critical(f"Failed to dial to {target}: {error}")
    try:
        async with asyncio.timeout_at(end):
            await connection.answered
    except TimeoutError:
        return critical("HTTP2 ping failed: context deadline exceeded")
    except Http2Error as error:
        return critical(f"HTTP2 ping failed: {error}")
    finally:
        connection.close()
    return passing("HTTP2 ping was successful")
