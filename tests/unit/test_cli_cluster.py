"""Commands that ask about the cluster and steer an agent: what is asked, printed, returned."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from portway.cli.rtt import distance
from tests.unit.cli_agent import Consul, FakeAgent, Reply, calling, serving

agent = pytest.fixture(serving)
consul = pytest.fixture(calling)


def member(name: str, role: str = "node", status: int = 1, **tags: str) -> dict[str, Any]:
    basic = {"role": role, "build": "1.22.0:abc", "vsn": "2", "dc": "dc1"}
    return {
        "Name": name,
        "Addr": "10.0.0.1" if name != "six" else "::1",
        "Port": 8301,
        "Status": status,
        "Tags": {**basic, **tags},
    }


MEMBERS = [
    member("zed"),
    member("six", status=4),
    member("srv-b", "consul"),
    member("srv-a", "consul", status=3),
    member("odd", "other", status=9, segment="alpha", ap="team"),
]


def test_members(agent: FakeAgent, consul: Consul) -> None:
    agent.answer("GET", "/agent/members", MEMBERS)
    code, out, err = consul("members")
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "Node   Address        Status  Type     Build   Protocol  DC   Partition  Segment",
        "srv-a  10.0.0.1:8301  left    server   1.22.0  2         dc1  default    <all>",
        "srv-b  10.0.0.1:8301  alive   server   1.22.0  2         dc1  default    <all>",
        "six    [::1]:8301     failed  client   1.22.0  2         dc1  default    <default>",
        "zed    10.0.0.1:8301  alive   client   1.22.0  2         dc1  default    <default>",
        "odd    10.0.0.1:8301  none    unknown  1.22.0  2         dc1  team       alpha",
    ]
    assert agent.questions[0].params == {"segment": "_all"}


def test_members_detailed(agent: FakeAgent, consul: Consul) -> None:
    agent.answer("GET", "/agent/members", MEMBERS[:1])
    assert consul("members", "-detailed").out.splitlines() == [
        "Node  Address        Status  Tags",
        "zed   10.0.0.1:8301  alive   ap=default,build=1.22.0:abc,dc=dc1,role=node,"
        "segment=<default>,vsn=2",
    ]


def test_members_chosen(agent: FakeAgent, consul: Consul) -> None:
    agent.answer("GET", "/agent/members", MEMBERS)
    out = consul("members", "-status=^left|failed$").out
    assert [line.split()[0] for line in out.splitlines()[1:]] == ["srv-a", "six"]
    assert consul("members", "-status=leaving") == (2, "", "")
    assert consul("members", "-status=(").err.startswith("Failed to compile status regexp: ")
    consul("members", "-wan", "-filter", "Name == x", "-segment=alpha")
    expected = {"wan": "1", "filter": "Name == x", "segment": "alpha"}
    assert agent.questions[-1].params == expected


def node(name: str, **fields: Any) -> dict[str, Any]:
    return {
        "ID": "40e4a748-2192-161a-0510-9bf59fe950b5",
        "Node": name,
        "Address": "10.0.0.1",
        "Datacenter": "dc1",
        "TaggedAddresses": {"wan": "1.2.3.4", "lan": "10.0.0.1"},
        "Meta": {"rack": "b"},
        **fields,
    }


def test_catalog_nodes(agent: FakeAgent, consul: Consul) -> None:
    agent.answer("GET", "/catalog/nodes", [node("one"), node("external", ID="", Meta=None)])
    assert consul("catalog", "nodes").out.splitlines() == [
        "Node      ID        Address   DC",
        "one       40e4a748  10.0.0.1  dc1",
        "external            10.0.0.1  dc1",
    ]
    assert consul("catalog", "nodes", "-detailed").out.splitlines()[1] == (
        "one       40e4a748-2192-161a-0510-9bf59fe950b5  10.0.0.1  dc1"
        "  lan=10.0.0.1, wan=1.2.3.4  rack=b"
    )
    consul("catalog", "nodes", "-near=_agent", "-node-meta=a=1", "-filter", "f", "-stale")
    assert agent.questions[-1].params == {
        "near": "_agent",
        "node-meta": "a:1",
        "filter": "f",
        "stale": "",
    }


def test_catalog_nodes_of_a_service(agent: FakeAgent, consul: Consul) -> None:
    instance = {**node("one"), "NodeMeta": {"x": "y"}, "ServiceName": "web"}
    agent.answer("GET", "/catalog/service/web", [instance, instance])
    lines = consul("catalog", "nodes", "-service=web", "-detailed").out.splitlines()
    assert len(lines) == 2
    assert lines[1].endswith("x=y")


def test_catalog_without_a_match(agent: FakeAgent, consul: Consul) -> None:
    agent.answer("GET", "/catalog/nodes", [])
    agent.answer("GET", "/catalog/services", {})
    agent.answer("GET", "/catalog/node/none", None)
    hint = "match the given query - try expanding your search.\n"
    assert consul("catalog", "nodes") == (0, "", f"No nodes {hint}")
    assert consul("catalog", "services") == (0, "", f"No services {hint}")
    assert consul("catalog", "services", "-node=none") == (0, "", f"No services {hint}")


def test_catalog_services(agent: FakeAgent, consul: Consul) -> None:
    agent.answer("GET", "/catalog/services", {"web": ["v1", "a"], "consul": []})
    assert consul("catalog", "services") == (0, "consul\nweb\n", "")
    assert consul("catalog", "services", "-tags").out == "consul\nweb         a,v1\n"
    services = {"1": {"Service": "db", "Tags": ["x"]}, "2": {"Service": "db", "Tags": None}}
    agent.answer("GET", "/catalog/node/one", {"Node": {}, "Services": services})
    assert consul("catalog", "services", "-node=one", "-tags").out == "db      x\n"


def test_catalog_datacenters(agent: FakeAgent, consul: Consul) -> None:
    agent.answer("GET", "/catalog/datacenters", ["dc1", "dc2"])
    assert consul("catalog", "datacenters") == (0, "dc1\ndc2\n", "")


def test_info(agent: FakeAgent, consul: Consul) -> None:
    stats = {"build": {"version": "1.22.0"}, "agent": {"services": "1", "checks": "0"}}
    agent.answer("GET", "/agent/self", {"Stats": stats})
    expected = "agent:\n\tchecks = 0\n\tservices = 1\nbuild:\n\tversion = 1.22.0\n"
    assert consul("info") == (0, expected, "")


@pytest.mark.parametrize(
    ("argv", "path", "params", "said"),
    [
        (
            ["-enable", "-reason", "disk"],
            "/agent/maintenance",
            {"enable": "true", "reason": "disk"},
            "Node maintenance is now enabled",
        ),
        (["-disable"], "/agent/maintenance", {"enable": "false"}, None),
        (
            ["-enable", "-service=web"],
            "/agent/service/maintenance/web",
            {"enable": "true", "reason": ""},
            'Service maintenance is now enabled for "web"',
        ),
        (
            ["-disable", "-service=web"],
            "/agent/service/maintenance/web",
            {"enable": "false"},
            'Service maintenance is now disabled for "web"',
        ),
    ],
)
def test_maint(
    agent: FakeAgent,
    consul: Consul,
    argv: list[str],
    path: str,
    params: dict[str, str],
    said: str | None,
) -> None:
    agent.answer("PUT", path, b"")
    said = said or "Node maintenance is now disabled"
    assert consul("maint", *argv) == (0, f"{said}\n", "")
    assert agent.questions[0].params == params


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["-enable", "-disable"], "Only one of -enable or -disable may be provided"),
        (["-reason=x"], "Reason may only be provided with -enable"),
        (["-disable", "-reason=x"], "Reason may only be provided with -enable"),
        (["-service=x"], "Service requires either -enable or -disable"),
        (["x"], "Too many arguments (expected 0, got 1)"),
    ],
)
def test_maint_wrongly(agent: FakeAgent, consul: Consul, argv: list[str], said: str) -> None:
    assert consul("maint", *argv) == (1, "", f"{said}\n")
    assert agent.questions == []


def test_maint_listed(agent: FakeAgent, consul: Consul) -> None:
    agent.answer("GET", "/agent/self", {"Config": {"NodeName": "one"}})
    agent.answer(
        "GET",
        "/agent/checks",
        {
            "x": {"CheckID": "x", "ServiceID": "", "Notes": ""},
            "s": {"CheckID": "_service_maintenance:web", "ServiceID": "web", "Notes": "why"},
            "n": {"CheckID": "_node_maintenance", "ServiceID": "", "Notes": "disk"},
        },
    )
    assert consul("maint").out == (
        "Node:\n  Name:   one\n  Reason: disk\n\nService:\n  ID:     web\n  Reason: why\n\n"
    )


@pytest.mark.parametrize(
    ("argv", "path", "params", "said"),
    [
        (["reload"], "/agent/reload", {}, "Configuration reload triggered\n"),
        (["leave"], "/agent/leave", {}, "Graceful leave complete\n"),
        (["force-leave", "n1"], "/agent/force-leave/n1", {}, ""),
        (["force-leave", "-prune", "n1"], "/agent/force-leave/n1", {"prune": ""}, ""),
        (["force-leave", "-wan", "n1"], "/agent/force-leave/n1", {"wan": "1"}, ""),
        (
            ["join", "-wan", "[::1]:8301"],
            "/agent/join/[::1]:8301",
            {"wan": "1"},
            "Successfully joined cluster by contacting 1 nodes.\n",
        ),
    ],
)
def test_steering_an_agent(
    agent: FakeAgent, consul: Consul, argv: list[str], path: str, params: dict[str, str], said: str
) -> None:
    agent.answer("PUT", path, b"")
    assert consul(*argv) == (0, said, "")
    assert [(q.path, q.params) for q in agent.questions] == [(path, params)]
    agent.answer("PUT", path, Reply(b"no", 403))
    code, out, err = consul(*argv)
    assert (code, out) == (1, "")
    assert "Unexpected response code: 403 (no)" in err


def test_join_of_several(agent: FakeAgent, consul: Consul) -> None:
    agent.answer("PUT", "/agent/join/a", b"")
    agent.answer("PUT", "/agent/join/b", Reply(b"refused", 500))
    assert consul("join", "a", "b") == (
        0,
        "Successfully joined cluster by contacting 1 nodes.\n",
        "Error joining address 'b': Unexpected response code: 500 (refused)\n",
    )
    assert consul("join", "b").err.endswith("\nFailed to join any nodes.\n")
    assert consul("join") == (1, "", "At least one address to join must be specified.\n")


def test_event(agent: FakeAgent, consul: Consul) -> None:
    agent.answer("PUT", "/event/fire/deploy", {"ID": "e-1"})
    outcome = consul("event", "-name=deploy", "-node", "w.*", "-service=web", "-tag=v1", "now")
    assert outcome == (0, "Event ID: e-1\n", "")
    (question,) = agent.questions
    assert question.params == {"node": "w.*", "service": "web", "tag": "v1"}
    assert question.body == b"now"


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        ([], "Event name must be specified"),
        (["-name=x", "a", "b"], "Too many command line arguments."),
        (["-name=x", "-tag=t"], "Cannot provide tag filter without service filter."),
    ],
)
def test_event_wrongly(agent: FakeAgent, consul: Consul, argv: list[str], said: str) -> None:
    assert consul("event", *argv) == (1, "", f"{said}\n")


COORD = {"Vec": [0.0, 0.003, 0.004], "Error": 0.1, "Adjustment": 0.0, "Height": 0.001}
ORIGIN = {**COORD, "Vec": [0.0, 0.0, 0.0]}


def test_rtt(agent: FakeAgent, consul: Consul) -> None:
    nodes = [{"Node": "a", "Coord": ORIGIN}, {"Node": "b", "Coord": COORD}]
    agent.answer("GET", "/coordinate/nodes", nodes)
    agent.answer("GET", "/agent/self", {"Config": {"NodeName": "a", "Datacenter": "dc1"}})
    expected = "Estimated b <-> a rtt: 7.000 ms (using LAN coordinates)\n"
    assert consul("rtt", "b", "a") == (0, expected, "")
    assert consul("rtt", "b") == (0, expected, "")
    assert consul("rtt", "c", "a") == (1, "", 'Could not find a coordinate for node "c"\n')
    assert consul("rtt") == (1, "", "One or two node names must be specified\n")


def test_rtt_of_servers(agent: FakeAgent, consul: Consul) -> None:
    areas = [
        {"Datacenter": "dc1", "Coordinates": [{"Node": "a", "Coord": ORIGIN}]},
        {"Datacenter": "dc2", "Coordinates": [{"Node": "b.dc2", "Coord": COORD}]},
    ]
    agent.answer("GET", "/coordinate/datacenters", areas)
    expected = "Estimated a.dc1 <-> b.dc2 rtt: 7.000 ms (using WAN coordinates)\n"
    assert consul("rtt", "-wan", "a.dc1", "b.dc2") == (0, expected, "")
    assert consul("rtt", "-wan", "a", "b.dc2").code == 1


def test_adjustments_count_unless_they_make_the_distance_negative() -> None:
    assert distance(ORIGIN, {**COORD, "Adjustment": 0.001}) == pytest.approx(0.008)
    assert distance(ORIGIN, {**COORD, "Adjustment": -0.1}) == pytest.approx(0.007)


def test_keygen(consul: Consul) -> None:
    first, second = consul("keygen").out, consul("keygen").out
    assert len(base64.b64decode(first)) == 32
    assert first != second


RINGS = [
    {"WAN": True, "Datacenter": "dc1", "Keys": {"k1": 1}, "NumNodes": 1, "PrimaryKeys": {"k1": 1}},
    {
        "WAN": False,
        "Datacenter": "dc1",
        "Segment": "",
        "Keys": {"k1": 2, "k2": 1},
        "PrimaryKeys": {"k1": 2},
        "NumNodes": 2,
        "Messages": {"n": "oops"},
    },
]


def test_keyring_listed(agent: FakeAgent, consul: Consul) -> None:
    agent.answer("GET", "/operator/keyring", RINGS)
    assert consul("keyring", "-list").out == (
        "==> Gathering installed encryption keys...\n\nWAN:\n  k1 [1/1]\n\ndc1 (LAN):\n"
        "  ===> n: oops\n  k1 [2/2]\n  k2 [1/2]\n"
    )
    out = consul("keyring", "-list-primary", "-local-only", "-relay-factor=3").out
    assert out.startswith("==> Gathering installed primary encryption keys...\n")
    assert "k2" not in out
    assert agent.questions[-1].params == {"relay-factor": "3", "local-only": "true"}


@pytest.mark.parametrize(
    ("flag", "method", "said"),
    [
        ("-install", "POST", "==> Installing new gossip encryption key...\n"),
        ("-use", "PUT", "==> Changing primary gossip encryption key...\n"),
        ("-remove", "DELETE", "==> Removing gossip encryption key...\n"),
    ],
)
def test_keyring_changed(
    agent: FakeAgent, consul: Consul, flag: str, method: str, said: str
) -> None:
    agent.answer(method, "/operator/keyring", b"")
    assert consul("keyring", flag, "k1") == (0, said, "")
    assert agent.questions[0].json == {"Key": "k1"}


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["-list", "-use=k"], "Only a single action is allowed"),
        (
            ["-use=k", "-local-only"],
            "Error validating local-only: local-only can only be set for list requests",
        ),
        (
            ["-list", "-relay-factor=6"],
            "Error parsing relay factor: Relay factor must be in range: [0, 5]",
        ),
    ],
)
def test_keyring_wrongly(agent: FakeAgent, consul: Consul, argv: list[str], said: str) -> None:
    assert consul("keyring", *argv) == (1, "", f"{said}\n")
    assert agent.questions == []


def test_monitor(agent: FakeAgent, consul: Consul) -> None:
    agent.answer("GET", "/agent/monitor", b"one\ntwo\n")
    code, out, err = consul("monitor", "-log-level=debug", "-log-json")
    assert (code, out) == (1, "one\ntwo\n")
    assert err.startswith("Remote side ended the monitor!")
    assert agent.questions[0].params == {"loglevel": "debug", "logjson": "true"}
    agent.answer("GET", "/agent/monitor", Reply(b"Unknown log level: x", 400))
    err = "Error starting monitor: Unexpected response code: 400 (Unknown log level: x)\n"
    assert consul("monitor", "-log-level=x") == (1, "", err)


def test_raft_list_peers(agent: FakeAgent, consul: Consul) -> None:
    def peer(name: str, leader: bool, index: int) -> dict[str, Any]:
        return {
            "ID": f"id-{name}",
            "Node": name,
            "Address": "10.0.0.1:8300",
            "Leader": leader,
            "ProtocolVersion": "3",
            "Voter": True,
            "LastIndex": index,
        }

    peers = [peer("a", True, 12), peer("b", False, 12), peer("c", False, 11), peer("d", False, 2)]
    agent.answer("GET", "/operator/raft/configuration", {"Servers": peers, "Index": 1})
    lines = consul("operator", "raft", "list-peers", "-stale").out.splitlines()
    assert lines[:2] == [
        "Node  ID    Address        State     Voter  RaftProtocol  Commit Index  Trails Leader By",
        "a     id-a  10.0.0.1:8300  leader    true   3             12            -",
    ]
    assert [line[line.rindex("  ") + 2 :] for line in lines[2:]] == [
        "0 commits",
        "1 commit",
        "10 commits",
    ]


def test_raft_remove_peer_and_transfer_leader(agent: FakeAgent, consul: Consul) -> None:
    agent.answer("DELETE", "/operator/raft/peer", b"")
    raft = ("operator", "raft")
    assert consul(*raft, "remove-peer", "-id=x") == (0, 'Removed peer with id "x"\n', "")
    outcome = consul(*raft, "remove-peer", "-address=a:1")
    assert outcome.out == 'Removed peer with address "a:1"\n'
    assert [q.params for q in agent.questions] == [{"id": "x"}, {"address": "a:1"}]
    assert consul(*raft, "remove-peer").code == 1
    agent.answer("POST", "/operator/raft/transfer-leader", {"Success": True})
    assert consul(*raft, "transfer-leader") == (0, "Success\n", "")


AUTOPILOT = {
    "CleanupDeadServers": True,
    "LastContactThreshold": "200ms",
    "MaxTrailingLogs": 250,
    "MinQuorum": 0,
    "ServerStabilizationTime": "10s",
    "RedundancyZoneTag": "",
    "DisableUpgradeMigration": False,
    "UpgradeVersionTag": "",
    "CreateIndex": 4,
    "ModifyIndex": 6,
}


def test_autopilot_configuration(agent: FakeAgent, consul: Consul) -> None:
    path = "/operator/autopilot/configuration"
    agent.answer("GET", path, AUTOPILOT)
    assert consul("operator", "autopilot", "get-config").out.splitlines() == [
        "CleanupDeadServers = true",
        "LastContactThreshold = 200ms",
        "MaxTrailingLogs = 250",
        "MinQuorum = 0",
        "ServerStabilizationTime = 10s",
        'RedundancyZoneTag = ""',
        "DisableUpgradeMigration = false",
        'UpgradeVersionTag = ""',
    ]
    agent.answer("PUT", path, True)
    change = ("-cleanup-dead-servers=false", "-server-stabilization-time", "90s")
    outcome = consul("operator", "autopilot", "set-config", *change)
    assert outcome == (0, "Configuration updated!\n", "")
    (put,) = agent.asked("PUT", path)
    assert put.params == {"cas": "6"}
    changed = {"CleanupDeadServers": False, "ServerStabilizationTime": "1m30s"}
    assert put.json == {**AUTOPILOT, **changed}
    agent.answer("PUT", path, False)
    outcome = consul("operator", "autopilot", "set-config", "-min-quorum=3")
    assert outcome.err.startswith("Configuration could not be atomically updated")


def test_autopilot_state(agent: FakeAgent, consul: Consul) -> None:
    server = {
        "ID": "s1",
        "Name": "one",
        "Address": "10.0.0.1:8300",
        "Version": "1.22.0",
        "Status": "leader",
        "NodeType": "voter",
        "NodeStatus": "alive",
        "Healthy": True,
        "LastContact": "0s",
        "LastTerm": 2,
        "LastIndex": 9,
        "Meta": {"k": "v"},
    }
    state = {
        "Healthy": True,
        "FailureTolerance": 0,
        "OptimisticFailureTolerance": 0,
        "Servers": {"s1": server},
        "Leader": "s1",
        "Voters": ["s1"],
    }
    agent.answer("GET", "/operator/autopilot/state", state)
    lines = consul("operator", "autopilot", "state").out.splitlines()
    assert lines[0] == "Healthy:                      true"
    assert lines[3:9] == [
        "Leader:                       s1",
        "Voters:",
        "   s1",
        "Servers:",
        "   s1",
        "      Name:            one",
    ]
    assert lines[-2:] == ['         "k": "v"', ""]
    assert '"FailureTolerance": 0' in consul("operator", "autopilot", "state", "-format=json").out


USAGE = {
    "dc2": {
        "Services": 1,
        "ServiceInstances": 2,
        "BillableServiceInstances": 1,
        "Nodes": 2,
        "ConnectServiceInstances": {"connect-proxy": 1},
    },
    "dc1": {
        "Services": 2,
        "ServiceInstances": 4,
        "BillableServiceInstances": 3,
        "Nodes": 1,
        "ConnectServiceInstances": {"mesh-gateway": 1, "connect-proxy": 0},
    },
}


def test_usage(agent: FakeAgent, consul: Consul) -> None:
    agent.answer("GET", "/operator/usage", {"Usage": {"dc1": USAGE["dc1"]}})
    assert consul("operator", "usage", "instances").out == (
        "Billable Service Instances Total: 3\n"
        "dc1 Billable Service Instances: 3\n\n"
        "Billable Services\n"
        "Services      Service instances\n"
        "2             3\n\n\n"
        "Nodes\n"
        "Datacenter      Count\n"
        "dc1             1\n\n"
        "Total           1\n\n\n"
        "Connect Services\n"
        "Type               Service instances\n"
        "connect-proxy      0\n"
        "mesh-gateway       1\n"
    )


def test_usage_of_all_datacenters(agent: FakeAgent, consul: Consul) -> None:
    agent.answer("GET", "/operator/usage", {"Usage": USAGE})
    usage = ("operator", "usage", "instances", "-all-datacenters")
    out = consul(*usage, "-billable").out
    assert "dc1             2             3\ndc2             1             1\n\nTotal" in out
    assert "Connect" not in out
    out = consul(*usage, "-connect").out
    assert out.startswith("Connect Services\nDatacenter      Type")
    assert out.splitlines()[-1].split() == ["Total", "2"]
    assert agent.questions[-1].params == {"global": ""}
    assert consul(*usage, "-connect", "-billable").code == 1
