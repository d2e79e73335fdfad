"""What a question asks for to the records of its answer. Pure: reads the state, writes nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import chain, islice
from random import sample
from typing import NamedTuple, Protocol

from portway.discovery.acl import Authorizer
from portway.discovery.dns.addresses import Address, host_address, read_address, service_address
from portway.discovery.dns.name import (
    Query,
    is_reverse,
    parse_address,
    parse_name,
    parse_reverse,
    split_domain,
)
from portway.discovery.dns.records import (
    AAAA,
    ANY,
    CNAME,
    NS,
    PTR,
    SOA,
    SRV,
    TXT,
    A,
    Group,
    Record,
    address_record,
    hex_name,
    is_name,
    soa_record,
    srv_record,
    text_records,
)
from portway.discovery.dns.request import NXDOMAIN
from portway.discovery.dns.settings import MAX_TTL, DnsSettings, Labels, labels_of
from portway.discovery.model import PASSING, WARNING, Node
from portway.discovery.state import Catalog, Instance, Reading, Topic, worst

SERVERS = "consul"  # the service that every server registers
_MOST_SERVERS = 3
_DEPTH = 3  # of names that stand for names
_MOST_FOLLOWED = 64  # records of a name that another stands for
_VIRTUAL = "consul-virtual"


class Executed(NamedTuple):
    """What a prepared query found, in the order to be answered."""

    instances: list[Instance]
    ttl: int | None
    """Seconds, when the query sets them."""


class Queries(Protocol):
    """Where prepared queries are executed."""

    def execute(self, name: str, source: str, authorizer: Authorizer) -> Executed | None:
        """Execute a query by name or ID for a client's address; ``None`` when there is none."""


class World(NamedTuple):
    """All an answer depends on."""

    catalog: Catalog
    settings: DnsSettings
    authorizer: Authorizer
    queries: Queries | None
    now: int
    """Unix time in seconds."""


class Question(NamedTuple):
    """What is asked. ``labels`` are in lower case."""

    labels: Labels
    kind: int
    source: str = ""
    """The client's address, for prepared queries."""


@dataclass(slots=True)
class Found:
    """The records of an answer, and what they were read from."""

    domain: Labels
    """Ours that the name is in; its SOA record says so when there is nothing."""
    groups: list[Group] = field(default_factory=list)
    authority: list[Record] = field(default_factory=list)
    glue: list[Record] = field(default_factory=list)
    """Additional records that belong to no record of the answer."""
    code: int = 0
    shuffled: bool = True
    """The order means nothing: it is to be another one every time."""
    most: int = 0
    """Most groups of an answer; 0 is no limit."""
    fixed: bool = True
    """Everybody gets the same until one of the topics changes."""
    topics: list[tuple[Topic, int]] = field(default_factory=list)
    """Each with its index at the time of reading."""
    elsewhere: bool = False
    """Recursors may know better."""

    def read(self, reading: Reading[list[Instance]]) -> list[Instance]:
        """Remember what was read."""
        self.watch(*reading.topics)
        return reading.value

    def watch(self, *topics: Topic) -> None:
        """Remember that the answer depends on topics."""
        self.topics += [(topic, topic.index) for topic in topics]


def look_up(question: Question, world: World, depth: int = _DEPTH) -> Found | None:
    """Answer a question; ``None`` when it is for none of our domains.

    At most ``depth`` names are followed that stand for others.
    """
    settings = world.settings
    if is_reverse(question.labels):
        return _reverse(question, world)
    split = split_domain(question.labels, settings.domains)
    if split is None:
        return None
    before, domain = split
    found = Found(domain)
    if question.kind in (SOA, NS):
        _servers(question, world, found)
        return found
    query = parse_name(before, question.kind)
    if query is None or not _is_here(query, settings):
        found.code = NXDOMAIN
        return found
    match query.form:
        case "node":
            _node(query, question, world, found, depth)
        case "addr":
            _address(query, question, world, found)
        case "virtual":
            _virtual(query, question, world, found)
        case "service" | "connect" | "query":
            _instances(query, question, world, found, depth)
        case "ingress":
            found.code = NXDOMAIN  # gateways are part of the mesh: without it there are none
        case "apex":
            pass
    return found


def _is_here(query: Query, settings: DnsSettings) -> bool:
    """Whether the place is ours: there are no other datacenters and no peers."""
    place = query.datacenter or query.place
    return not query.peer and place in ("", settings.datacenter.lower())


