"""From one exchange to comparable facts, and from two sets of facts to their differences.

A fact has a dotted name: ``status``, ``header.location``, ``body``, ``json.message``,
``json.a@file.rule`` (objects in lists go by their name), ``seen.server``, ``seen.target``,
``seen.header.x-forwarded-for``, ``seen.body``. Header names are lower-case and a header that
occurs several times is a list; ``header-spelling.x-real-ip`` is how its name was written.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .case import Facts, Intended
from .upstream import REPLY, Seen
from .wire import Answer

LEFT_OUT = {
    "message-framing": "Content-Length, Transfer-Encoding and Connection",
    "reason-phrase": "only the number of a status is compared",
    "no-dashboard": "the dashboard's objects do not count for the order of a list",
}
"""Differences no case can show, because they are left out of every comparison: entry -> what."""

_FRAMING = {"content-length", "transfer-encoding", "connection", "keep-alive"}
"""How a message is delimited on a connection: each proxy's own affair, but for HEAD."""


def gather(answer: Answer, seen: Sequence[Seen], ports: Mapping[int, str]) -> Facts:
    """Describe one exchange. ``ports`` names a proxy's own ports, which are random."""
    facts: Facts = {"status": answer.status}
    facts |= _headers("header", answer.headers, _FRAMING)
    _moment(facts)
    body = answer.body.decode("latin-1")
    if "json" in str(facts.get("header.content-type", "")):
        facts.update(_flatten("json", json.loads(body)))
    else:
        facts["body"] = body
    facts["seen"] = len(seen)
    for request in seen[-1:]:
        facts["seen.server"] = request.server
        facts["seen.address"] = request.address
        facts["seen.method"] = request.method
        facts["seen.target"] = request.target
        facts["seen.version"] = request.version
        facts["seen.body"] = request.body.decode("latin-1")
        facts |= _headers("seen.header", request.headers, _FRAMING | {REPLY.lower()})
    if "json.startDate" in facts:
        facts["json.startDate"] = "?"
    return {fact: _anonymous(value, ports) for fact, value in facts.items()}


def _moment(facts: Facts) -> None:
    """Blur what depends on the moment: waiting times are kept to the nearest ten seconds."""
    if "header.date" in facts:
        facts["header.date"] = "?"
    if "header.retry-after" in facts:
        facts["header.retry-after"] = round(int(facts["header.retry-after"]), -1)
    if "header.x-retry-in" in facts:
        facts["header.x-retry-in"] = re.sub(r"[\d.]+m?s$", "?", facts["header.x-retry-in"])


def _headers(prefix: str, pairs: Iterable[tuple[str, str]], without: set[str]) -> Facts:
    grouped: dict[str, list[str]] = {}
    facts: Facts = {}
    for key, value in pairs:
        if key.lower() not in without:
            grouped.setdefault(key.lower(), []).append(value)
            facts[f"{prefix}-spelling.{key.lower()}"] = key
    for name, found in grouped.items():
        facts[f"{prefix}.{name}"] = found[0] if len(found) == 1 else found
    return facts


def _flatten(prefix: str, value: Any) -> Iterable[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _flatten(f"{prefix}.{key}", inner)
    elif isinstance(value, list) and any(isinstance(inner, dict) for inner in value):
        names = [inner.get("name", str(index)) for index, inner in enumerate(value)]
        yield f"{prefix}.order", [name for name in names if not name.startswith("dashboard")]
        for name, inner in zip(names, value, strict=True):
            yield from _flatten(f"{prefix}.{name}", inner)
    else:
        yield prefix, value


def _anonymous(value: Any, ports: Mapping[int, str]) -> Any:
    if isinstance(value, list):
        return [_anonymous(inner, ports) for inner in value]
    if isinstance(value, str):
        for port, name in ports.items():
            value = re.sub(rf"\b{port}\b", f"<{name}>", value)
    return value


def differences(left: Facts, right: Facts) -> dict[str, tuple[Any, Any]]:
    """Return every fact the two do not share; an absent fact is None.

    Where the statuses differ, everything else follows from that and is left out, except
    how many requests arrived at the servers. Spelling is compared where both have a header.
    """
    facts: Iterable[str] = [*left, *(right.keys() - left.keys())]
    if left.get("status") != right.get("status"):
        facts = ("status", "seen")
    return {
        fact: (left.get(fact), right.get(fact))
        for fact in facts
        if left.get(fact) != right.get(fact)
        and not ("-spelling." in fact and None in (left.get(fact), right.get(fact)))
    }


def agrees(actual: Any, wanted: Any) -> bool:
    """Compare a fact with a written one: ``~pattern`` is a regular expression, ``*`` any value."""
    if wanted == "*":
        return actual is not None
    if isinstance(wanted, str) and wanted.startswith("~"):
        return isinstance(actual, str) and re.fullmatch(wanted[1:], actual) is not None
    return bool(actual == wanted)


def explained(fact: str, both: tuple[Any, Any], intended: Iterable[Intended]) -> Intended | None:
    """Find the intended difference that a found one is."""
    for one in intended:
        named = one.fact == fact or (one.fact[:1] == "~" and re.fullmatch(one.fact[1:], fact))
        if named and agrees(both[0], one.traefik) and agrees(both[1], one.portway):
            return one
    return None
