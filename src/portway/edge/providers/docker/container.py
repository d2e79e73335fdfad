"""A container as Docker's inspect call describes it, reduced to what routing needs."""

from __future__ import annotations

import re
import signal
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from portway.edge.providers.naming import normalize

COMPOSE_PROJECT = "com.docker.compose.project"
COMPOSE_SERVICE = "com.docker.compose.service"
DEFAULT_STOP_TIMEOUT = 10.0  # seconds Docker waits between the stop signal and SIGKILL

# A container that gets one of these is on its way out, whatever its own stop signal is.
_DEADLY = frozenset({signal.SIGKILL, signal.SIGTERM, signal.SIGINT})


class Port(NamedTuple):
    """An exposed port."""

    number: int
    protocol: str  # "tcp", "udp" or "sctp"


class Binding(NamedTuple):
    """Where a port is published on the host."""

    ip: str
    port: int


class Container(msgspec.Struct, frozen=True, kw_only=True):
    """What routing needs to know of a container."""

    id: str
    name: str  # without the leading slash
    labels: dict[str, str]
    status: str  # created, running, paused, restarting, removing, exited, dead
    health: str = ""  # starting, healthy, unhealthy; empty without a health check
    network_mode: str = ""
    networks: dict[str, str] = {}  # network name -> address, IPv4 if there is one
    ports: dict[Port, tuple[Binding, ...]] = {}
    stop_signal: int = signal.SIGTERM
    stop_timeout: float = DEFAULT_STOP_TIMEOUT
    started_at: str = ""  # changes with every start

    @property
    def running(self) -> bool:
        """Whether its processes run; a paused container's do not."""
        return self.status == "running"

    @property
    def unhealthy(self) -> bool:
        """Whether it has a health check that does not say healthy (yet)."""
        return self.health not in ("", "none", "healthy")

    @property
    def default_name(self) -> str:
        """The name of objects its labels do not name: compose service and project, or its own."""
        service, project = self.labels.get(COMPOSE_SERVICE), self.labels.get(COMPOSE_PROJECT)
        if service is not None and project is not None:
            return normalize(f"{service}_{project}")
        return normalize(self.name)

    def stops_on(self, number: int) -> bool:
        """Whether getting the signal ``number`` means that it is going to end."""
        return number == self.stop_signal or number in _DEADLY


def parse_container(inspected: Mapping[str, Any]) -> Container:
    """Read the answer of ``GET /containers/{id}/json`` (Docker or Podman)."""
    state = inspected.get("State") or {}
    config = inspected.get("Config") or {}
    network = inspected.get("NetworkSettings") or {}
    return Container(
        id=inspected["Id"],
        name=(inspected.get("Name") or "").removeprefix("/"),
        labels=config.get("Labels") or {},
        status=_status(state),
        health=((state.get("Health") or {}).get("Status") or "").lower(),
        network_mode=(inspected.get("HostConfig") or {}).get("NetworkMode") or "",
        networks={
            name: (found or {}).get("IPAddress") or (found or {}).get("GlobalIPv6Address") or ""
            for name, found in (network.get("Networks") or {}).items()
        },
        ports=_ports(network.get("Ports") or {}),
        stop_signal=parse_signal(config.get("StopSignal")) or signal.SIGTERM,
        stop_timeout=float(config.get("StopTimeout") or DEFAULT_STOP_TIMEOUT),
        started_at=str(state.get("StartedAt") or ""),
    )


def parse_signal(text: object) -> int | None:
    """A signal's number from ``15``, ``SIGTERM``, ``term`` or ``RTMIN+3``; None if it is none."""
    name = str(text or "").strip().upper()
    if name.isdecimal():
        return int(name)
    match = re.fullmatch(r"(?:SIG)?([A-Z][A-Z0-9]*)(?:([+-])(\d{1,2}))?", name)
    if match is None or f"SIG{match[1]}" not in signal.Signals.__members__:
        return None
    offset = int(f"{match[2]}{match[3]}") if match[2] else 0
    return signal.Signals[f"SIG{match[1]}"].value + offset


def _status(state: Mapping[str, Any]) -> str:
    status = str(state.get("Status") or "").lower()
    if state.get("Paused"):
        return "paused"
    return status or ("running" if state.get("Running") else "exited")


def _ports(found: Mapping[str, Any]) -> dict[Port, tuple[Binding, ...]]:
    ports: dict[Port, tuple[Binding, ...]] = {}
    for text, bindings in found.items():
        number, _, protocol = text.partition("/")
        if not number.isdecimal():
            continue
        ports[Port(int(number), (protocol or "tcp").lower())] = tuple(
            Binding(b.get("HostIp") or "", int(b["HostPort"]))
            for b in bindings or ()
            if str(b.get("HostPort") or "").isdecimal()
        )
    return ports
