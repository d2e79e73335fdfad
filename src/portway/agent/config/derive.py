"""From settings to the configuration an agent runs with: names, addresses, ports."""

from __future__ import annotations

import socket
from typing import Any

import msgspec

from portway.agent.config.address import evaluated, single
from portway.agent.config.addresses import DISABLED, Ports
from portway.agent.config.advertise import advertised
from portway.agent.config.config import AgentConfig, Bind
from portway.agent.config.error import Findings
from portway.agent.config.listeners import listen, recursors_of
from portway.agent.config.settings import Settings
from portway.agent.config.tls import settled
from portway.agent.config.watches import Watch, WatchError, watch

_GRPC_TLS_OF_SERVERS = 8503
_LEVELS = {"ERR": "ERROR", "WARNING": "WARN"}


def derive(settings: Settings, *, dev: bool, files: list[str], found: Findings) -> AgentConfig:
    """The configuration that follows; what is wrong is told to ``found``.

    It reads the host's name and addresses. The node's ID is left as it was given.
    """
    node_name = evaluated("node_name", settings.node_name, found) or socket.gethostname()
    datacenter = settings.datacenter.lower()
    ports = _ports(settings)
    bind = single("bind_addr", settings.bind_addr, found) or "127.0.0.1"
    advertise_lan, advertise_wan, tagged = advertised(settings, bind, found)
    serf_lan = single("serf_lan", settings.serf_lan, found) or bind
    serf_wan = single("serf_wan", settings.serf_wan, found) or bind
    tls_https = settled(settings.tls.https, settings.tls.defaults)
    leave, skip = settings.leave_on_terminate, settings.skip_leave_on_interrupt
    changed: dict[str, Any] = {
        "node_name": node_name,
        "node_id": settings.node_id.lower(),
        "datacenter": datacenter,
        "primary_datacenter": settings.primary_datacenter.lower() or datacenter,
        "domain": _domain(settings.domain),
        "alt_domain": _domain(settings.alt_domain),
        "default_intention_policy": settings.default_intention_policy or _mesh_default(settings),
        "bind_addr": bind,
        "recursors": recursors_of(settings, found),
        "tagged_addresses": tagged,
        "log_level": _LEVELS.get(settings.log_level.upper(), settings.log_level.upper()),
        "leave_on_terminate": not settings.server if leave is None else leave,
        "skip_leave_on_interrupt": settings.server if skip is None else skip,
        "ports": ports,
        "listen": listen(settings, ports, tls_https, found),
        "rpc_bind": Bind(host=bind, port=ports.server),
        "serf_lan_bind": Bind(host=serf_lan, port=ports.serf_lan),
        "serf_wan_bind": Bind(host=serf_wan, port=ports.serf_wan) if ports.serf_wan > 0 else None,
        "advertise_lan": advertise_lan,
        "advertise_wan": advertise_wan,
        "tls_https": tls_https,
        "tls_grpc": settled(settings.tls.grpc, settings.tls.defaults),
        "tls_internal_rpc": settled(settings.tls.internal_rpc, settings.tls.defaults),
        "plans": _plans(settings, found),
        "dev_mode": dev,
        "files": files,
    }
    kept = {name: getattr(settings, name) for name in Settings.__struct_fields__}
    return AgentConfig(**{**kept, **changed})


def _mesh_default(settings: Settings) -> str:
    return settings.acl.default_policy if settings.acl.enabled else "allow"


def _domain(name: str) -> str:
    return name.lower().rstrip(".") + "." if name else ""


def _ports(settings: Settings) -> Ports:
    ports = settings.ports
    grpc_tls = ports.grpc_tls
    if grpc_tls is None:
        grpc_tls = _GRPC_TLS_OF_SERVERS if settings.server else DISABLED
    listeners = {
        name: getattr(ports, name) for name in ("dns", "http", "https", "grpc", "serf_wan")
    }
    listeners["grpc_tls"] = grpc_tls
    return msgspec.structs.replace(
        ports, **{name: port if port > 0 else DISABLED for name, port in listeners.items()}
    )


def _plans(settings: Settings, found: Findings) -> list[Watch]:
    plans = []
    for index, tree in enumerate(settings.watches):
        try:
            plans.append(watch(tree))
        except WatchError as error:
            found.problems.append(f"watches[{index}]: {error}")
    return plans
