"""Reads: consistency modes, blocking queries, and the headers that tell of them.

The rules are those of the documented blocking queries: an index above 0 blocks until the
result's index is greater, until the wait is over, or until the whole state is replaced.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable
from typing import TypeVar

from portway.discovery.api.error import bad_request
from portway.discovery.api.read_headers import tells_consistency
from portway.discovery.api.request import Request
from portway.discovery.state import Reading, Topic, any_change

T = TypeVar("T")


async def read(request: Request, query: Callable[[], Reading[T]]) -> Reading[T]:
    """Run ``query`` until it may be answered, and set the headers of a read.

    ``query`` reads the state and says what would change its result; it is run again after such
    a change. Raises ApiError: 400 for bad parameters, 500 for another datacenter.
    """
    request.datacenter()
    wanted, wait = check_read(request)
    consistency = await consistency_of(request)
    reading = query()
    if wanted:
        reading = await _blocked(request, query, reading, wanted, wait)
    set_read_headers(request, reading.index, consistency)
    return reading


def check_read(request: Request) -> tuple[int, float]:
    """The index to wait for and how many seconds, 0 where the request does not say.

    Some writes refuse bad ones, too. Raises ApiError (400).
    """
    wanted = request.unsigned("index", "Invalid index") or 0
    wait = request.duration("wait", "Invalid wait time") or 0.0
    check_consistency(request)
    return wanted, wait


async def _blocked(
    request: Request, query: Callable[[], Reading[T]], reading: Reading[T], wanted: int, wait: float
) -> Reading[T]:
    settings = request.context.settings
    seconds = wait if wait > 0 else settings.default_query_time
    seconds = min(seconds, settings.max_query_time)
    seconds += random.uniform(0, seconds / 16)  # noqa: S311  spreads the ends of many queries
    deadline = time.monotonic() + seconds
    view = request.context.server.state.view
    epoch = view.epoch
    missing = not reading.found
    while reading.index <= wanted:
        remaining = deadline - time.monotonic()
        if remaining <= 0 or not await changed(request, reading.topics, remaining):
            return reading
        reading = query()
        if view.epoch != epoch:
            return reading
        while missing and not reading.found:
            # Still not there: what was created instead concerns somebody else.
            remaining = deadline - time.monotonic()
            if remaining <= 0 or not await changed(request, reading.topics, remaining):
                return reading
            reading = query()
            if view.epoch != epoch:
                return reading
        missing = not reading.found
    return reading


async def changed(request: Request, topics: Iterable[Topic], seconds: float) -> bool:
    """Wait until one of the topics changes; false when ``seconds`` pass before, or all is over.

    When the client goes away meanwhile the request is cancelled (``serve``). What the caller may
    do is looked at again: raises PermissionDeniedError or AclNotFoundError.
    """
    request.wait()
    view = request.context.server.state.view
    woken = not view.ended and await any_change((*topics, view.replacement), seconds)
    request.authorize_again()
    return woken and not view.ended


async def consistency_of(request: Request) -> str:
    """``leader``, ``consistent`` or ``stale``, after waiting for what that promises.

    The request has been checked: by ``check_read``, or by ``check_consistency`` alone.
    """
    if request.query and request.has("consistent"):
        await request.context.server.catch_up()
        return "consistent"
    stale = request.query and (request.has("stale") or request.has("max_stale"))
    return "stale" if stale or _is_stale_by_default(request) else "leader"


def check_consistency(request: Request) -> None:
    """Refuse a request for two modes at once, or for a cached answer of an age that is none.

    Raises ApiError (400).
    """
    _check_cache_control(request.headers.get("cache-control", ""))
    if not request.query:
        return
    shown = request.param("max_stale")
    request.duration("max_stale", f'Invalid max_stale value "{shown}"')
    if not request.has("consistent"):
        return
    if request.has("stale") or request.has("max_stale"):
        raise bad_request("Cannot specify ?stale with ?consistent, conflicting semantics.")
    if request.has("cached"):
        raise bad_request("Cannot specify ?cached with ?consistent, conflicting semantics.")


def _check_cache_control(header: str) -> None:
    for directive in header.lower().split(","):
        name, _, value = directive.strip().partition("=")
        if name in ("max-age", "stale-if-error") and not value.strip().isdigit():
            raise bad_request("Invalid Cache-Control header.")


def _is_stale_by_default(request: Request) -> bool:
    """Whether ``discovery_max_stale`` makes a read stale that does not say ``?leader``."""
    return (
        request.context.settings.discovery_max_stale > 0
        and request.path.startswith(("/v1/catalog/", "/v1/health/"))
        and not request.has("leader")
    )


def last(request: Request, reading: Reading[T]) -> None:
    """Let the answer be given again until its topic changes: it depends on nothing else.

    One that waited, or was to be sure of the newest state, is not.
    """
    if len(reading.topics) == 1 and not (request.has("index") or request.has("consistent")):
        request.lasts_until = reading.topics[0]


def note_filtered(request: Request, filtered: bool) -> None:
    """Tell a caller with a token that results were left out for want of permission."""
    if filtered and request.token:
        request.answer_headers["X-Consul-Results-Filtered-By-ACLs"] = "true"


def set_read_headers(request: Request, index: int, consistency: str = "leader") -> None:
    """The headers of a read's metadata. Index 0 is never sent."""
    request.answer_headers.update(
        {
            "X-Consul-Index": str(index or 1),
            "X-Consul-KnownLeader": "true",
            "X-Consul-LastContact": "0",
            "X-Consul-Query-Backend": "blocking-query",
        }
    )
    if tells_consistency(request):
        request.answer_headers["X-Consul-Effective-Consistency"] = consistency
