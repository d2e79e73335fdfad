"""``troubleshoot``: what a server can be reached by."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import click

from portway.cli.command import command, fail, flag, group

PORTS = "8600,8500,8501,8502,8503,8301,8302,8300"
"""What a server listens on by default."""

_PATIENCE = 5.0  # seconds


@command("ports", api=False)
@flag("host", str, "Name or address of the server.", env="CONSUL_HTTP_ADDR")
@flag("ports", str, "Ports to try, with commas between them.", default=PORTS)
def ports(args: tuple[str, ...], host: str, ports: str) -> None:
    """Try which TCP ports of a server are open: without -ports those it has by default."""
    del args
    if not host:
        fail("-host is required. or set environment variable CONSUL_HTTP_ADDR")
    for port, is_open in tried(host, (ports or PORTS).split(",")).items():
        said = "is open" if is_open else "is closed, unreachable, or the connection timed out"
        click.echo(f"TCP: Port {port} on {host} {said}.")


def tried(host: str, ports: Sequence[str]) -> dict[str, bool]:
    """Which TCP ports of a host can be connected to within some seconds, all tried at once."""
    with ThreadPoolExecutor(len(ports)) as pool:
        return dict(zip(ports, pool.map(lambda port: _reached(host, port), ports), strict=True))


def _reached(host: str, port: str) -> bool:
    if not port.isdecimal() or int(port) > 65535:
        return False
    try:
        socket.create_connection((host, int(port)), _PATIENCE).close()
    except (OSError, UnicodeError):
        return False
    return True


troubleshoot = group(
    "troubleshoot",
    "Find out why a server cannot be reached.",
    {
        "ports": ("portway.cli.troubleshoot:ports", "Try which ports of a server are open."),
        "proxy": ("portway.cli.unsupported:command", "Not here: the mesh."),
        "upstreams": ("portway.cli.unsupported:command", "Not here: the mesh."),
    },
)
