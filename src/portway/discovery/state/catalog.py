"""The catalog in memory: nodes, the services on them, and their checks, found from every side.

Names of nodes and services are compared without case, as in DNS; IDs of services and checks
are exact and unique per node.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

from portway.discovery.model import (
    CRITICAL,
    NODE_MAINTENANCE,
    PASSING,
    SERVICE_MAINTENANCE,
    WARNING,
    Check,
    Node,
    NodeName,
    Service,
)
from portway.discovery.state.addresses import Addresses
from portway.discovery.state.table import Table, Touch
from portway.discovery.state.topic import Reading, Topic, Topics

Side = Literal["service", "connect"]  # what a name stands for
SEPARATOR = "\0"  # between the node and the ID in keys of services and checks


def node_key(node: str) -> str:
    """The key of a node."""
    return node.lower()


def service_key(node: str, service_id: str) -> str:
    """The key of a service instance."""
    return f"{node.lower()}{SEPARATOR}{service_id}"


def check_key(node: str, check_id: str) -> str:
    """The key of a check."""
    return f"{node.lower()}{SEPARATOR}{check_id}"


def by_id(key: str) -> tuple[str, str]:
    """What IDs of services and checks, and their keys, are sorted by: without case."""
    return key.lower(), key


class Instance:
    """A service on a node with the checks that decide its health."""

    __slots__ = ("cache", "checks", "host", "service")

    def __init__(self, host: Host, service: Service) -> None:
        self.host = host
        self.service = service
        self.checks: dict[str, Check] = {}
        """Its own checks by ID; those of the node are ``host.checks``."""
        self.cache: bytes | None = None
        """The instance as JSON of the health API, until it or its checks change."""

    @property
    def node(self) -> Node:
        """The node it is on."""
        return self.host.node

    def all_checks(self) -> list[Check]:
        """The node's checks, then its own, each by ID."""
        return [
            *self.host.node_checks(),
            *(self.checks[key] for key in sorted(self.checks, key=by_id)),
        ]

    def status(self) -> str:
        """The worst status of all checks; ``maintenance`` outranks ``critical``."""
        return worst(self.all_checks())


class Host:
    """A node with everything on it."""

    __slots__ = ("cache", "checks", "instances", "node", "own_checks", "rows", "topic")

    def __init__(self, node: Node) -> None:
        self.node = node
        self.topic = Topic()
        """Changes with everything on it."""
        self.rows = Topic()
        """Changes with the node and its services, not with checks."""
        self.instances: dict[str, Instance] = {}
        self.checks: dict[str, Check] = {}
        """All checks of the node by ID, those of its services included."""
        self.own_checks: dict[str, Check] = {}
        """Of these the checks of the node itself."""
        self.cache: bytes | None = None
        """All checks as JSON of the health API, until one changes."""

    def all_checks(self) -> list[Check]:
        """All checks by ID."""
        return [self.checks[key] for key in sorted(self.checks, key=by_id)]

    def node_checks(self) -> list[Check]:
        """The checks of the node itself, by ID."""
        return [self.own_checks[key] for key in sorted(self.own_checks, key=by_id)]


class Named:
    """All instances of one service name, or of what stands for it in the mesh."""

    __slots__ = ("_ordered", "_tags", "instances", "name", "rows", "topic")

    def __init__(self, name: str) -> None:
        self.name = name
        self.topic = Topic()
        """Changes with the instances, their nodes and the checks of both."""
        self.rows = Topic()
        """Changes with the instances and their nodes."""
        self.instances: dict[str, Instance] = {}
        """By service key."""
        self._ordered: list[Instance] | None = None
        self._tags: dict[str, list[str]] | None = None

    def ordered(self) -> list[Instance]:
        """The instances by node and ID."""
        if self._ordered is None:
            self._ordered = [self.instances[key] for key in sorted(self.instances, key=by_id)]
        return self._ordered

    def tags(self) -> dict[str, list[str]]:
        """The tags of the instances by the name as they spell it, in the order of instances."""
        if self._tags is None:
            found: dict[str, dict[str, None]] = {}
            for instance in self.ordered():
                service = instance.service
                found.setdefault(service.service, {}).update(dict.fromkeys(service.tags))
            self._tags = {name: list(tags) for name, tags in found.items()}
        return self._tags

    def add(self, key: str, instance: Instance) -> None:
        """Take in an instance."""
        self.instances[key] = instance
        self._ordered = self._tags = None

    def remove(self, key: str) -> None:
        """Let go of an instance."""
        del self.instances[key]
        self._ordered = self._tags = None


class Group:
    """The checks of one status, by key. The topic changes with any of them."""

    __slots__ = ("checks", "topic")

    def __init__(self) -> None:
        self.checks: dict[str, Check] = {}
        self.topic = Topic()


