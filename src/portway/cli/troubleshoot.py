"""``troubleshoot``: what a server can be reached by."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor

import click

from portway.cli.command import command, fail, flag, group

_PORTS = "8600,8500,8501,8502,8503,8301,8302,8300"
_PATIENCE = 5.0  # seconds


@command("ports", api=False)
@flag("host", str, "Name or address of the server.", env="CONSUL_HTTP_ADDR")
@flag("ports", str, "Ports to try, with commas between them.", default=_PORTS)
def ports(args: tuple[str, ...], host: str, ports: str) -> None:
    """Try which TCP ports of a server are open: without -ports those it has by default."""
    del args
    if not host:
        fail("-host is required. or set environment variable CONSUL_HTTP_ADDR")
    chosen = (ports or _PORTS).split(",")
    with ThreadPoolExecutor(len(chosen)) as pool:
        for port, reached in zip(
            chosen, pool.map(lambda p: _reached(host, p), chosen), strict=True
        ):
            said = "is open" if reached else "is closed, unreachable, or the connection timed out"
            click.echo(f"TCP: Port {port} on {host} {said}.")


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
