"""What commands print: tables, JSON, times."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

import click

_HTML = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}
_ESCAPES = str.maketrans(_HTML)


def table(rows: Iterable[Sequence[str]], gap: int = 2) -> str:
    """Rows in columns, ``gap`` spaces apart, without blanks at the end of a line."""
    cells = [[cell.strip() for cell in row] for row in rows]
    widths: list[int] = []
    for row in cells:
        widths += [0] * (len(row) - len(widths))
        for column, cell in enumerate(row):
            widths[column] = max(widths[column], _width(cell))
    lines = []
    for row in cells:
        padded = (
            cell + " " * (width - _width(cell)) for cell, width in zip(row, widths, strict=False)
        )
        lines.append((" " * gap).join(padded).rstrip())
    return "\n".join(lines)


def _width(text: str) -> int:
    """Columns of a terminal that ``text`` takes."""
    if text.isascii():
        return len(text)
    wide = sum(unicodedata.east_asian_width(letter) in "WF" for letter in text)
    return len(text) + wide - sum(map(bool, map(unicodedata.combining, text)))


def go_json(value: Any, indent: str | None = None) -> str:
    """JSON as Go's encoder writes it: ``<``, ``>`` and ``&`` escaped, other letters kept."""
    separators = (",", ":") if indent is None else (",", ": ")
    text = json.dumps(value, ensure_ascii=False, indent=indent, separators=separators)
    return text.translate(_ESCAPES)


def print_json(value: Any, indent: str = "    ") -> None:
    """Print JSON over several lines; Consul's ``-format=json`` indents by four spaces."""
    click.echo(go_json(value, indent))