class Catalog:
    """Nodes, services and checks, and what readers ask of them."""

    def __init__(self) -> None:
        self.nodes: Table[Node] = Table("node/", Node, self._node_changed)
        self.services: Table[Service] = Table("service/", Service, self._service_changed)
        self.checks: Table[Check] = Table("check/", Check, self._check_changed)
        self.ids: Table[NodeName] = Table("node-id/", NodeName)
        """By node ID in lower case."""
        self.hosts: dict[str, Host] = {}
        self.by_name: dict[str, Named] = {}
        self.by_destination: dict[str, Named] = {}
        """Service name → the proxies in front of it and its native instances."""
        self._sides: dict[Side, dict[str, Named]] = {
            "service": self.by_name,
            "connect": self.by_destination,
        }
        self.node_ids: dict[str, str] = {}
        """Node ID → node key."""
        self.node_addresses = Addresses()
        self.service_addresses = Addresses()
        """Of services with an address of their own."""
        self.by_status: dict[str, Group] = {
            status: Group() for status in (PASSING, WARNING, CRITICAL)
        }
        """The checks of each status."""
        self.extinction = Topic()
        """Touched when a service loses its last instance."""
        self.departure = Topic()
        """Touched when a node goes."""
        self._waits = Topics()
        """What has no object that could hold its topic: services to come, checks by their owner."""

    def host(self, node: str) -> Host | None:
        """A node by name."""
        return self.hosts.get(node.lower())

    def find_host(self, name_or_id: str) -> Host | None:
        """A node by name, or by an unambiguous prefix (two characters or more) of its ID."""
        host = self.host(name_or_id)
        if host is not None or len(name_or_id) < 2:
            return host
        prefix = name_or_id.lower()
        found = [key for node_id, key in self.node_ids.items() if node_id.startswith(prefix)]
        return self.hosts[found[0]] if len(found) == 1 else None

    def hosts_at(self, address: str) -> list[Host]:
        """The nodes at an IP address, by name."""
        return [self.hosts[key] for key in self.node_addresses.at(address)]

    def instances_at(self, address: str) -> list[Instance]:
        """The services whose own address it is, by node and ID."""
        keys = (key.partition(SEPARATOR) for key in self.service_addresses.at(address))
        return [self.hosts[node].instances[service_id] for node, _, service_id in keys]

    def read_service(self, name: str, *, checks: bool = True) -> Reading[list[Instance]]:
        """The instances of a service, by node and ID; without ``checks`` none of them wakes."""
        return self._read("service", name, checks)

    def read_connect(self, name: str, *, checks: bool = True) -> Reading[list[Instance]]:
        """The proxies of a service and its native instances, by node and ID."""
        return self._read("connect", name, checks)

    def _read(self, side: Side, name: str, checks: bool) -> Reading[list[Instance]]:
        named = self._sides[side].get(name.lower())
        if named is None:
            arrival = self._waits.of(f"{side} {name.lower()}")
            return Reading([], self.extinction.index, (arrival,))
        topic = named.topic if checks else named.rows
        return Reading(named.ordered(), topic.index, (topic,))

    def read_checks_of_service(self, name: str) -> Reading[list[Check]]:
        """The checks of a service's instances, by node and ID, without those of their nodes."""
        named = self.by_name.get(name.lower())
        found = [] if named is None else named.ordered()
        checks = [check for one in found for check in one.checks.values()]
        checks.sort(key=lambda check: (check.node.lower(), *by_id(check.check_id)))
        topic = self._waits.of(f"checks {name.lower()}")
        return Reading(checks, self.checks.topic.index, (topic,))

    def read_checks_of_node(self, name: str) -> Reading[Host | None]:
        """A node for its checks, by name."""
        topic = self._waits.of(f"node {node_key(name)}")
        return Reading(self.host(name), self.checks.topic.index, (topic,))

    def read_names(self) -> Reading[dict[str, list[str]]]:
        """Every service name with the tags of its instances."""
        names: dict[str, list[str]] = {}
        for named in self.by_name.values():
            names |= named.tags()
        return Reading(names, self.services.topic.index, (self.services.topic,))

    def read_hosts(self) -> Reading[list[Host]]:
        """Every node, by name; the index is that of the nodes."""
        hosts = [self.hosts[key] for key in sorted(self.hosts)]
        return Reading(hosts, self.nodes.topic.index, (self.nodes.topic,))

    def read_host(self, name: str, *, rows: bool = False) -> Reading[Host | None]:
        """One node with all on it, by name.

        ``rows`` is for its services only: checks do not wake, and it is found by the beginning
        of its ID, too. It wakes on changes of that node only, unless it is found so.
        """
        host = self.find_host(name) if rows else self.host(name)
        if host is None:
            return Reading(None, self.departure.index, (self.nodes.topic,), found=False)
        topic = host.rows if rows else host.topic
        if node_key(name) == node_key(host.node.node):
            return Reading(host, topic.index, (topic,))
        topics = (topic, self.nodes.topic)
        return Reading(host, max(topic.index for topic in topics), topics)

    def read_checks(self, status: str = "") -> Reading[Mapping[str, Check]]:
        """Every check, or those of one status, by key."""
        if status:
            group = self.by_status.get(status) or Group()
            return Reading(group.checks, group.topic.index, (group.topic,))
        return Reading(self.checks.rows, self.checks.topic.index, (self.checks.topic,))

    def _node_changed(
        self, key: str, old: Node | None, new: Node | None, revision: int, touch: Touch
    ) -> None:
        self.node_addresses.move(key, _address(old), _address(new))
        if old is not None and old.id:
            self.node_ids.pop(old.id.lower(), None)
        host = self.hosts.get(key)
        if new is None:
            if host is not None:
                touch(host.topic)
                touch(host.rows)
                touch(self.departure)
                del self.hosts[key]
            return
        if new.id:
            self.node_ids[new.id.lower()] = key
        if host is None:
            host = self.hosts[key] = Host(new)
        else:
            host.node = new
            self._touch_instances(host.instances.values(), touch)
            for instance in host.instances.values():
                for side, name in _names(instance.service):
                    touch(self._sides[side][name.lower()].rows)
        touch(host.topic)
        touch(host.rows)

    def _service_changed(
        self, key: str, old: Service | None, new: Service | None, revision: int, touch: Touch
    ) -> None:
        self.service_addresses.move(key, _address(old), _address(new))
        node, _, service_id = key.partition(SEPARATOR)
        host = self.hosts.get(node)
        if host is not None:
            touch(host.topic)
            touch(host.rows)
        before = [] if old is None else _names(old)
        after = [] if new is None else _names(new)
        for side, name in before:
            self._unname(side, name, key, touch, stays=(side, name) in after)
        if host is None:
            return  # the node went first, as when everything is replaced
        if new is None:
            host.instances.pop(service_id, None)
            return
        instance = host.instances.get(service_id)
        if instance is None:
            instance = host.instances[service_id] = Instance(host, new)
            instance.checks = {
                check_id: check
                for check_id, check in host.checks.items()
                if check.service_id == service_id
            }
        instance.service = new
        instance.cache = None
        for side, name in after:
            self._name(side, name, key, instance, touch)

    def _name(self, side: Side, name: str, key: str, instance: Instance, touch: Touch) -> None:
        names = self._sides[side]
        named = names.get(name.lower())
        if named is None:
            named = names[name.lower()] = Named(name)
            self._tell(f"{side} {name.lower()}", touch)
        named.add(key, instance)
        touch(named.topic)
        touch(named.rows)

    def _unname(self, side: Side, name: str, key: str, touch: Touch, stays: bool) -> None:
        names = self._sides[side]
        named = names[name.lower()]
        named.remove(key)
        touch(named.topic)
        touch(named.rows)
        if not named.instances and not stays:
            del names[name.lower()]
            touch(self.extinction)

    def _check_changed(
        self, key: str, old: Check | None, new: Check | None, revision: int, touch: Touch
    ) -> None:
        node, _, check_id = key.partition(SEPARATOR)
        host = self.hosts.get(node)
        if host is not None:
            host.cache = None
            touch(host.topic)
        self._tell(f"node {node}", touch)
        for check in (old, new):
            if check is None:
                continue
            if check.service_id:
                self._tell(f"checks {check.service_name.lower()}", touch)
            group = self.by_status[check.status]
            touch(group.topic)
            stays = check is new
            _hold(group.checks, key, check, stays)
            if host is None:
                continue  # the node went first
            _hold(host.checks, check_id, check, stays)
            if not check.service_id:
                _hold(host.own_checks, check_id, check, stays)
                self._touch_instances(host.instances.values(), touch)
                continue
            instance = host.instances.get(check.service_id)
            if instance is not None:
                _hold(instance.checks, check_id, check, stays)
                self._touch_instances([instance], touch)

    def _tell(self, name: str, touch: Touch) -> None:
        """Touch the topic of a name if somebody waits for it."""
        topic = self._waits.get(name)
        if topic is not None:
            touch(topic)

    def _touch_instances(self, instances: Iterable[Instance], touch: Touch) -> None:
        for instance in instances:
            instance.cache = None
            for side, name in _names(instance.service):
                touch(self._sides[side][name.lower()].topic)


def _address(row: Node | Service | None) -> str:
    return "" if row is None else row.address


def _hold(checks: dict[str, Check], key: str, check: Check, stays: bool) -> None:
    if stays:
        checks[key] = check
    else:
        del checks[key]


def _names(service: Service) -> list[tuple[Side, str]]:
    names: list[tuple[Side, str]] = [("service", service.service)]
    if service.kind == "connect-proxy" and service.proxy.destination_service_name:
        names.append(("connect", service.proxy.destination_service_name))
    elif service.connect.native:
        names.append(("connect", service.service))
    return names


def worst(checks: Iterable[Check]) -> str:
    """The aggregated status: maintenance, critical, warning or passing."""
    status: str = PASSING
    for check in checks:
        check_id = check.check_id
        if check_id == NODE_MAINTENANCE or check_id.startswith(SERVICE_MAINTENANCE):
            return "maintenance"
        if check.status == CRITICAL or (check.status == WARNING and status == PASSING):
            status = check.status
    return status
