"""Reading dynamic files: which there are, what is in them, whether they look complete."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from portway.config import ParseError, parse
from portway.config.text import MAX_BYTES
from portway.edge.dynamic import Dynamic
from portway.edge.dynamic_file import decode_dynamic
from portway.edge.providers.provider import Kind, Object
from portway.edge.providers.template import Template, TemplateError
from portway.edge.providers.template_functions import FUNCTIONS

SUFFIXES: Final = (".toml", ".yaml", ".yml")
MAX_FILES: Final = 10_000

# Seconds a content must stand unchanged before it counts, by how complete it looks.
EMPTIED: Final = 2.0  # nothing, or just the beginning of what was there: being rewritten?
UNFINISHED: Final = 0.5  # it does not parse, or lacks the newline at its end
REMOVED: Final = 0.3  # editors replace a file by moving the old one away first

Key = tuple[Kind, str]

# Traefik gives files strings.Split in the place of Sprig's function.
_FUNCTIONS: Mapping[str, Any] = {**FUNCTIONS, "split": lambda text, cut: text.split(cut)}


class Missing(Exception):  # noqa: N818
    """The configured file or directory cannot be read; the text says why."""


class Reading(NamedTuple):
    """What a file says. ``objects`` is None when it is refused; ``problems`` say why."""

    objects: Mapping[Key, Object] | None
    problems: tuple[str, ...] = ()


def find(filename: str, directory: str) -> list[Path]:
    """The files to read, in the order in which the first to name an object wins.

    A directory is read recursively by name. Raises Missing.
    """
    if filename:
        if not Path(filename).is_file():
            raise Missing(f"{filename}: there is no such file")
        return [Path(filename)]
    found: list[Path] = []
    _walk(Path(directory), found)
    return found


def _walk(directory: Path, found: list[Path]) -> None:
    try:
        entries = sorted(os.scandir(directory), key=lambda entry: entry.name)
    except OSError as error:
        raise Missing(f"{directory}: the directory cannot be read: {error.strerror}") from error
    for entry in entries:
        # "..data" and "..2024_…" hold the targets of a ConfigMap's links, ".#" marks a lock.
        if entry.name.startswith(("..", ".#")):
            continue
        if entry.is_dir(follow_symlinks=False):
            _walk(Path(entry.path), found)
        elif entry.name.lower().endswith(SUFFIXES):
            found.append(Path(entry.path))
            if len(found) > MAX_FILES:
                raise Missing(f"{directory}: there are more than {MAX_FILES} files")


def read(path: Path) -> bytes | None:
    """The content of a file, one byte beyond the limit at most; None when it is not there.

    Raises Missing when it is there and cannot be read.
    """
    try:
        # Not to wait for a writer, should it be a pipe.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise Missing(f"{path}: not a regular file")
            return file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Missing(f"{path}: the file cannot be read: {error.strerror}") from error


def decode(path: Path, content: bytes) -> Reading:
    """What ``content`` says; templates are rendered first. Never raises."""
    source = str(path)
    tree: Any = content
    if b"{{" in content and len(content) <= MAX_BYTES:
        try:
            text = Template(content.decode("utf-8-sig"), _FUNCTIONS).render(False)
            tree = parse(text, source, toml=source.lower().endswith(".toml"))
        except TemplateError as error:
            return Reading(None, (f"{source}:{error.line}: column {error.column}: {error.text}",))
        except UnicodeDecodeError:
            return Reading(None, (f"{source}: the file is not UTF-8 text",))
        except ParseError as error:
            return Reading(None, (str(error.problem),))
    dynamic, problems = decode_dynamic(tree, source)
    texts = tuple(map(str, problems))
    return Reading(None if dynamic is None else _objects(dynamic), texts)


def patience(old: bytes | None, new: bytes | None, refused: bool) -> float:
    """Seconds that ``new`` must stand unchanged before it replaces ``old``."""
    if old is None:
        return UNFINISHED if refused else 0.0
    if new is None:
        return REMOVED
    if old.startswith(new.rstrip()):
        return EMPTIED
    return UNFINISHED if refused or (old.endswith(b"\n") and not new.endswith(b"\n")) else 0.0


def _objects(dynamic: Dynamic) -> dict[Key, Object]:
    http = dynamic.http
    if http is None:
        return {}
    kinds: list[tuple[Kind, Mapping[str, Object]]] = [
        ("router", http.routers),
        ("service", http.services),
        ("middleware", http.middlewares),
        ("serversTransport", http.servers_transports),
    ]
    return {(kind, name): value for kind, found in kinds for name, value in found.items()}
