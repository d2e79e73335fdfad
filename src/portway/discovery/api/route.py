"""Routes: which handler answers which path and method."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable

import msgspec

from portway.discovery.api.answer import Answer
from portway.discovery.api.request import Request

Handler = Callable[[Request], Awaitable[Answer]]


class Route(msgspec.Struct, frozen=True):
    """One endpoint.

    A ``path`` that ends with ``/`` matches everything below it, and what follows is
    ``request.rest``; any other path matches itself only. ``access`` says what a caller needs,
    in the words of ACL rules, for the documentation and for the test that no endpoint is
    unguarded; the handler enforces it.
    """

    path: str
    methods: dict[str, Handler]
    access: str

    @property
    def allow(self) -> str:
        """The ``Allow`` header."""
        return ",".join(["OPTIONS", *self.methods])


class Router:
    """Finds the route of a path: an exact one first, then the longest prefix, as Go's mux."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self.routes = tuple(routes)
        self._exact = {route.path: route for route in self.routes if not route.path.endswith("/")}
        self._below = {route.path: route for route in self.routes if route.path.endswith("/")}
        self._longest = max(map(len, self._below), default=0)

    def is_below(self, path: str) -> bool:
        """Whether ``path``, which ends with a slash, is that of a route for what is below it."""
        return path in self._below

    def find(self, path: str) -> tuple[Route, str] | None:
        """The route and the rest of the path."""
        exact = self._exact.get(path)
        if exact is not None:
            return exact, ""
        # No further: a path of thousands of slashes would be cut and looked up at each of them.
        end = min(len(path), self._longest)
        while end > 0:
            end = path.rfind("/", 0, end) + 1
            route = self._below.get(path[:end])
            if route is not None:
                return route, path[end:]
            end -= 1
        return None
