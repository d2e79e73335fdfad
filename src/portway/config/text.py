"""Reading configuration text: YAML and JSON with line numbers, TOML."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from typing import Any

import yaml

from portway.config.problem import Problem
from portway.config.tree import MAX_DEPTH, Table, Tree

MAX_BYTES = 16 << 20
MAX_NODES = 2_000_000  # with every alias counted as often as it is used

_INT = re.compile(r"[-+]?(?:0x[0-9a-fA-F_]+|0o[0-7_]+|0b[01_]+|[1-9][0-9_]*|0)")
_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_BOOL = {
    "true": True,
    "True": True,
    "TRUE": True,
    "false": False,
    "False": False,
    "FALSE": False,
}
_TAG = "tag:yaml.org,2002:"
_KNOWN_TAGS = {_TAG + name for name in ("str", "int", "float", "bool", "null", "map", "seq")} | {
    "!"
}
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class ParseError(Exception):
    """A text that is not what it should be; ``problem`` says what and where."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem


def parse(text: str | bytes, source: str, *, toml: bool = False) -> Table:
    """The tree in a YAML, JSON or TOML text; an empty text is an empty table.

    Raises ParseError, with the line, on text that does not parse, a key given twice, anything
    but a mapping at the top, or a text beyond the bounds of this module.
    """
    if len(text) > MAX_BYTES:
        raise _error(source, None, f"the file is larger than {MAX_BYTES >> 20} MiB")
    words = _decoded(text, source) if isinstance(text, bytes) else text
    return _toml(words, source) if toml else _yaml(words, source)


