"""Loading the static configuration from the first of file, flags and environment that speaks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from portway.config import Flat, ParseError, Problem, Table, decode, grow, nearest, parse, place
from portway.config.decode import field_types
from portway.edge.static.check import LEVELS, check, refused, removed
from portway.edge.static.flags import ENVIRONMENT, FLAGS, read_environment, read_flags
from portway.edge.static.options import EntryPoint, Static

EXTENSIONS = (".toml", ".yaml", ".yml")


class Loaded(NamedTuple):
    """A static configuration and where it came from.

    ``problems`` are fatal: with any, ``static`` must not be run. ``notices`` are to be logged
    at start: options that have no effect, and things that were ignored.
    """

    static: Static
    source: str  # a file's path, "flags", "environment" or "defaults"
    problems: tuple[Problem, ...] = ()
    notices: tuple[str, ...] = ()


def load(
    argv: Sequence[str],
    environ: Mapping[str, str],
    cwd: Path = Path(),
    etc: Path = Path("/etc"),
) -> Loaded:
    """Load from the file, else the flags, else the environment; never from two of them.

    ``argv`` excludes the program's name. The file is the one ``--configFile`` names, else the
    first of ``lookup``. Never raises on bad input.
    """
    flags = read_flags(argv)
    if flags.problems:
        return Loaded(Static(), FLAGS, tuple(flags.problems))
    file: Path | None
    if flags.config_file:
        file = cwd / Path(flags.config_file).expanduser()
    else:
        file = next((path for path in lookup(environ, cwd, etc) if path.is_file()), None)
    if file is not None:
        loaded = _from_file(file)
        if flags.flats:
            names = ", ".join(flat.shown for flat in flags.flats)
            notice = f"the flags {names} have no effect, because {loaded.source} is read instead"
            loaded = loaded._replace(notices=(notice, *loaded.notices))
        return loaded
    if flags.flats:
        return _from_flats(flags.flats, FLAGS)
    variables, problems = read_environment(environ)
    if problems:
        return Loaded(Static(), ENVIRONMENT, tuple(problems))
    if variables:
        return _from_flats(variables, ENVIRONMENT)
    return Loaded(_effective(Static()), "defaults")


def lookup(environ: Mapping[str, str], cwd: Path, etc: Path) -> Iterator[Path]:
    """Where a configuration file is looked for: Traefik's places, then the same of ours."""
    for name in ("traefik", "portway"):
        folders = [etc / name]
        if xdg := environ.get("XDG_CONFIG_HOME"):
            folders.append(Path(xdg))
        if home := environ.get("HOME"):
            folders.append(Path(home) / ".config")
        for folder in [*folders, cwd]:
            for extension in EXTENSIONS:
                yield folder / (name + extension)


def _from_file(path: Path) -> Loaded:
    source = str(path)
    if path.suffix.lower() not in (*EXTENSIONS, ".json"):
        message = f"unsupported file extension; use {', '.join(EXTENSIONS)} or .json"
        return _failed(Problem(source, None, "", message))
    try:
        tree = parse(path.read_bytes(), source, toml=path.suffix.lower() == ".toml")
    except OSError as error:
        return _failed(Problem(source, None, "", f"cannot be read: {error.strerror}"))
    except ParseError as error:
        return _failed(error.problem)
    if not tree:
        return _failed(Problem(source, None, "", "no configuration found in file"))
    gone = removed(tree, source)
    known, notices = _known_roots(tree, source)
    if not known and not gone:
        names = sorted(field_types(Static))
        hint = "".join(f"; {notice}" for notice in notices[:1]) or f"; valid: {', '.join(names)}"
        message = f"no valid configuration found in file{hint}"
        return _failed(Problem(source, None, "", message))
    loaded = _from_tree(known, source, gone)
    return loaded._replace(notices=(*notices, *loaded.notices))


def _failed(problem: Problem) -> Loaded:
    return Loaded(Static(), problem.source, (problem,))


def _known_roots(tree: Table, source: str) -> tuple[Table, list[str]]:
    names = field_types(Static)
    lower = {name.lower() for name in names}
    known = Table()
    notices = []
    for key, child in tree.items():
        if key.lower() in lower:
            known[key], known.at[key] = child, tree.at.get(key)
        else:
            line = tree.at.get(key)
            problem = Problem(
                source,
                line if isinstance(line, int) else None,
                key,
                f"unknown option, has no effect{nearest(key, names)}",
            )
            notices.append(str(problem))
    return known, notices


def _from_flats(flats: Sequence[Flat], source: str) -> Loaded:
    tree, malformed = grow(flats, source)
    if malformed:
        return Loaded(Static(), source, tuple(malformed))
    return _from_tree(tree, source, removed(tree, source))


def _from_tree(tree: Table, source: str, gone: Sequence[Problem]) -> Loaded:
    decoding = decode(tree, Static, source)
    problems = [*gone, *refused(tree, source)]
    known = {problem.key for problem in problems}
    problems += [problem for problem in decoding.problems if problem.key not in known]
    static = _effective(decoding.value)
    if not problems:
        problems = check(static, tree, source)
    notices = [
        f"option {problem.key} ({source}{f' line {problem.line}' if problem.line else ''}) "
        f"{problem.message}"
        for problem in decoding.unsupported
        if problem.key not in known
    ]
    if static.log.level.upper() not in LEVELS:
        notices.append(
            f"log.level {static.log.level!r} is unknown, ERROR is used; valid: {', '.join(LEVELS)}"
        )
        log = msgspec.structs.replace(static.log, level="ERROR")
        static = msgspec.structs.replace(static, log=log)
    if static.api and static.api.dashboard and place(tree, ("api", "dashboard"))[1] == 2:
        notices.append("api.dashboard has no effect yet: the API is served without a dashboard")
    if static.core.default_rule_syntax == "v2":
        notices.append("core.defaultRuleSyntax v2 has no effect: rules are read as v3")
    return Loaded(static, source, tuple(problems), tuple(notices))


def _effective(static: Static) -> Static:
    """With the entry points that are there without being named: http, and traefik if used."""
    points = dict(static.entry_points) or {"http": EntryPoint(address=":80")}
    api, ping = static.api, static.ping
    internal = (api is not None and api.insecure) or (
        ping is not None and not ping.manual_routing and ping.entry_point == "traefik"
    )
    if internal and "traefik" not in points:
        points["traefik"] = EntryPoint(address=":8080")
    return msgspec.structs.replace(static, entry_points=points)
