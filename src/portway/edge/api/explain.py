"""``/api/explain``: which router a request would hit, and why the others would not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from ipaddress import ip_address
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from portway.edge.api.render import Json, provider_of
from portway.edge.runtime import RouterInfo, Runtime
from portway.edge.static import EntryPoint
from portway.rules import Request, Rule, RuleError, evaluate, parse
from portway.rules import explain as why_not
from portway.rules.host import host_matches

Order = Callable[[RouterInfo], Any]
"""The sort key by which the edge tries routers: the first that matches is hit."""

MAX_URL: Final = 65_536
MAX_HEADERS: Final = 200
MAX_OTHERS: Final = 1_000
_OTHERS = 50
_AT_ONCE = 64  # routers to look at before other tasks get a turn
_PARAMETERS = ("url", "method", "header", "client_ip", "entryPoint", "limit")
_PORTS = {"http": 80, "https": 443}


def by_priority(info: RouterInfo) -> tuple[int, str]:
    """Highest priority first, then by name."""
    return (-info.priority, info.name)


class Question(NamedTuple):
    """A request to explain and the entry points it may come in by (name → address)."""

    request: Request
    tls: bool
    entry_points: Mapping[str, str]
    note: str  # on how the entry points were chosen; may be empty
    limit: int  # how many other routers to tell of, per entry point


class Other(NamedTuple):
    """A router that is not hit. Lower ``rank`` is more likely what the asker looks for."""

    info: RouterInfo
    rank: int
    reason: Callable[[], str]


def read(parameters: Sequence[tuple[str, str]], points: Mapping[str, EntryPoint]) -> Question:
    """The question in the parameters of a query.

    Raises ValueError with a message that says what would be valid.
    """
    for name, _ in parameters:
        if name not in _PARAMETERS:
            raise ValueError(f"unknown parameter {name!r}; there are {', '.join(_PARAMETERS)}")
    single = dict(reversed(parameters))
    url = single.get("url", "")
    if not url:
        raise ValueError("the parameter url is missing; write ?url=http://app.localhost/path")
    if len(url) > MAX_URL:
        raise ValueError(f"the url has {len(url)} characters; at most {MAX_URL} are allowed")
    try:
        parts = urlsplit(url if "://" in url else "http://" + url)
        port = parts.port
    except ValueError as error:
        raise ValueError(f"url {url!r}: {error}; write http://app.localhost/path") from error
    scheme = {"ws": "http", "wss": "https"}.get(parts.scheme, parts.scheme)
    if scheme not in _PORTS or not parts.hostname:
        raise ValueError(f"url {url!r} is not one; write http://app.localhost/path")
    headers = tuple(_header(value) for name, value in parameters if name == "header")
    if len(headers) > MAX_HEADERS:
        raise ValueError(f"{len(headers)} headers are too many; at most {MAX_HEADERS} are allowed")
    request = Request(
        method=(single.get("method") or "GET").upper(),
        host=next(
            (value for name, value in headers if name.lower() == "host"),
            parts.netloc.rpartition("@")[2],
        ),
        path=parts.path or "/",
        query=parts.query,
        headers=headers,
        client_ip=_address(single.get("client_ip") or "127.0.0.1"),
    )
    wanted = [value for name, value in parameters if name == "entryPoint"]
    chosen, note = _choose(points, wanted, port or _PORTS[scheme])
    return Question(request, scheme == "https", chosen, note, _limit(single.get("limit", "")))


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise ValueError(f"header {text!r} has no colon; write header=X-Name:value")
    return name.strip(), value.strip()


def _address(text: str) -> str:
    try:
        return str(ip_address(text))
    except ValueError:
        raise ValueError(f"client_ip {text!r} is not an IP address") from None


def _limit(text: str) -> int:
    if not text:
        return _OTHERS
    if not (text.isascii() and text.isdigit() and int(text[:9]) <= MAX_OTHERS):
        raise ValueError(f"limit {text!r} is not a number from 0 to {MAX_OTHERS}")
    return int(text)


def _choose(
    points: Mapping[str, EntryPoint], wanted: Sequence[str], port: int
) -> tuple[dict[str, str], str]:
    listening = {n: p for n, p in points.items() if p.listen.protocol == "tcp"}
    for name in wanted:
        if name not in listening:
            known = ", ".join(sorted(listening)) or "none"
            raise ValueError(f"there is no entry point {name!r}; there are: {known}")
    note = ""
    chosen = [*wanted] or [name for name, p in listening.items() if p.listen.port == port]
    if not chosen:
        note = f"no entry point listens on port {port}, so all are shown"
        chosen = list(listening)
    return {name: listening[name].address for name in chosen}, note


async def explain(question: Question, runtime: Runtime, order: Order) -> Json:
    """The answer to a question, ready to be encoded.

    Lets other tasks run in between; it tells of the routers there were when it was asked.
    """
    request = question.request
    routers = sorted(runtime.routers.values(), key=order)
    rules = {}
    matching = set()
    for number, info in enumerate(routers):
        rules[info.name] = rule = _rule(info.config.rule)
        if rule is not None and evaluate(rule, request):
            matching.add(info.name)
        if number % _AT_ONCE == 0:
            await asyncio.sleep(0)
    answer: Json = {
        "request": {
            "method": request.method,
            "scheme": "https" if question.tls else "http",
            "host": request.host,
            "path": request.path,
            "query": request.query,
            "headers": [f"{name}: {value}" for name, value in request.headers],
            "clientIP": request.client_ip,
        }
    }
    if question.note:
        answer["note"] = question.note
    answer["entryPoints"] = [
        _at(name, address, question, runtime, routers, rules, matching)
        for name, address in question.entry_points.items()
    ]
    return answer


def _at(
    point: str,
    address: str,
    question: Question,
    runtime: Runtime,
    routers: Sequence[RouterInfo],
    rules: Mapping[str, Rule | None],
    matching: set[str],
) -> Json:
    """What happens to the request at one entry point."""
    hit = next(
        (
            info
            for info in routers
            if info.name in matching
            and info.status != "disabled"
            and point in info.using
            and _same_security(info, question)
        ),
        None,
    )
    others = sorted(
        (
            _other(info, hit, point, question, rules[info.name], info.name in matching)
            for info in routers
            if info is not hit
        ),
        key=lambda other: other.rank,
    )
    tree: Json = {"name": point, "address": address}
    if hit is None:
        tree["answer"] = "404 page not found"
    else:
        tree["router"] = _hit(hit, runtime)
    shown = others[: question.limit]
    tree["others"] = [
        {
            "name": other.info.name,
            "rule": other.info.config.rule,
            "priority": other.info.priority,
            "status": other.info.status,
            "reason": other.reason(),
        }
        for other in shown
    ]
    if len(shown) < len(others):
        tree["omitted"] = len(others) - len(shown)
    return tree


def _hit(info: RouterInfo, runtime: Runtime) -> Json:
    """A router with everything a request through it meets."""
    middlewares = []
    for name in info.config.middlewares:
        middleware = runtime.middlewares.get(name)
        middlewares.append({"name": name, "type": middleware.type if middleware else ""})
    service = runtime.services.get(info.service)
    balancer = service.config.load_balancer if service else None
    return {
        "name": info.name,
        "provider": provider_of(info.name),
        "rule": info.config.rule,
        "priority": info.priority,
        "status": info.status,
        "middlewares": middlewares,
        "service": info.service,
        "servers": [server.url for server in balancer.servers] if balancer else [],
    }


def _other(
    info: RouterInfo,
    hit: RouterInfo | None,
    point: str,
    question: Question,
    rule: Rule | None,
    matches: bool,
) -> Other:
    """Why a router is not hit at an entry point. Those whose rule matches come first."""
    if info.status == "disabled":
        return Other(info, 1 if matches else 4, lambda: "disabled: " + "; ".join(info.errors))
    if point not in info.using:
        places = ", ".join(info.using) or "none"
        return Other(
            info,
            2 if matches else 6,
            lambda: f"not attached to the entry point {point}, only to {places}",
        )
    if rule is not None and not matches:
        hosts = rule.domains
        near = not hosts or any(host_matches(h, question.request.canonical_host) for h in hosts)
        return Other(info, 3 if near else 5, lambda: why_not(rule, question.request) or "")
    if not _same_security(info, question):
        said = "it answers TLS only" if info.config.tls else "it answers plain HTTP only"
        return Other(info, 1, lambda: f"the rule matches, but {said}")
    return Other(info, 0, lambda: _outranked(info, hit))


def _outranked(info: RouterInfo, hit: RouterInfo | None) -> str:
    if hit is None:
        return "the rule matches"
    if hit.priority == info.priority:
        return (
            f"the rule matches, but {hit.name} comes first: the priorities are equal"
            f" ({info.priority}), so the provider and then the name decide"
        )
    return f"the rule matches, but {hit.name} has the higher priority ({hit.priority})"


def _same_security(info: RouterInfo, question: Question) -> bool:
    return (info.config.tls is not None) == question.tls


@lru_cache(maxsize=65_536)
def _rule(text: str) -> Rule | None:
    try:
        return parse(text) if text else None
    except RuleError:
        return None
