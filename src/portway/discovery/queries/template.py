"""Templates: prepared queries whose service part is filled in from the name that was asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec.structs import replace

from portway.discovery.model.queries import NAME_PREFIX_MATCH, PreparedQuery, ServiceQuery
from portway.discovery.operations.patterns import pattern
from portway.discovery.queries.interpolation import fill, parse


class TemplateError(Exception):
    """The template is wrong; the message says where."""


def check_template(query: PreparedQuery) -> None:
    """Raise TemplateError unless the template can be rendered, tried with its own name."""
    if query.template.type != NAME_PREFIX_MATCH:
        raise TemplateError(f"Bad Template.Type '{query.template.type}'")
    render(query, query.name)


def render(query: PreparedQuery, name: str, segment: str = "") -> PreparedQuery:
    """The query for a name that begins with the template's, as it is to be executed.

    ``segment`` is the network segment of the agent that was asked. Raises TemplateError.
    """
    variables = {
        "name.full": name,
        "name.prefix": query.name,
        "name.suffix": name[len(query.name) :],
        "agent.segment": segment,
    }
    match = _matcher(query.template.regexp, name)

    def filled(text: str, path: str) -> str:
        try:
            parts = parse(text)
        except ValueError as error:
            raise TemplateError(f"Bad format '{text}' in Service{path}: {error}") from None
        try:
            return fill(parts, variables, match)
        except ValueError as error:
            raise TemplateError(f"Bad evaluation for '{text}' in Service{path}: {error}") from None

    tree = _walk(msgspec.to_builtins(query.service), filled, "")
    service = msgspec.convert(tree, ServiceQuery)
    if query.template.remove_empty_tags and service.tags:
        service = replace(service, tags=[tag for tag in service.tags if tag])
    return replace(query, service=service)


def _matcher(regexp: str, name: str) -> Callable[[int], str]:
    groups: list[str] = []
    if regexp:
        try:
            found = pattern(regexp).search(name)
        except ValueError as error:
            raise TemplateError(f"Bad Regexp: {error}") from None
        if found:
            groups = [found.group(0), *(group or "" for group in found.groups())]
    return lambda group: groups[group] if 0 <= group < len(groups) else ""


def _walk(tree: Any, change: Callable[[str, str], str], path: str) -> Any:
    """The tree with every text changed, but not the keys of maps."""
    if isinstance(tree, str):
        return change(tree, path)
    if isinstance(tree, dict):
        return {key: _walk(value, change, f"{path}.{key}") for key, value in tree.items()}
    if isinstance(tree, list):
        return [_walk(value, change, f"{path}[{index}]") for index, value in enumerate(tree)]
    return tree
