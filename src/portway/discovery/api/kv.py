"""``/v1/kv/``: the key-value store."""

from __future__ import annotations

import base64
from collections.abc import Callable

from portway.discovery.api.answer import JSON, Answer, encode_row, escape, json_answer, raw_json
from portway.discovery.api.blocking import read
from portway.discovery.api.error import ApiError, bad_request, refused
from portway.discovery.api.request import Request
from portway.discovery.api.route import Route
from portway.discovery.model import KVEntry
from portway.discovery.operations import kv as operations
from portway.discovery.state import Draft, Reading

_RAW_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "sandbox",
}
_BOOLEANS = {True: b"true", False: b"false"}


async def get(request: Request) -> Answer:
    """Read a key, the keys under a prefix, or the names of those."""
    key = request.rest
    if request.has("keys"):
        return await _names(request, key)
    if request.has("recurse"):
        return await _tree(request, key)
    if not key:
        raise bad_request("Missing key name")
    request.require("key", "read", key)
    kv = request.context.server.state.kv
    if request.has("history"):
        return await _history(request, key)
    entry = (await read(request, lambda: kv.read(key))).value
    if entry is None:
        return Answer(status=404)
    if request.has("raw"):
        return Answer(entry.value, 200, "text/plain; charset=utf-8", dict(_RAW_HEADERS))
    return raw_json(b"[" + render(entry) + b"]")


async def _tree(request: Request, prefix: str) -> Answer:
    if not request.allows("key_list", "list", prefix):
        request.require("key_list", "list", prefix)
    kv = request.context.server.state.kv
    entries = (await read(request, lambda: kv.read_under(prefix))).value
    visible = [entry for entry in entries if request.allows("key", "read", entry.key)]
    _note_filtered(request, len(visible) < len(entries))
    if not visible:
        return Answer(status=404)
    return raw_json(b"[" + b",".join([render(entry) for entry in visible]) + b"]")


async def _names(request: Request, prefix: str) -> Answer:
    separator = request.param("separator") or request.param("seperator")
    request.require("key_list", "list", prefix)
    kv = request.context.server.state.kv

    def names() -> Reading[list[str]]:
        reading = kv.read_under(prefix)
        keys = [entry.key for entry in reading.value]
        return Reading(keys, reading.index, reading.topics)

    keys = (await read(request, names)).value
    visible = [key for key in keys if request.allows("key", "read", key)]
    _note_filtered(request, len(visible) < len(keys))
    if not visible and prefix:
        return Answer(status=404)
    return json_answer(cut(visible, prefix, separator))


async def _history(request: Request, key: str) -> Answer:
    """The kept versions of a key, newest first: an addition of Portway's."""
    versions = await request.context.server.store.versions(f"kv/{key}")
    table = request.context.server.state.kv.table
    await read(request, lambda: request.context.server.state.kv.read(key))
    rows = []
    for version in versions:
        row: dict[str, object] = {"Version": version.version, "ModifyIndex": version.mod_revision}
        if version.value is None:
            row["Deleted"] = True
        else:
            entry = table.decode(version.value)
            row |= {"Flags": entry.flags, "Value": base64.b64encode(entry.value).decode()}
            if entry.session:
                row["Session"] = entry.session
        rows.append(row)
    return json_answer(rows) if rows else Answer(status=404)


async def put(request: Request) -> Answer:
    """Write a key: plainly, by compare-and-set, or with a session's lock."""
    key = checked_key(request, request.rest)
    ways = [way for way in ("cas", "acquire", "release") if request.has(way)]
    if len(ways) > 1:
        raise bad_request(f"Conflicting flags: {request.scope['query_string'].decode('latin-1')}")
    request.require("key", "write", key)
    flags = request.unsigned("flags", f"Invalid flags: {request.param('flags')!r}") or 0
    index = _index(request, "cas") if "cas" in ways else 0
    session = request.param(ways[0]) if ways else ""
    value = await request.body(request.context.settings.kv_max_value_size)
    server = request.context.server

    def write(draft: Draft) -> bool:
        if not ways:
            return operations.put(server, draft, key, value, flags)
        if ways[0] == "cas":
            return operations.compare_and_put(server, draft, key, value, flags, index)
        lock = operations.acquire if ways[0] == "acquire" else operations.release
        return lock(server, draft, key, value, flags, session)

    return await _written(request, write, key)


