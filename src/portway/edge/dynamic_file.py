"""Dynamic configuration from a file: all of it as typed objects, or none and why."""

from __future__ import annotations

from portway.config import ParseError, Problem, Table, Tree, decode, nearest, parse
from portway.edge.dynamic import Dynamic

_ROOTS = ("http", "tcp", "udp", "tls")


def decode_dynamic(content: Tree | bytes, source: str) -> tuple[Dynamic | None, list[Problem]]:
    """The objects in a dynamic file, or None and what is wrong with it.

    ``content`` is the file's text (TOML if ``source`` ends in ``.toml``, else YAML or JSON),
    its templates rendered, or a tree. As in Traefik, one wrong key refuses the whole file and
    an unknown key at its top is dropped. With a result, the problems are things to report that
    did not prevent it.
    """
    if isinstance(content, str | bytes):
        try:
            content = parse(content, source, toml=source.lower().endswith(".toml"))
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
