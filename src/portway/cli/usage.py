"""The text of ``-help`` of the Consul words."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from portway.cli.command import Flag

API_OPTIONS = "HTTP API Options"
COMMAND_OPTIONS = "Command Options"
_WIDTH = 80
_VALUE = re.compile(r"`([^`]+)`")


def command_usage(path: str, arguments: str, text: str, flags: Sequence[Flag]) -> str:
    """Usage of one command: what it does, and its flags by section."""
    line = f"Usage: {path} [options] {arguments}".rstrip() if flags else f"Usage: {path}"
    lines = [line, "", *_indented(text)]
    sections = sorted({option.section for option in flags}, key=lambda title: title != API_OPTIONS)
    for section in sections:
        lines += ["", section, ""]
        chosen = sorted(
            (option for option in flags if option.section == section),
            key=lambda option: option.flag_name,
        )
        for option in chosen:
            lines += [*_entry(option), ""]
        lines.pop()
    return "\n".join(lines)


def _entry(option: Flag) -> list[str]:
    text = option.help or ""
    value = _VALUE.search(text)
    shape = f"=<{value[1] if value else option.type.name.replace('text', 'string')}>"
    head = f"  -{option.flag_name}{shape if option.takes_value else ''}"
    body = textwrap.wrap(text.replace("`", ""), _WIDTH - 5)
    return [head, *(f"     {line}" for line in body)]


def group_usage(path: str, text: str, summaries: Mapping[str, str]) -> str:
    """Usage of a group: what it is for, and its subcommands."""
    lines = [f"Usage: {path} <subcommand> [options] [args]", "", *_indented(text), ""]
    return "\n".join([*lines, "Subcommands:", *_summaries(summaries)])


def program_usage(program: str, summaries: Mapping[str, str]) -> str:
    """Usage of the program under Consul's name: its commands."""
    lines = [f"Usage: {program} [--version] [--help] <command> [<args>]", ""]
    return "\n".join([*lines, "Available commands are:", *_summaries(summaries)])


def _summaries(summaries: Mapping[str, str]) -> list[str]:
    width = max(map(len, summaries))
    return [f"    {name.ljust(width)}    {summaries[name]}" for name in sorted(summaries)]


def _indented(text: str) -> list[str]:
    """A docstring, two spaces in; what is indented within it is left as it is."""
    lines: list[str] = []
    for paragraph in re.split(r"\n\s*\n", text):
        if lines:
            lines.append("")
        if paragraph.startswith(" "):
            lines += [f"  {line}" for line in paragraph.splitlines()]
        else:
            lines += textwrap.wrap(
                " ".join(paragraph.split()), _WIDTH, initial_indent="  ", subsequent_indent="  "
            )
    return lines
