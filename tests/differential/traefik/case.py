"""The corpus: setups and cases as the YAML files under ``corpus/`` write them."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from .upstream import REPLY, long
from .wire import compose

CORPUS = Path(__file__).parent / "corpus"
POLITE = (("User-Agent", "differential"), ("Accept-Encoding", "identity"))
"""Sent with every case that is not ``bare``, so that few cases meet their defaults."""

_SECTIONS = ("middlewares", "services", "serversTransports")

Facts = dict[str, Any]


class Setup(NamedTuple):
    """One static configuration with everything the corpus puts behind it."""

    name: str
    form: str  # how the static configuration is given: file, flags or env
    static: Mapping[str, Any]
    dynamic: dict[str, Mapping[str, Any]]  # file name -> file content
    containers: list[Mapping[str, Any]]  # what the Docker daemon lists
    files: dict[str, str]  # other files, by name, that the configuration mentions


class Intended(NamedTuple):
    """A difference the compatibility document describes; values as ``facts.agrees`` reads them."""

    entry: str
    fact: str  # its name, or ~pattern of names
    traefik: Any
    portway: Any


class Case(NamedTuple):
    """One request, what must come of it, and the differences that are intended."""

    id: str
    setup: str
    entry_point: str
    request: bytes
    sources: Sequence[str]  # client addresses, in turn when it is sent several times
    times: int
    unordered: bool  # of several answers only the multitude counts
    expect: Facts  # of both, or of Traefik where they are meant to differ
    differs: Sequence[Intended]  # each must be there
    widespread: Sequence[Intended]  # may be there: differences that many cases meet


def load() -> tuple[dict[str, Setup], list[Case]]:
    """Read every corpus file. Raises KeyError or ValueError on a malformed one."""
    setups: dict[str, Setup] = {}
    for name, raw in _read(CORPUS / "setups.yml").items():
        setups[name] = Setup(name, raw.get("form", "file"), raw["static"], {}, [], {})
    widespread = list(_intended(_read(CORPUS / "widespread.yml")))
    cases: list[Case] = []
    for path in sorted(CORPUS.glob("*.yml")):
        if path.stem in {"setups", "widespread"}:
            continue
        raw = _read(path)
        setup = setups[raw["setup"]]
        setup.containers.extend(raw.get("containers", []))
        dynamic = _dynamic(raw)
        if dynamic:
            setup.dynamic[path.name] = dynamic
        setup.files.update(raw.get("files", {}))
        named = raw.get("widespread", [])
        met = [one for one in widespread if one.entry in named]
        if set(named) != {one.entry for one in met}:
            raise ValueError(f"{path.name}: widespread.yml does not have all of {named}")
        cases.extend(_cases(path.stem, raw, met))
    names = [case.id for case in cases]
    repeated = {name for name in names if names.count(name) > 1}
    if repeated:
        raise ValueError(f"case ids used twice: {sorted(repeated)}")
    return setups, cases


def _read(path: Path) -> dict[str, Any]:
    content = yaml.safe_load(path.read_text())
    if not isinstance(content, dict):
        raise ValueError(f"{path}: expected a mapping")
    return content


def _dynamic(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Expand the shorthand: a router may be just its rule; its service defaults to ``a``.

    ``hosts`` maps a host to the middlewares of a router of the same name.
    """
    routers = {
        name: {"service": "a", **({"rule": router} if isinstance(router, str) else router)}
        for name, router in raw.get("routers", {}).items()
    }
    for host, middlewares in raw.get("hosts", {}).items():
        name = host.replace(".", "-")
        routers[name] = {"rule": f"Host(`{host}`)", "service": "a", "middlewares": middlewares}
    http = {
        "routers": routers,
        **{section: raw.get(section, {}) for section in _SECTIONS},
    }
    http = {section: content for section, content in http.items() if content}
    return {"http": http} if http else {}


def _cases(stem: str, raw: Mapping[str, Any], widespread: list[Intended]) -> Iterator[Case]:
    for item in raw["cases"]:
        unknown = item.keys() - {
            *("id", "get", "method", "target", "host", "headers", "bare", "raw", "body", "from"),
            *("entryPoint", "user", "unordered", "reply", "times", "expect", "differs"),
        }
        if unknown:
            raise ValueError(f"{stem}/{item.get('id')}: unknown keys {sorted(unknown)}")
        source = item.get("from", "127.0.0.1")
        yield Case(
            id=f"{stem}/{item['id']}",
            setup=raw["setup"],
            entry_point=item.get("entryPoint", raw.get("entryPoint", "web")),
            request=_request(item, raw),
            sources=[source] if isinstance(source, str) else source,
            times=item.get("times", 1),
            unordered=item.get("unordered", False),
            expect=_expectation(item.get("expect", {})),
            differs=list(_intended(item.get("differs", {}))),
            widespread=widespread,
        )


def _intended(raw: Mapping[str, Mapping[str, Any]]) -> Iterator[Intended]:
    for entry, facts in raw.items():
        for fact, (traefik, portway) in facts.items():
            yield Intended(entry, fact, traefik, portway)


def _request(item: Mapping[str, Any], raw: Mapping[str, Any]) -> bytes:
    if "raw" in item:
        return str(item["raw"]).encode("latin-1")
    given = item.get("headers", {})
    headers = [(k, long(str(v))) for k, v in (given.items() if isinstance(given, dict) else given)]
    body = long(str(item.get("body", ""))).encode()
    if not item.get("bare"):
        names = {key.lower() for key, _ in headers}
        headers += [(key, value) for key, value in POLITE if key.lower() not in names]
    headers.insert(0, ("Host", item.get("host", raw.get("host", "test.local"))))
    if "user" in item:
        headers.append(("Authorization", f"Basic {b64encode(item['user'].encode()).decode()}"))
    if "reply" in item:
        headers.append((REPLY, json.dumps(item["reply"])))
    if body:
        headers.append(("Content-Length", str(len(body))))
    target = item.get("get", item.get("target", "/"))
    return compose(item.get("method", "GET"), target, headers, body)


def _expectation(given: Any) -> Facts:
    """``200``, ``200 b``, ``200 b /seen/target`` or a mapping of facts."""
    if isinstance(given, dict):
        return dict(given)
    words = str(given).split(" ", 2)
    facts: Facts = {"status": int(words[0])}
    if len(words) > 1:
        facts["seen.server"] = words[1]
    if len(words) > 2:
        facts["seen.target"] = words[2]
    return facts
