"""``udp``: nobody refuses a datagram sent to ``host:port``.

An empty datagram is sent. An answer is passing, and so is silence, for many services answer
only what they understand; critical is what the network reports: a closed port, no route, an
unknown name. Timeout 10 s.
"""

from __future__ import annotations

import asyncio
import socket

from portway.discovery.checks.context import Context
from portway.discovery.checks.dial import Address, DialError, reason_of, resolve, split_address
from portway.discovery.checks.result import Result, critical, passing
from portway.discovery.model import CheckDefinition

TIMEOUT = 10.0


async def run_once(definition: CheckDefinition, context: Context) -> Result:
    """Send an empty datagram and wait for an answer, a refusal, or the end of the time."""
    success = passing(f"UDP connect {definition.udp}: Success")
    loop = asyncio.get_running_loop()
    end = loop.time() + (definition.timeout or TIMEOUT)
    try:
        host, port = (await resolve(split_address(definition.udp, "udp"), "udp", end))[0]
    except DialError as error:
        return critical(str(error))
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    doing = "dial"
    with socket.socket(family, socket.SOCK_DGRAM) as one:
        one.setblocking(False)
        try:
            one.connect((host, port))
            doing = "write"
            one.send(b"")
            doing = "read"
            async with asyncio.timeout_at(end):
                await loop.sock_recv(one, 1)
        except TimeoutError:
            return success
        except OSError as error:
            call = "connect" if doing == "dial" else doing
            return critical(f"{doing} udp {Address(host, str(port))}: {call}: {reason_of(error)}")
    return success
