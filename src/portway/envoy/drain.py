"""Letting clients go before Envoy is told to exit; SIGTERM alone would cut requests off."""

from __future__ import annotations

import asyncio

import structlog

from portway.envoy.admin import Active, Admin, AdminError

_log = structlog.get_logger(__name__)

_QUIET = 0.5
"""Seconds without a request after which kept-alive connections are taken to be idle."""
_POLL = 0.05


async def drain(admin: Admin, accept_grace: float, grace: float) -> bool:
    """Stop gracefully: serve as ever for ``accept_grace`` seconds, then stop listening, ask
    clients to leave and wait until no request is in flight, at most ``grace`` seconds.

    Returns whether all requests were finished; an Envoy that does not answer has none.
    """
    if accept_grace > 0:
        await asyncio.sleep(accept_grace)
    try:
        # In this order: clients that are asked to leave come back at once, and who waits to be
        # accepted when the port closes is reset.
        await admin.drain_listeners()
        await admin.drain_listeners(graceful=True, skip_exit=True)
        return await _emptied(admin, grace)
    except AdminError as error:
        _log.warning("Envoy cannot be drained", reason=str(error))
        return True


async def _emptied(admin: Admin, grace: float) -> bool:
    clock = asyncio.get_running_loop().time
    deadline = clock() + grace
    quiet_since: float | None = None
    while True:
        active: Active = await admin.active()
        now = clock()
        if active.requests:
            quiet_since = None
        elif quiet_since is None:
            quiet_since = now
        if not active.connections or (quiet_since is not None and now - quiet_since >= _QUIET):
            return True
        if now >= deadline:
            _log.warning("requests are cut off by the end of the grace time", **active._asdict())
            return False
        await asyncio.sleep(_POLL)
