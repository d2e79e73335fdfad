"""Rows of the catalog and health API, as JSON shows them.

The kinds here are also what ``?filter=`` selects from.
"""

from __future__ import annotations

from collections.abc import Iterable

from portway.discovery.api.answer import encode
from portway.discovery.model import (
    Check,
    Connect,
    Locality,
    Node,
    Proxy,
    Service,
    ServiceAddress,
    ServiceKind,
    ServicePort,
    Weights,
    Wire,
)
from portway.discovery.state import Host, Instance


class NodeRow(Wire):
    """A node as answers show it: with its datacenter."""

    id: str
    node: str
    address: str
    datacenter: str
    tagged_addresses: dict[str, str] | None
    meta: dict[str, str] | None
    locality: Locality | None = None
    create_index: int = 0
    modify_index: int = 0
    peer_name: str = ""


class ServiceNode(Wire, kw_only=True):
    """An instance of a service together with its node, as the catalog lists it."""

    id: str
    node: str
    address: str
    datacenter: str
    tagged_addresses: dict[str, str] | None
    node_meta: dict[str, str] | None
    service_kind: ServiceKind
    service_id: str
    service_name: str
    service_tags: list[str]
    service_address: str
    service_tagged_addresses: dict[str, ServiceAddress] | None = None
    service_weights: Weights
    service_meta: dict[str, str]
    service_port: int
    service_ports: list[ServicePort] | None
    service_socket_path: str
    service_enable_tag_override: bool
    service_proxy: Proxy
    service_connect: Connect
    service_locality: Locality | None
    peer_name: str = ""
    create_index: int = 0
    modify_index: int = 0


class ServiceEntry(Wire):
    """An instance of a service with its node and the checks that decide its health."""

    node: NodeRow
    service: Service
    checks: list[Check]


def node_row(node: Node, datacenter: str) -> NodeRow:
    """A node as answers show it."""
    return NodeRow(
        node.id,
        node.node,
        node.address,
        datacenter,
        node.tagged_addresses,
        node.meta,
        node.locality,
        node.create_index,
        node.modify_index,
    )


def service_node(instance: Instance, datacenter: str) -> ServiceNode:
    """An instance as the catalog lists it; here metadata is never ``null``."""
    node, service = instance.node, instance.service
    return ServiceNode(
        id=node.id,
        node=node.node,
        address=node.address,
        datacenter=datacenter,
        tagged_addresses=node.tagged_addresses,
        node_meta=node.meta,
        service_kind=service.kind,
        service_id=service.id,
        service_name=service.service,
        service_tags=service.tags,
        service_address=service.address,
        service_tagged_addresses=service.tagged_addresses,
        service_weights=service.weights,
        service_meta=service.meta or {},
        service_port=service.port,
        service_ports=service.ports,
        service_socket_path=service.socket_path,
        service_enable_tag_override=service.enable_tag_override,
        service_proxy=service.proxy,
        service_connect=service.connect,
        service_locality=service.locality,
        create_index=service.create_index,
        modify_index=service.modify_index,
    )


def service_entry(instance: Instance, datacenter: str) -> ServiceEntry:
    """An instance as the health API lists it."""
    return ServiceEntry(
        node_row(instance.node, datacenter), instance.service, instance.all_checks()
    )


def render_node(instance: Instance, datacenter: str) -> bytes:
    """``service_node`` as JSON."""
    return encode(service_node(instance, datacenter))


def render_entry(instance: Instance, datacenter: str) -> bytes:
    """``service_entry`` as JSON, kept with the instance until it or a check of it changes."""
    body = instance.cache
    if body is None:
        body = instance.cache = encode(service_entry(instance, datacenter))
    return body


def render_checks(host: Host) -> bytes:
    """All checks of a node as JSON, kept with it until one changes; a list without brackets."""
    body = host.cache
    if body is None:
        body = host.cache = encode(host.all_checks())[1:-1]
    return body


def json_list(rows: Iterable[bytes]) -> bytes:
    """A JSON list of rows, or of runs of them, that are JSON already; empty ones are none."""
    return b"[" + b",".join(filter(None, rows)) + b"]"
