"""Where a container's server is reached: network, port and published-port rules."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from portway.edge.providers.docker.container import Container


class Address(NamedTuple):
    """A host (IP or name) and a TCP port."""

    host: str
    port: int

    @property
    def authority(self) -> str:
        """The form a URL uses, IPv6 addresses in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class AddressError(ValueError):
    """A container whose server cannot be reached as described; the text says why."""


class AddressRules(NamedTuple):
    """The provider's options that decide addresses."""

    network: str = ""
    use_bind_port_ip: bool = False
    host_address: str = "127.0.0.1"  # of the Docker host, for containers in its network


Lookup = Callable[[str], Container | None]  # by id or name


def find_address(
    container: Container,
    port: str,
    network_label: str,
    rules: AddressRules,
    lookup: Lookup,
) -> Address:
    """The address of the server behind a container.

    ``port`` is what the labels say, empty for the lowest exposed one (a TCP port if there is
    any). ``network_label`` names the Docker network to use and wins over the provider's.
    ``lookup`` finds the container whose network another one shares. Raises AddressError.
    """
    number = _port(container, port)
    if rules.use_bind_port_ip:
        bindings = [
            binding
            for exposed, found in container.ports.items()
            if exposed.number == number
            for binding in found
        ]
        # An unspecified address means every address of a host we do not know.
        if bindings and bindings[0].ip not in ("", "0.0.0.0", "::"):  # noqa: S104
            return Address(bindings[0].ip, bindings[0].port)
    host = _host(container, network_label or rules.network, rules, lookup, 0)
    if not host:
        raise AddressError(
            f"unable to find the IP address for the container {container.name!r}: "
            "it is connected to no network"
        )
    if number is None:
        raise AddressError(
            "port is missing: the container exposes none; set the label "
            "traefik.http.services.<name>.loadbalancer.server.port"
        )
    return Address(host, number)


def unknown_network(container: Container, wanted: str) -> str | None:
    """The warning for a network name the container is not connected to."""
    own = container.networks
    if not wanted or wanted in own or not own or container.network_mode == "host":
        return None
    connected = ", ".join(sorted(own))
    hint = next((name for name in sorted(own) if name.endswith(f"_{wanted}")), None)
    advice = f"did you mean {hint!r} (with the project's prefix)?" if hint else "using the first"
    return (
        f"container {container.name!r}: it is not connected to network {wanted!r}, "
        f"only to {connected}; {advice}"
    )


def _port(container: Container, port: str) -> int | None:
    if port:
        if not re.fullmatch("[0-9]{1,5}", port) or not 0 < int(port) < 65536:
            raise AddressError(f"{port!r} is not a port; write a number from 1 to 65535")
        return int(port)
    tcp = [exposed.number for exposed in container.ports if exposed.protocol == "tcp"]
    return min(tcp or [exposed.number for exposed in container.ports], default=None)


def _host(
    container: Container, network: str, rules: AddressRules, lookup: Lookup, depth: int
) -> str:
    if network and (address := container.networks.get(network)):
        return address
    mode = container.network_mode
    if mode == "host":
        return rules.host_address
    if mode.startswith("container:") and depth < 4:
        other = lookup(mode.removeprefix("container:"))
        if other is None:
            return ""
        label = other.labels.get("traefik.docker.network", "")
        return _host(other, label or network, rules, lookup, depth + 1)
    # Several networks and none chosen: the first by name, so that it is always the same.
    return next((ip for _, ip in sorted(container.networks.items()) if ip), "")
