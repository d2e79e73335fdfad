"""One container's contribution: the objects its labels and the defaults make.

The rules are Traefik's: a container without service labels gets one service, one without
router labels gets one router, both under its default name; a router without a rule gets the
default rule, one without a service is tied to the container's only one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import msgspec

from portway.edge.dynamic import LabelServer, LoadBalancer, Router, Server, Service
from portway.edge.providers.docker import constraints
from portway.edge.providers.docker.address import (
    Address,
    AddressError,
    AddressRules,
    Lookup,
    find_address,
    unknown_network,
)
from portway.edge.providers.docker.container import Container
from portway.edge.providers.docker.labelling import Labelled
from portway.edge.providers.docker.merge import Ref, Share
from portway.edge.providers.template import Record, Template, TemplateError

SCHEMES = ("http", "https", "h2c")
NO_BALANCER = (
    "load-balancer is not defined: labels can only define loadBalancer services; define others "
    "in a file and refer to name@file"
)


class Rules(NamedTuple):
    """The provider's options that decide what containers contribute."""

    default_rule: Template | str  # a text says why the template cannot be used
    exposed_by_default: bool = True
    constraint: constraints.Predicate = lambda labels: True
    allow_empty_services: bool = False
    addresses: AddressRules = AddressRules()


class Contribution(NamedTuple):
    """What a container adds, or why it adds nothing."""

    shares: Mapping[Ref, Share]
    problems: tuple[str, ...] = ()  # that belong to no object
    skipped: str = ""  # the reason when nothing is contributed


def wanted(labelled: Labelled, labels: Mapping[str, str], rules: Rules) -> str:
    """Why the container's labels keep it out; empty when they do not."""
    if labelled.enable_problems:
        return "its label traefik.enable is wrong"
    if labelled.enable is False:
        return "its label traefik.enable is false"
    if labelled.enable is None and not rules.exposed_by_default:
        return "it has no label traefik.enable, and containers are not exposed by default"
    return "" if rules.constraint(labels) else "its labels do not satisfy the constraints"


def contribute(
    container: Container, labelled: Labelled, rules: Rules, lookup: Lookup
) -> Contribution:
    """The objects ``container`` contributes to, each with its share."""
    if reason := _skipped(container, labelled, rules):
        return Contribution({}, labelled.about(container.name, labelled.enable_problems), reason)
    problems = [*labelled.about(container.name, labelled.problems)]
    services = dict(labelled.services)
    routers = dict(labelled.routers)
    nothing = not (services or routers or labelled.middlewares)
    if not (labelled.other_protocols and nothing):
        if not services:
            services[container.default_name] = Service(load_balancer=LoadBalancer())
        if not routers and len(services) == 1:
            routers[container.default_name] = Router()
        elif not routers:
            problems.append(
                f"container {container.name!r}: no router was made for it because it has "
                f"{len(services)} services; write a router label for each"
            )
    network = labelled.network or rules.addresses.network
    if warning := unknown_network(container, network):
        problems.append(warning)

    shares: dict[Ref, Share] = {}
    serving = container.running and not container.unhealthy
    for name, service in services.items():
        ref = Ref("service", name)
        share = _service(
            service,
            serving,
            lambda port: find_address(container, port, labelled.network, rules.addresses, lookup),
        )
        shares[ref] = _with_errors(share, labelled.errors.get(ref, ()))
    for name, router in routers.items():
        ref = Ref("router", name)
        share = _router(name, router, container, [*services], rules.default_rule)
        shares[ref] = _with_errors(share, labelled.errors.get(ref, ()))
    for name, middleware in labelled.middlewares.items():
        ref = Ref("middleware", name)
        shares[ref] = Share(middleware, labelled.errors.get(ref, ()))
    return Contribution(shares, tuple(problems))


def _skipped(container: Container, labelled: Labelled, rules: Rules) -> str:
    if reason := wanted(labelled, container.labels, rules):
        return reason
    if not container.running and container.status != "paused" and not labelled.allow_non_running:
        return f"not running ({container.status})"
    if container.unhealthy and container.running and not rules.allow_empty_services:
        return f"its health check says {container.health}"
    return ""


def _with_errors(share: Share, errors: tuple[str, ...]) -> Share:
    return share._replace(errors=(*errors, *share.errors)) if errors else share


def _service(service: Service, serving: bool, address: Callable[[str], Address]) -> Share:
    balancer = service.load_balancer
    if balancer is None:
        return Share(service, (NO_BALANCER,))
    described = balancer.server or LabelServer()
    plain = Service(load_balancer=msgspec.structs.replace(balancer, server=None, servers=[]))
    if not serving:
        return Share(plain)
    try:
        url, found = _location(described, address)
    except AddressError as error:
        return Share(plain, (str(error),))
    server = Server(url=url, weight=described.weight, preserve_path=described.preserve_path)
    return Share(plain, (), server, found)


def _location(server: LabelServer, address: Callable[[str], Address]) -> tuple[str, Address | None]:
    """The server's URL, and the address to wait for unless the label gave the URL."""
    if server.url:
        if server.scheme or server.port:
            raise AddressError("server.url excludes server.scheme and server.port")
        return server.url, None
    scheme = server.scheme or "http"
    if scheme not in SCHEMES:
        raise AddressError(f"server.scheme {scheme!r} is unknown; write http, https or h2c")
    found = address(server.port)
    return f"{scheme}://{found.authority}", found


def _router(
    name: str,
    router: Router,
    container: Container,
    services: list[str],
    default_rule: Template | str,
) -> Share:
    errors: list[str] = []
    if not router.rule:
        try:
            rule = _default_rule(default_rule, container)
            router = msgspec.structs.replace(router, rule=rule)
        except TemplateError as error:
            errors.append(f"the default rule cannot be made: {error}")
    if not router.service:
        if len(services) == 1:
            router = msgspec.structs.replace(router, service=services[0])
        else:
            names = " ".join(f'"{service}"' for service in sorted(services))
            errors.append(
                f"Router {name} cannot be linked automatically with multiple Services: [{names}]; "
                f"set the label traefik.http.routers.{name}.service"
            )
    return Share(router, tuple(errors))


def _default_rule(template: Template | str, container: Container) -> str:
    if isinstance(template, str):
        raise TemplateError(1, 1, template)
    rule = template.render(
        Record(Name=container.default_name, ContainerName=container.name, Labels=container.labels)
    )
    if not rule.strip():
        raise TemplateError(1, 1, "it is empty; set the router's rule or providers' defaultRule")
    return rule
