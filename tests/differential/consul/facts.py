"""From one answer to comparable facts.

A fact has a dotted name: ``status``, ``header.x-consul-index``, ``body``, ``json.0.Service.Port``,
``rcode``, ``answer.0``, ``exit``, ``out``, ``err``. What can never be equal is replaced by a name
that is the same for the same value in one recording: ``<id 1>``, ``<port dns>``, ``<moment>``,
``<index>``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import dns.flags
import dns.message
import dns.rcode

Facts = dict[str, Any]

COMPARED_HEADERS = {
    *("allow", "cache-control", "content-encoding", "content-type", "location", "vary", "x-cache"),
    *("x-consul-default-acl-policy", "x-consul-effective-consistency", "x-consul-index"),
    *("x-consul-knownleader", "x-consul-lastcontact", "x-consul-translate-addresses"),
    *("x-consul-reason", "x-consul-results-filtered-by-acls", "age", "retry-after"),
}

_UUID = re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b")
_MOMENT = re.compile(
    r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?( ?(Z|UTC|[+-]\d\d:?\d\d))*( m=\+[\d.]+)?"
)
_BUILT_IN = "00000000-0000-0000-0000-0000000000"
_MOMENT_OF_COMMANDS = re.compile(r"\b[A-Z][a-z]+day, \d\d-[A-Z][a-z]{2}-\d\d \d\d:\d\d:\d\d \S+")
_INDEX = re.compile(r"(Index|LTime)$")
_NUMBERED = re.compile(r"\b((?:Create|Modify|Lock) ?Index\"?\s*[:=]?\s*)\d+")
_SERIAL = re.compile(r"(SOA \S+ \S+) \d+")
_NUMBER = re.compile(r"\d+")
_WORDS = re.compile(r"[^\s]+")


class Names:
    """What stands in one recording for values that differ from run to run."""

    def __init__(self, known: Mapping[str, str]) -> None:
        """``known`` names values that are known before: ports, directories."""
        self._known = dict(known)
        self._ids: dict[str, str] = {}

    def add(self, value: str, name: str) -> None:
        """Write ``<name>`` for ``value`` from now on."""
        self._known[value] = name

    def text(self, text: str) -> str:
        """``text`` with names in the place of values that never are equal."""
        for value in sorted(self._known, key=len, reverse=True):
            text = re.sub(
                rf"(?<![\w-]){re.escape(value)}(?![\w-])", f"<{self._known[value]}>", text
            )
        text = _UUID.sub(lambda found: self._id(found[0]), text)
        text = _MOMENT_OF_COMMANDS.sub("<moment>", _MOMENT.sub("<moment>", text))
        return _NUMBERED.sub(r"\1<index>", text)

    def _id(self, value: str) -> str:
        if value.startswith(_BUILT_IN):
            return value
        return self._ids.setdefault(value, f"<id {len(self._ids) + 1}>")


def of_http(
    status: int, headers: Mapping[str, str], body: bytes, names: Names, *, unordered: bool = False
) -> Facts:
    """The facts of an answer of the API; if ``unordered``, in its JSON the order of lists is none.

    Lists that are sorted by random IDs have no order to compare.
    """
    facts: Facts = {"status": status}
    for name, value in headers.items():
        if (lower := name.lower()) in COMPARED_HEADERS:
            facts[f"header.{lower}"] = "<index>" if lower == "x-consul-index" else names.text(value)
    if "json" in facts.get("header.content-type", ""):
        try:
            value = json.loads(body)
            facts.update(of_json(_ordered(value) if unordered else value, names))
        except ValueError:
            facts["body"] = names.text(body.decode(errors="replace"))
    else:
        facts["body"] = names.text(body.decode(errors="replace"))
    return facts


def of_json(value: Any, names: Names, at: str = "json") -> Facts:
    """The facts of a JSON value: one for each leaf, and one for each empty object or list."""
    if isinstance(value, dict) and value:
        facts: Facts = {}
        for key, one in value.items():
            if key == "ServicePorts" and one is None:
                continue  # of 1.22: the real one that runs is older
            if key == "Hash" and (_links_by_id(value) or "CreatedAt" in value):
                facts[f"{at}.{key}"] = "<hash of random IDs>"
            elif key == "Hash" and isinstance(one, int):
                facts[f"{at}.{key}"] = "<hash of Go's structs>"
            elif _INDEX.search(key) and isinstance(one, int):
                facts[f"{at}.{key}"] = "<index>" if one else 0
            else:
                facts |= of_json(one, names, f"{at}.{names.text(key)}")
        return facts
    if isinstance(value, list) and value:
        facts = {}
        for number, one in enumerate(value):
            facts |= of_json(one, names, f"{at}.{number}")
        return facts
    if isinstance(value, str):
        return {at: names.text(value)}
    if isinstance(value, int) and not isinstance(value, bool):
        text = names.text(str(value))
        return {at: value if text == str(value) else text}
    return {at: value}


def _links_by_id(value: Mapping[str, Any]) -> bool:
    links = (value.get("Policies") or []) + (value.get("Roles") or [])
    return any("ID" in link and not link["ID"].startswith(_BUILT_IN) for link in links)


def _ordered(value: Any) -> Any:
    """``value`` with every list in the order of what is in its items, but for random IDs."""
    if isinstance(value, dict):
        return {key: _ordered(one) for key, one in value.items()}
    if isinstance(value, list):
        return sorted(
            (_ordered(one) for one in value),
            key=lambda one: _NUMBER.sub("0", _UUID.sub("", json.dumps(one, sort_keys=True))),
        )
    return value


def of_dns(answer: dns.message.Message, names: Names, *, folded: bool = False) -> Facts:
    """The facts of a DNS message; the order of its records, and the serial of a zone, are none.

    With ``folded`` the case of letters is none: names repeat that of the question where they can.
    """
    facts: Facts = {
        "rcode": dns.rcode.to_text(answer.rcode()),
        "flags": dns.flags.to_text(answer.flags),
        "edns": answer.payload if answer.edns >= 0 else None,
    }
    if answer.edns >= 0:
        facts |= {f"option.{n}": str(one) for n, one in enumerate(answer.options)}
    for section in ("question", "answer", "authority", "additional"):
        records = [line for rrset in getattr(answer, section) for line in str(rrset).splitlines()]
        for number, line in enumerate(sorted(records)):
            text = names.text(_SERIAL.sub(r"\1 <serial>", line))
            facts[f"{section}.{number}"] = text.lower() if folded else text
    return facts


def of_command(exit_code: int, out: str, err: str, names: Names, *, columns: bool = True) -> Facts:
    """The facts of a command: its exit code and what it wrote, line by line.

    With ``columns`` the width of the space between words counts for nothing, because columns are
    as wide as what is in them, and that may have a random length. Of a text of help counts only
    that it is there, and not even that after another message.
    """
    facts: Facts = {"exit": exit_code}
    for stream, text in (("out", out), ("err", err)):
        is_help = text.startswith("Usage: ")
        said = "<help>" if is_help else text.partition("\nUsage:")[0]
        for number, line in enumerate(names.text(said).splitlines()):
            facts[f"{stream}.{number}"] = " ".join(_WORDS.findall(line)) if columns else line
    return facts
