"""From a definition to what the catalog holds: identifiers, defaults, and what is refused.

The rules and texts are those of Consul's agent. Everything here is pure.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address
from typing import Any, NamedTuple, get_args

import msgspec

from portway.discovery.checks.result import CheckError
from portway.discovery.checks.validation import check_type, validate
from portway.discovery.model import (
    CRITICAL,
    Check,
    CheckDefinition,
    CheckRun,
    Connect,
    Proxy,
    ProxyDefinition,
    Service,
    ServiceAddress,
    ServiceDefinition,
    ServiceKind,
    Weights,
    plain_proxy,
)
from portway.discovery.model.catalog import Expose, MeshGateway
from portway.discovery.operations.service_rules import (
    ANY_ADDRESS,
    meta_problem,
    multierror,
    problems_of,
)

_KINDS = get_args(ServiceKind)
_STATUSES = ("passing", "warning", "critical")
_MOST_WEIGHT = 65535


class RegistrationError(Exception):
    """A definition that cannot be registered; the API answers with the status and the message."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


class RegisteredCheck(NamedTuple):
    """A check as the catalog shows it, and how it runs: with the ID, name and service it has."""

    check: Check
    definition: CheckDefinition


class Registered(NamedTuple):
    """A service and its checks, ready for the local state."""

    service: Service
    checks: list[RegisteredCheck]


def register_service(
    definition: ServiceDefinition, node: str, *, sidecar: bool = False
) -> Registered:
    """The service, which may be the ``sidecar`` of another, and its checks.

    Raises RegistrationError.
    """
    d = definition
    if not d.name:
        raise RegistrationError("Missing service name")
    if d.address in ANY_ADDRESS:
        raise RegistrationError("Invalid service address")
    if d.kind not in _KINDS:
        known = ", ".join(repr(kind) for kind in _KINDS if kind)
        raise RegistrationError(f"Validation failed: Invalid Kind {d.kind!r}; it may be {known}")
    weights = d.weights or Weights()
    _check_weights(weights)
    problem = meta_problem(d.meta, gateway=d.kind == "mesh-gateway")
    if problem:
        subject = "SidecarService" if sidecar else "Service Meta"
        raise RegistrationError(f"Invalid {subject}: {problem}")
    service = Service(
        kind=d.kind,  # type: ignore[arg-type]  # it is one of _KINDS
        id=d.id or d.name,
        service=d.name,
        tags=list(d.tags),
        address=d.address,
        tagged_addresses=_tagged_addresses(d) or None,
        meta=dict(d.meta) or None,
        port=d.port,
        ports=list(d.ports) or None,
        socket_path=d.socket_path,
        weights=weights,
        enable_tag_override=d.enable_tag_override,
        locality=d.locality,
        proxy=_proxy(d.proxy),
        connect=Connect(native=bool(d.connect and d.connect.native)),
        peer_name="",
    )
    problems = [*problems_of(service), *_sidecar_problems(service, d)]
    if problems:
        failed = "Failed Validation" if sidecar else "Validation failed"
        raise RegistrationError(f"{failed}: {multierror(problems)}")
    definitions = [*([] if d.check in (None, CheckDefinition()) else [d.check]), *d.checks]
    for one in definitions:
        _validate(one, " in sidecar_service" if sidecar else "")
    if service.ports and d.connect is not None and d.connect.sidecar_service is not None:
        raise RegistrationError("MultiPort cannot be used with Consul Connect.")
    checks = [
        _service_check(one, service, node, position, len(definitions))
        for position, one in enumerate(definitions, 1)
    ]
    return Registered(service, checks)


def register_check(
    definition: CheckDefinition, node: str, service: Service | None
) -> RegisteredCheck:
    """A check registered on its own; ``service`` is the one it names. Raises RegistrationError."""
    d = definition
    check_id = d.check_id or d.id or d.name
    if not check_id:
        raise RegistrationError("Missing check name")
    _check_status(d.status, "Bad check status")
    _validate(d)
    return _check(d, check_id, d.name or check_id, node, service)


def _service_check(
    d: CheckDefinition, service: Service, node: str, position: int, count: int
) -> RegisteredCheck:
    _check_status(d.status, "Status for checks must 'passing', 'warning', 'critical'")
    check_id = d.check_id or d.id
    if not check_id:
        check_id = f"service:{service.id}" + (f":{position}" if count > 1 else "")
    name = d.name or f"Service '{service.service}' check"
    return as_of_service(_check(d, check_id, name, node, service))


