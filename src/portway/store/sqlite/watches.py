"""Watches: what was committed is delivered in order, first from the log and then live."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from portway.store import Batch, CompactedError

Deliver = Callable[[Sequence[Batch]], None]
Replay = Callable[[int], Awaitable[tuple[int, list[Batch]]]]


class Subscription:
    """One watch. Live batches wait in ``pending`` while the past is being read."""

    def __init__(self, hub: Hub, prefix: str, after: int, deliver: Deliver) -> None:
        self.prefix = prefix
        self.after = after
        self.pending: list[Batch] | None = None
        self._hub = hub
        self._deliver = deliver

    def cancel(self) -> None:
        """Deliver nothing more."""
        self._hub.subscriptions.pop(self, None)

    def offer(self, batches: Sequence[Batch]) -> None:
        """Take live batches."""
        if self.prefix or batches[0].revision <= self.after:
            batches = [
                Batch(revision, chosen)
                for revision, events in batches
                if revision > self.after
                and (chosen := tuple(e for e in events if e.key.startswith(self.prefix)))
            ]
        if self.pending is not None:
            self.pending += batches
        elif batches:
            self.send(batches)

    def send(self, batches: Sequence[Batch]) -> None:
        """Call the watcher. Its error is its own: others get their batches all the same."""
        try:
            self._deliver(batches)
        except Exception as error:
            asyncio.get_running_loop().call_exception_handler(
                {"message": f"a watch of {self.prefix!r} failed", "exception": error}
            )


class Hub:
    """All watches of a store. ``revision`` is the last one that was published."""

    def __init__(self, revision: int) -> None:
        self.revision = revision
        self.subscriptions: dict[Subscription, None] = {}

    def publish(self, batches: Sequence[Batch]) -> None:
        """Deliver what was committed, in order."""
        self.revision = batches[-1].revision
        for subscription in list(self.subscriptions):
            if subscription in self.subscriptions:  # another one may just have cancelled it
                subscription.offer(batches)

    async def watch(
        self, prefix: str, after: int, deliver: Deliver, replay: Replay
    ) -> Subscription:
        """Begin a watch. Raises CompactedError.

        ``replay(until)`` reads the past: the revision up to which it is gone, and the batches.
        """
        subscription = Subscription(self, prefix, after, deliver)
        self.subscriptions[subscription] = None
        if after >= self.revision:
            return subscription
        subscription.pending = []
        until = self.revision
        try:
            compacted, batches = await replay(until)
        except BaseException:
            subscription.cancel()
            raise
        if after < compacted:
            subscription.cancel()
            raise CompactedError(
                f"revision {after} has been compacted: the oldest one to watch from is {compacted}"
            )
        batches += subscription.pending
        subscription.pending = None
        if batches:
            subscription.send(batches)
        return subscription