async def delete(request: Request) -> Answer:
    """Delete a key, or all under a prefix."""
    key = request.rest
    server = request.context.server
    if request.has("recurse"):
        if request.has("cas"):
            raise bad_request("Conflicting flags: cas and recurse")
        request.require("key_prefix", "write", key)
        return await _written(request, lambda draft: operations.delete_tree(server, draft, key), "")
    key = checked_key(request, key)
    request.require("key", "write", key)
    if request.has("cas"):
        index = _index(request, "cas")
        return await _written(
            request, lambda draft: operations.compare_and_delete(server, draft, key, index), key
        )
    return await _written(request, lambda draft: operations.delete(server, draft, key), key)


async def _written(request: Request, write: Callable[[Draft], bool], key: str) -> Answer:
    try:
        done = await request.context.server.transact(write, turn=f"kv/{key}" if key else "")
    except operations.KVError as error:
        raise refused(str(error)) from None
    return Answer(_BOOLEANS[done], 200, JSON)


def checked_key(request: Request, key: str) -> str:
    """A key that may be written, cleaned as documented. Raises ApiError."""
    if not key:
        raise bad_request("Missing key name")
    problem = key_problem(key)
    if not problem:
        return clean(key)
    if request.context.settings.disable_kv_key_validation:
        request.answer_headers["X-Consul-KV-Warning"] = problem
        return key
    raise ApiError(500, problem)


def key_problem(key: str) -> str:
    """What is wrong with a key, or nothing."""
    if key != key.strip():
        return "invalid key name, leading/trailing spaces are not allowed"
    if ".." in key.split("/"):
        return "invalid key name, path traversal is not allowed"
    return ""


def clean(key: str) -> str:
    """The key without empty and ``.`` segments; a trailing slash stays."""
    if "//" not in key and not key.startswith(("/", "./")) and "/./" not in key + "/":
        return key
    cleaned = "/".join(part for part in key.split("/") if part not in ("", "."))
    return cleaned + "/" if key.endswith("/") and cleaned else cleaned


def cut(keys: list[str], prefix: str, separator: str) -> list[str]:
    """Key names cut after the first separator past the prefix, each once."""
    if not separator:
        return keys
    names: dict[str, None] = {}
    for key in keys:
        end = key.find(separator, len(prefix))
        names[key if end < 0 else key[: end + len(separator)]] = None
    return list(names)


def render(entry: KVEntry) -> bytes:
    """An entry as the API shows it."""
    row: dict[str, object] = {
        "LockIndex": entry.lock_index,
        "Key": entry.key,
        "Flags": entry.flags,
        "Value": base64.b64encode(entry.value).decode() if entry.value else None,
    }
    if entry.session:
        row["Session"] = entry.session
    row["CreateIndex"] = entry.create_index
    row["ModifyIndex"] = entry.modify_index
    return escape(encode_row(row))


def _index(request: Request, name: str) -> int:
    index = request.unsigned(name, f"Invalid {name}: {request.param(name)!r}")
    if index is None:
        raise bad_request(f"Invalid {name}: {request.param(name)!r}")
    return index


def _note_filtered(request: Request, filtered: bool) -> None:
    if filtered:
        request.answer_headers["X-Consul-Results-Filtered-By-ACLs"] = "true"


ROUTES = (
    Route(
        "/v1/kv/",
        {"GET": get, "PUT": put, "DELETE": delete},
        access="GET key:read (key:list for recurse and keys), PUT and DELETE key:write",
    ),
)
