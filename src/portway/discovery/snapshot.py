"""Snapshots: the whole state in one file, to save, look at and restore.

The outer form is Consul's: a gzipped tar of ``meta.json``, ``state.bin`` and ``SHA256SUMS``.
``state.bin`` is Portway's own: MessagePack arrays ``[key, value]`` one after the other, sorted by
key. Snapshots of Consul itself cannot be restored; they are told by what ``meta.json`` says.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
import zlib
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import msgspec

FORMAT = "portway/1"
MAX_STATE = 5 << 28
"""Bytes of ``state.bin``: what one commit can hold, and keys."""
_FILES = ("meta.json", "state.bin", "SHA256SUMS")
_MAX_SMALL = 1 << 16  # bytes of the other files
_GZIP_HEAD = 10  # bytes
_HEADS = 1 << 18  # bytes of the tar around them


class SnapshotError(Exception):
    """The file is not a snapshot that can be used; the message says why."""


class Meta(msgspec.Struct, rename="pascal"):
    """``meta.json``. ``index`` is the revision of the state."""

    id: str = msgspec.field(name="ID")
    index: int
    size: int
    format: str = ""
    term: int = 2
    version: int = 2
    """Not Raft's 1, so that Consul refuses the file; it stops when it cannot read a state."""
    configuration_index: int = 1


class Archive(NamedTuple):
    """A snapshot that has been read and verified."""

    meta: Meta
    state: bytes

    def records(self) -> Iterator[tuple[str, bytes]]:
        """Keys and values. Raises SnapshotError."""
        return unpack(self.state)


def pack(records: Iterable[tuple[str, bytes]]) -> bytes:
    """``state.bin`` of keys and values."""
    encoder = msgspec.msgpack.Encoder()
    buffer = bytearray()
    for record in records:
        buffer += encoder.encode(record)
    return bytes(buffer)


def unpack(state: bytes) -> Iterator[tuple[str, bytes]]:
    """Keys and values of ``state.bin``. Raises SnapshotError."""
    # Each record is read by its own headers, as MessagePack has no length in front of it.
    decoder = msgspec.msgpack.Decoder(tuple[str, bytes])
    view, at = memoryview(state), 0
    while at < len(state):
        size = _record_size(view, at)
        try:
            yield decoder.decode(view[at : at + size])
        except msgspec.DecodeError as error:
            raise SnapshotError(f"state.bin is broken at byte {at}: {error}") from None
        at += size


def write(state: bytes, index: int, identifier: str) -> bytes:
    """The snapshot file of a state. Raises SnapshotError for one that could not be restored."""
    if len(state) > MAX_STATE:
        raise SnapshotError(f"a state of {len(state)} bytes; a snapshot holds {MAX_STATE}")
    meta = Meta(id=identifier, index=index, size=len(state), format=FORMAT)
    members = {"meta.json": msgspec.json.encode(meta) + b"\n", "state.bin": state}
    sums = "".join(f"{hashlib.sha256(data).hexdigest()}  {n}\n" for n, data in members.items())
    members["SHA256SUMS"] = sums.encode()
    buffer = io.BytesIO()
    with gzip.GzipFile(fileobj=buffer, mode="wb", compresslevel=1) as file:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(data), 0o600
            file.write(info.tobuf())
            file.write(data)
            file.write(bytes(-len(data) % tarfile.BLOCKSIZE))
        # The end, and nothing else: Consul's reader refuses what tarfile pads an archive with.
        file.write(bytes(2 * tarfile.BLOCKSIZE))
    return buffer.getvalue()


def read(data: bytes) -> Archive:
    """Read and verify a snapshot file. Raises SnapshotError."""
    members = _members(data)
    missing = [name for name in _FILES if name not in members]
    if missing:
        raise SnapshotError(f"failed to read snapshot file: it has no {', '.join(missing)}")
    sums = {
        name: digest
        for line in members["SHA256SUMS"].decode("ascii", "replace").splitlines()
        for digest, _, name in [line.partition("  ")]
    }
    for name in sums.keys() & members.keys():
        if sums[name] != hashlib.sha256(members[name]).hexdigest():
            raise SnapshotError(
                f"failed to read snapshot file: hash check failed for {name!r}: it was damaged"
            )
    try:
        meta = msgspec.json.decode(members["meta.json"], type=Meta)
    except msgspec.DecodeError as error:
        raise SnapshotError(f"failed to read snapshot file: meta.json: {error}") from None
    if meta.format != FORMAT:
        raise SnapshotError(
            "the snapshot was not made by Portway: those of Consul hold its internal log format "
            "and cannot be restored; export and import keys with kv export and kv import"
        )
    for name in ("meta.json", "state.bin"):
        if name not in sums:
            raise SnapshotError(f"failed to read snapshot file: SHA256SUMS has no {name}")
    return Archive(meta, members["state.bin"])


