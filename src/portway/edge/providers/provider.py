"""What every provider is: something that watches a source and reports changed objects."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple, Protocol

from portway.edge.dynamic import Middleware, Router, ServersTransport, Service

Kind = Literal["router", "service", "middleware", "serversTransport"]
Object = Router | Service | Middleware | ServersTransport


class Change(NamedTuple):
    """One object's new value, or its removal when ``value`` is None.

    ``errors`` say what is wrong with its definition at the source: the object is then
    shown as disabled with these texts and carries no traffic.
    """

    kind: Kind
    name: str  # without @provider
    value: Object | None
    errors: tuple[str, ...] = ()


class Report(NamedTuple):
    """A batch of changes from one provider, applied together.

    The first report of a provider, even an empty one, says that it has read its source once.
    ``problems`` replaces the provider's list of standing problems that belong to no object
    (a file that does not parse, an unreachable daemon); None leaves the list as it was.
    """

    provider: str
    changes: Sequence[Change] = ()
    problems: Sequence[str] | None = None


Emit = Callable[[Report], None]


class Provider(Protocol):
    """A source of dynamic configuration."""

    name: str

    async def run(self, emit: Emit) -> None:
        """Watch the source until cancelled. Reports only what changed since the last report.

        Recovers from every failure of the source by itself; an exception that escapes is
        logged and the provider's last good objects keep serving.
        """
        ...
