"""The static configuration: what Portway is told before it starts."""

from portway.edge.static.address import Address
from portway.edge.static.load import Loaded, load
from portway.edge.static.options import (
    API,
    Core,
    Docker,
    EntryPoint,
    EntryPointObservability,
    File,
    ForwardedHeaders,
    Log,
    Ping,
    Providers,
    ServersTransport,
    Static,
)

__all__ = [
    "API",
    "Address",
    "Core",
    "Docker",
    "EntryPoint",
    "EntryPointObservability",
    "File",
    "ForwardedHeaders",
    "Loaded",
    "Log",
    "Ping",
    "Providers",
    "ServersTransport",
    "Static",
    "load",
]
