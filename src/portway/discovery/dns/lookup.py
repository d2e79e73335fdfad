"""What a question asks for to the records of its answer. Pure: reads the state, writes nothing."""

from __future__ import annotations

from itertools import islice
from random import sample

from portway.discovery.dns.addresses import host_address, read_address
from portway.discovery.dns.found import Ask, Found, Question, World
from portway.discovery.dns.instances import (
    address_groups,
    asks_for,
    find_services,
    node_name,
    port,
    srv_groups,
)
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
    is_name,
    soa_record,
    text_records,
)
from portway.discovery.dns.request import NXDOMAIN
from portway.discovery.dns.settings import MAX_TTL, DnsSettings, Labels, labels_of

SERVERS = "consul"  # the service that every server registers
_MOST_SERVERS = 3
_DEPTH = 3  # of names that stand for names
_MOST_FOLLOWED = 64  # records of a name that another stands for
_VIRTUAL = "consul-virtual"


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
    ask = Ask(question, world, found, depth)
    query = parse_name(before, question.kind)
    if question.kind in (SOA, NS):
        _servers(ask)
    elif query is None or not (_is_here(query, settings) or query.form == "virtual"):
        found.code = NXDOMAIN
    else:
        _answer(ask, query)
    return found


def _answer(ask: Ask, query: Query) -> None:
    match query.form:
        case "service" | "connect" | "query":
            _services(ask, query)
        case "node":
            _node(ask, query)
        case "addr":
            _address(ask, query)
        case "virtual":
            _virtual(ask, query)
        case "ingress":
            ask.found.code = NXDOMAIN  # gateways are part of the mesh: without it there are none


def _is_here(query: Query, settings: DnsSettings) -> bool:
    """Whether the place is ours: there are no other datacenters and no peers."""
    place = query.datacenter or query.place
    return not query.peer and place in ("", settings.datacenter.lower())


def _services(ask: Ask, query: Query) -> None:
    found, world = ask.found, ask.world
    ttl = None
    if query.form == "query":
        found.shuffled = found.fixed = False
        source = ask.question.source
        executed = world.queries and world.queries.execute(query.name, source, world.authorizer)
        instances, ttl = executed or ([], None)
    else:
        instances = find_services(ask, query)
    if query.port and ask.kind == SRV:
        instances = [one for one in instances if port(one, query.port)]
    if not instances:
        found.code = NXDOMAIN
        return
    if ttl is None or not 0 <= ttl <= MAX_TTL:
        ttl = ask.settings.ttl_of_service(instances[0].service.service)
    if ask.kind == SRV:
        srv_groups(ask, instances, query.port, ttl, _follow)
        return
    alias = address_groups(ask, instances, ttl)
    if found.groups:
        found.most = ask.settings.a_record_limit
    elif alias is not None:
        _alias(ask, Group([Record(None, CNAME, ttl, target=alias)], ttl=ttl))


def _alias(ask: Ask, group: Group) -> None:
    """Add a name that stands for the service or node, and what it stands for itself."""
    alias = group.answers[0].target
    if alias and ask.kind in (A, AAAA, ANY):
        group.answers += _follow(ask, alias, ask.kind, group)
    ask.found.groups.append(group)


def _follow(ask: Ask, name: Labels, kind: int, group: Group) -> list[Record]:
    """The addresses of a name: ours are looked up here, others are left to the group."""
    if ask.depth < 1:
        return []
    lower = tuple(label.lower() for label in name)
    inner = look_up(Question(lower, kind), ask.world, ask.depth - 1)
    if inner is None:
        group.follow = name
        return []
    found = ask.found
    found.topics += inner.topics
    # A frozen order would send everybody to the first one.
    found.fixed = found.fixed and inner.fixed and len(inner.groups) < 2
    order = sample(inner.groups, len(inner.groups)) if inner.shuffled else inner.groups
    for one in order:
        group.follow = group.follow or one.follow
    records = (record for one in order for record in one.answers)
    return [
        record._replace(
            owner=name if record.owner is None else record.owner,
            ttl=record.ttl if group.ttl is None else group.ttl,
        )
        for record in islice(records, _MOST_FOLLOWED)
        if record.kind in (A, AAAA, CNAME)
    ]


