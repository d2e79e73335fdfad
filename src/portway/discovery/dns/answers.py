"""Packets to replies: caches in front of the lookup, recursors behind it."""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Callable, Coroutine
from functools import lru_cache
from typing import Any, Protocol

import structlog

from portway.discovery.acl import DENY_ALL, AclError, Authorizer
from portway.discovery.dns.cache import Cache, Entry, Rendered
from portway.discovery.dns.compiled import compile_answer
from portway.discovery.dns.found import Found, Queries, Question, World
from portway.discovery.dns.lookup import look_up
from portway.discovery.dns.message import (
    PLAIN_SIZE,
    Limits,
    error,
    put_together,
    tcp_limits,
    truncated,
    udp_limits,
)
from portway.discovery.dns.records import AAAA, ANY, AXFR, IN, IXFR, SRV, A, Record
from portway.discovery.dns.recursors import Recursors
from portway.discovery.dns.request import (
    BADVERS,
    NOTIMP,
    REFUSED,
    SERVFAIL,
    BadRequestError,
    Request,
    parse_request,
)
from portway.discovery.dns.seldom import Seldom
from portway.discovery.dns.settings import DnsSettings, Labels
from portway.discovery.state import State

Reply = bytes | Coroutine[Any, Any, bytes] | None
"""A message to send, one that takes time, or none at all."""

_MOST_BLOCKS = 200_000  # of all compiled answers together
_EMPTY = 16  # blocks that an answer without any counts for
_MOST_RENDERED = 8192
_MOST_PACKET = 512  # bytes of a request that is remembered
_PUBLIC_SIZE = 1232
"""Most bytes by UDP to the open internet: what needs no fragments, and makes a poor amplifier."""
_STRANGE = b"\0public"  # behind the requests whose answers have that size
_MOST_FOLLOWED = 16  # names outside our domains, per answer
_MOST_FOLLOWED_RECORDS = 5  # of one such name, for clients without EDNS

_log = structlog.get_logger(__name__)


class Tokens(Protocol):
    """Where tokens become authorizers."""

    def resolve(self, secret: str) -> Authorizer:
        """The authorizer of a token's secret. Raises AclError."""


