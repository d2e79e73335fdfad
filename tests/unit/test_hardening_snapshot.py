"""Snapshot files that were made to harm."""

from __future__ import annotations

import gzip
import hashlib
import io
import random
import tarfile
import tracemalloc
from collections.abc import Iterable

import pytest

from portway.discovery import snapshot
from portway.discovery.snapshot import SnapshotError

RECORDS = [(f"kv/k{number:03d}", bytes((number,)) * 50) for number in range(100)]


def packed(members: Iterable[tuple[tarfile.TarInfo, bytes]]) -> bytes:
    """A gzipped tar of anything."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz", format=tarfile.PAX_FORMAT) as archive:
        for info, data in members:
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def member(name: str, kind: bytes = tarfile.REGTYPE, **headers: str) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = kind
    info.pax_headers = headers
    return info


def parts() -> dict[str, bytes]:
    """The files of a snapshot that is right."""
    found = {}
    good = snapshot.write(snapshot.pack(RECORDS), 7, "id")
    with tarfile.open(fileobj=io.BytesIO(good)) as archive:
        for info in archive:
            file = archive.extractfile(info)
            assert file is not None
            found[info.name] = file.read()
    return found


def made(files: dict[str, bytes]) -> bytes:
    return packed((member(name), data) for name, data in files.items())


def refusal(data: bytes) -> str:
    """What is said of a file, which takes little memory to be said."""
    tracemalloc.start()
    try:
        with pytest.raises(SnapshotError) as refused:
            list(snapshot.read(data).records())
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < len(data) + (16 << 20)
    return str(refused.value)


def test_what_is_right_is_read() -> None:
    assert list(snapshot.read(made(parts())).records()) == RECORDS


ZEROS = bytes(200 << 20)


def test_a_file_inside_is_not_larger_than_it_may_be() -> None:
    assert "meta.json is too large" in refusal(made(parts() | {"meta.json": ZEROS}))
    assert "SHA256SUMS is too large" in refusal(made(parts() | {"SHA256SUMS": ZEROS}))


def test_a_state_is_not_larger_than_it_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot, "MAX_STATE", 1 << 20)
    assert "state.bin is too large" in refusal(made(parts() | {"state.bin": ZEROS}))
    with pytest.raises(SnapshotError, match="a snapshot holds"):
        snapshot.write(ZEROS, 7, "id")


def test_what_is_not_a_tar_is_not_inflated_to_its_end() -> None:
    assert refusal(gzip.compress(ZEROS, 1))


def test_headers_are_not_a_place_to_hide() -> None:
    huge = packed([(member("meta.json", comment="x" * (100 << 20)), b"{}")])
    assert "more than a snapshot does" in refusal(huge)
    longname = packed([(member("x" * (100 << 20)), b"")])
    assert "more than a snapshot does" in refusal(longname)


def test_a_file_stands_there_once() -> None:
    twice = [(member(name), data) for name, data in parts().items()] * 2
    assert "unexpected 'meta.json'" in refusal(packed(twice))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.FIFOTYPE, tarfile.GNUTYPE_SPARSE])
def test_only_plain_files_are_taken(kind: bytes) -> None:
    assert "meta.json" in refusal(packed([(member("meta.json", kind), b"")]))


@pytest.mark.parametrize("without", ["meta.json", "state.bin"])
def test_every_file_has_a_sum(without: str) -> None:
    files = parts()
    lines = files["SHA256SUMS"].decode().splitlines(keepends=True)
    files["SHA256SUMS"] = "".join(line for line in lines if without not in line).encode()
    assert f"SHA256SUMS has no {without}" in refusal(made(files))


def test_records_are_what_they_say() -> None:
    for state in (
        b"\x92",
        b"\x92\xa1",
        b"\x92\xdb\xff\xff\xff\xff",
        b"\x92\xa1a\xc6\xff\xff\xff\xff",
    ):
        files = parts() | {"state.bin": state}
        files["SHA256SUMS"] = "".join(
            f"{hashlib.sha256(files[name]).hexdigest()}  {name}\n"
            for name in ("meta.json", "state.bin")
        ).encode()
        assert "state.bin is broken at byte" in refusal(made(files))


def test_damage_is_told_whatever_it_hits() -> None:
    rng = random.Random(3)
    good = snapshot.write(snapshot.pack(RECORDS), 7, "id")
    for _ in range(500):
        damaged = bytearray(good)
        for _ in range(rng.randint(1, 5)):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        if rng.random() < 0.2:
            del damaged[rng.randrange(len(damaged)) :]
        try:
            records = list(snapshot.read(bytes(damaged)).records())
        except SnapshotError:
            continue
        assert records == RECORDS  # a byte that means nothing, such as the time of the gzip