def _members(data: bytes) -> dict[str, bytes]:
    members: dict[str, bytes] = {}
    if len(data) < _GZIP_HEAD and data[:2] in (b"", b"\x1f\x8b"):
        raise SnapshotError(f"failed to decompress snapshot: {'unexpected ' if data else ''}EOF")
    inflated = _Inflated(data)
    try:
        # As a stream: what is said of sizes is judged before so much is read.
        with tarfile.open(fileobj=inflated, mode="r|") as archive:
            for info in archive:
                known = info.name in _FILES and info.name not in members
                if not (known and info.type in (tarfile.REGTYPE, tarfile.AREGTYPE)):
                    raise SnapshotError(f"failed to read snapshot file: unexpected {info.name!r}")
                if info.size > (MAX_STATE if info.name == "state.bin" else _MAX_SMALL):
                    raise SnapshotError(f"failed to read snapshot file: {info.name} is too large")
                inflated.room += info.size
                file = archive.extractfile(info)
                members[info.name] = b"" if file is None else file.read()
    except gzip.BadGzipFile:
        short = "unexpected EOF" if data else "EOF"
        said = short if len(data) < _GZIP_HEAD else "gzip: invalid header"
        raise SnapshotError(f"failed to decompress snapshot: {said}") from None
    except EOFError:
        raise SnapshotError(
            "failed to read snapshot file: failed reading snapshot: unexpected EOF"
        ) from None
    except (tarfile.TarError, zlib.error, OSError, ValueError) as error:
        raise SnapshotError(f"failed to read snapshot file: {error}") from None
    return members


class _Inflated(gzip.GzipFile):
    """What a gzipped file holds. More than there is ``room`` for is not read."""

    def __init__(self, data: bytes) -> None:
        super().__init__(fileobj=io.BytesIO(data))
        self.room = _HEADS

    def read(self, size: int | None = -1) -> bytes:
        """The next bytes. Raises SnapshotError."""
        data = super().read(size)
        self.room -= len(data)
        if self.room < 0:
            raise SnapshotError("failed to read snapshot file: it holds more than a snapshot does")
        return data


def summary(records: Iterable[tuple[str, bytes]]) -> dict[str, tuple[int, int]]:
    """Per kind of record: how many, and their bytes."""
    kinds: dict[str, tuple[int, int]] = {}
    for key, value in records:
        kind = key.partition("/")[0]
        count, size = kinds.get(kind, (0, 0))
        kinds[kind] = (count + 1, size + len(key) + len(value))
    return kinds


def _record_size(view: memoryview, at: int) -> int:
    """The bytes of the array of two at ``at``."""
    if view[at] != 0x92:
        raise SnapshotError(f"state.bin is broken at byte {at}: no record begins there")
    end = at + 1
    for _ in range(2):
        head, length = _item(view, end)
        end += head + length
    if end > len(view):
        raise SnapshotError(f"state.bin is broken at byte {at}: it ends within a record")
    return end - at


# Type byte → bytes of the length field (str and bin of MessagePack).
_LENGTHS = {0xD9: 1, 0xDA: 2, 0xDB: 4, 0xC4: 1, 0xC5: 2, 0xC6: 4}


def _item(view: memoryview, at: int) -> tuple[int, int]:
    kind: Any = view[at] if at < len(view) else None
    if kind is not None and 0xA0 <= kind <= 0xBF:
        return 1, kind & 0x1F
    width = _LENGTHS.get(kind)
    if width is None or at + 1 + width > len(view):
        raise SnapshotError(f"state.bin is broken at byte {at}: neither text nor bytes")
    return 1 + width, int.from_bytes(view[at + 1 : at + 1 + width], "big")
