"""``consul kv``: what is asked of the agent, what is printed, how it exits."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.cli_agent import Consul, FakeAgent, Reply, calling, serving

agent = pytest.fixture(serving)
consul = pytest.fixture(calling)

WRITTEN = Reply(b"true")
REFUSED = Reply(b"false")
MISSING = Reply(b"", 404, index=5)


def entry(key: str, value: bytes = b"", **fields: Any) -> dict[str, Any]:
    return {
        "LockIndex": 0,
        "Key": key,
        "Flags": 0,
        "Value": base64.b64encode(value).decode() or None,
        "CreateIndex": 4,
        "ModifyIndex": 9,
        **fields,
    }


def b64(text: bytes) -> str:
    return base64.b64encode(text).decode()


@pytest.mark.parametrize(
    ("argv", "params", "said"),
    [
        (["web/limit", "5"], {}, "Success! Data written to: web/limit"),
        (["-flags=18446744073709551615", "web/limit", "5"], {"flags": str(2**64 - 1)}, None),
        (["-cas", "web/limit", "5"], {"cas": "0"}, None),
        (["-cas", "-modify-index", "7", "web/limit", "5"], {"cas": "7"}, None),
        (
            ["-acquire", "-session=s", "web/limit", "5"],
            {"acquire": "s"},
            "Success! Lock acquired on: web/limit",
        ),
        (
            ["-release", "-session", "s", "web/limit", "5"],
            {"release": "s"},
            "Success! Lock released on: web/limit",
        ),
        (["-base64", "web/limit", "NQ=="], {}, None),
        (["--", "web/limit", "5"], {}, None),
    ],
)
def test_put(
    agent: FakeAgent, consul: Consul, argv: list[str], params: dict[str, str], said: str | None
) -> None:
    agent.answer("PUT", "/kv/web/limit", WRITTEN)
    expected = said or "Success! Data written to: web/limit"
    assert consul("kv", "put", *argv) == (0, f"{expected}\n", "")
    (question,) = agent.questions
    assert (question.params, question.body) == (params, b"5")


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (
            ["-cas", "k", "5"],
            "Error! Did not write to k: CAS performed with index=0 and key already exists.",
        ),
        (["-cas", "-modify-index=4", "k", "5"], "Error! Did not write to k: CAS failed"),
        (["-acquire", "-session=s", "k"], "Error! Did not acquire lock"),
        (["-release", "-session=s", "k"], "Error! Did not release lock"),
    ],
)
def test_put_refused(agent: FakeAgent, consul: Consul, argv: list[str], said: str) -> None:
    agent.answer("PUT", "/kv/k", REFUSED)
    assert consul("kv", "put", *argv) == (1, "", f"{said}\n")


def test_put_failed(agent: FakeAgent, consul: Consul) -> None:
    agent.answer("PUT", "/kv/k", Reply(b"No cluster leader", 500))
    why = "Unexpected response code: 500 (No cluster leader)"
    assert consul("kv", "put", "k", "v") == (1, "", f"Error! Failed writing data: {why}\n")
    assert consul("kv", "put", "-cas", "k", "v").err == f"Error! Did not write to k: {why}\n"


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        ([], "Error! Missing KEY argument"),
        (["/a"], "Error! Failed writing data: Invalid key. Key must not begin with a '/': /a"),
        (["a", "b", "c"], "Error! Too many arguments (expected 1 or 2, got 3)"),
        (["-acquire", "a"], "Error! Missing -session (required with -acquire and -release)"),
        (
            ["-base64", "a", "%"],
            "Error! Cannot base 64 decode data: illegal base64 data at input byte 0",
        ),
        (
            ["a", "@/nowhere"],
            "Error! Failed to read file: open /nowhere: no such file or directory",
        ),
        (["-flags=-1", "a"], 'invalid value "-1" for flag -flags: parse error'),
    ],
)
def test_put_wrongly(agent: FakeAgent, consul: Consul, argv: list[str], said: str) -> None:
    assert consul("kv", "put", *argv) == (1, "", f"{said}\n")
    assert agent.questions == []


def test_put_of_files_and_of_nothing(agent: FakeAgent, consul: Consul, tmp_path: Path) -> None:
    file = tmp_path / "data"
    file.write_bytes(bytes(range(256)))
    agent.answer("PUT", "/kv/k", WRITTEN)
    assert consul("kv", "put", "k", f"@{file}").code == 0
    assert consul("kv", "put", "k").code == 0
    assert [q.body for q in agent.questions] == [bytes(range(256)), b""]


def test_get(agent: FakeAgent, consul: Consul) -> None:
    agent.answer("GET", "/kv/a/b", [entry("a/b", b"hello")])
    assert consul("kv", "get", "/a/b") == (0, "hello\n", "")
    assert consul("kv", "get", "-base64", "a/b") == (0, "aGVsbG8=\n", "")
    assert consul("kv", "get", "-stale", "-datacenter=d", "a/b").code == 0
    assert agent.questions[-1].params == {"dc": "d", "stale": ""}


def test_get_of_what_is_not_there(agent: FakeAgent, consul: Consul) -> None:
    agent.answer("GET", "/kv/x", MISSING)
    assert consul("kv", "get", "x") == (1, "", "Error! No key exists at: x\n")
    assert consul("kv", "get", "-recurse", "x") == (0, "", "")
    assert consul("kv", "get", "-keys", "x") == (0, "", "")


def test_get_detailed(agent: FakeAgent, consul: Consul) -> None:
    agent.answer("GET", "/kv/a", [entry("a", b"1", Flags=42), entry("ab", Session="s-1")])
    first = (
        "CreateIndex      4\nFlags            42\nKey              a\nLockIndex        0\n"
        "ModifyIndex      9\nSession          -\nValue            1\n"
    )
    assert consul("kv", "get", "-detailed", "a") == (0, first, "")
    second = first.replace("42", "0").replace(" a\n", " ab\n").replace(" -\n", " s-1\n")
    second = second.removesuffix("1\n") + "\n"
    assert consul("kv", "get", "-recurse", "-detailed", "a").out == f"{first}\n{second}"


def test_get_of_many(agent: FakeAgent, consul: Consul) -> None:
    agent.answer("GET", "/kv/a", [entry("a/b", b"1"), entry("a/c", b"2:3")])
    assert consul("kv", "get", "-recurse", "a") == (0, "a/b:1\na/c:2:3\n", "")
    assert consul("kv", "get", "-recurse", "-base64", "a").out == "a/b:MQ==\na/c:Mjoz\n"
    agent.answer("GET", "/kv/", ["a/", "b"])
    assert consul("kv", "get", "-keys", "-separator=:") == (0, "a/\nb\n", "")
    assert agent.questions[-1].params == {"keys": "", "separator": ":"}
    consul("kv", "get", "-keys")
    assert agent.questions[-1].params["separator"] == "/"


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        ([], "Error! Missing KEY argument"),
        (["a", "b"], "Too many arguments (expected 1, got 2)"),
        (
            ["-version=1", "-recurse", "a"],
            "Cannot specify -version or -index with -recurse or -keys!",
        ),
        (["-version=1", "-index=2", "a"], "Cannot specify both -version and -index!"),
    ],
)
def test_get_wrongly(agent: FakeAgent, consul: Consul, argv: list[str], said: str) -> None:
    assert consul("kv", "get", *argv) == (1, "", f"{said}\n")


def test_get_failed(agent: FakeAgent, consul: Consul) -> None:
    agent.answer("GET", "/kv/a", Reply(b"Permission denied", 403))
    why = "Unexpected response code: 403 (Permission denied)"
    assert consul("kv", "get", "a") == (1, "", f"Error querying Consul agent: {why}\n")


HISTORY = [
    {"Version": 0, "Key": "k", "ModifyIndex": 30, "CreateIndex": 10, "Deleted": True},
    {
        "Version": 2,
        "Key": "k",
        "ModifyIndex": 20,
        "CreateIndex": 10,
        "Flags": 1,
        "Value": b64(b"two\n"),
        "Session": "s",
    },
    {
        "Version": 1,
        "Key": "k",
        "ModifyIndex": 10,
        "CreateIndex": 10,
        "Flags": 0,
        "Value": b64(b"1" * 80),
    },
]


def test_history(agent: FakeAgent, consul: Consul) -> None:
    agent.answer("GET", "/kv/k", HISTORY)
    assert consul("kv", "history", "k").out.splitlines() == [
        "Version  ModifyIndex  Flags  Session  Value",
        "0        30           0      -        (deleted)",
        '2        20           1      s        "two\\n"',
        f"1        10           0      -        {'1' * 59}…",
    ]
    assert json.loads(consul("kv", "history", "-format=json", "/k").out) == HISTORY
    assert agent.questions[-1].params == {"history": ""}


def test_get_of_a_version(agent: FakeAgent, consul: Consul) -> None:
    agent.answer("GET", "/kv/k", HISTORY[1:2])
    assert consul("kv", "get", "-version=2", "k") == (0, "two\n\n", "")
    assert agent.questions[-1].params == {"history": "", "version": "2"}
    assert "ModifyIndex      20\n" in consul("kv", "get", "-version=2", "-detailed", "k").out
    agent.answer("GET", "/kv/k", MISSING)
    err = "Error! No version 9 of k is kept\n"
    assert consul("kv", "get", "-version=9", "k") == (1, "", err)


def test_get_by_an_index(agent: FakeAgent, consul: Consul) -> None:
    agent.answer("GET", "/kv/k", HISTORY)
    assert consul("kv", "get", "-index=10", "k") == (0, "1" * 80 + "\n", "")
    assert agent.questions[-1].params == {"history": ""}
    err = "Error! The version at index 30 of k is its deletion\n"
    assert consul("kv", "get", "-index=30", "k") == (1, "", err)
    err = "Error! No version at index 11 of k is kept\n"
    assert consul("kv", "get", "-index=11", "k") == (1, "", err)


@pytest.mark.parametrize(
    ("argv", "params", "said"),
    [
        (["a/b"], {}, "Success! Deleted key: a/b"),
        (["-recurse", "/a/b"], {"recurse": ""}, "Success! Deleted keys with prefix: a/b"),
        (["-cas", "-modify-index=3", "a/b"], {"cas": "3"}, "Success! Deleted key: a/b"),
    ],
)
def test_delete(
    agent: FakeAgent, consul: Consul, argv: list[str], params: dict[str, str], said: str
) -> None:
    agent.answer("DELETE", "/kv/a/b", WRITTEN)
    assert consul("kv", "delete", *argv) == (0, f"{said}\n", "")
    assert agent.questions[0].params == params


def test_delete_refused(agent: FakeAgent, consul: Consul) -> None:
    agent.answer("DELETE", "/kv/k", REFUSED)
    outcome = consul("kv", "delete", "-cas", "-modify-index=3", "k")
    assert outcome == (1, "", "Error! Did not delete key k: CAS failed\n")


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        ([], "Error! Missing KEY argument"),
        (
            ["-cas", "k"],
            "Cannot delete a key that does not exist. Provide a -modify-index greater than than 0.",
        ),
        (["-modify-index=1", "k"], "Cannot specify -modify-index without -cas!"),
        (["-cas", "-recurse", "-modify-index=1", "k"], "Cannot specify both -cas and -recurse!"),
        (["k", "-recurse"], "Too many arguments (expected 1, got 2)"),
    ],
)
def test_delete_wrongly(agent: FakeAgent, consul: Consul, argv: list[str], said: str) -> None:
    assert consul("kv", "delete", *argv) == (1, "", f"{said}\n")
    assert agent.questions == []


def test_delete_of_everything(agent: FakeAgent, consul: Consul) -> None:
    agent.answer("DELETE", "/kv/", WRITTEN)
    assert consul("kv", "delete", "-recurse").out == "Success! Deleted keys with prefix: \n"


def test_export_and_import(agent: FakeAgent, consul: Consul, tmp_path: Path) -> None:
    agent.answer("GET", "/kv/a", [entry("a/b", b"\xff<", Flags=7), entry("a/")])
    text = consul("kv", "export", "a").out
    assert text == (
        '[\n\t{\n\t\t"key": "a/b",\n\t\t"flags": 7,\n\t\t"value": "/zw="\n\t},\n'
        '\t{\n\t\t"key": "a/",\n\t\t"flags": 0,\n\t\t"value": ""\n\t}\n]\n'
    )
    file = tmp_path / "export.json"
    file.write_text(text)
    for path in ("/kv/a/b", "/kv/a/", "/kv/new/a/b", "/kv/new/a/"):
        agent.answer("PUT", path, WRITTEN)
    assert consul("kv", "import", f"@{file}") == (0, "Imported: a/b\nImported: a/\n", "")
    assert (
        consul("kv", "import", "-prefix=new", text).out == "Imported: new/a/b\nImported: new/a/\n"
    )
    puts = [q for q in agent.questions if q.method == "PUT"]
    assert [(q.path, q.params, q.body) for q in puts[:3]] == [
        ("/kv/a/b", {"flags": "7"}, b"\xff<"),
        ("/kv/a/", {}, b""),
        ("/kv/new/a/b", {"flags": "7"}, b"\xff<"),
    ]


def test_export_of_nothing(agent: FakeAgent, consul: Consul) -> None:
    agent.answer("GET", "/kv/", MISSING)
    assert consul("kv", "export") == (0, "[]\n", "")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("{", "Cannot unmarshal data: "),
        ('{"key": "a"}', "Cannot unmarshal data: it is not a list of entries"),
        ('[{"flags": 1}]', "Cannot unmarshal data: entry 0: key is missing"),
        ('[{"key": "/"}]', "Cannot unmarshal data: entry 0: key is missing"),
        ('[{"key": "a", "flags": -1}]', "Cannot unmarshal data: entry 0 (a): flags is not"),
        ('[{"key": "a", "value": 1}]', "Cannot unmarshal data: entry 0 (a): value is not"),
        ('[{"key": "a", "value": "%"}]', "Error base 64 decoding value for key a: "),
        ("@/nowhere", "Error! Failed to read file: open /nowhere: "),
    ],
)
def test_import_of_what_is_wrong(agent: FakeAgent, consul: Consul, data: str, said: str) -> None:
    code, out, err = consul("kv", "import", data)
    assert (code, out, len(err.splitlines())) == (1, "", 1)
    assert err.startswith(said)
    assert agent.questions == []
