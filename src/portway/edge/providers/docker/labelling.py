"""What a container's labels say, in the form the contribution rules use."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from portway.edge.dynamic import Middleware, Router, Service
from portway.edge.labels import decode_labels
from portway.edge.providers.docker.merge import Ref

_OTHER_PROTOCOLS = re.compile(r"(?:traefik|portway)\.(?:tcp|udp)\.(?:routers|services)\.", re.I)


class Labelled(NamedTuple):
    """Decoded labels; broken objects are present with what was right, and in ``errors``."""

    routers: Mapping[str, Router] = {}
    services: Mapping[str, Service] = {}
    middlewares: Mapping[str, Middleware] = {}
    errors: Mapping[Ref, tuple[str, ...]] = {}
    enable: bool | None = None  # None: not said
    network: str = ""
    allow_non_running: bool = False
    other_protocols: bool = False  # there are TCP or UDP routers or services
    problems: tuple[str, ...] = ()  # that belong to no object
    enable_problems: tuple[str, ...] = ()  # why nobody knows whether it is to be exposed

    def about(self, container: str, problems: Iterable[str]) -> tuple[str, ...]:
        """Problems with the name of the container they are about."""
        return tuple(f"container {container!r}: {problem}" for problem in problems)


def read_labels(labels: Mapping[str, str]) -> Labelled:
    """Decode ``labels``; never raises."""
    decoded = decode_labels(labels)
    return Labelled(
        routers=decoded.routers,
        services=decoded.services,
        middlewares=decoded.middlewares,
        errors={
            Ref(kind, name): tuple(map(str, problems))
            for (kind, name), problems in decoded.errors.items()
        },
        enable=decoded.options.enable,
        network=decoded.options.network,
        allow_non_running=decoded.options.allow_non_running,
        other_protocols=any(map(_OTHER_PROTOCOLS.match, labels)),
        problems=tuple(map(str, decoded.problems)),
        enable_problems=tuple(
            str(problem)
            for problem in decoded.problems
            if problem.key.partition(".")[2].lower() == "enable"
        ),
    )