def _node(ask: Ask, query: Query) -> None:
    settings, found, kind = ask.settings, ask.found, ask.kind
    found.watch(ask.world.catalog.nodes.topic)
    host = ask.world.catalog.host(query.name)
    if host is None or not ask.world.authorizer.allows("node", "read", host.node.node):
        found.code = NXDOMAIN
        return
    ttl = int(settings.node_ttl)
    if kind not in (A, AAAA, TXT, ANY):
        return
    address = host_address(host.node, kind)
    texts = text_records(None, ttl, host.node.meta)
    if isinstance(address, bytes):
        _single(ask, address)
    elif address and kind != TXT:
        _alias(ask, Group([Record(None, CNAME, ttl, target=address)]))
    if kind in (TXT, ANY):
        found.shuffled = False
        found.groups += [Group([text]) for text in texts]
    elif settings.enable_additional_node_meta_txt:
        place = found.groups[0].extras if found.groups else found.glue
        place += texts


def _single(ask: Ask, address: bytes) -> None:
    """The address of something that lives as long as nodes do."""
    if asks_for(ask.kind, address):
        record = address_record(None, int(ask.settings.node_ttl), address)
        ask.found.groups.append(Group([record]))


def _address(ask: Ask, query: Query) -> None:
    address = parse_address(query.name)
    if address is None:
        ask.found.code = NXDOMAIN
    elif asks_for(ask.kind, address):
        _single(ask, address)
    else:
        owner, ttl = ask.question.labels, int(ask.settings.node_ttl)
        ask.found.glue.append(address_record(owner, ttl, address))


def _virtual(ask: Ask, query: Query) -> None:
    catalog, found = ask.world.catalog, ask.found
    if not _is_here(query, ask.settings):
        return
    candidates = [
        *found.read(catalog.read_service(query.name)),
        *found.read(catalog.read_connect(query.name)),
    ]
    allows = ask.world.authorizer.allows
    for instance in candidates:
        # The name as it was registered: rules tell letters apart, questions do not.
        name = instance.service.proxy.destination_service_name or instance.service.service
        if allows("service", "read", name):
            tagged = (instance.service.tagged_addresses or {}).get(_VIRTUAL)
            address = read_address(tagged.address) if tagged else None
            if isinstance(address, bytes):
                _single(ask, address)
                return


def _servers(ask: Ask) -> None:
    """SOA and NS: of the domain, whatever name in it is asked for."""
    settings, found = ask.settings, ask.found
    servers = find_services(ask, Query("service", SERVERS))
    found.fixed = False
    ttl = int(settings.node_ttl)
    if ask.kind == SOA:
        found.groups.append(Group([soa_record(found.domain, settings.soa, ask.world.now)]))
    for server in sample(servers, min(_MOST_SERVERS, len(servers))):
        name = node_name(server.node, settings, found.domain)
        address = host_address(server.node, 0)
        if not isinstance(address, bytes) or not is_name(name):
            continue
        record = Record(found.domain, NS, ttl, target=name)
        glue = address_record(name, ttl, address)
        if ask.kind == SOA:
            found.authority.append(record)
            found.glue.append(glue)
        else:
            found.groups.append(Group([record], [glue]))


def _reverse(question: Question, world: World) -> Found:
    catalog, settings, allows = world.catalog, world.settings, world.authorizer.allows
    found = Found(settings.home, code=NXDOMAIN, elsewhere=True)
    found.watch(catalog.nodes.topic, catalog.services.topic)
    address = parse_reverse(question.labels)
    if address is None:
        return found
    place = (settings.datacenter.encode(), *found.domain)
    names = [
        node_name(host.node, settings, found.domain)
        for host in catalog.hosts_at(address)
        if allows("node", "read", host.node.node)
    ] or [
        (*labels_of(one.service.service), b"service", *place)
        for one in catalog.instances_at(address)
        if allows("service", "read", one.service.service) and allows("node", "read", one.node.node)
    ]
    if names and is_name(names[0]):
        found.code, found.elsewhere = 0, False
        if question.kind in (PTR, ANY):
            found.groups.append(Group([Record(None, PTR, 0, target=names[0])]))
    return found
