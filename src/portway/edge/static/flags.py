"""Command-line flags and environment variables as dotted keys, by Traefik's grammar."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple, get_args, get_origin

from portway.config import Flat, Options, Problem, Unsupported
from portway.config.decode import field_types, plain
from portway.edge.static.options import Static

FLAGS = "flags"
ENVIRONMENT = "environment"
PREFIXES = ("TRAEFIK_", "PORTWAY_")
CONFIG_FILE = "configfile"

Shape = Literal["switch", "list", "value", "unsupported", "unknown"]


class Flags(NamedTuple):
    """A command line: its flags in order, one per key, and the file it names, if it does."""

    flats: list[Flat]
    config_file: str | None
    problems: list[Problem]


def read_flags(argv: Sequence[str]) -> Flags:
    """Read ``--key=value``, ``--key value``, ``-key=value`` and bare switches.

    A bare switch means true and never takes the next argument. Naming a list again adds to
    it; naming anything else again replaces it. Keys match in any case; ``--`` ends.
    """
    flats: dict[str, Flat] = {}
    problems: list[Problem] = []
    rest = list(reversed(argv))
    while rest:
        argument = rest.pop()
        if argument == "--":
            problems += [_unexpected(word, None) for word in reversed(rest)]
            break
        body = argument.removeprefix("-").removeprefix("-")
        if not argument.startswith("-") or body[:1] in ("", "-", "="):
            previous = next(reversed(flats.values())).shown if flats else None
            problems.append(_unexpected(argument, previous))
            continue
        name, equals, value = body.partition("=")
        shape = _shape(name)
        if not equals:
            if shape == "switch" or (shape in ("unsupported", "unknown") and _bare(rest)):
                value = "true"
            elif rest:
                value = rest.pop()
            else:
                problems.append(Problem(FLAGS, None, argument, "flag needs an argument"))
                continue
        shown = argument.partition("=")[0]
        earlier = flats.pop(name.lower(), None)
        if earlier is not None and shape == "list":
            value = f"{earlier.value},{value}"
        flats[name.lower()] = Flat(earlier.path if earlier else name, value, shown)
    file = flats.pop(CONFIG_FILE, None)
    ordered = sorted(flats.values(), key=lambda flat: flat.path)
    return Flags(ordered, file.value if file else None, problems)


def _bare(rest: list[str]) -> bool:
    return not rest or rest[-1].startswith("-")


def _unexpected(argument: str, previous: str | None) -> Problem:
    if argument.startswith("-"):
        return Problem(FLAGS, None, argument, "bad flag syntax; write --name=value")
    hint = f"; to give {previous} a value, write {previous}={argument}" if previous else ""
    return Problem(FLAGS, None, argument, f"unexpected argument{hint}")


def _shape(name: str) -> Shape:
    """What kind of option a key names, which decides whether it needs a value."""
    if name.lower() == CONFIG_FILE:
        return "value"
    kind, named = _kind(name)
    if kind is Unsupported:
        return "unsupported"
    if kind is None:
        return "unknown"
    if get_origin(kind) is list:
        return "list"
    if isinstance(kind, type) and issubclass(kind, Options):
        return "switch" if kind.allow_empty or named else "value"
    return "switch" if kind is bool else "value"


def _kind(name: str) -> tuple[object, bool]:
    """The type a key leads to, None if nowhere; and whether it is an entry of a map, which
    exists as soon as it is named."""
    kind: object = Static
    named = False
    for part in name.split("."):
        if kind is Unsupported:
            break
        if get_origin(kind) is dict:
            kind, named = plain(get_args(kind)[1]), True
            continue
        if not (isinstance(kind, type) and issubclass(kind, Options)):
            return None, False
        segment = part.partition("[")[0].lower()
        fields = {key.lower(): annotation for key, (_, annotation) in field_types(kind).items()}
        if segment not in fields:
            return None, False
        kind, named = plain(fields[segment]), False
    return kind, named


def read_environment(environ: Mapping[str, str]) -> tuple[list[Flat], list[Problem]]:
    """The variables that begin with a prefix and the name of an option at the top.

    ``_`` separates levels and everything is lower-cased, as in Traefik, so a map's names (entry
    points) come out in lower case and hold no ``_``. Variables with an unknown first name
    are others' and are passed over.
    """
    roots = tuple(name.lower() for name in field_types(Static))
    flats: dict[str, Flat] = {}
    problems: list[Problem] = []
    for variable in sorted(environ):
        prefix = next((p for p in PREFIXES if variable.upper().startswith(p)), None)
        if prefix is None:
            continue
        path = variable[len(prefix) :].lower().replace("_", ".")
        if not path.startswith(roots):
            continue
        flat = Flat(path, environ[variable], variable)
        first = flats.setdefault(path, flat)
        if first.value != flat.value:
            message = f"differs from {first.shown}, which says the same thing; keep one"
            problems.append(Problem(ENVIRONMENT, None, variable, message))
    return list(flats.values()), problems
