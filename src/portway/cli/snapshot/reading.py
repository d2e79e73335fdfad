"""``snapshot inspect`` and ``snapshot decode``: what a file holds."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from portway.cli.command import INT, Wrong, command, fail, flag, one_argument
from portway.cli.output import go_json, print_json, table

if TYPE_CHECKING:
    from portway.discovery.snapshot import Archive

_GAP = 6  # columns
_RULE = ("----", "----", "----")
# How the kinds of the store are called in Consul's snapshots.
_NAMES = {
    "acl-bootstrap": "ACLBootstrap",
    "acl-method": "ACLAuthMethod",
    "acl-policy": "ACLPolicy",
    "acl-role": "ACLRole",
    "acl-rule": "ACLBindingRule",
    "acl-token": "ACLToken",
    "check": "Register",
    "config": "ConfigEntry",
    "coordinate": "CoordinateBatchUpdate",
    "kv": "KVS",
    "node": "Register",
    "query": "PreparedQuery",
    "service": "Register",
    "session": "Session",
}


@dataclass(frozen=True)
class Stat:
    """How many records of a name there are, and their bytes."""

    name: str
    size: int
    count: int


@command("inspect", "FILE", api=False)
@flag("format", str, "Output `format`: pretty or json.", default="pretty")
@flag("kvdepth", INT, "With -kvdetails: parts of a key to group by.", default=2)
@flag("kvdetails", bool, "Show what the keys of the key-value store take.")
@flag("kvfilter", str, "With -kvdetails: only keys that start with this text.")
def inspect(
    args: tuple[str, ...],
    format: str,  # noqa: A002
    kvdepth: int,
    kvdetails: bool,
    kvfilter: str,
) -> None:
    """Show what a snapshot is made of: kinds of records, their numbers and sizes."""
    path = one_argument(args, "Missing FILE argument")
    if format not in ("pretty", "json"):
        raise Wrong(f"Error outputting enhanced snapshot data: Unknown format: {format}")
    if kvfilter and not kvdetails:
        raise Wrong("-kvfilter needs -kvdetails")
    if kvdepth < 1:
        raise Wrong("-kvdepth must be at least 1")
    archive = _archive(path)
    records = list(_records(archive))
    stats = _stats((_name(key), len(key) + len(value)) for key, value in records)
    details = _stats(
        ("/".join(key[3:].split("/")[:kvdepth]), len(key) + len(value))
        for key, value in records
        if kvdetails and key.startswith(f"kv/{kvfilter}")
    )
    if format == "json":
        print_json(_tree(archive, stats, details if kvdetails else None))
        return
    blocks = [_head(archive), _block("Type", stats)]
    if kvdetails:
        blocks.append(_block("Key Name", details))
    click.echo("\n\n".join(blocks))


@command("decode", "FILE", api=False)
def decode(args: tuple[str, ...]) -> None:
    """Print what a snapshot holds, each record as a line of JSON, secrets included."""
    import msgspec

    archive = _archive(one_argument(args, "Missing FILE argument"))
    _line("SnapshotHeader", _meta(archive))
    for key, value in _records(archive):
        try:
            data = msgspec.msgpack.decode(value)
        except msgspec.DecodeError as error:
            fail(f"Error decoding snapshot: {key}: {error}")
        _line(_name(key), _readable(key, data))


def _line(kind: str, data: Any) -> None:
    click.echo(go_json({"Type": kind, "Data": data}))


def _readable(key: str, data: Any) -> Any:
    """JSON of a record: bytes in base64; a key of the store by the API's names."""
    if key.startswith("kv/") and isinstance(data, dict):
        words = {name: name.title().replace("_", "") for name in data}
        data = {words[name]: value for name, value in data.items()}
    return _plain(data)


def _plain(node: Any) -> Any:
    if isinstance(node, bytes):
        return base64.b64encode(node).decode()
    if isinstance(node, dict):
        return {str(key): _plain(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_plain(value) for value in node]
    return node


def _archive(path: str) -> Archive:
    from portway.discovery.snapshot import SnapshotError, read

    try:
        return read(Path(path).read_bytes())
    except OSError as error:
        fail(f"Error opening snapshot file: open {path}: {(error.strerror or '').lower()}")
    except SnapshotError as error:
        fail(f"Error reading snapshot: {error}")


def _records(archive: Archive) -> Iterator[tuple[str, bytes]]:
    from portway.discovery.snapshot import SnapshotError

    try:
        yield from archive.records()
    except SnapshotError as error:
        fail(f"Error reading snapshot: {error}")


def _name(key: str) -> str:
    kind = key.partition("/")[0]
    return _NAMES.get(kind) or kind.title().replace("-", "")


def _stats(records: Iterable[tuple[str, int]]) -> list[Stat]:
    """The largest first."""
    sums: dict[str, tuple[int, int]] = {}
    for name, size in records:
        before, count = sums.get(name, (0, 0))
        sums[name] = (before + size, count + 1)
    found = [Stat(name, size, count) for name, (size, count) in sums.items()]
    return sorted(found, key=lambda stat: (-stat.size, stat.name))


def _head(archive: Archive) -> str:
    meta = archive.meta
    rows = (
        ("ID", meta.id),
        ("Size", str(meta.size)),
        ("Index", str(meta.index)),
        ("Term", str(meta.term)),
        ("Version", str(meta.version)),
    )
    return _indented(table(rows, _GAP))


def _block(title: str, stats: list[Stat]) -> str:
    total = sum(stat.size for stat in stats)
    rows = [
        (title, "Count", "Size"),
        _RULE,
        *((stat.name, str(stat.count), shown_size(stat.size)) for stat in stats),
        _RULE,
        ("Total", "", shown_size(total)),
    ]
    return _indented(table(rows, _GAP))


def _indented(text: str) -> str:
    return "\n".join(f" {line}" for line in text.splitlines())


def shown_size(size: int) -> str:
    """Bytes in the unit that fits, with at most one decimal: ``1.7KB``."""
    for unit, factor in (("GB", 1 << 30), ("MB", 1 << 20), ("KB", 1 << 10)):
        if size >= factor:
            return f"{size / factor:.1f}".removesuffix(".0") + unit
    return f"{size}B"


def _tree(archive: Archive, stats: list[Stat], details: list[Stat] | None) -> dict[str, Any]:
    def listed(some: list[Stat]) -> list[dict[str, Any]]:
        return [{"Name": stat.name, "Sum": stat.size, "Count": stat.count} for stat in some]

    kept = details or []
    return {
        "Meta": _meta(archive),
        "Stats": listed(stats),
        "StatsKV": None if details is None else listed(kept),
        "TotalSize": sum(stat.size for stat in stats),
        "TotalSizeKV": sum(stat.size for stat in kept),
    }


def _meta(archive: Archive) -> dict[str, Any]:
    meta = archive.meta
    return {
        "ID": meta.id,
        "Size": meta.size,
        "Index": meta.index,
        "Term": meta.term,
        "Version": meta.version,
    }
