"""Templates of addresses: ``{{ GetInterfaceIP "eth0" }}``, as go-sockaddr reads them.

An action is a pipeline: a source of addresses, then functions that filter, sort and show them.
``with``, ``range`` and variables of Go's templates are not part of it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from portway.agent.config.interfaces import addresses
from portway.agent.config.sockaddr_functions import (
    FUNCTIONS,
    LOOKUPS,
    SOURCES,
    Addresses,
    TemplateError,
)
from portway.config import nearest

__all__ = ["TemplateError", "render"]

_ACTION = re.compile(r"\{\{-?\s*(.*?)\s*-?\}\}", re.DOTALL)
_WORD = re.compile(
    r"""\s*(?:"((?:[^"\\]|\\.)*)"|`([^`]*)`|([A-Za-z_][A-Za-z0-9_]*|-?\d+|\.)|(\|))"""
)
Lister: TypeAlias = Callable[[], Addresses]


def render(text: str, lister: Lister = addresses) -> str:
    """The text with every ``{{ … }}`` evaluated; others are returned as they are.

    Raises TemplateError.
    """
    if "{{" not in text:
        return text
    rendered = _ACTION.sub(lambda action: _evaluate(action[1], lister), text)
    if "{{" in rendered:
        raise TemplateError("this {{ has no end; write }}")
    return rendered.strip()


def _evaluate(pipeline: str, lister: Lister) -> str:
    (source, *given), *rest = _commands(pipeline)
    value = _first(source, given, lister)
    for name, *arguments in rest:
        value = _piped(name, arguments, value)
    if not isinstance(value, str):
        raise TemplateError(
            'this gives a list of addresses; end with attr "address" or join "address" " "'
        )
    return value


def _commands(pipeline: str) -> list[list[str]]:
    commands: list[list[str]] = [[]]
    at = 0
    while at < len(pipeline):
        word = _WORD.match(pipeline, at)
        if word is None:
            raise TemplateError(f"{pipeline[at:].strip()[:20]!r} is not understood here")
        quoted, raw, name, pipe = word.groups()
        if pipe:
            commands.append([])
        else:
            commands[-1].append(re.sub(r"\\(.)", r"\1", quoted) if quoted else raw or name or "")
        at = word.end()
    if not all(commands):
        raise TemplateError("a function is missing between {{, | and }}")
    return commands


def _first(name: str, arguments: list[str], lister: Lister) -> Any:
    if name == ".":
        name = "GetAllInterfaces"
    if name in SOURCES:
        _arity(name, arguments, 0)
        return SOURCES[name](lister())
    if name in LOOKUPS:
        _arity(name, arguments, 1)
        return LOOKUPS[name](lister(), arguments[0])
    if name in FUNCTIONS:
        raise TemplateError(f"{name} needs a list of addresses: begin with GetAllInterfaces |")
    raise TemplateError(f'function "{name}" not defined{nearest(name, [*SOURCES, *LOOKUPS])}')


def _piped(name: str, arguments: list[str], value: Any) -> Any:
    if name not in FUNCTIONS:
        raise TemplateError(f'function "{name}" not defined{nearest(name, FUNCTIONS)}')
    if not isinstance(value, list):
        raise TemplateError(f"{name} needs a list of addresses, and is given a text")
    function, count = FUNCTIONS[name]
    _arity(name, arguments, count)
    return function(value, *arguments)


def _arity(name: str, arguments: Sequence[str], wanted: int) -> None:
    if len(arguments) != wanted:
        raise TemplateError(f"{name} takes {wanted} arguments, not {len(arguments)}")