def _instances(query: Query, question: Question, world: World, found: Found, depth: int) -> None:
    settings = world.settings
    if query.form == "query":
        executed = None
        if world.queries is not None:
            executed = world.queries.execute(query.name, question.source, world.authorizer)
        found.shuffled = found.fixed = False
        instances, given = executed or ([], None)
    else:
        instances = _services(query, world, found)
        given = None
    if query.port:
        instances = [one for one in instances if _port(one, query.port)]
    if not instances:
        found.code = NXDOMAIN
        return
    ttl = given
    if ttl is None or not 0 <= ttl <= MAX_TTL:
        ttl = settings.ttl_of_service(instances[0].service.service)
    if question.kind == SRV:
        _srv(instances, query.port, ttl, question, world, found, depth)
    else:
        _addresses(instances, ttl, question, world, found, depth)


def _services(query: Query, world: World, found: Found) -> list[Instance]:
    catalog, allows = world.catalog, world.authorizer.allows
    if query.form == "connect":
        instances = found.read(catalog.read_connect(query.name))
    else:
        instances = found.read(catalog.read_service(query.name))
    if query.tag:
        tag = query.tag
        instances = [
            one for one in instances if any(each.lower() == tag for each in one.service.tags)
        ]
    usable = (PASSING,) if world.settings.only_passing else (PASSING, WARNING)
    return [
        one
        for one in instances
        if _status(one) in usable
        and (
            world.authorizer.unrestricted
            or (
                allows("service", "read", one.service.service)
                and allows("node", "read", one.node.node)
            )
        )
    ]


def _addresses(
    instances: list[Instance],
    ttl: int,
    question: Question,
    world: World,
    found: Found,
    depth: int,
) -> None:
    seen: set[bytes] = set()
    alias: Labels | None = None
    for instance in instances:
        address = service_address(instance, question.kind, question.labels)
        if isinstance(address, bytes):
            if address not in seen and _asks_for(question.kind, address):
                seen.add(address)
                found.groups.append(Group([address_record(None, ttl, address)]))
        elif address and alias is None:
            alias = address
    found.most = world.settings.a_record_limit
    if not found.groups and alias is not None:
        found.most = 0
        _alias(alias, ttl, question, world, found, depth)


def _alias(
    alias: Labels, ttl: int, question: Question, world: World, found: Found, depth: int
) -> None:
    group = Group([Record(None, CNAME, ttl, target=alias)])
    if question.kind in (A, AAAA, ANY):
        records = _follow(alias, question.kind, group, world, found, depth)
        group.answers += [record._replace(ttl=ttl) for record in records]
    found.groups.append(group)


def _follow(
    name: Labels, kind: int, group: Group, world: World, found: Found, depth: int
) -> list[Record]:
    """The addresses of a name: ours are looked up here, others are left to the group."""
    if depth < 1:
        return []
    lower = tuple(label.lower() for label in name)
    inner = look_up(Question(lower, kind), world, depth - 1)
    if inner is None:
        group.follow = name
        return []
    found.topics += inner.topics
    # A frozen order would send everybody to the first one.
    found.fixed = found.fixed and inner.fixed and len(inner.groups) < 2
    order = sample(inner.groups, len(inner.groups)) if inner.shuffled else inner.groups
    for one in order:
        group.follow = group.follow or one.follow
    records = (record for one in order for record in one.answers)
    return [
        record._replace(owner=name if record.owner is None else record.owner)
        for record in islice(records, _MOST_FOLLOWED)
        if record.kind in (A, AAAA, CNAME)
    ]


def _srv(
    instances: list[Instance],
    port_name: str,
    ttl: int,
    question: Question,
    world: World,
    found: Found,
    depth: int,
) -> None:
    seen: set[tuple[str, Address, int]] = set()
    for instance in instances:
        port = _port(instance, port_name)
        address = service_address(instance, question.kind, question.labels)
        key = (instance.node.node, address, port)
        if not address or key in seen:
            continue
        seen.add(key)
        weight = _weight(instance)
        if isinstance(address, bytes):
            target = _target(instance, address, world.settings, found.domain)
            group = Group([srv_record(ttl, weight, port, target)])
            group.extras.append(address_record(target, ttl, address))
        else:
            group = Group([srv_record(ttl, weight, port, address)])
            for kind in (A, AAAA):
                records = _follow(address, kind, group, world, found, depth)
                group.extras += [record._replace(ttl=ttl) for record in records]
        if world.settings.enable_additional_node_meta_txt:
            owner = _node_name(instance.node, world.settings, found.domain)
            if is_name(owner):
                group.extras += text_records(owner, ttl, instance.node.meta)
        found.groups.append(group)


def _target(instance: Instance, address: bytes, settings: DnsSettings, domain: Labels) -> Labels:
    """The node's name when the address is the node's, else a name made of the address."""
    name = _node_name(instance.node, settings, domain)
    if address == host_address(instance.node, 0) and is_name(name):
        return name
    return hex_name(address, settings.datacenter, domain)


def _node_name(node: Node, settings: DnsSettings, domain: Labels) -> Labels:
    return (*labels_of(node.node), b"node", settings.datacenter.encode(), *domain)