class Answers:
    """Answers requests from the state.

    ``token`` says the secret whose permissions decide what is shown: the agent's DNS token, else
    its default one.
    """

    def __init__(
        self,
        state: State,
        tokens: Tokens,
        settings: DnsSettings,
        queries: Queries | None = None,
        token: Callable[[], str] = str,
    ) -> None:
        self.settings = settings
        self._state = state
        self._tokens = tokens
        self._queries = queries
        self._token = token
        self._recursors = Recursors()
        self._logs = Seldom()
        self._authorizer: Authorizer | None = None
        self._epoch = state.view.epoch
        self._entries: Cache[tuple[Labels, int, bytes], Entry] = Cache(_MOST_BLOCKS)
        self._rendered: Cache[bytes, Rendered] = Cache(_MOST_RENDERED)

    def reload(self, settings: DnsSettings) -> None:
        """Answer by other settings from now on."""
        self.settings = settings
        self._forget()

    def refresh(self) -> None:
        """Notice changes of permissions; to be called before packets that came together."""
        try:
            authorizer = self._tokens.resolve(self._token())
        except AclError:
            authorizer = None
        epoch = self._state.view.epoch
        if authorizer is not self._authorizer or epoch != self._epoch:
            self._authorizer, self._epoch = authorizer, epoch
            self._forget()

    def _forget(self) -> None:
        self._entries.clear()
        self._rendered.clear()

    def by_udp(self, packet: bytes, source: str) -> Reply:
        """The reply to a packet of a client at the address ``source``."""
        key = packet[2:] + _STRANGE if _is_public(source) else packet[2:]
        kept = self._rendered.get(key)
        if kept is not None:
            rendered = kept[0]
            if rendered.entry.is_fresh():
                return packet[:2] + rendered.draw(int(time.time()))
        return self._reply(packet, source, tcp=False)

    def by_tcp(self, packet: bytes, source: str) -> Reply:
        """The same by TCP."""
        return self._reply(packet, source, tcp=True)

    def _reply(self, packet: bytes, source: str, tcp: bool) -> Reply:
        try:
            request = parse_request(packet)
        except BadRequestError as bad:
            return bad.reply
        if not tcp and _is_public(source):
            request = request._replace(size=min(request.size, _PUBLIC_SIZE))
        try:
            reply = self._answer(request, packet, source, tcp)
        except Exception:  # a mistake of ours costs one answer, not the listener
            reply = self._failed(request)
        if isinstance(reply, bytes):
            return packet[:2] + reply
        return None if reply is None else self._guarded(reply, request, packet)

    async def _guarded(
        self, reply: Coroutine[Any, Any, bytes], request: Request, packet: bytes
    ) -> bytes:
        try:
            return await reply
        except Exception:
            return packet[:2] + self._failed(request)

    def _failed(self, request: Request) -> bytes:
        if self._logs():
            _log.exception("DNS question failed", name=b".".join(request.labels))
        return self._error(request, SERVFAIL)

    def _answer(self, request: Request, packet: bytes, source: str, tcp: bool) -> Reply:
        code = BADVERS if request.version else NOTIMP if request.kind in (AXFR, IXFR) else 0
        if code:
            return error(request, code)
        settings = self.settings
        now = int(time.time())
        entry = self._kept(request)
        if entry is None:
            found = self._look_up(request, source, now)
            if isinstance(found, int):
                return self._error(request, found)
            if found is None or (found.elsewhere and settings.upstreams):
                return self._recurse(request, packet, tcp)
            if settings.upstreams and any(group.follow for group in found.groups):
                return self._follow(found, request, packet, tcp)
            entry = self._compile(found, request)
            if not found.fixed:
                return put_together(entry.compiled, request, self._limits(request, tcp), now)
            self._entries.put(self._key(request), entry, _EMPTY + len(entry.compiled.blocks))
        rendered = Rendered(entry, request, self._limits(request, tcp))
        if not tcp and len(packet) <= _MOST_PACKET:
            key = packet[2:] + _STRANGE if _is_public(source) else packet[2:]
            self._rendered.put(key, rendered)
        return rendered.draw(now)

    def _limits(self, request: Request, tcp: bool) -> Limits:
        return tcp_limits(request) if tcp else udp_limits(request, self.settings)

    def _key(self, request: Request) -> tuple[Labels, int, bytes]:
        # Without compression an answer repeats the name letter by letter.
        name = request.question[:-4] if self.settings.disable_compression else b""
        return request.labels, request.kind, name

    def _kept(self, request: Request) -> Entry | None:
        kept = self._entries.get(self._key(request))
        if kept is None or request.domain_class not in (IN, ANY):
            return None
        return kept[0] if kept[0].is_fresh() else None

    def _look_up(self, request: Request, source: str, now: int) -> Found | int | None:
        """What is found, the error to be answered, or ``None`` when recursors have to know."""
        authorizer = self._authorizer or DENY_ALL
        world = World(self._state.catalog, self.settings, authorizer, self._queries, now)
        question = Question(request.labels, request.kind, _client(request, source))
        found = look_up(question, world)
        if found is None:
            return None if self.settings.upstreams else REFUSED
        if self._authorizer is None and not (found.elsewhere and self.settings.upstreams):
            return SERVFAIL  # the token is nobody's
        return found if request.domain_class in (IN, ANY) else REFUSED

    def _compile(self, found: Found, request: Request) -> Entry:
        name = request.question[:-4]
        compiled = compile_answer(found, request.labels, name, self.settings)
        return Entry(compiled, found.topics)

    def _error(self, request: Request, code: int) -> bytes:
        return error(request, code, bool(self.settings.upstreams))

    async def _recurse(self, request: Request, packet: bytes, tcp: bool) -> bytes:
        reply = await self._recursors.ask(packet, self.settings, tcp)
        if reply is None:
            return packet[:2] + self._error(request, SERVFAIL)
        if not tcp and len(reply) > max(request.size, PLAIN_SIZE):
            return packet[:2] + truncated(request)
        return reply

    async def _follow(self, found: Found, request: Request, packet: bytes, tcp: bool) -> bytes:
        """Add what recursors know of names that stand for something outside our domains."""
        settings = self.settings
        kinds = {A: [A], AAAA: [AAAA]}.get(request.kind, [A, AAAA])
        names = {group.follow: None for group in found.groups if group.follow is not None}
        known: dict[Labels, list[Record]] = {}
        for name in list(names)[:_MOST_FOLLOWED]:
            records = await self._recursors.addresses(name, kinds, settings)
            known[name] = records if request.edns else records[:_MOST_FOLLOWED_RECORDS]
        for group in found.groups:
            records = known.get(group.follow or (), [])
            if (ttl := group.ttl) is not None:
                records = [record._replace(ttl=ttl) for record in records]
            place = group.extras if request.kind == SRV else group.answers
            place += records
        compiled = self._compile(found, request).compiled
        limits = self._limits(request, tcp)
        return packet[:2] + put_together(compiled, request, limits, int(time.time()))


@lru_cache(maxsize=4096)
def _is_public(source: str) -> bool:
    """Whether an address is on the open internet, where it may be a forged one."""
    try:
        return ipaddress.ip_address(source.partition("%")[0]).is_global
    except ValueError:
        return False


def _client(request: Request, source: str) -> str:
    """The address of who really asks: a resolver in between may say it (RFC 7871)."""
    subnet = request.subnet
    if subnet is None or not subnet.address:
        return source
    size = 4 if subnet.family == 1 else 16
    return str(ipaddress.ip_address(subnet.address.ljust(size, b"\0")))
