"""``tcp``: a connection to ``host:port`` can be made, with ``tcp_use_tls`` a verified TLS one.

Passing when it is, critical when not. Timeout 10 s.
"""

from __future__ import annotations

import asyncio

from portway.discovery.checks.context import Context
from portway.discovery.checks.dial import DialError, connect, split_address
from portway.discovery.checks.result import Result, critical, passing
from portway.discovery.model import CheckDefinition

TIMEOUT = 10.0


async def run_once(definition: CheckDefinition, context: Context) -> Result:
    """Connect and close."""
    tls = definition.tcp_use_tls
    try:
        address = split_address(definition.tcp)
    except DialError as error:
        return critical(str(error))
    try:
        transport, _ = await connect(
            asyncio.Protocol,
            address,
            asyncio.get_running_loop().time() + (definition.timeout or TIMEOUT),
            context.tls(definition) if tls else None,
        )
    except DialError as error:
        return critical(str(error))
    transport.abort() if tls else transport.close()
    return passing(f"TCP{'+TLS' if tls else ''} connect {definition.tcp}: Success")
