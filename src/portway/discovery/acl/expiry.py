"""Tokens whose time is over are deleted in the background; they are refused from the moment on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime

import structlog

from portway.discovery.acl.resolve import utc_now
from portway.discovery.acl.tokens import delete_expired
from portway.discovery.server import Server
from portway.store import StoreError

_log = structlog.get_logger("acl")
INTERVAL = 60.0
"""Seconds between collections."""


async def collect_expired(
    server: Server, interval: float = INTERVAL, clock: Callable[[], datetime] = utc_now
) -> None:
    """Delete expired tokens until cancelled. A store that cannot write is tried again later."""
    acl = server.state.acl
    while True:
        await asyncio.sleep(interval)
        try:
            while gone := await server.transact(
                lambda draft: delete_expired(acl, draft, clock()), "acl"
            ):
                _log.info("Deleted expired tokens", count=gone)
        except StoreError as error:
            _log.warning("Cannot delete expired tokens", error=str(error))
