"""``consul config`` and ``consul intention`` against a real agent."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.cli_consul_rig import Agent, agent_running

_BOOTSTRAP = """
config_entries {
  bootstrap = [
    { kind = "proxy-defaults" name = "global" config { protocol = "http" } },
    {
      kind = "service-splitter"
      name = "seeded"
      splits = [{ weight = 60 service = "a" }, { weight = 40 service = "b" }]
    },
  ]
}
"""


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agent]:
    with agent_running(tmp_path_factory.mktemp("config"), "-hcl", _BOOTSTRAP) as running:
        yield running


def test_entries_of_the_configuration_are_there(agent: Agent) -> None:
    done = agent.consul("config", "read", "-kind=proxy-defaults", "-name=global")
    assert json.loads(done.out)["Config"] == {"protocol": "http"}
    done = agent.consul("config", "list", "-kind=service-splitter")
    assert (done.code, done.out) == (0, "seeded\n")


def test_entries_of_the_configuration_replace_nothing(tmp_path: Path) -> None:
    """What was written since stays, as the agent starts again."""
    folder = tmp_path / "data"
    argv = (f"-data-dir={folder}", "-server", "-bootstrap-expect=1", "-bind=127.0.0.1")
    entry = 'Kind = "proxy-defaults" Name = "global" Config { protocol = "grpc" }'
    for run in ("first", "second"):
        directory = tmp_path / run
        directory.mkdir()
        with agent_running(directory, *argv, "-hcl", _BOOTSTRAP, dev=False) as running:
            if run == "first":
                assert running.consul("config", "write", "-", stdin=entry).code == 0
            read = running.consul("config", "read", "-kind=proxy-defaults", "-name=global")
            assert json.loads(read.out)["Config"] == {"protocol": "grpc"}


def test_services_for_peers_are_a_config_entry(agent: Agent) -> None:
    for peers in ("east", "east,west"):
        done = agent.consul("services", "export", "-name=shared", f"-consumer-peers={peers}")
        assert done.code == 0, done
    done = agent.consul("config", "read", "-kind=exported-services", "-name=default")
    (service,) = json.loads(done.out)["Services"]
    assert service == {"Name": "shared", "Consumers": [{"Peer": "east"}, {"Peer": "west"}]}
    done = agent.consul("services", "exported-services")
    assert done.out == "Service  Consumer Peers\nshared   east, west\n"


def test_write_read_list_and_delete(agent: Agent, tmp_path: Path) -> None:
    file = tmp_path / "web.hcl"
    file.write_text('Kind = "service-defaults"\nName = "web"\nProtocol = "http"\n')
    done = agent.consul("config", "write", str(file))
    assert (done.code, done.out) == (0, "Config entry written: service-defaults/web\n")
    done = agent.consul("config", "read", "-kind=service-defaults", "-name=web")
    assert done.out.startswith('{\n\t"Kind": "service-defaults",\n\t"Name": "web",\n\t"Protocol":')
    entry = json.loads(done.out)
    resolver = {"kind": "service-resolver", "name": "web", "connect_timeout": "15s"}
    done = agent.consul("config", "write", "-", stdin=json.dumps(resolver))
    assert (done.code, done.out) == (0, "Config entry written: service-resolver/web\n")

    write = ("config", "write", "-cas")
    assert agent.consul(*write, "-modify-index=1", str(file)).code == 0  # nothing changes
    file.write_text(file.read_text() + "MaxInboundConnections = 4\n")
    done = agent.consul(*write, "-modify-index=1", str(file))
    assert done.code == 1
    assert done.err == "Config entry not updated: service-defaults/web\n"
    index = f"-modify-index={entry['ModifyIndex']}"
    assert agent.consul(*write, index, str(file)).code == 0

    names = agent.consul("config", "list", "-kind=service-defaults").out
    assert names == "web\n"
    done = agent.consul("config", "list", "-kind=service-defaults", "-filter=Protocol == tcp")
    assert (done.code, done.out) == (0, "")
    delete = ("config", "delete", "-kind=service-resolver", "-name=web")
    done = agent.consul(*delete, "-cas", "-modify-index=1")
    assert (done.code, done.err) == (1, "Config entry not deleted: service-resolver/web\n")
    done = agent.consul(*delete)
    assert (done.code, done.out) == (0, "Config entry deleted: service-resolver/web\n")
    done = agent.consul("config", "delete", f"-filename={file}")
    assert (done.code, done.out) == (0, "Config entry deleted: service-defaults/web\n")


@pytest.mark.parametrize(
    ("argv", "stdin", "text"),
    [
        (("write",), "", "Must provide exactly one positional argument to specify the config en"),
        (("write", "/nowhere.hcl"), "", "Failed to load data: Failed to read file: open /nowhere"),
        (("write", "-"), "Kind =", "Failed to decode config entry input: stdin"),
        (("write", "-"), 'Name = "x"', "Failed to decode config entry input: Payload does not"),
        (
            ("write", "-"),
            'Kind = "service-defaults" Name = "x" Protocl = "y"',
            "Failed to decode config entry input: 1 error occurred:\n"
            '\t* invalid config key "Protocl"',
        ),
        (
            ("write", "-"),
            'Kind = "service-splitter" Name = "x" Splits = [{ Weight = 50 }]',
            "Error writing config entry service-splitter/x: Unexpected response code: 500 (the sum "
            "of all split weights must be 100, not 50.000000)",
        ),
        (("read", "-kind=x"), "", "Must specify the -name parameter"),
        (("read", "-name=x"), "", "Must specify the -kind parameter"),
        (
            ("read", "-kind=mesh", "-name=mesh"),
            "",
            "Error reading config entry mesh/mesh: Unexpected response code: 404 (Config entry not "
            'found for "mesh" / "mesh")',
        ),
        (
            ("list", "-kind=x"),
            "",
            'Error listing config entries for kind "x": Unexpected response code: 500 (invalid '
            "config entry kind: x)",
        ),
        (("delete", "-kind=x", "-name=y", "-modify-index=1"), "", "Cannot specify -modify-index "),
        (("delete", "-kind=x", "-name=y", "-cas"), "", "Must specify a -modify-index greater than"),
    ],
)
def test_wrong_commands(agent: Agent, argv: tuple[str, ...], stdin: str, text: str) -> None:
    done = agent.consul("config", *argv, stdin=stdin)
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith(text)


def test_wrong_entries_in_the_configuration_keep_the_agent_from_starting(tmp_path: Path) -> None:
    entry = 'config_entries { bootstrap = [{ kind = "service-splitter" name = "x" }] }'
    with (
        pytest.raises(AssertionError, match=r"config_entries.bootstrap\[0\]: no splits configured"),
        agent_running(tmp_path, "-hcl", entry),
    ):
        pass
    lone = tmp_path / "lone"
    lone.mkdir()
    split = '{ kind = "service-splitter" name = "x" splits = [{ weight = 100 service = "y" }] }'
    with (
        pytest.raises(AssertionError, match='Failed to apply configuration entry "service-split'),
        agent_running(lone, "-hcl", f"config_entries {{ bootstrap = [{split}] }}"),
    ):
        pass
