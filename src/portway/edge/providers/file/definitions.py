"""Objects by name and by the files that define them: the first file wins."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from portway.edge.providers.file.reading import Key
from portway.edge.providers.provider import Kind, Object

WORDS: Final[Mapping[Kind, str]] = {
    "router": "HTTP router",
    "service": "HTTP service",
    "middleware": "HTTP middleware",
    "serversTransport": "HTTP serversTransport",
}


class Definitions:
    """Which file says what about which object."""

    def __init__(self) -> None:
        self._by_file: dict[Path, Mapping[Key, Object]] = {}
        self._by_key: dict[Key, dict[Path, Object]] = {}

    def put(self, path: Path, objects: Mapping[Key, Object]) -> set[Key]:
        """Replace what a file says; returns the objects this may change."""
        before = self._by_file.pop(path, {})
        if objects:
            self._by_file[path] = objects
        for key in before.keys() - objects.keys():
            del self._by_key[key][path]
            if not self._by_key[key]:
                del self._by_key[key]
        for key, value in objects.items():
            self._by_key.setdefault(key, {})[path] = value
        return {
            key for key in before.keys() | objects.keys() if before.get(key) != objects.get(key)
        }

    def value(self, key: Key) -> Object | None:
        """The object in force: that of the first file by name."""
        found = self._by_key.get(key)
        return found[min(found, key=_order)] if found else None

    def duplicates(self, key: Key) -> tuple[str, ...]:
        """A warning for each further file that defines the object."""
        found = self._by_key.get(key, {})
        if len(found) < 2:
            return ()
        first, *others = sorted(found, key=_order)
        kind, name = key
        return tuple(
            f"{path}: {WORDS[kind]} {name!r} is ignored: {first} already defines it"
            for path in others
        )


def _order(path: Path) -> tuple[str, ...]:
    return path.parts
