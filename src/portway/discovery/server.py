"""The server: writes become transactions over the store, reads come from the state in memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from portway.discovery.session_keeper import SessionKeeper
from portway.discovery.state import Draft, State
from portway.discovery.turns import Turns
from portway.store import Compare, Delete, Operation, Put, Store, Unchanged

T = TypeVar("T")
_FORMAT = Put("meta/format", b"1")
"""What a store of discovery begins with: the form its records have."""
_PURGE = 1000  # lock delays that are kept before those that are over are looked for


class Server:
    """State and the one way to change it.

    ``clock`` is monotonic seconds; lock delays are measured by it and, as documented, live in
    the server's memory only.
    """

    def __init__(self, store: Store, clock: Callable[[], float] = time.monotonic) -> None:
        self.store = store
        self.state = State()
        self.clock = clock
        self.lock_delays: dict[str, float] = {}
        """Key → when its lock may be acquired again."""
        self.committed: Callable[[float], None] | None = None
        """Told of each commit how many seconds it took."""
        self._purge_at = _PURGE
        self.sessions = SessionKeeper(self)
        """Expiry, lock-delay and tidying up."""
        self._turns = Turns()

    async def start(self) -> None:
        """Load the state and follow the store. Raises StoreError."""
        # Readers of an empty state are told index 1, so no change may ever have that index.
        await self.store.commit([Compare(_FORMAT.key, 0)], [_FORMAT])
        await self.state.view.follow(self.store)
        self.state.kv.loaded(self.state.view.revision)
        await self.sessions.start()

    def stop(self) -> None:
        """Follow the store no more; the store itself is its owner's to close."""
        self.sessions.stop()
        self.state.view.stop()

    async def transact(self, operation: Callable[[Draft], T], turn: str = "") -> T:
        """Run ``operation`` on a draft and commit it; what it returns is the result.

        It runs again, on newer state, when something it read has changed before the commit: it
        must depend on nothing but the draft and the state. Rows it returned have their indexes
        filled in. Whatever it raises ends the transaction without a change. Transactions with
        the same ``turn`` go one after the other: writers of one hot key would only make each
        other repeat. Raises StoreError when the store cannot commit.
        """
        if not turn:
            return await self._transact(operation)
        async with self._turns.of(turn):
            return await self._transact(operation)

    async def transact_jointly(self, operation: Callable[[Draft], T], turn: str) -> T:
        """The same in one commit with others of the turn that wait for it.

        For operations that cannot fail and whose result does not depend on an index: plain
        writes of one key, of which the last is what remains.
        """

        async def run(operations: list[Callable[[Draft], Any]]) -> list[Any]:
            return await self._transact(lambda draft: [one(draft) for one in operations])

        return await self._turns.together(turn, operation, run)

    async def _transact(self, operation: Callable[[Draft], T]) -> T:
        view = self.state.view
        while True:
            draft = Draft(view.revision)
            result = operation(draft)
            operations = draft.operations
            if not operations:
                draft.settle(view.revision)
                return result
            began = time.monotonic()
            outcome = await self.store.commit(draft.conditions, operations)
            if self.committed is not None:
                self.committed(time.monotonic() - began)
            await view.reached(outcome.revision)
            if outcome.succeeded:
                draft.settle(outcome.revision)
                return result

    async def replace(self, records: Sequence[tuple[str, bytes]]) -> None:
        """Put other records in the place of everything, in one commit. Raises StoreError.

        Every blocked reader returns, as indexes mean nothing across the change. Locks and
        expiry of sessions begin anew.
        """
        kept = {key for key, _ in records}
        while True:
            old = await self.store.read()
            operations: list[Operation] = [
                Delete(record.key) for record in reversed(old.records) if record.key not in kept
            ]
            operations += [Put(key, value) for key, value in _in_table_order(self.state, records)]
            outcome = await self.store.commit([Unchanged("", old.revision)], operations)
            await self.state.view.reached(outcome.revision)
            if outcome.succeeded:
                break
        self.lock_delays.clear()
        self.state.kv.clear_tombstones()
        self.state.view.replaced()

    async def catch_up(self) -> None:
        """Wait until the state shows everything committed before the call (``?consistent``)."""
        await self.state.view.reached(await self.store.revision())

    def lock_delayed(self, key: str) -> bool:
        """Whether the lock-delay of a session that lost ``key`` still runs."""
        until = self.lock_delays.get(key)
        if until is None:
            return False
        if until > self.clock():
            return True
        del self.lock_delays[key]
        return False

    def delay_locks(self, keys: Iterable[str], seconds: float) -> None:
        """Let nobody acquire the locks of ``keys`` for a while."""
        now = self.clock()
        if len(self.lock_delays) >= self._purge_at:
            self.lock_delays = {key: end for key, end in self.lock_delays.items() if end > now}
            self._purge_at = 2 * len(self.lock_delays) + _PURGE
        for key in keys:
            self.lock_delays[key] = now + seconds


def _in_table_order(state: State, records: Sequence[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
    """Records so that what others stand on comes first (nodes before their services)."""
    order = {prefix: position for position, prefix in enumerate(state.view.tables)}
    return sorted(records, key=lambda record: order.get(record[0].partition("/")[0] + "/", 0))
