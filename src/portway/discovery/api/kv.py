"""``/v1/kv/``: the key-value store."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Any, TypeVar
from urllib.parse import urlencode

import msgspec

from portway.discovery.api.answer import JSON, Answer, escape, json_answer, raw_json
from portway.discovery.api.blocking import check_read, last, note_filtered, read
from portway.discovery.api.error import bad_request, refused
from portway.discovery.api.request import Request
from portway.discovery.api.route import Route
from portway.discovery.model import KVEntry
from portway.discovery.operations import kv as operations
from portway.discovery.operations.kv_keys import clean, cut, key_problem
from portway.discovery.state import Draft, Reading
from portway.store import Version

_RAW_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "sandbox",
}
_BOOLEANS = {True: b"true", False: b"false"}
_MOST_VERSIONS = 64  # of a history in one answer, unless the request says otherwise
_ALL_VERSIONS = 1 << 31
_MOST_DIGITS = 1000
_SLICE = 10_000  # rows looked at before others have their turn: some milliseconds
R = TypeVar("R")


async def get(request: Request) -> Answer:
    """Read a key, the keys under a prefix, or the names of those."""
    key = request.rest
    if not key_problem(key):
        key = clean(key)
    if request.has("keys"):
        return await _names(request, key)
    if request.has("recurse"):
        return await _tree(request, key)
    if not key:
        raise bad_request("Missing key name")
    request.require("key", "read", key)
    if request.has("history"):
        return await _history(request, key)
    kv = request.context.server.state.kv
    reading = await read(request, lambda: kv.read(key))
    entry = reading.value
    if entry is None:
        return Answer(status=404)
    last(request, reading)
    if request.has("raw"):
        return Answer(entry.value, 200, "text/plain; charset=utf-8", dict(_RAW_HEADERS))
    return raw_json(b"[" + render([entry]) + b"]")


async def _tree(request: Request, prefix: str) -> Answer:
    request.require("key_list", "list", prefix)
    kv = request.context.server.state.kv
    entries = (await read(request, lambda: kv.read_under(prefix))).value
    parts = []
    found = 0
    async for part in _visible(request, entries, lambda entry: entry.key):
        found += len(part)
        if part:
            parts.append(render(part))
    note_filtered(request, found < len(entries))
    if not parts:
        return Answer(status=404)
    return raw_json(b"[" + b",".join(parts) + b"]")


async def _visible(
    request: Request, rows: Sequence[R], key_of: Callable[[R], str]
) -> AsyncIterator[Sequence[R]]:
    """The rows whose keys the caller may read, in slices between which others have their turn."""
    authorizer = request.authorizer
    everything = authorizer.unrestricted or authorizer.allows_all("key")
    for at in range(0, len(rows), _SLICE):
        if at:
            await asyncio.sleep(0)
        part = rows[at : at + _SLICE]
        if everything:
            yield part
        else:
            yield [row for row in part if authorizer.allows("key", "read", key_of(row))]


async def _names(request: Request, prefix: str) -> Answer:
    separator = request.param("separator") or request.param("seperator")
    request.require("key_list", "list", prefix)
    kv = request.context.server.state.kv

    def names() -> Reading[list[str]]:
        reading = kv.read_under(prefix)
        return Reading([entry.key for entry in reading.value], reading.index, reading.topics)

    keys = (await read(request, names)).value
    visible = [key async for part in _visible(request, keys, str) for key in part]
    note_filtered(request, len(visible) < len(keys))
    if not visible and prefix:
        return Answer(status=404)
    return json_answer(cut(visible, prefix, separator))


async def _history(request: Request, key: str) -> Answer:
    """The kept versions of a key, newest first: an addition of Portway's.

    ``limit`` is how many, 64 by default; ``version`` picks one by its number, which counts the
    writes since the key was created: of several lives of a key the latest that has it.
    """
    wanted = request.unsigned("version", "Invalid version") or 0
    limit = request.unsigned("limit", "Invalid limit")
    limit = _MOST_VERSIONS if limit is None else min(limit, _ALL_VERSIONS)
    server = request.context.server
    await read(request, lambda: server.state.kv.read(key))
    path = server.state.kv.table.prefix + key
    versions = await server.store.versions(path, _ALL_VERSIONS if wanted else limit)
    if wanted:
        found = [one for one in versions if one.version == wanted and one.value is not None]
        versions = found[:1]
    if not versions:
        return Answer(status=404)
    decode = server.state.kv.table.decode
    return json_answer([_version(key, version, decode) for version in versions])


def _version(key: str, version: Version, decode: Callable[[bytes], KVEntry]) -> dict[str, Any]:
    row: dict[str, Any] = {"Version": version.version, "Key": key}
    if version.value is None:
        row["Deleted"] = True
    else:
        entry = decode(version.value)
        row |= {"LockIndex": entry.lock_index, "Flags": entry.flags, "Value": _value(entry)}
        if entry.session:
            row["Session"] = entry.session
    return row | {"CreateIndex": version.create_revision, "ModifyIndex": version.mod_revision}


async def put(request: Request) -> Answer:
    """Write a key: plainly, by compare-and-set, or with a session's lock."""
    request.datacenter()
    check_read(request)
    key = _checked_key(request)
    ways = _one_of(request, "cas", "acquire", "release")
    request.require("key", "write", key)
    flags = _number(request, "flags") if request.has("flags") else 0
    index = _number(request, "cas") if ways == "cas" else 0
    session = request.param(ways).lower()  # of an ID
    value = await request.body(request.context.settings.kv_max_value_size)
    server = request.context.server
    if not ways:
        done = await server.transact_jointly(
            lambda draft: operations.put(server, draft, key, value, flags), f"kv/{key}"
        )
        return Answer(_BOOLEANS[done], 200, JSON)

    def write(draft: Draft) -> bool:
        if ways == "cas":
            return operations.compare_and_put(server, draft, key, value, flags, index)
        lock = operations.acquire if ways == "acquire" else operations.release
        return lock(server, draft, key, value, flags, session)

    return await _written(request, write, key)


