"""Runtime objects: the configuration as it is in force, with status, errors and users."""

from __future__ import annotations

from typing import Literal

import msgspec

from portway.edge.dynamic import Middleware, Router, ServersTransport, Service

Status = Literal["enabled", "warning", "disabled"]


class RouterInfo(msgspec.Struct):
    """A router in force; names in ``config.middlewares`` are qualified with @provider."""

    name: str  # name@provider
    config: Router
    priority: int = 0  # effective
    status: Status = "enabled"
    errors: list[str] = []
    using: list[str] = []  # entry points it is attached to
    service: str = ""  # qualified name@provider of the service


class ServiceInfo(msgspec.Struct):
    """A service in force."""

    name: str
    config: Service
    status: Status = "enabled"
    errors: list[str] = []
    used_by: list[str] = []  # routers, name@provider


class MiddlewareInfo(msgspec.Struct):
    """A middleware in force."""

    name: str
    config: Middleware
    type: str = ""  # as configured: "stripPrefix"
    status: Status = "enabled"
    errors: list[str] = []
    used_by: list[str] = []


class TransportInfo(msgspec.Struct):
    """A servers transport in force."""

    name: str
    config: ServersTransport
    errors: list[str] = []


class Runtime(msgspec.Struct):
    """Everything in force, by qualified name. The API shows this; the compiler reads it."""

    routers: dict[str, RouterInfo] = {}
    services: dict[str, ServiceInfo] = {}
    middlewares: dict[str, MiddlewareInfo] = {}
    transports: dict[str, TransportInfo] = {}
    problems: dict[str, list[str]] = {}  # provider -> standing problems
