"""Encoded objects, kept until they change."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, TypeVar

from portway.edge.api.render import Json, encode
from portway.edge.runtime import MiddlewareInfo, RouterInfo, ServiceInfo

_AT_ONCE = 64  # objects to encode before other tasks get a turn

Info = TypeVar("Info", RouterInfo, ServiceInfo, MiddlewareInfo)


class Encoded:
    """JSON texts of objects by their name, for one way of rendering them.

    Runtime objects are changed in place, so an entry is valid for one configuration object
    (they are immutable) and one state of what changes around it.
    """

    def __init__(self, render: Callable[[Any], Json]) -> None:
        self._render = render
        self._texts: dict[str, tuple[object, tuple[object, ...], bytes]] = {}

    def get(self, info: RouterInfo | ServiceInfo | MiddlewareInfo) -> bytes:
        """The object's JSON text."""
        state = _state(info)
        known = self._texts.get(info.name)
        if known is not None and known[0] is info.config and known[1] == state:
            return known[2]
        text = encode(self._render(info))
        self._texts[info.name] = (info.config, state, text)
        return text

    async def members(self, infos: Mapping[str, Info]) -> dict[str, bytes]:
        """The JSON texts of all objects by name; other tasks run in between."""
        texts = {}
        for number, (name, info) in enumerate(list(infos.items())):
            texts[name] = self.get(info)
            if number % _AT_ONCE == 0:
                await asyncio.sleep(0)
        self.keep_only(infos)
        return texts

    def keep_only(self, names: Mapping[str, Any]) -> None:
        """Forget objects that are gone, once they are as many as those that are there."""
        if len(self._texts) > 2 * len(names) + 100:
            self._texts = {name: entry for name, entry in self._texts.items() if name in names}


def _state(info: RouterInfo | ServiceInfo | MiddlewareInfo) -> tuple[object, ...]:
    users = info.using if isinstance(info, RouterInfo) else info.used_by
    priority = info.priority if isinstance(info, RouterInfo) else 0
    return (info.status, priority, tuple(info.errors), tuple(users))


def with_members(text: bytes, members: Json) -> bytes:
    """An encoded object with further members at its end."""
    if not members:
        return text
    return text[:-1] + b"," + encode(members)[1:]


def array(texts: list[bytes]) -> bytes:
    """Encoded values as an encoded list."""
    return b"[" + b",".join(texts) + b"]"


def mapping(texts: Mapping[str, bytes]) -> bytes:
    """Encoded values as an encoded object with sorted keys."""
    return b"{" + b",".join(_key(name) + texts[name] for name in sorted(texts)) + b"}"


@lru_cache(maxsize=65_536)
def _key(name: str) -> bytes:
    return encode(name) + b":"