async def delete(request: Request) -> Answer:
    """Delete a key, or all under a prefix."""
    request.datacenter()
    check_read(request)
    server = request.context.server
    if _one_of(request, "recurse", "cas") == "recurse":
        prefix = request.rest if key_problem(request.rest) else clean(request.rest)
        request.require("key_prefix", "write", prefix)
        return await _written(
            request, lambda draft: operations.delete_tree(server, draft, prefix), ""
        )
    key = _checked_key(request)
    request.require("key", "write", key)
    if request.has("cas"):
        index = _number(request, "cas")
        return await _written(
            request, lambda draft: operations.compare_and_delete(server, draft, key, index), key
        )
    return await _written(request, lambda draft: operations.delete(server, draft, key), key)


async def _written(request: Request, write: Callable[[Draft], bool], key: str) -> Answer:
    try:
        done = await request.context.server.transact(write, turn=f"kv/{key}" if key else "")
    except operations.KVError as error:
        raise refused(f"raft apply failed: {error}") from None
    return Answer(_BOOLEANS[done], 200, JSON)


def _checked_key(request: Request) -> str:
    """The key to write, cleaned as documented. Raises ApiError."""
    key = request.rest
    problem = key_problem(key)
    if problem and not request.context.settings.disable_kv_key_validation:
        raise refused(problem)
    if problem:
        request.answer_headers["X-Consul-KV-Warning"] = problem
    else:
        key = clean(key)
    if not key:
        raise bad_request("Missing key name")
    return key


def _one_of(request: Request, *names: str) -> str:
    """The one of these parameters that is given, or nothing. Raises ApiError for two."""
    given = [name for name in names if request.has(name)]
    if len(given) > 1:
        raise bad_request(f"Conflicting flags: {urlencode(sorted(request.query.items()), True)}\n")
    return given[0] if given else ""


def _number(request: Request, name: str) -> int:
    """An unsigned number of 64 bits. Raises ApiError as the documented API words it: 500."""
    text = request.param(name)
    number = int(text) if text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS else -1
    if 0 <= number < 1 << 64:
        return number
    problem = "value out of range" if text.isascii() and text.isdigit() else "invalid syntax"
    raise refused(f"strconv.ParseUint: parsing {json.dumps(text, ensure_ascii=False)}: {problem}")


class _Row(msgspec.Struct, rename="pascal", gc=False):
    lock_index: int
    key: str
    flags: int
    value: bytes | None
    session: str | msgspec.UnsetType
    create_index: int
    modify_index: int


_encoder = msgspec.json.Encoder()


def render(entries: Iterable[KVEntry], with_values: bool = True) -> bytes:
    """Entries as the API shows them: JSON with commas between, without brackets."""
    rows = [
        _Row(
            entry.lock_index,
            entry.key,
            entry.flags,
            (entry.value or None) if with_values else None,
            entry.session or msgspec.UNSET,
            entry.create_index,
            entry.modify_index,
        )
        for entry in entries
    ]
    return escape(_encoder.encode(rows)[1:-1])


def _value(entry: KVEntry) -> str | None:
    return base64.b64encode(entry.value).decode() if entry.value else None


ROUTES = (
    Route(
        "/v1/kv/",
        {"GET": get, "PUT": put, "DELETE": delete},
        access="GET key:read (key:list for recurse and keys), PUT and DELETE key:write",
    ),
)
