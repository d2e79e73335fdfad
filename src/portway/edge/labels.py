"""Container labels: what they say about routers, services, middlewares and the container.

A label that is wrong disables the object it names and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import msgspec
from msgspec import field

from portway.config import (
    Decoding,
    Flat,
    Options,
    Problem,
    Table,
    Tree,
    decode,
    grow,
    nearest,
)
from portway.edge.dynamic import Middleware, Router, Service

Kind = Literal["router", "service", "middleware"]
Name = tuple[Kind, str]

_SECTIONS: dict[str, Kind] = {
    "routers": "router",
    "services": "service",
    "middlewares": "middleware",
}
_TYPES: dict[Kind, type[Options]] = {
    "router": Router,
    "service": Service,
    "middleware": Middleware,
}
_ROOTS = ("http", "tcp", "udp", "tls", "docker", "swarm", "enable")


class ContainerOptions(NamedTuple):
    """What labels say about the container itself."""

    enable: bool | None = None  # None: not said, the provider's exposedByDefault decides
    network: str = ""
    lbswarm: bool = False
    allow_non_running: bool = False


class Decoded(NamedTuple):
    """One container's labels, decoded.

    ``errors`` belong to the object they disable, which is present with everything that was
    right. ``problems`` belong to the container.
    """

    routers: dict[str, Router]
    services: dict[str, Service]
    middlewares: dict[str, Middleware]
    errors: dict[Name, list[Problem]]
    options: ContainerOptions
    problems: list[Problem]


class _DockerLabels(Options):
    network: str = ""
    lbswarm: bool = field(default=False, name="lbswarm")
    allow_non_running: bool = False


class _Enable(Options):
    enable: bool = False


def decode_labels(
    labels: Mapping[str, str], prefixes: Sequence[str] = ("traefik", "portway")
) -> Decoded:
    """Decode the labels of one container. Never raises; labels of others are passed over.

    Every prefix means the same; one key under two prefixes with different values is a
    problem. Names match in any case and keep the spelling of the alphabetically first label.
    """
    flats, complaints = _collect(labels, prefixes)
    tree, malformed = grow(flats)
    decoded = Decoded(
        routers={},
        services={},
        middlewares={},
        errors={},
        options=ContainerOptions(),
        problems=[],
    )
    for name, child in tree.items():
        _root(name, child, tree, decoded)
    for problem in [*complaints, *malformed]:
        _assign(problem, decoded)
    return decoded._replace(options=_options(tree, decoded.problems, complaints))


def _collect(
    labels: Mapping[str, str], prefixes: Sequence[str]
) -> tuple[list[Flat], list[Problem]]:
    """The labels that are ours, without their prefix, in order; and those that clash."""
    flats: dict[str, Flat] = {}
    problems: list[Problem] = []
    for label in sorted(labels):
        prefix, dot, path = label.partition(".")
        if not dot:
            continue
        if prefix not in prefixes:
            if prefix.lower() in prefixes:
                problems.append(_problem(label, f"write {prefix.lower()} in lower case"))
            continue
        flat = Flat(path, labels[label], label)
        first = flats.setdefault(path.lower(), flat)
        if first.value != flat.value:
            problems.append(
                _problem(label, f"differs from {first.shown}, which says the same thing; keep one")
            )
    return sorted(flats.values(), key=lambda flat: flat.path), problems


def _problem(label: str, message: str) -> Problem:
    return Problem("", None, label, message)


def _root(name: str, child: Tree, tree: Table, decoded: Decoded) -> None:
    root = name.lower()
    if root == "http":
        _http(name, child, tree, decoded)
    elif root in ("tcp", "udp", "tls"):
        label = _first_label(name, child, tree)
        message = f"{root} is not supported yet; its labels have no effect"
        decoded.problems.append(_problem(label, message))
    elif root not in _ROOTS:
        # Other tools and constraints use labels under our prefix: only likely typos are told.
        hint = nearest(name, _ROOTS)
        if "did you mean" in hint:
            label = _first_label(name, child, tree)
            decoded.problems.append(_problem(label, f"has no effect, node: {name}{hint}"))


def _first_label(name: str, child: Tree, tree: Table) -> str:
    """The first label below a node, as it was written."""
    shown = tree.at[name]
    while isinstance(child, Table) and child:
        name = next(iter(child))
        shown, child = child.at[name], child[name]
    return str(shown)


def _http(name: str, child: Tree, tree: Table, decoded: Decoded) -> None:
    if not isinstance(child, Table):
        label = str(tree.at[name])
        decoded.problems.append(_problem(label, f"{name} cannot be a standalone element"))
        return
    for section, objects in child.items():
        kind = _SECTIONS.get(section.lower())
        label = str(child.at[section])
        if section.lower() == "serverstransports":
            message = "cannot be defined by labels; define it in a file and refer to name@file"
            decoded.problems.append(_problem(label, f"{section} {message}"))
        elif kind is None:
            hint = nearest(section, _SECTIONS)
            decoded.problems.append(_problem(label, f"field not found, node: {section}{hint}"))
        elif not isinstance(objects, Table):
            decoded.problems.append(_problem(label, f"{section} cannot be a standalone element"))
        else:
            for key, value in objects.items():
                _object(kind, key, value, str(objects.at[key]), decoded)


def _object(kind: Kind, name: str, tree: Tree, label: str, decoded: Decoded) -> None:
    decoding: Decoding[Any] = decode(tree, _TYPES[kind], path=label, labels=True)
    _objects(kind, decoded)[name] = decoding.value
    if decoding.problems:
        decoded.errors[kind, name] = decoding.problems


def _objects(kind: Kind, decoded: Decoded) -> dict[str, Any]:
    match kind:
        case "router":
            return decoded.routers
        case "service":
            return decoded.services
        case "middleware":
            return decoded.middlewares


def _assign(problem: Problem, decoded: Decoded) -> None:
    """Give the problem of one label to the object the label names, else to the container."""
    segments = problem.key.split(".")
    if len(segments) > 3 and segments[1].lower() == "http":
        kind = _SECTIONS.get(segments[2].lower())
        if kind is not None and segments[3]:
            wanted = segments[3].lower()
            known = _objects(kind, decoded)
            name = next((name for name in known if name.lower() == wanted), segments[3])
            known.setdefault(name, _TYPES[kind]())  # a name to show the error on
            decoded.errors.setdefault((kind, name), []).append(problem)
            return
    decoded.problems.append(problem)


def _only(tree: Table, root: str) -> Table:
    part = Table()
    for name in tree:
        if name.lower() == root:
            part[name], part.at[name] = tree[name], tree.at[name]
    return part


def _options(tree: Table, problems: list[Problem], complaints: list[Problem]) -> ContainerOptions:
    roots = {name.lower(): child for name, child in tree.items()}
    options = ContainerOptions()
    if "docker" in roots:
        docker = decode(roots["docker"], _DockerLabels, path="traefik.docker", labels=True)
        problems += docker.problems
        options = ContainerOptions(None, *msgspec.structs.astuple(docker.value))
    if "enable" in roots:
        enable = decode(_only(tree, "enable"), _Enable, labels=True)
        problems += enable.problems
        # Where the text says neither, a container is rather hidden than exposed by mistake.
        options = options._replace(enable=enable.value.enable)
    if any(problem.key.partition(".")[2].lower() == "enable" for problem in complaints):
        options = options._replace(enable=False)
    return options
