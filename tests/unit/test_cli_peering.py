"""``consul peering``: what is sent for options, and what is printed of peerings."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.cli_agent import Consul, FakeAgent, Reply, calling, serving

agent = pytest.fixture(serving)
consul = pytest.fixture(calling)

EAST: dict[str, Any] = {
    "ID": "462c45e8-018e-f19d-85eb-1fc1bcc2ef12",
    "Name": "east",
    "State": "ACTIVE",
    "Meta": {"env": "prod", "area": "1"},
    "PeerID": "e83a315c-027e-bcb1-7c0c-a46650904a05",
    "PeerServerName": "server.dc2.consul",
    "StreamStatus": {"ImportedServices": ["api"], "ExportedServices": ["web", "db"]},
    "CreateIndex": 89,
    "ModifyIndex": 91,
}
BARE: dict[str, Any] = {"Name": "bare", "State": "PENDING"}


def test_a_token_for_a_peer(agent: FakeAgent, consul: Consul) -> None:
    agent.answer("POST", "/peering/token", {"PeeringToken": "abc"})
    addresses = "-server-external-addresses=1.2.3.4:8502, 5.6.7.8:8502,"
    options = ("-name=east", "-meta=env=prod", addresses)
    assert consul("peering", "generate-token", *options) == (0, "abc\n", "")
    assert agent.questions[0].json == {
        "PeerName": "east",
        "Meta": {"env": "prod"},
        "ServerExternalAddresses": ["1.2.3.4:8502", "5.6.7.8:8502"],
    }
    done = consul("peering", "generate-token", "-name=east", "-format=json")
    assert done == (0, '{\n    "PeeringToken": "abc"\n}\n', "")
    assert agent.questions[1].json == {"PeerName": "east", "Meta": {}}


def test_establish(agent: FakeAgent, consul: Consul) -> None:
    agent.answer("POST", "/peering/establish", {})
    done = consul("peering", "establish", "-name=east", "-peering-token=abc")
    assert done == (0, "Successfully established peering connection with east\n", "")
    assert agent.questions[0].json == {"PeerName": "east", "PeeringToken": "abc", "Meta": {}}
    agent.answer("POST", "/peering/establish", Reply(b"invalid peering token", 400))
    done = consul("peering", "establish", "-name=east", "-peering-token=abc")
    text = "Unexpected response code: 400 (invalid peering token)\n"
    assert done == (1, "", f"Error establishing peering for east: {text}")


def test_list(agent: FakeAgent, consul: Consul) -> None:
    agent.answer("GET", "/peerings", [EAST, BARE])
    assert consul("peering", "list").out == (
        "Name  State    Imported Svcs  Exported Svcs  Meta\n"
        "bare  PENDING  0              0\n"
        "east  ACTIVE   1              2              area=1,env=prod\n"
    )
    agent.answer("GET", "/peerings", [])
    assert consul("peering", "list") == (0, "There are no peering connections.\n", "")
    assert consul("peering", "list", "-format=json") == (0, "[]\n", "")


def test_read(agent: FakeAgent, consul: Consul) -> None:
    agent.answer("GET", "/peering/east", EAST)
    assert consul("peering", "read", "-name=east").out == (
        "Name:               east\n"
        "ID:                 462c45e8-018e-f19d-85eb-1fc1bcc2ef12\n"
        "State:              ACTIVE\n"
        "Meta[area]:         1\n"
        "Meta[env]:          prod\n"
        "Peer ID:            e83a315c-027e-bcb1-7c0c-a46650904a05\n"
        "Peer Server Name:   server.dc2.consul\n"
        "Imported Services:  1\n"
        "Exported Services:  2\n"
        "Create Index:       89\n"
        "Modify Index:       91\n"
    )
    done = consul("peering", "read", "-name=none")
    assert done == (1, "", "No peering with name none found.\n")


def test_exported_services(agent: FakeAgent, consul: Consul) -> None:
    agent.answer("GET", "/peering/east", EAST)
    agent.answer("GET", "/peering/bare", BARE)
    assert consul("peering", "exported-services", "-name=east") == (0, "db\nweb\n", "")
    done = consul("peering", "exported-services", "-name=bare")
    assert done == (0, "There are no services exported to this peer.\n", "")
    done = consul("peering", "exported-services", "-name=bare", "-format=json")
    assert done == (0, "[]\n", "")


def test_delete(agent: FakeAgent, consul: Consul) -> None:
    agent.answer("DELETE", "/peering/east", b"")
    done = consul("peering", "delete", "-name=east")
    assert done == (0, "Successfully submitted peering connection, east, for deletion\n", "")


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        (("generate-token",), "Missing the required -name flag\n"),
        (("establish", "-peering-token=a"), "Missing the required -name flag\n"),
        (("establish", "-name=a"), "Missing the required -peering-token flag\n"),
        (("read",), "Missing the required -name flag\n"),
        (("delete",), "Missing the required -name flag\n"),
        (("exported-services",), "Missing the required -name flag\n"),
        (
            ("list", "-format=yaml"),
            "Invalid format, valid formats are {pretty|json}: yaml\n",
        ),
    ],
)
def test_wrong_commands(agent: FakeAgent, consul: Consul, argv: tuple[str, ...], text: str) -> None:
    done = consul("peering", *argv)
    assert (done.code, done.err) == (1, text)
    assert not agent.questions
