"""The base of the Consul words: names, flags, help, the client, tables, exit codes."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from portway.cli import COMMANDS, duration, goflags, main
from portway.cli.client import ApiError, Client, StatusError, following
from portway.cli.command import BOOL, DURATION, UINT, Failed, Wrong, command, flag
from portway.cli.commands import CONSUL
from portway.cli.endpoint import Settings, endpoint
from portway.cli.output import go_json, table
from tests.unit.cli_agent import FakeAgent, Reply


@pytest.fixture
def agent(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeAgent]:
    fake = FakeAgent()
    monkeypatch.setenv("CONSUL_HTTP_ADDR", fake.address)
    yield fake
    fake.close()


# The grammar of Go's flag package.

KNOWN = {"server": True, "node": False, "meta": False}


@pytest.mark.parametrize(
    ("argv", "flags", "rest"),
    [
        ([], [], []),
        (["-server"], [("server", "true")], []),
        (["--server"], [("server", "true")], []),
        (["-server=false"], [("server", "false")], []),
        (["-server", "false"], [("server", "true")], ["false"]),
        (["-node", "a"], [("node", "a")], []),
        (["--node=a=b"], [("node", "a=b")], []),
        (["-node", "-server"], [("node", "-server")], []),
        (["-node="], [("node", "")], []),
        (["-meta", "a=1", "-meta=b=2"], [("meta", "a=1"), ("meta", "b=2")], []),
        (["-server", "x", "-node", "a"], [("server", "true")], ["x", "-node", "a"]),
        (["--", "-server"], [], ["-server"]),
        (["-server", "--", "--"], [("server", "true")], ["--"]),
        (["-", "-server"], [], ["-", "-server"]),
    ],
)
def test_flags(argv: list[str], flags: list[tuple[str, str]], rest: list[str]) -> None:
    assert goflags.parse(KNOWN, argv) == (flags, rest, False)


@pytest.mark.parametrize("argv", [["-h"], ["--h"], ["-help"], ["--help"], ["-server", "-h", "-x"]])
def test_flags_for_help(argv: list[str]) -> None:
    assert goflags.parse(KNOWN, argv).help


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["-nope"], "flag provided but not defined: -nope"),
        (["--nope=1"], "flag provided but not defined: -nope"),
        (["-node"], "flag needs an argument: -node"),
        (["---node"], "bad flag syntax: ---node"),
        (["-=1"], "bad flag syntax: -=1"),
    ],
)
def test_wrong_flags(argv: list[str], message: str) -> None:
    with pytest.raises(goflags.FlagError, match=f"^{message}$"):
        goflags.parse(KNOWN, argv)


@pytest.mark.parametrize(
    ("text", "seconds", "shown"),
    [
        ("0", 0.0, "0s"),
        ("1.5s", 1.5, "1.5s"),
        ("1m30s", 90.0, "1m30s"),
        ("-2h", -7200.0, "-2h0m0s"),
        ("200ms", 0.2, "200ms"),
        ("1h0m0.5s", 3600.5, "1h0m0.5s"),
        ("15µs", 15e-6, "15µs"),
        ("+.5m", 30.0, "30s"),
        ("7ns", 7e-9, "7ns"),
    ],
)
def test_durations(text: str, seconds: float, shown: str) -> None:
    assert duration.parse(text) == pytest.approx(seconds)
    assert duration.show(duration.parse(text)) == shown


@pytest.mark.parametrize("text", ["", "5", "1x", "s", "1s ", "--1s", "1 s"])
def test_texts_that_are_no_durations(text: str) -> None:
    with pytest.raises(ValueError, match="invalid duration"):
        duration.parse(text)


# Commands made of it.


@command("thing", "NAME", api=False)
@flag("on", bool, "Switch it on.")
@flag("index", UINT, "Index to compare with.")
@flag("wait", DURATION, "How long to wait, as a Go `duration`.")
@flag("maybe", BOOL, "On, off or not said.", default=...)
@flag("tag", str, "A tag; may be repeated.", multiple=True)
def thing(args: tuple[str, ...], **flags: object) -> int:
    """Do the thing."""
    click.echo(json.dumps([args, flags]))
    return 3


def invoke(*argv: str) -> int:
    result = thing.main(list(argv), prog_name="consul thing", standalone_mode=False)
    assert isinstance(result, int)
    return result


def test_a_command_gets_flags_by_name_and_its_result_is_the_exit_code(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert invoke() == 3
    bare: dict[str, object] = {"on": False, "index": 0, "wait": 0.0, "maybe": None, "tag": []}
    assert json.loads(capsys.readouterr().out) == [[], bare]
    invoke("-on", "--index=0x10", "-wait", "1m", "-maybe=0", "-tag=a", "-tag", "b", "x", "-on")
    given = {"on": True, "index": 16, "wait": 60.0, "maybe": False, "tag": ["a", "b"]}
    assert json.loads(capsys.readouterr().out) == [["x", "-on"], given]


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["-on=maybe"], 'invalid boolean value "maybe" for -on: parse error'),
        (["-index=-1"], 'invalid value "-1" for flag -index: parse error'),
        (["-index", "x"], 'invalid value "x" for flag -index: parse error'),
        (["-wait=5"], 'invalid value "5" for flag -wait: parse error'),
    ],
)
def test_values_of_the_wrong_kind(argv: list[str], message: str) -> None:
    with pytest.raises(Wrong, match=f"^{message}$"):
        invoke(*argv)


def test_help_of_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke("-help") == 0
    out = capsys.readouterr().out
    assert out.startswith(
        "Usage: consul thing [options] NAME\n\n  Do the thing.\n\nCommand Options"
    )
    assert "\n  -on\n     Switch it on.\n" in out
    assert "\n  -wait=<duration>\n     How long to wait, as a Go duration.\n" in out
    assert "\n  -tag=<string>\n" in out
    assert "HTTP API Options" not in out


# The program.


def test_consul_alone_lists_its_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([], program="/usr/local/bin/consul") == 127
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("Usage: consul [--version] [--help] <command> [<args>]\n")
    assert {line.split()[0] for line in err.splitlines() if line.startswith("    ")} == set(CONSUL)
    assert main(["--help"], program="consul") == 0
    assert capsys.readouterr().out == err


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["nope"], "command not found: nope"),
        (["member"], "command not found: member; did you mean members?"),
        (["healthcheck"], "command not found: healthcheck"),
        (["--entrypoints.web.address=:80"], "command not found: --entrypoints.web.address=:80"),
    ],
)
def test_what_consul_does_not_have(
    argv: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(argv, program="consul") == 127
    out, err = capsys.readouterr()
    assert (out, err.splitlines()[0]) == ("", said)


@pytest.mark.parametrize("program", ["consul", "portway", "traefik"])
@pytest.mark.parametrize("argv", [["kv"], ["kv", "nope"], ["operator", "raft"]])
def test_a_group_alone_prints_its_commands(
    program: str, argv: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(argv, program=program) == 1
    err = capsys.readouterr().err
    name = "consul" if program == "consul" else "portway"
    path = " ".join([name, *argv]).removesuffix(" nope")
    assert err.startswith(f"Usage: {path} <subcommand> [options] [args]\n")
    assert "\nSubcommands:\n" in err


def test_wrong_usage_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    for program in ("consul", "portway"):
        assert main(["kv", "get", "-nope"], program=program) == 1
        assert capsys.readouterr() == ("", "flag provided but not defined: -nope\n")


def test_version_for_both_worlds(capsys: pytest.CaptureFixture[str]) -> None:
    def printed(program: str, *argv: str) -> str:
        assert main(["version", *argv], program=program) == 0
        return capsys.readouterr().out

    text = printed("consul")
    assert text.splitlines()[0] == "Consul v1.22.0"
    assert text.splitlines()[3].startswith("Protocol 2 spoken by default, understands 2 to 3 ")
    assert json.loads(printed("consul", "-format=json"))["Version"] == "1.22.0"
    assert printed("portway", "-format=json") == printed("consul", "-format", "json")
    assert printed("traefik", "--format", "pretty") == text
    assert printed("traefik").startswith("Version:   ")
    assert printed("consul", "-f", "{{.Codename}}") == "portway\n"
    for argv in (["--version"], ["-v"], ["-version"]):
        assert main(argv, program="consul") == 0
        assert capsys.readouterr().out == text


def test_commands_import_neither_server_nor_other_commands() -> None:
    code = (
        "import sys; from portway.cli import main\n"
        "main(['kv', 'get', '-h'], program='consul')\n"
        "heavy = {'grpc', 'google.protobuf', 'aiohttp', 'uvloop', 'httpx', 'msgspec', 'yaml',"
        " 'asyncio', 'rich', 'portway.edge', 'portway.config', 'portway.discovery',"
        " 'portway.agent', 'portway.store', 'portway.cli.lock'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


# Where the API is.


@pytest.mark.parametrize(
    ("address", "url"),
    [
        ("127.0.0.1:8500", "http://127.0.0.1:8500"),
        ("http://consul.example", "http://consul.example"),
        ("https://c:8501", "https://c:8501"),
        ("http://c:80/prefix/", "http://c:80/prefix"),
        ("[::1]:8500", "http://[::1]:8500"),
        (":8500", "http://127.0.0.1:8500"),
        ("unix:///run/consul.sock", "http://localhost"),
    ],
)
def test_addresses(address: str, url: str) -> None:
    assert endpoint(Settings(address=address)).url == url


@pytest.mark.parametrize("address", ["ftp://c", "http://c:port"])
def test_addresses_that_are_refused(address: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["kv", "get", "-http-addr", address, "k"], program="consul") == 1
    assert capsys.readouterr().err.startswith("Error connecting to Consul agent: ")


def test_flags_come_before_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(" from-file\n")
    environ = {
        "CONSUL_HTTP_ADDR": "e:1",
        "CONSUL_HTTP_TOKEN": "e",
        "CONSUL_HTTP_SSL": "true",
        "CONSUL_HTTP_SSL_VERIFY": "false",
        "CONSUL_NAMESPACE": "ns1",
    }
    merged = Settings.merged({}, environ)
    assert (merged.address, merged.token, merged.tls, merged.verify) == ("e:1", "e", True, False)
    assert merged.query == (("ns", "ns1"),)
    merged = Settings.merged({"http_addr": "f:1", "token": "f", "datacenter": "d"}, environ)
    assert (merged.address, merged.token) == ("f:1", "f")
    assert merged.query == (("dc", "d"), ("ns", "ns1"))
    assert Settings.merged({"token": "f", "token_file": str(file)}, {}).token == "from-file"
    with pytest.raises(
        OSError, match="Error loading token file /nowhere : open /nowhere: no such file"
    ):
        Settings.merged({"token_file": "/nowhere"}, {})
    with pytest.raises(ValueError, match="CONSUL_HTTP_SSL='maybe' is not a boolean"):
        Settings.merged({}, {"CONSUL_HTTP_SSL": "maybe"})


def test_a_request_carries_token_user_and_parameters(
    agent: FakeAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONSUL_HTTP_AUTH", "me:secret")
    agent.answer("GET", "/kv/a b/ü?", {"x": 1})
    with Client.configured(token="t", datacenter="dc2", stale=True) as client:
        answer = client.get("kv/a b/ü?", {"recurse": True, "raw": False, "tag": ["a", "b"]})
        assert answer.json() == {"x": 1}
    (question,) = agent.questions
    assert question.headers["x-consul-token"] == "t"
    assert question.headers["authorization"] == "Basic bWU6c2VjcmV0"
    assert question.params == {"recurse": "", "tag": "b", "dc": "dc2", "stale": ""}


def test_a_failed_request_is_worded_as_gos(agent: FakeAgent) -> None:
    agent.answer("PUT", "/x", Reply(b"No cluster leader\n", 500))
    with Client.configured() as client, pytest.raises(StatusError) as caught:
        client.put("x")
    assert str(caught.value) == "Unexpected response code: 500 (No cluster leader)"
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        where = f"127.0.0.1:{unused.getsockname()[1]}"
        with Client.configured(http_addr=where) as client, pytest.raises(ApiError) as broken:
            client.get("kv/k", {"raw": True})
    assert str(broken.value) == (
        f'Get "http://{where}/v1/kv/k?raw=": dial tcp {where}: connect: connection refused'
    )


def test_a_connection_is_used_again_unless_it_was_closed(agent: FakeAgent) -> None:
    agent.answer("GET", "/x", [1])
    agent.answer("GET", "/bye", Reply([2], headers={"Connection": "close"}))
    with Client.configured() as client:
        client.get("x")
        first = client._connection
        client.get("x")
        assert client._connection is first
        client.get("bye")
        assert client.get("x").json() == [1]


def test_an_answer_counts_that_came_before_the_body_was_read() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def refuse() -> None:
            with listener.accept()[0] as peer:
                peer.recv(65536)
                peer.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig")
                peer.shutdown(socket.SHUT_WR)
                while peer.recv(1 << 20):
                    pass

        thread = threading.Thread(target=refuse)
        thread.start()
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        with Client.configured(http_addr=address) as client, pytest.raises(StatusError) as caught:
            client.put("kv/k", (), bytes(10_000_000))
        thread.join()
    assert str(caught.value) == "Unexpected response code: 413 (big)"


def test_a_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "http.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def serve() -> None:
            with listener.accept()[0] as peer:
                peer.recv(65536)
                peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]")

        thread = threading.Thread(target=serve)
        thread.start()
        with Client.configured(http_addr=f"unix://{path}") as client:
            assert client.get("kv/k").json() == []
        thread.join()


def test_blocking_queries_follow_the_index(agent: FakeAgent) -> None:
    agent.answer("GET", "/kv/k", Reply([], index=7))
    with Client.configured() as client:
        assert client.blocking("kv/k", index=0)[1] == 7
        assert client.blocking("kv/k", index=9, wait=1.5)[1] == 0
    assert [q.params for q in agent.questions] == [{}, {"index": "9", "wait": "1500ms"}]
    assert [following(0, 0), following(5, 5), following(5, 4), following(0, 3)] == [1, 5, 0, 3]


# What is printed.


def test_tables_have_two_spaces_and_no_trailing_blanks() -> None:
    rows = [["Node", "ID", "Address"], ["web-1", "a", ""], ["é", "long", "1.2.3.4"]]
    assert table(rows).splitlines() == [
        "Node   ID    Address",
        "web-1  a",
        "é      long  1.2.3.4",
    ]
    assert table([]) == ""


def test_json_is_as_go_writes_it() -> None:
    assert go_json({"a": "<b> & ü"}) == '{"a":"\\u003cb\\u003e \\u0026 ü"}'
    assert go_json([1, {}], "\t") == "[\n\t1,\n\t{}\n]"


def test_every_command_has_a_sentence() -> None:
    assert all(text.endswith(".") for _, text in COMMANDS.values())


def test_failures_are_shown_as_they_are() -> None:
    assert (Failed("x").exit_code, Wrong("x").exit_code) == (1, 1)