def _decoded(data: bytes, source: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise _error(source, line, "the file is not UTF-8 text") from None


def _error(source: str, line: int | None, message: str, key: str = "") -> ParseError:
    return ParseError(Problem(source, line, key, message))


def _toml(text: str, source: str) -> Table:
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        message, _, place = str(error).rpartition(" (at ")
        found = re.match(r"line (\d+)", place)
        line = int(found[1]) if found else text.rstrip().count("\n") + 1
        raise _error(source, line, f"not valid TOML: {message}") from None
    except (ValueError, RecursionError) as error:
        raise _error(source, None, f"not valid TOML: {error}") from None
    return _toml_table(tree, _toml_lines(text), ())


_Path = tuple[str, ...]
_HEADER = re.compile(r"\s*\[(\[?)\s*([^\]]+?)\s*\]\]?\s*(?:#.*)?$")
_PART = r"""(?:[\w-]+|"[^"]*"|'[^']*')"""
_KEY = re.compile(rf"\s*({_PART}(?:\s*\.\s*{_PART})*)\s*=")
_PARTS = re.compile(_PART)


def _toml_lines(text: str) -> dict[_Path, int]:
    """Where the keys of a TOML text are, found by reading its lines.

    The standard library's parser keeps no positions. What ordinary files hold is recognised:
    table headers and keys at the start of a line. The rest has no line number.
    """
    lines: dict[_Path, int] = {}
    arrays: dict[_Path, int] = {}
    prefix: _Path = ()
    for number, line in enumerate(text.splitlines(), 1):
        if header := _HEADER.match(line):
            prefix = _toml_path((), header[2], arrays)
            if header[1]:
                arrays[prefix] = arrays.get(prefix, -1) + 1
                lines.setdefault(prefix, number)
                prefix = (*prefix, str(arrays[prefix]))
            path = prefix
        elif key := _KEY.match(line):
            path = _toml_path(prefix, key[1], {})
        else:
            continue
        for length in range(1, len(path) + 1):
            lines.setdefault(path[:length], number)
    return lines


def _toml_path(prefix: _Path, text: str, arrays: dict[_Path, int]) -> _Path:
    path = prefix
    for part in _PARTS.findall(text):
        if path in arrays:
            path = (*path, str(arrays[path]))
        path = (*path, part.strip("\"'"))
    return path


def _toml_table(tree: dict[str, Any], lines: dict[_Path, int], path: _Path) -> Table:
    table = Table()
    for key, value in tree.items():
        here = (*path, key)
        table.at[key] = lines.get(here)
        table[key] = _toml_value(value, lines, here)
    return table


def _toml_value(value: Any, lines: dict[_Path, int], path: _Path) -> Tree:
    if isinstance(value, dict):
        return _toml_table(value, lines, path)
    if isinstance(value, list):
        return [_toml_value(item, lines, (*path, str(index))) for index, item in enumerate(value)]
    if isinstance(value, str | bool | int | float):
        return value
    return str(value)  # dates and times, which no option takes


def _yaml(text: str, source: str) -> Table:
    try:
        tree = _YamlReader(text, source).read()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        # At an unexpected end libyaml points behind the last line.
        line = min(mark.line, text.rstrip().count("\n")) + 1 if mark is not None else None
        words = " ".join(part for part in (error.problem, error.context) if part)
        raise _error(source, line, f"not valid YAML: {words}{_hint(text, line)}") from None
    except yaml.YAMLError as error:
        first = str(error).splitlines()[0]
        raise _error(source, None, f"not valid YAML: {first}") from None
    if tree is None:
        return Table()
    if not isinstance(tree, Table):
        raise _error(source, 1, "not a configuration: expected keys with values at the top")
    return tree


def _hint(text: str, line: int | None) -> str:
    lines = text.split("\n")
    if line is not None and line <= len(lines):
        indent = re.match(r"\s*", lines[line - 1])
        if indent and "\t" in indent[0]:
            return "; the line is indented with a tab, use spaces"
    return ""


class _Open:
    """A collection being read: a table, with the key that waits for its value, or a list."""

    __slots__ = ("anchor", "first", "key", "lines", "merges", "node")

    def __init__(self, node: Table | list[Tree], anchor: str | None, first: int) -> None:
        self.node = node
        self.anchor = anchor
        self.first = first  # the count of nodes before it
        self.key: str | None = None
        self.lines: dict[str, int] = {}
        self.merges: list[tuple[Tree, int]] = []


class _YamlReader:
    """Builds the tree from libyaml's events: bounded in depth and size, with lines.

    Scalars follow YAML 1.2 as Traefik's parser does: ``yes`` and ``on`` are texts. Numbers
    with a fraction and dates stay as written.
    """

    def __init__(self, text: str, source: str) -> None:
        self._text = text
        self._source = source
        self._nodes = 0
        self._anchors: dict[str, tuple[Tree, int]] = {}
        self._stack: list[_Open] = []
        self._root: Tree = None

    def read(self) -> Tree:
        documents = 0
        for event in _events(self._text):
            kind = type(event)
            line = event.start_mark.line + 1
            if kind is yaml.ScalarEvent:
                value = self._scalar(event, line)
                self._count(1)
                if event.anchor:
                    self._anchors[event.anchor] = (value, 1)
                self._add(value, line)
            elif kind is yaml.AliasEvent:
                self._add(self._alias(event, line), line)
            elif kind is yaml.MappingStartEvent:
                self._start(Table(), event, line)
            elif kind is yaml.SequenceStartEvent:
                self._start([], event, line)
            elif kind is yaml.MappingEndEvent or kind is yaml.SequenceEndEvent:
                self._end(line)
            elif kind is yaml.DocumentStartEvent:
                documents += 1
                if documents > 1:
                    raise self._error(line, "a second document starts here; write only one")
        return self._root

    def _error(self, line: int | None, message: str) -> ParseError:
        return _error(self._source, line, message)

    def _at_key(self) -> bool:
        top = self._stack[-1] if self._stack else None
        return top is not None and isinstance(top.node, Table) and top.key is None

    def _start(self, node: Table | list[Tree], event: Any, line: int) -> None:
        if self._at_key():
            raise self._error(line, "a key must be a text")
        if len(self._stack) >= MAX_DEPTH:
            raise self._error(line, f"more than {MAX_DEPTH} levels")
        self._check_tag(event, line)
        self._stack.append(_Open(node, event.anchor, self._nodes))
        self._count(1)

    def _end(self, line: int) -> None:
        done = self._stack.pop()
        if isinstance(done.node, Table):
            self._merge(done.node, done.merges)
        if done.anchor:
            self._anchors[done.anchor] = (done.node, self._nodes - done.first)
        self._add(done.node, line)

    def _alias(self, event: Any, line: int) -> Tree:
        if event.anchor not in self._anchors:
            raise self._error(line, f"alias *{event.anchor} has no anchor before it")
        value, size = self._anchors[event.anchor]
        self._count(size)
        return value

    def _add(self, value: Tree, line: int) -> None:
        if not self._stack:
            self._root = value
            return
        top = self._stack[-1]
        if isinstance(top.node, list):
            top.node.append(value)
        elif top.key is None:
            top.key = self._key(value, top, line)
        else:
            if top.key == "<<":
                top.merges.append((value, line))
            else:
                top.node[top.key] = value
                top.node.at[top.key] = top.lines[top.key]
            top.key = None

    def _key(self, value: Tree, top: _Open, line: int) -> str:
        if not isinstance(value, str):
            raise self._error(line, "a key must be a text")
        if value in top.lines:
            first = top.lines[value]
            raise self._error(line, f'mapping key "{value}" already defined at line {first}')
        top.lines[value] = line
        return value

    def _merge(self, table: Table, merges: list[tuple[Tree, int]]) -> None:
        for value, line in merges:
            for merged in value if isinstance(value, list) else [value]:
                if not isinstance(merged, Table):
                    raise self._error(line, "<<: expected a mapping or a list of mappings")
                self._count(len(merged))
                for key, child in merged.items():
                    if key not in table:
                        table[key] = child
                        table.at[key] = merged.at.get(key)

    def _scalar(self, event: Any, line: int) -> Tree:
        self._check_tag(event, line)
        text: str = event.value
        quoted = event.tag is None and not event.implicit[0]
        if self._at_key() or quoted or event.tag in ("!", _TAG + "str"):
            return text
        if text in _NULL:
            return None
        if text in _BOOL:
            return _BOOL[text]
        if len(text) <= 40 and _INT.fullmatch(text):
            try:
                return int(text.replace("_", ""), 0)
            except ValueError:
                return text
        return text

    def _check_tag(self, event: Any, line: int) -> None:
        if event.tag is not None and event.tag not in _KNOWN_TAGS:
            shown = event.tag.replace(_TAG, "!!")
            raise self._error(line, f"the YAML tag {shown} means nothing here")

    def _count(self, nodes: int) -> None:
        self._nodes += nodes
        if self._nodes > MAX_NODES:
            raise self._error(None, f"more than {MAX_NODES:,} values")


def _events(text: str) -> Iterator[Any]:
    loader = _LOADER(text)
    try:
        while loader.check_event():
            yield loader.get_event()
    finally:
        loader.dispose()
