"""What a middleware compiles to: an ordered list of steps in a route's filter chain.

A step is either a *native* Envoy filter or a *Lua* step. The edge compiler groups
consecutive native steps into one named chain (delivered by ECDS, shared by content) and
consecutive Lua steps into one run of the shared script, so the written order holds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from google.protobuf.any_pb2 import Any as AnyMessage


class Lua(NamedTuple):
    """One step of the shared script: ``function`` registered by the module's Lua text,
    ``params`` plain JSON values handed to it (strings, numbers, booleans, lists, maps).

    ``rejects`` is true when the step can answer the request itself; steps after it only
    see responses to requests that passed it. ``responds`` is false when the function has no
    response part, which spares the response a pass through Lua. ``delays`` is true when the
    step may hold the request back (``delay`` of the prelude), ``paths`` when it deals in the
    request's path and understands an empty one.
    """

    function: str
    params: Mapping[str, Any]
    rejects: bool = False
    responds: bool = True
    delays: bool = False
    paths: bool = False


class Native(NamedTuple):
    """An Envoy HTTP filter: ``name`` must be unique in its chain, ``config`` is packed.

    It sees the responses of requests that reached its chain, which is what Traefik does,
    unless a filter before it in the same chain answers. ``alternative`` is the same in Lua,
    taken between Lua steps, where one longer run of the script costs less than two.
    """

    name: str
    config: AnyMessage
    alternative: Lua | None = None


Step = Native | Lua


class Place(NamedTuple):
    """Where a middleware instance runs: its own name, its router and the entry point."""

    middleware: str  # name@provider
    router: str  # name@provider
    entry_point: str
    tls: bool  # the connection is TLS on this entry point
    appends_peer: bool = True  # the entry point appends the peer to X-Forwarded-For


class Kind(NamedTuple):
    """A middleware type as the registry knows it.

    ``problems`` returns what is wrong with the options, one sentence each, empty when valid.
    ``steps`` compiles valid options. ``lua`` is the text that defines the functions its Lua
    steps name. ``references`` names other middlewares it contains (``chain`` only).
    ``notices`` says what a user should know about options that are valid, one sentence each:
    an option without effect, a user who can never log in.
    """

    problems: Callable[[Any], Sequence[str]]
    steps: Callable[[Any, Place], Sequence[Step]]
    lua: str = ""
    references: Callable[[Any], Sequence[str]] = lambda options: ()
    notices: Callable[[Any], Sequence[str]] = lambda options: ()
