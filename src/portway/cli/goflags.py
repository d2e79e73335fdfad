"""The grammar of flags of Go's ``flag`` package, which Consul's words are written in.

One dash or two; ``-name value`` or ``-name=value``; a boolean takes a value only after ``=``;
flags end at the first argument that is none, or after ``--``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_FALSE = frozenset({"0", "f", "F", "FALSE", "false", "False"})
HELP = frozenset({"h", "help"})


class FlagError(Exception):
    """Arguments that are not of the grammar; the text is what Go says of them."""


class Parsed(NamedTuple):
    """What the arguments hold: flags in the order given, and the rest."""

    flags: list[tuple[str, str]]
    rest: list[str]
    help: bool = False


def parse(known: Mapping[str, bool], arguments: Sequence[str]) -> Parsed:
    """Split ``arguments`` into flags and the rest; ``known`` says which flags are booleans.

    Raises FlagError for a flag that is not known, lacks its value, or has none where it stands.
    """
    flags: list[tuple[str, str]] = []
    at = 0
    while at < len(arguments):
        argument = arguments[at]
        if argument == "--":
            return Parsed(flags, list(arguments[at + 1 :]))
        if len(argument) < 2 or argument[0] != "-":
            break
        at += 1
        name, equals, value = argument.removeprefix("-").removeprefix("-").partition("=")
        if not name or name[0] == "-":
            raise FlagError(f"bad flag syntax: {argument}")
        if name not in known:
            if name in HELP:
                return Parsed(flags, [], help=True)
            raise FlagError(f"flag provided but not defined: -{name}")
        if known[name]:
            value = value if equals else "true"
        elif not equals:
            if at == len(arguments):
                raise FlagError(f"flag needs an argument: -{name}")
            value = arguments[at]
            at += 1
        flags.append((name, value))
    return Parsed(flags, list(arguments[at:]))


def boolean(text: str) -> bool:
    """What Go's ``strconv.ParseBool`` reads. Raises ValueError."""
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise ValueError(text)
