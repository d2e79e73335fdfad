"""What happens to sessions without anybody asking: expiry and lock-delay.

The keeper follows the sessions in the state, whoever writes them. A session with a TTL gets a
deadline. When a session goes, the keys it holds at that moment get their lock-delay in the same
step in which the change becomes visible, so that nobody can acquire them before.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import TYPE_CHECKING, Any

import structlog

from portway.discovery.model import Session
from portway.discovery.operations import sessions as operations
from portway.discovery.session_timers import SessionTimers
from portway.discovery.state import Draft
from portway.store import StoreClosedError, StoreError

if TYPE_CHECKING:
    from portway.discovery.server import Server

log = structlog.get_logger("sessions")
MAX_LOCK_DELAY = 60.0  # seconds
_RETRY = 1.0  # seconds until a store that could not write is asked again


class SessionKeeper:
    """Expires sessions and holds back the locks of those that have ended."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.timers = SessionTimers(server.clock, self._over)
        self._ending: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        server.state.sessions.watchers.append(self._changed)

    async def start(self) -> None:
        """Let go of what is held by sessions that do not exist. Raises StoreError.

        Nothing is, unless the state was put together by something else than this server.
        """
        server = self._server
        state = server.state
        for session_id in sorted({*state.kv.held, *state.queries.by_session}):
            if session_id not in state.sessions.table.rows:
                await server.transact(partial(_release, server, session_id))

    def stop(self) -> None:
        """Expire nothing more."""
        self.timers.stop()
        for task in self._tasks:
            task.cancel()

    def renew(self, session_id: str) -> Session | None:
        """Give a session its full time again; ``None`` when there is none, or it is ending."""
        session = self._server.state.sessions.table.get(session_id)
        if session is None or session_id in self._ending:
            return None
        self.timers.renew(session_id)
        return session

    async def settled(self) -> None:
        """Wait until the expiries that have begun are done."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    def _changed(self, old: Session | None, new: Session | None) -> None:
        if new is not None:
            ttl = operations.ttl_of(new)
            if ttl and old is None:
                self.timers.begin(new.id, ttl)
        elif old is not None:
            self.timers.end(old.id)
            self._ending.discard(old.id)
            keys = self._server.state.kv.held.get(old.id)
            delay = min(old.lock_delay / 1e9, MAX_LOCK_DELAY)
            if keys and delay > 0:
                self._server.delay_locks(keys, delay)

    def _over(self, session_id: str) -> None:
        self._ending.add(session_id)
        work = _persist(partial(self._expire, session_id))
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _expire(self, session_id: str) -> None:
        server = self._server
        if await server.transact(lambda draft: operations.invalidate(server, draft, session_id)):
            log.info("Session expired", session=session_id)
        self._ending.discard(session_id)


def _release(server: Server, session_id: str, draft: Draft) -> None:
    operations.let_go(server, draft, session_id, keep=True)


async def _persist(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Do something that writes, however long the store takes to be able to."""
    while True:
        try:
            return await work()
        except StoreClosedError:
            return None
        except StoreError as error:
            log.warning("Ending a session failed, trying again", error=str(error))
            await asyncio.sleep(_RETRY)