def _port(instance: Instance, name: str) -> int:
    """The named port, or the service's one; 0 is none."""
    service = instance.service
    ports = service.ports or ()
    if name:
        return next((port.port for port in ports if port.name.lower() == name), 0)
    if service.port or not ports:
        return service.port
    return next((port.port for port in ports if port.default), ports[0].port)


def _weight(instance: Instance) -> int:
    weights = instance.service.weights
    match _status(instance):
        case "passing":
            return weights.passing
        case "warning":
            return weights.warning
    return 0


def _status(instance: Instance) -> str:
    """The worst status of the checks; their order, which ``Instance`` keeps, costs too much."""
    on_node = (check for check in instance.host.checks.values() if not check.service_id)
    return worst(chain(on_node, instance.checks.values()))


def _asks_for(kind: int, address: bytes) -> bool:
    return kind in (ANY, A if len(address) == 4 else AAAA)


def _node(query: Query, question: Question, world: World, found: Found, depth: int) -> None:
    settings = world.settings
    found.watch(world.catalog.nodes.topic)
    host = world.catalog.host(query.name)
    if host is None or not world.authorizer.allows("node", "read", host.node.node):
        found.code = NXDOMAIN
        return
    ttl = int(settings.node_ttl)
    kind = question.kind
    if kind not in (A, AAAA, TXT, ANY, CNAME):
        return
    address = host_address(host.node, kind)
    texts = text_records(None, ttl, host.node.meta)
    if isinstance(address, bytes):
        if _asks_for(kind, address):
            found.groups.append(Group([address_record(None, ttl, address)]))
    elif address and kind != TXT:
        _alias(address, ttl, question, world, found, depth)
    if kind in (TXT, ANY):
        found.shuffled = False
        found.groups += [Group([text]) for text in texts]
    elif found.groups and settings.enable_additional_node_meta_txt:
        found.groups[0].extras += texts


def _address(query: Query, question: Question, world: World, found: Found) -> None:
    address = parse_address(query.name)
    if address is None:
        found.code = NXDOMAIN
    elif _asks_for(question.kind, address):
        ttl = int(world.settings.node_ttl)
        found.groups.append(Group([address_record(None, ttl, address)]))


def _virtual(query: Query, question: Question, world: World, found: Found) -> None:
    catalog = world.catalog
    candidates = found.read(catalog.read_service(query.name))
    candidates = candidates + found.read(catalog.read_connect(query.name))
    for instance in candidates:
        tagged = (instance.service.tagged_addresses or {}).get(_VIRTUAL)
        address = read_address(tagged.address) if tagged else None
        if isinstance(address, bytes) and world.authorizer.allows("service", "read", query.name):
            if _asks_for(question.kind, address):
                ttl = int(world.settings.node_ttl)
                found.groups.append(Group([address_record(None, ttl, address)]))
            return
    found.code = NXDOMAIN


def _servers(question: Question, world: World, found: Found) -> None:
    """SOA and NS: of the domain, whatever name in it is asked for."""
    settings = world.settings
    servers = _services(Query("service", SERVERS), world, found)
    found.fixed = False
    ttl = int(settings.node_ttl)
    soa = soa_record(found.domain, settings.soa, world.now)
    if question.kind == SOA:
        found.groups.append(Group([soa]))
    for server in sample(servers, min(_MOST_SERVERS, len(servers))):
        name = _node_name(server.node, settings, found.domain)
        address = host_address(server.node, 0)
        if not isinstance(address, bytes) or not is_name(name):
            continue
        record = Record(found.domain, NS, ttl, target=name)
        glue = address_record(name, ttl, address)
        if question.kind == SOA:
            found.authority.append(record)
            found.glue.append(glue)
        else:
            found.groups.append(Group([record], [glue]))


def _reverse(question: Question, world: World) -> Found:
    catalog, settings, allows = world.catalog, world.settings, world.authorizer.allows
    found = Found(settings.home, code=NXDOMAIN, elsewhere=True)
    found.watch(catalog.nodes.topic, catalog.services.topic)
    address = parse_reverse(question.labels)
    if address is None or question.kind not in (PTR, ANY):
        return found
    target: Labels | None = None
    for host in catalog.hosts_at(address):
        if allows("node", "read", host.node.node):
            target = _node_name(host.node, settings, found.domain)
            break
    else:
        for instance in catalog.instances_at(address):
            name = instance.service.service
            if allows("service", "read", name) and allows("node", "read", instance.node.node):
                place = (b"service", settings.datacenter.encode(), *found.domain)
                target = (*labels_of(name), *place)
                break
    if target is not None and is_name(target):
        found.code, found.elsewhere = 0, False
        found.groups.append(Group([Record(None, PTR, 0, target=target)]))
    return found
