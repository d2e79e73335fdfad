"""``/v1/session/``: sessions, which hold locks."""

from __future__ import annotations

import uuid
from typing import Any

import msgspec
from msgspec import field

from portway.discovery.api.answer import Answer, json_answer, text_answer
from portway.discovery.api.blocking import check_read, note_filtered, read
from portway.discovery.api.decode import decode
from portway.discovery.api.error import bad_request, refused
from portway.discovery.api.request import Request
from portway.discovery.api.route import Route
from portway.discovery.model import SERF_HEALTH, Session, SessionServiceCheck, Wire
from portway.discovery.operations import sessions as operations
from portway.discovery.operations.durations import go_duration
from portway.discovery.operations.sessions import SessionError

_SECONDS_BELOW = 1000
"""Lock delays smaller than this are seconds: nobody means so few nanoseconds."""


class _Body(Wire):
    """What may be asked for. ``Checks`` is the old form of ``NodeChecks``; IDs are ours to give."""

    id: str = ""
    name: str = ""
    node: str | None = None
    lock_delay: str | int | float = "15s"
    behavior: str = ""
    ttl: str = ""
    node_checks: list[str] = field(default_factory=lambda: [SERF_HEALTH])
    service_checks: list[SessionServiceCheck] | None = None
    checks: list[str] = field(default_factory=lambda: [SERF_HEALTH])
    create_index: int = 0
    modify_index: int = 0


async def create(request: Request) -> Answer:
    """Create a session and answer its ID."""
    request.datacenter()
    content = await request.body(1 << 20)
    body = decode(content, _Body, unknown=True) if content else _Body()
    checks, node_checks = _checks(content, body)
    server, settings = request.context.server, request.context.settings
    node = settings.node_name if body.node is None else body.node
    if not node:
        raise refused("Must provide Node")
    request.require("session", "write", node)
    known = server.state.catalog.host(node)
    if known is not None:  # rules for its name hold for every spelling
        request.require("session", "write", known.node.node)
    try:
        operations.check_ttl(body.ttl, settings.session_ttl_min)
        session = Session(
            id=str(uuid.uuid4()),
            name=body.name,
            node=node,
            lock_delay=_lock_delay(body.lock_delay),
            behavior=operations.behavior_of(body.behavior),
            ttl=body.ttl,
            node_checks=node_checks,
            service_checks=body.service_checks,
            checks=checks or msgspec.UNSET,
        )
    except SessionError as error:
        raise refused(str(error)) from None
    try:
        await server.transact(lambda draft: operations.create(server, draft, session))
    except SessionError as error:
        raise refused(f"apply failed: {error}") from None
    return json_answer({"ID": session.id})


def _checks(content: bytes, body: _Body) -> tuple[list[str] | None, list[str] | None]:
    """The checks a session is bound to, in the old field and in the new one.

    Each begins as the health of the node. An empty old one means none at all; the old one counts
    beside the new one if neither is empty, and it is not as it began.
    """
    given = (msgspec.json.decode(content) if content else None) or {}
    nulls = {name.lower() for name, value in given.items() if value is None}
    checks = None if "checks" in nulls else body.checks
    node_checks = None if "nodechecks" in nulls else body.node_checks
    if not checks:
        return None, []
    if checks == [SERF_HEALTH] or not node_checks:
        return None, node_checks
    return checks, node_checks


def _lock_delay(given: str | float) -> int:
    """Nanoseconds of a lock delay: a Go duration, or a number of seconds or nanoseconds."""
    try:
        delay = round(go_duration(given) * 1e9) if isinstance(given, str) else int(given)
    except (ValueError, OverflowError) as error:
        raise bad_request(f"Request decode failed: {error}") from None
    if delay < _SECONDS_BELOW:
        delay *= 1_000_000_000
    if not 0 <= delay < 1 << 63:
        raise bad_request(f"Request decode failed: LockDelay must be 0 or more, not {given}")
    return delay


async def destroy(request: Request) -> Answer:
    """End a session; one that does not exist is as good as ended."""
    request.datacenter()
    session_id = _session_id(request)
    server = request.context.server
    session = server.state.sessions.table.get(session_id)
    if session is not None:
        request.require("session", "write", session.node)
        await server.transact(lambda draft: operations.invalidate(server, draft, session_id))
    return json_answer(True)


async def renew(request: Request) -> Answer:
    """Give a session with a TTL its full time again."""
    request.datacenter()
    check_read(request)
    session_id = _session_id(request)
    server = request.context.server
    session = server.state.sessions.table.get(session_id)
    if session is not None:
        request.require("session", "write", session.node)
        if server.sessions.renew(session_id) is not None:
            return json_answer([session])
    return text_answer(f"Session id '{request.rest}' not found", 404)


async def info(request: Request) -> Answer:
    """One session, as a list of none or one."""
    session_id = _session_id(request)
    sessions = request.context.server.state.sessions
    session = (await read(request, lambda: sessions.read(session_id))).value
    return _listed(request, [] if session is None else [session])


async def of_node(request: Request) -> Answer:
    """The sessions of a node."""
    if not request.rest:
        raise bad_request("Missing node name")
    sessions = request.context.server.state.sessions
    return _listed(request, (await read(request, lambda: sessions.read_node(request.rest))).value)


async def list_all(request: Request) -> Answer:
    """Every session."""
    sessions = request.context.server.state.sessions
    return _listed(request, (await read(request, sessions.read_all)).value)


def _listed(request: Request, sessions: list[Session]) -> Answer:
    visible: list[Any] = [row for row in sessions if request.allows("session", "read", row.node)]
    note_filtered(request, len(visible) < len(sessions))
    return json_answer(visible)


def _session_id(request: Request) -> str:
    if not request.rest:
        raise bad_request("Missing session")
    return request.rest.lower()


ROUTES = (
    Route("/v1/session/create", {"PUT": create}, access="session:write on the node"),
    Route("/v1/session/destroy/", {"PUT": destroy}, access="session:write on the node"),
    Route("/v1/session/renew/", {"PUT": renew}, access="session:write on the node"),
    Route("/v1/session/info/", {"GET": info}, access="session:read on the node, else left out"),
    Route("/v1/session/node/", {"GET": of_node}, access="session:read on the node, else left out"),
    Route("/v1/session/list", {"GET": list_all}, access="session:read on the node, else left out"),
)
