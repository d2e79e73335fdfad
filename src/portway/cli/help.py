"""The text of ``--help``: commands, and every static option with its default."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, get_args, get_origin

import click

from portway.config import Doc, Duration, Options
from portway.config.decode import field_types, metadata, plain
from portway.edge.static import Static

_SECTIONS = {
    "entryPoints": "Entry points",
    "providers": "Providers",
    "api": "API",
    "ping": "Ping",
    "log": "Log",
    "serversTransport": "Connections to servers",
    "global": "Global",
    "core": "Core",
}


class Option(NamedTuple):
    """A static option that is honoured: its dotted name, default and description."""

    name: str
    default: str
    description: str


def options(kind: type[Options] = Static, prefix: str = "") -> Iterator[Option]:
    """Every option with a description, in the order of the definitions."""
    defaults = kind()
    for name, (attribute, annotation) in field_types(kind).items():
        here = prefix + name
        inner = plain(annotation)
        doc = next((str(note) for note in metadata(annotation) if isinstance(note, Doc)), None)
        if doc is not None:
            yield Option(here, _shown(getattr(defaults, attribute)), doc)
        if get_origin(inner) is dict:
            inner, here = plain(get_args(inner)[1]), f"{here}.<name>"
        if isinstance(inner, type) and issubclass(inner, Options):
            yield from options(inner, here + ".")


def _shown(value: Any) -> str:
    if value is None:
        return "false"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Duration):
        return str(value)
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return str(value)


def overview(commands: Mapping[str, str]) -> str:
    """The help of the program."""
    width = max(map(len, commands))
    lines = [
        f"{_bold('Portway')} is an edge router that configures itself, carried by Envoy,"
        " and a service registry.",
        "",
        f"{_bold('Usage:')} portway [command] [options]",
        "",
        _bold("Commands:"),
        *(f"  {click.style(name.ljust(width), fg='cyan')}  {commands[name]}" for name in commands),
        "",
        "Use portway [command] --help for help on a command.",
        "",
        *_static_options(),
    ]
    return "\n".join(lines)


def command_help(path: str, text: str) -> str:
    """The help of a command that takes static options."""
    lines = [f"{_bold('Usage:')} {path} [options]", "", text, "", *_static_options()]
    return "\n".join(lines)


def _static_options() -> list[str]:
    lines = [
        _bold("Options:"),
        *textwrap.wrap(
            "Options are written --name=value or --name value, in any case; a switch alone "
            "means true; naming a list again adds to it. They are read from the first of: a "
            "file (--configFile, else traefik.toml, .yaml or .yml in /etc/traefik, "
            "$XDG_CONFIG_HOME, $HOME/.config or the working directory, else portway.* "
            "likewise); the command line; the environment (TRAEFIK_LOG_LEVEL or "
            "PORTWAY_LOG_LEVEL for --log.level).",
            _width() - 2,
            initial_indent="  ",
            subsequent_indent="  ",
        ),
    ]
    section = ""
    for option in [Option("configFile", "", "Configuration file to read."), *options()]:
        root = option.name.partition(".")[0]
        if root != section:
            section = root
            title = _SECTIONS.get(root, "")
            lines += ["", _bold(f"{title}:")] if title else [""]
        lines += _entry(option)
    return lines


def _entry(option: Option) -> list[str]:
    default = click.style(f"  (default: {option.default})", dim=True) if option.default else ""
    name = click.style(f"--{option.name}", fg="cyan")
    described = textwrap.wrap(
        option.description, _width() - 6, initial_indent="      ", subsequent_indent="      "
    )
    return [f"  {name}{default}", *described]


def _width() -> int:
    return max(50, min(100, shutil.get_terminal_size().columns))


def _bold(text: str) -> str:
    return click.style(text, bold=True)
