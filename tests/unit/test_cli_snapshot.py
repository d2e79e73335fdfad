"""``consul snapshot``: files that are saved, looked into, and refused."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import msgspec
import pytest

from portway.cli.snapshot.reading import shown_size
from portway.discovery.snapshot import pack, write
from tests.unit.cli_agent import Consul, FakeAgent, Reply, calling, serving

agent = pytest.fixture(serving)
consul = pytest.fixture(calling)


def record(name: str, **fields: object) -> tuple[str, bytes]:
    return name, msgspec.msgpack.encode(fields)


STATE = pack(
    [
        record("kv/a/b/c", key="a/b/c", value=b"\xff", lock_index=2),
        record("kv/a/b/d", key="a/b/d", value=b"x" * 2000),
        record("kv/z", key="z", value=b""),
        record("node/n", Node="n"),
        record("service/n\0web", Service="web"),
    ]
)
SNAPSHOT = write(STATE, 42, "2-42-x")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_save(agent: FakeAgent, consul: Consul, tmp_path: Path) -> None:
    agent.answer("GET", "/snapshot", SNAPSHOT)
    outcome = consul("snapshot", "save", "-stale", "x.snap")
    assert outcome == (0, "Saved and verified snapshot to index 42\n", "")
    assert agent.questions[0].params == {"stale": ""}
    assert Path("x.snap").read_bytes() == SNAPSHOT
    assert Path("x.snap").stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [tmp_path / "x.snap"]


def test_save_by_the_name_of_the_agent(agent: FakeAgent, consul: Consul) -> None:
    config = {"Version": "1.22.0", "Datacenter": "dc1", "NodeName": "one"}
    agent.answer("GET", "/agent/self", {"Config": config, "Stats": {"consul": {"leader": "true"}}})
    agent.answer("GET", "/snapshot", SNAPSHOT)
    assert consul("snapshot", "save", "-append-filename=node,dc,version,status", "x.snap").code == 0
    assert Path("x-1.22.0-dc1-one-leader.snap").exists()
    code, _, err = consul("snapshot", "save", "-append-filename=day", "x.snap")
    assert (code, err) == (1, '-append-filename: "day" is none of version, dc, node, status\n')


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (Reply(b"No cluster leader", 500), "Error saving snapshot: Unexpected response code: 500"),
        (Reply(SNAPSHOT[:200]), "Error verifying snapshot file: failed to read snapshot file: "),
        (Reply(b""), "Error verifying snapshot file: failed to decompress snapshot: EOF"),
    ],
)
def test_what_cannot_be_verified_is_not_kept(
    agent: FakeAgent, consul: Consul, tmp_path: Path, reply: Reply, said: str
) -> None:
    Path("x.snap").write_bytes(b"older")
    agent.answer("GET", "/snapshot", reply)
    code, out, err = consul("snapshot", "save", "x.snap")
    assert (code, out) == (1, "")
    assert err.startswith(said)
    assert Path("x.snap").read_bytes() == b"older"
    assert len(list(tmp_path.iterdir())) == 1


def test_restore(agent: FakeAgent, consul: Consul) -> None:
    agent.answer("PUT", "/snapshot", b"")
    Path("x.snap").write_bytes(SNAPSHOT)
    assert consul("snapshot", "restore", "x.snap") == (0, "Restored snapshot\n", "")
    assert agent.questions[0].body == SNAPSHOT
    agent.answer("PUT", "/snapshot", Reply(b"bad", 500))
    code, _, err = consul("snapshot", "restore", "x.snap")
    assert (code, err) == (1, "Error restoring snapshot: Unexpected response code: 500 (bad)\n")


def test_inspect(consul: Consul) -> None:
    Path("x.snap").write_bytes(SNAPSHOT)
    code, out, err = consul("snapshot", "inspect", "-kvdetails", "-kvfilter=a", "x.snap")
    assert (code, err) == (0, "")
    blocks = [block.splitlines() for block in out.removesuffix("\n").split("\n\n")]
    assert blocks[0] == [
        " ID           2-42-x",
        f" Size         {len(STATE)}",
        " Index        42",
        " Term         2",
        " Version      2",
    ]
    assert [line.split() for line in blocks[1]] == [
        ["Type", "Count", "Size"],
        ["----", "----", "----"],
        ["KVS", "3", "2KB"],
        ["Register", "2", "40B"],
        ["----", "----", "----"],
        ["Total", "2.1KB"],
    ]
    assert [line.split() for line in blocks[2]][2:] == [
        ["a/b", "2", "2KB"],
        ["----", "----", "----"],
        ["Total", "2KB"],
    ]
    assert not any(line.endswith(" ") for line in out.splitlines())
    deeper = consul("snapshot", "inspect", "-kvdetails", "-kvdepth=3", "x.snap").out
    names = [line.split()[0] for line in deeper.split("\n\n")[2].splitlines()]
    assert names == ["Key", "----", "a/b/d", "a/b/c", "z", "----", "Total"]


def test_inspect_as_json(consul: Consul) -> None:
    Path("x.snap").write_bytes(SNAPSHOT)
    tree = json.loads(consul("snapshot", "inspect", "-format=json", "x.snap").out)
    assert tree["Meta"]["Index"] == 42
    assert tree["Stats"][0]["Name"] == "KVS"
    assert tree["StatsKV"] is None
    assert tree["TotalSize"] == sum(stat["Sum"] for stat in tree["Stats"])


def test_decode(consul: Consul) -> None:
    Path("x.snap").write_bytes(SNAPSHOT)
    lines = [json.loads(line) for line in consul("snapshot", "decode", "x.snap").out.splitlines()]
    assert lines[0]["Type"] == "SnapshotHeader"
    assert lines[1] == {"Type": "KVS", "Data": {"Key": "a/b/c", "Value": "/w==", "LockIndex": 2}}
    assert [line["Type"] for line in lines[2:]] == ["KVS", "KVS", "Register", "Register"]


@pytest.mark.parametrize("word", ["inspect", "decode", "restore"])
def test_no_file(agent: FakeAgent, consul: Consul, word: str) -> None:
    assert consul("snapshot", word).err == "Missing FILE argument\n"
    err = "Error opening snapshot file: open x.snap: no such file or directory\n"
    assert consul("snapshot", word, "x.snap") == (1, "", err)
    assert consul("snapshot", word, "a", "b").code == 1


@pytest.mark.parametrize("word", ["inspect", "decode"])
@pytest.mark.parametrize("content", [b"", b"x", SNAPSHOT[:200], SNAPSHOT[2:]])
def test_files_that_are_no_snapshots(consul: Consul, word: str, content: bytes) -> None:
    Path("x.snap").write_bytes(content)
    code, out, err = consul("snapshot", word, "x.snap")
    assert (code, out) == (1, "")
    assert err.startswith("Error reading snapshot: ")


def test_a_snapshot_of_consul_is_told(consul: Consul, tmp_path: Path) -> None:
    (tmp_path / "meta.json").write_text('{"ID": "2-5-1", "Index": 5, "Size": 1, "Term": 2}')
    for name in ("state.bin", "SHA256SUMS"):
        (tmp_path / name).write_text("")
    with tarfile.open("x.snap", "w:gz") as archive:
        for name in ("meta.json", "state.bin", "SHA256SUMS"):
            archive.add(name)
    err = consul("snapshot", "inspect", "x.snap").err
    assert err.startswith("Error reading snapshot: the snapshot was not made by Portway")


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["-format=yaml", "x"], "Error outputting enhanced snapshot data: Unknown format: yaml"),
        (["-kvfilter=a", "x"], "-kvfilter needs -kvdetails"),
        (["-kvdepth=0", "x"], "-kvdepth must be at least 1"),
    ],
)
def test_inspect_wrongly(consul: Consul, argv: list[str], said: str) -> None:
    assert consul("snapshot", "inspect", *argv) == (1, "", f"{said}\n")


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0B"), (1023, "1023B"), (1024, "1KB"), (1741, "1.7KB"), (5 << 20, "5MB")]
)
def test_sizes(size: int, text: str) -> None:
    assert shown_size(size) == text
