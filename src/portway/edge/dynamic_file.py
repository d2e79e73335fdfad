"""Dynamic configuration from a file: the text, its few template actions, the typed objects."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from portway.config import ParseError, Problem, Table, Tree, decode, nearest, parse
from portway.edge.dynamic import Dynamic

_ROOTS = ("http", "tcp", "udp", "tls")
_ACTION = re.compile(
    r"""
    \{\{ (?P<left>-(?=\s))?
    (?P<body> \s*/\*.*?\*/\s* | (?: "(?:[^"\\\n]|\\.)*" | `[^`]*` | [^"`}] | \}(?!\}) )*? )
    (?P<right>(?<=\s)-)? \}\}
    """,
    re.DOTALL | re.VERBOSE,
)
_COMMENT = re.compile(r"\s*/\*.*\*/\s*", re.DOTALL)
_STRING = r"""("(?:[^"\\\n]|\\["\\])*"|`[^`]*`)"""
_ENV = re.compile(rf"\s*env\s+{_STRING}\s*")
_LITERAL = re.compile(rf"\s*{_STRING}\s*")


def decode_dynamic(
    content: Tree | bytes, source: str, environ: Mapping[str, str] = os.environ
) -> tuple[Dynamic | None, list[Problem]]:
    """The objects in a dynamic file, or None and what is wrong with it.

    ``content`` is the file's text (TOML if ``source`` ends in ``.toml``, else YAML or JSON) or
    a tree. As in Traefik, one wrong key refuses the whole file and an unknown key at its top
    is dropped. With a result, the problems are things to report that did not prevent it.
    """
    if isinstance(content, str | bytes):
        try:
            content = _parse(content, source, environ)
        except ParseError as error:
            return None, [error.problem]
    if not isinstance(content, dict):
        message = "not a configuration: expected keys with values at the top"
        return None, [Problem(source, None, "", message)]
    known, problems = _known_roots(content, source)
    if all(child is None for child in known.values()):
        return Dynamic(), problems
    decoding = decode(known, Dynamic, source)
    if decoding.problems:
        return None, decoding.problems
    # What an object does not support is reported on the object, by whoever compiles it.
    problems += [problem for problem in decoding.unsupported if "." not in problem.key]
    return decoding.value, problems


def _parse(content: str | bytes, source: str, environ: Mapping[str, str]) -> Table:
    toml = source.lower().endswith(".toml")
    if isinstance(content, bytes) and b"{{" in content:
        content = content.decode("utf-8-sig", "surrogateescape")
    if isinstance(content, str) and "{{" in content:
        content = _render(content, source, environ)
    return parse(content, source, toml=toml)


def _known_roots(tree: dict[str, Tree], source: str) -> tuple[Table, list[Problem]]:
    places = tree.at if isinstance(tree, Table) else {}
    known = Table()
    problems = []
    for key, child in tree.items():
        if key.lower() in _ROOTS:
            known[key], known.at[key] = child, places.get(key)
            continue
        line = places.get(key)
        # Any key may hold YAML anchors for the rest of the file: only a likely typo is told.
        hint = nearest(key, _ROOTS)
        if "did you mean" in hint:
            message = f"unknown key, has no effect{hint}"
            problems.append(Problem(source, line if isinstance(line, int) else None, key, message))
    return known, problems


def _render(text: str, source: str, environ: Mapping[str, str]) -> str:
    """Replace ``{{ env "X" }}``, comments and string literals; refuse every other action.

    ``{{-`` and ``-}}`` trim the white space beside them, as in Go's templates.
    """
    done: list[str] = []
    end = 0
    while (start := text.find("{{", end)) >= 0:
        action = _ACTION.match(text, start)
        shown = action[0] if action else text[start:]
        value = _value(action["body"], environ) if action else None
        before = text[end:start]
        if value is None:
            line_start = text.rfind("\n", 0, start) + 1
            if not text[line_start:start].lstrip().startswith("#"):
                raise ParseError(_unsupported_action(text, start, shown, source))
            value = shown = shown if action else "{{"
        if action and action["left"]:
            before = before.rstrip()
        done += [before, value]
        end = start + len(shown)
        if action and action["right"]:
            end += len(text[end:]) - len(text[end:].lstrip())
    return "".join(done) + text[end:]


def _value(body: str, environ: Mapping[str, str]) -> str | None:
    """What an action stands for; None if it is not one we have."""
    if _COMMENT.fullmatch(body):
        return "\n" * body.count("\n")  # lines keep their numbers
    if found := _ENV.fullmatch(body):
        return environ.get(_unquote(found[1]), "")
    if found := _LITERAL.fullmatch(body):
        return _unquote(found[1])
    return None


def _unsupported_action(text: str, start: int, shown: str, source: str) -> Problem:
    line = text.count("\n", 0, start) + 1
    words = " ".join(shown.split())
    words = words if len(words) <= 60 else words[:60] + "…"
    message = f'templates are not supported: {words}; only {{{{ env "NAME" }}}} is'
    return Problem(source, line, "", message)


def _unquote(literal: str) -> str:
    body = literal[1:-1]
    return body if literal[0] == "`" else re.sub(r"\\(.)", r"\1", body)