def as_of_service(registered: RegisteredCheck) -> RegisteredCheck:
    """A check as one that came with its service shows itself: without times that are none."""
    check, d = registered
    interval, timeout = (str(time) if time else "" for time in (d.interval, d.timeout))
    shown = msgspec.structs.replace(check, interval=interval, timeout=timeout)
    return RegisteredCheck(shown, d)


def _check(
    d: CheckDefinition, check_id: str, name: str, node: str, service: Service | None
) -> RegisteredCheck:
    service_id = service.id if service else ""
    check = Check(
        node=node,
        check_id=check_id,
        name=name,
        status=d.status or CRITICAL,  # type: ignore[arg-type]  # checked before
        notes=d.notes,
        output="",
        service_id=service_id,
        service_name=service.service if service else "",
        service_tags=list(service.tags) if service else [],
        type=check_type(d),
        interval=str(d.interval),
        timeout=str(d.timeout),
        exposed_port=0,
        definition=CheckRun(),
    )
    own = msgspec.structs.replace(d, id="", check_id=check_id, name=name, service_id=service_id)
    return RegisteredCheck(check, own)


def _validate(d: CheckDefinition, where: str = "") -> None:
    try:
        validate(d)
    except CheckError as error:
        raise RegistrationError(f"Invalid check{where}: {error}") from None


def _check_status(status: str, message: str) -> None:
    if status and status not in _STATUSES:
        raise RegistrationError(message)


def _check_weights(weights: Weights) -> None:
    if weights.passing < 1:
        raise RegistrationError("Invalid Weights: Passing must be greater than 0")
    if weights.warning < 0:
        raise RegistrationError("Invalid Weights: Warning must be greater or equal than 0")
    if max(weights.passing, weights.warning) > _MOST_WEIGHT:
        raise RegistrationError("Invalid Weights: DNS Weight must be between 0 and 65535")


def _sidecar_problems(service: Service, d: ServiceDefinition) -> Iterator[str]:
    sidecar = d.connect.sidecar_service if d.connect else None
    if sidecar is None:
        return
    if service.kind.endswith("-gateway"):
        yield f"A {service.kind} cannot have a sidecar service defined"
    if sidecar.id:
        yield "A SidecarService cannot specify an ID as this is managed by the agent"
    if sidecar.connect is not None and sidecar.connect.sidecar_service is not None:
        yield "A SidecarService cannot have a nested SidecarService"


def _tagged_addresses(d: ServiceDefinition) -> dict[str, ServiceAddress]:
    tagged = dict(d.tagged_addresses)
    for tag, address in tagged.items():
        for family, version in (("_ipv4", 4), ("_ipv6", 6)):
            if tag in (f"lan{family}", f"wan{family}") and _version(address.address) != version:
                raise RegistrationError(
                    f'Service tagged address "{tag}" must be a valid ipv{version} address', 500
                )
    version = _version(d.address)
    if version:
        port = next((one.port for one in d.ports if one.default), d.port)
        own = ServiceAddress(address=d.address, port=port)
        tagged.setdefault(f"lan_ipv{version}", own)
        tagged.setdefault(f"wan_ipv{version}", own)
    return tagged


def _version(address: str) -> int:
    try:
        return ip_address(address).version
    except ValueError:
        return 0


def _proxy(d: ProxyDefinition | None) -> Proxy:
    if d is None:
        return plain_proxy()
    fields: dict[str, Any] = {name: getattr(d, name) for name in d.__struct_fields__}
    fields["mesh_gateway"] = d.mesh_gateway or MeshGateway()
    fields["expose"] = d.expose or Expose()
    fields["upstreams"] = [
        one if one.destination_type else msgspec.structs.replace(one, destination_type="service")
        for one in d.upstreams
    ]
    for name, known in (
        ("mode", ("", "transparent", "direct")),
        ("mutual_tls_mode", ("", "strict", "permissive")),
    ):
        if fields[name] not in known:
            shown = ", ".join(repr(one) for one in known if one)
            raise RegistrationError(
                f"Validation failed: Invalid Proxy.{name}: {fields[name]!r}; it may be {shown}"
            )
    return msgspec.structs.replace(plain_proxy(), **fields)
