"""Services to records: who is shown, under which address, port, weight and name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain

from portway.discovery.dns.addresses import Address, service_address
from portway.discovery.dns.found import Ask
from portway.discovery.dns.name import Query
from portway.discovery.dns.records import (
    AAAA,
    ANY,
    A,
    Group,
    Record,
    address_record,
    hex_name,
    is_name,
    srv_record,
    text_records,
)
from portway.discovery.dns.settings import DnsSettings, Labels, labels_of
from portway.discovery.model import PASSING, WARNING, Node
from portway.discovery.state import Instance, worst

Follow = Callable[[Ask, Labels, int, Group], list[Record]]
"""The address records of a name that is a target; others than ours are left to the group."""


def find_services(ask: Ask, query: Query) -> list[Instance]:
    """The instances of a service that are well enough and may be seen."""
    catalog, authorizer = ask.world.catalog, ask.world.authorizer
    read = catalog.read_connect if query.form == "connect" else catalog.read_service
    instances: Sequence[Instance] = ask.found.read(read(query.name))
    if query.tag:
        instances = [one for one in instances if _has_tag(one, query.tag)]
    usable = (PASSING,) if ask.settings.only_passing else (PASSING, WARNING)
    healthy = [one for one in instances if _status(one) in usable]
    if authorizer.unrestricted:
        return healthy
    return [
        one
        for one in healthy
        if authorizer.allows("service", "read", one.service.service)
        and authorizer.allows("node", "read", one.node.node)
    ]


def _has_tag(instance: Instance, tag: str) -> bool:
    return any(each.lower() == tag for each in instance.service.tags)


def _status(instance: Instance) -> str:
    """The worst status of the checks; their order, which ``Instance`` keeps, costs too much."""
    on_node = (check for check in instance.host.checks.values() if not check.service_id)
    return worst(chain(on_node, instance.checks.values()))


def address_groups(ask: Ask, instances: list[Instance], ttl: int) -> Labels | None:
    """Add the addresses, each once; returns a name when some instance has that instead."""
    seen: set[bytes] = set()
    alias: Labels | None = None
    for instance in instances:
        address, _ = service_address(instance, ask.kind, ask.question.labels)
        if isinstance(address, bytes):
            if address not in seen and asks_for(ask.kind, address):
                seen.add(address)
                ask.found.groups.append(Group([address_record(None, ttl, address)]))
        elif address and alias is None:
            alias = address
    return alias


def asks_for(kind: int, address: bytes) -> bool:
    """Whether a question of a type is one for an address of this family."""
    return kind in (ANY, A if len(address) == 4 else AAAA)


def srv_groups(
    ask: Ask, instances: list[Instance], port_name: str, ttl: int, follow: Follow
) -> None:
    """Add the SRV records, each with the addresses of its target and the node's metadata."""
    settings, domain = ask.settings, ask.found.domain
    seen: set[tuple[str, Address, int]] = set()
    for instance in instances:
        number = port(instance, port_name)
        address, of_node = service_address(instance, ask.kind, ask.question.labels)
        key = (instance.node.node, address, number)
        if not address or key in seen:
            continue
        seen.add(key)
        weight = _weight(instance)
        if isinstance(address, bytes):
            target = node_name(instance.node, settings, domain)
            if not of_node or not is_name(target):
                target = hex_name(address, settings.datacenter, domain)
            group = Group([srv_record(ttl, weight, number, target)])
            group.extras.append(address_record(target, ttl, address))
        else:
            group = Group([srv_record(ttl, weight, number, address)], ttl=ttl)
            for kind in (A, AAAA):
                group.extras += follow(ask, address, kind, group)
        if settings.enable_additional_node_meta_txt:
            owner = node_name(instance.node, settings, domain)
            if is_name(owner):
                group.extras += text_records(owner, ttl, instance.node.meta)
        ask.found.groups.append(group)


def node_name(node: Node, settings: DnsSettings, domain: Labels) -> Labels:
    """The name of a node; it may not fit the wire."""
    return (*labels_of(node.node), b"node", settings.datacenter.encode(), *domain)


def port(instance: Instance, name: str) -> int:
    """The named port, or without a name the service's one; 0 is none."""
    service = instance.service
    ports = service.ports or ()
    if name:
        return next((each.port for each in ports if each.name.lower() == name), 0)
    if service.port or not ports:
        return service.port
    return next((each.port for each in ports if each.default), ports[0].port)


def _weight(instance: Instance) -> int:
    weights = instance.service.weights
    match _status(instance):
        case "passing":
            return weights.passing
        case "warning":
            return weights.warning
    return 0
