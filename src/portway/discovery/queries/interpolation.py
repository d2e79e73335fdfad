"""Texts with ``${...}``: the part of HIL that templates of prepared queries use.

Inside the braces stand a variable (``name.full``), a call of ``match`` with a number, a number,
or a text in double quotes. ``$${`` is a plain ``${``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import NamedTuple


class Variable(NamedTuple):
    """The value of a variable."""

    name: str


class Match(NamedTuple):
    """A group of what the regular expression has found; empty when there is none."""

    group: int


Part = str | Variable | Match
_OPEN = re.compile(r"\$\$\{|\$\{")
_EXPRESSION = re.compile(
    r"""\s*(?:
        (?P<call>[A-Za-z_][\w]*)\(\s*(?P<group>-?\d+)\s*\)
      | (?P<variable>[A-Za-z_][\w.\-]*)
      | (?P<number>-?\d+)
      | "(?P<text>(?:[^"\\$]|\\.)*)"
    )\s*\}""",
    re.VERBOSE,
)
_ESCAPES = {"n": "\n", "t": "\t", '"': '"', "\\": "\\"}


@lru_cache(maxsize=1024)
def parse(text: str) -> tuple[Part, ...]:
    """The parts of a text. Raises ValueError saying what is wrong and what can be written."""
    parts: list[Part] = []
    end = 0
    while opened := _OPEN.search(text, end):
        parts.append(text[end : opened.start()])
        if opened[0] == "$${":
            parts.append("${")
            end = opened.end()
            continue
        found = _EXPRESSION.match(text, opened.end())
        if found is None:
            raise ValueError(
                f"parse error at {opened.start() + 1}: after ${{ comes a variable, match(N), "
                'a number or a "text", and then }'
            )
        parts.append(_part(found))
        end = found.end()
    parts.append(text[end:])
    return tuple(part for part in parts if part != "")


def _part(found: re.Match[str]) -> Part:
    if found["call"]:
        if found["call"] != "match":
            raise ValueError(f"unknown function called: {found['call']}; there is match(N)")
        return Match(int(found["group"]))
    if found["variable"]:
        return Variable(found["variable"])
    if found["number"]:
        return found["number"]
    return re.sub(r"\\(.)", lambda one: _ESCAPES.get(one[1], one[0]), found["text"])


def fill(parts: tuple[Part, ...], variables: Mapping[str, str], match: Callable[[int], str]) -> str:
    """The text with its values. Raises ValueError for an unknown variable."""
    texts = []
    for part in parts:
        if isinstance(part, str):
            texts.append(part)
        elif isinstance(part, Match):
            texts.append(match(part.group))
        elif part.name in variables:
            texts.append(variables[part.name])
        else:
            known = ", ".join(variables)
            raise ValueError(f"unknown variable accessed: {part.name}; there are {known}")
    return "".join(texts)
