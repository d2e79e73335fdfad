"""Who this agent is to others: its node in the catalog, its member entry, its own service."""

from __future__ import annotations

from typing import Any

from portway.agent.config.config import AgentConfig
from portway.discovery.model import (
    PASSING,
    SERF_HEALTH,
    Check,
    CheckRun,
    Connect,
    Node,
    Service,
    Weights,
    plain_proxy,
)
from portway.discovery.version import CONSUL, REVISION

ALIVE = 1
"""The status of a member that answers (serf's number)."""
_RAFT_VERSION = "3"
_PROTOCOL_MIN, _PROTOCOL_MAX, _PROTOCOL = 1, 5, 2
_DELEGATE_MIN, _DELEGATE_MAX, _DELEGATE = 2, 5, 4


def node_of(config: AgentConfig) -> Node:
    """The node as the catalog has it."""
    return Node(
        id=config.node_id,
        node=config.node_name,
        address=config.advertise_lan,
        tagged_addresses=dict(config.tagged_addresses),
        meta={
            "consul-network-segment": "",
            "consul-version": CONSUL,
            **config.node_meta,
        },
        locality=config.locality,
    )


def health_of(config: AgentConfig) -> Check:
    """The node's own health, which servers keep."""
    return Check(
        node=config.node_name,
        check_id=SERF_HEALTH,
        name="Serf Health Status",
        status=PASSING,
        notes="",
        output="Agent alive and reachable",
        service_id="",
        service_name="",
        service_tags=[],
        type="",
        interval="",
        timeout="",
        exposed_port=0,
        definition=CheckRun(),
    )


def server_service(config: AgentConfig) -> Service:
    """The service ``consul`` that every server is an instance of."""
    meta = {
        "non_voter": "false",
        "raft_version": _RAFT_VERSION,
        "read_replica": "false",
        "serf_protocol_current": str(_PROTOCOL),
        "serf_protocol_max": str(_PROTOCOL_MAX),
        "serf_protocol_min": str(_PROTOCOL_MIN),
        "version": CONSUL,
    }
    if config.ports.grpc > 0:
        meta["grpc_port"] = str(config.ports.grpc)
    if config.grpc_tls_port > 0:
        meta["grpc_tls_port"] = str(config.grpc_tls_port)
    return Service(
        id="consul",
        service="consul",
        tags=[],
        address="",
        meta=meta,
        port=config.ports.server,
        weights=Weights(),
        enable_tag_override=False,
        proxy=plain_proxy(),
        connect=Connect(),
        peer_name="",
    )


def member_of(config: AgentConfig, wan: bool = False) -> dict[str, Any]:
    """The agent as a member of its cluster (``/v1/agent/members``).

    Among the servers of all datacenters (``wan``) its name carries its own datacenter.
    """
    tags = {
        "acls": "1" if config.acl.enabled else "0",
        "build": f"{CONSUL}:{REVISION}",
        "dc": config.datacenter,
        "id": config.node_id,
        "port": str(config.ports.server),
        "raft_vsn": _RAFT_VERSION,
        "role": "consul",
        "segment": "",
        "vsn": "2",
        "vsn_max": "3",
        "vsn_min": "2",
        "ft_fs": "1",
        "ft_si": "1",
    }
    if config.bootstrap or config.bootstrap_expect == 1:
        tags["bootstrap"] = "1"
    if config.ports.serf_wan > 0 and not wan:
        tags["wan_join_port"] = str(config.ports.serf_wan)
    if config.ports.grpc > 0:
        tags["grpc_port"] = str(config.ports.grpc)
    if config.grpc_tls_port > 0:
        tags["grpc_tls_port"] = str(config.grpc_tls_port)
    return {
        "Name": f"{config.node_name}.{config.datacenter}" if wan else config.node_name,
        "Addr": config.advertise_wan if wan else config.advertise_lan,
        "Port": config.ports.serf_wan if wan else config.ports.serf_lan,
        "Tags": tags,
        "Status": ALIVE,
        "ProtocolMin": _PROTOCOL_MIN,
        "ProtocolMax": _PROTOCOL_MAX,
        "ProtocolCur": _PROTOCOL,
        "DelegateMin": _DELEGATE_MIN,
        "DelegateMax": _DELEGATE_MAX,
        "DelegateCur": _DELEGATE,
    }
