"""Configuration files and directories: which are read, in which order, and what they hold."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from portway.agent.config.deprecated import translate
from portway.agent.config.error import ConfigError, listed
from portway.agent.config.reading import Issue, read
from portway.agent.config.settings import Settings
from portway.config.hcl import MAX_BYTES, HclError, parse_hcl, parse_json

FORMATS = ("hcl", "json")


class Source(NamedTuple):
    """A text of configuration, by the name that messages give it."""

    name: str
    format: str  # hcl or json
    text: str


class Contents(NamedTuple):
    """The canonical form of a source, and what is said of it."""

    tree: dict[str, Any]
    warnings: list[str]


def sources(paths: Sequence[str], format_: str = "") -> tuple[list[Source], list[str]]:
    """The files that ``paths`` name, in the order of reading, and warnings.

    A directory stands for its files in the order of their names, not those of its directories.
    ``format_`` (hcl or json) is every file's; otherwise the suffix says it, and in a directory
    files with another suffix are skipped. Raises ConfigError.
    """
    found: list[Source] = []
    warnings: list[str] = []
    for path in paths:
        try:
            if Path(path).is_dir():
                for name in sorted(os.listdir(path)):  # noqa: PTH208  names, compared as bytes
                    _add(Path(path) / name, format_, found, warnings)
            elif not format_ and _suffix(path) not in FORMATS and Path(path).exists():
                raise ConfigError(
                    f"config: {path} has no known suffix:"
                    " extension must be .hcl or .json, or config format must be set"
                )
            else:
                found.append(Source(path, format_ or _suffix(path), _text(path)))
        except (OSError, ValueError) as error:
            said = f"open {path}: {_reason(error)}"
            raise ConfigError(f"config: Open failed on {path}. {said}") from None
    return [source for source in found if source.text.strip()], warnings


def _add(path: Path, format_: str, found: list[Source], warnings: list[str]) -> None:
    if path.is_dir():
        return
    if not format_ and _suffix(str(path)) not in FORMATS:
        warnings.append(
            f"skipping file {path}, extension must be .hcl or .json, or config format must be set"
        )
        return
    found.append(Source(str(path), format_ or _suffix(str(path)), _text(str(path))))


def _suffix(path: str) -> str:
    return Path(path).suffix.removeprefix(".")


def _text(path: str) -> str:
    with Path(path).open("rb") as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise ConfigError(f"failed to parse {path}: it is larger than {MAX_BYTES >> 20} MiB")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"failed to parse {path}: line {line}: it is not UTF-8 text") from None


def _reason(error: Exception) -> str:
    return (getattr(error, "strerror", None) or str(error)).lower()


def contents(source: Source) -> Contents:
    """What a source says. Raises ConfigError that lists everything wrong with it."""
    try:
        parse = parse_json if source.format == "json" else parse_hcl
        raw = parse(source.text, "")
    except HclError as error:
        raise ConfigError(f"failed to parse {source.name}: {error}") from None
    translated, warnings = translate(raw)
    reading = read(_plural(translated), Settings)
    if reading.issues:
        problems = [_placed(issue, source.text) for issue in reading.issues]
        raise ConfigError(f"failed to parse {source.name}: {listed(problems)}")
    return Contents(reading.tree, warnings + reading.warnings)


def _plural(tree: dict[str, Any]) -> dict[str, Any]:
    """Services and checks as lists: every file may name one, and none replaces another's."""
    result = {key: value for key, value in tree.items() if key not in ("service", "check")}
    for one, many in (("service", "services"), ("check", "checks")):
        if tree.get(one) is not None:
            result[many] = [*_list(tree.get(many)), *_list(tree[one])]
    return result


def _list(node: Any) -> list[Any]:
    if node is None:
        return []
    return node if isinstance(node, list) else [node]


def _placed(issue: Issue, text: str) -> str:
    """The issue, with the line of its key where the text has only one such key."""
    name = re.sub(r"\[[^]]*\]", "", issue.path.rpartition(".")[2])
    key = rf'(?<![\w".-])"?{re.escape(name)}"?\s*(?:[=:{{]|"[^"\n]*"\s*\{{)'
    places = list(_first_two(re.finditer(key, text))) if name else []
    if len(places) != 1 or "\n" not in text.strip():
        return issue.text
    return f"{issue.text} (line {text.count(chr(10), 0, places[0].start()) + 1})"


def _first_two(matches: Iterator[re.Match[str]]) -> Iterator[re.Match[str]]:
    for _, match in zip(range(2), matches, strict=False):
        yield match
