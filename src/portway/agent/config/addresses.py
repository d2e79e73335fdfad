"""Where the agent listens: ``addresses``, ``ports``, ``unix_sockets``."""

from __future__ import annotations

from portway.agent.config.block import Block

DISABLED = -1  # the port of a listener that is not opened


class Addresses(Block):
    """Addresses of single listeners, in the place of ``client_addr``.

    Each holds several addresses or ``unix://`` paths separated by spaces, or a template.
    """

    dns: str = ""
    http: str = ""
    https: str = ""
    grpc: str = ""
    grpc_tls: str = ""


class Ports(Block):
    """Ports of the listeners; 0 and -1 disable one."""

    dns: int = 8600
    http: int = 8500
    https: int = DISABLED
    grpc: int = DISABLED
    grpc_tls: int | None = None  # 8503 on servers, else disabled
    serf_lan: int = 8301
    serf_wan: int = 8302
    server: int = 8300
    proxy_min_port: int = 20000  # of the managed proxies of old; has no effect
    proxy_max_port: int = 20255
    sidecar_min_port: int = 21000  # of sidecars registered without a port
    sidecar_max_port: int = 21255
    expose_min_port: int = 21500  # of checks and paths exposed by proxies
    expose_max_port: int = 21755


class UnixSockets(Block):
    """Owner and mode of the sockets that ``unix://`` addresses make."""

    user: str = ""  # a name or number; "" leaves the agent's own
    group: str = ""
    mode: str = ""  # octal, such as "0660"
