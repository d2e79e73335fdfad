"""The loop of a watch on asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from portway.watch.follower import Change, Follower, Request
from portway.watch.plan import Plan


class WatchFailed(Exception):  # noqa: N818  an outcome, not a defect
    """A request of a watch had no usable answer; the text says why."""


@dataclass(frozen=True)
class Reply:
    """An answer: ``status`` 200 or 404, the position, the body."""

    status: int
    index: int
    hash: str
    body: bytes


Ask = Callable[[Request], Awaitable[Reply]]


async def follow(
    plan: Plan,
    ask: Ask,
    handle: Callable[[Change], Awaitable[None]],
    *,
    report: Callable[[str, float], None],
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Follow ``plan`` until cancelled, calling ``handle`` on each change, one at a time.

    ``ask`` sends a request and raises WatchFailed if that fails; ``report`` is told of each
    failure and the seconds until it is tried again. What ``handle`` raises ends the watch.
    """
    follower = Follower(plan)
    while True:
        try:
            reply = await ask(follower.request())
            change = follower.answered(reply.index, reply.hash, _body(plan, reply))
        except (WatchFailed, ValueError) as error:
            delay = follower.failed()
            report(str(error), delay)
            await sleep(delay)
            continue
        if change is not None:
            await handle(change)


def _body(plan: Plan, reply: Reply) -> bytes | None:
    if reply.status == 200:
        return reply.body
    if reply.status == 404 and plan.may_miss:
        return None
    text = reply.body.decode(errors="replace").strip()
    raise WatchFailed(f"Unexpected response code: {reply.status} ({text})")
