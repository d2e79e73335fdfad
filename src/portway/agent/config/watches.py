"""Watches: what a file says of one, and one that is checked and ready to run."""

from __future__ import annotations

from typing import Any

from portway.agent.config.block import Block, seconds
from portway.agent.config.reading import build, read
from portway.agent.config.rule import is_url
from portway.config import Duration, nearest

# Watch types → parameters that are required, parameters that may be there.
TYPES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "key": (("key",), ()),
    "keyprefix": (("prefix",), ()),
    "services": ((), ("stale", "filter")),
    "nodes": ((), ("stale", "filter")),
    "service": (("service",), ("tag", "passingonly", "stale", "filter")),
    "checks": ((), ("service", "state", "stale", "filter")),
    "event": ((), ("name",)),
    "connect_roots": ((), ()),
    "connect_leaf": (("service",), ()),
    "agent_service": (("service_id",), ()),
}
_BOOLEANS = frozenset({"passingonly", "stale"})
_COMMON = (
    "type",
    "datacenter",
    "token",
    "handler",
    "args",
    "handler_type",
    "http_handler_config",
)
_STATES = ("any", "passing", "warning", "critical")


class HttpHandler(Block):
    """Where a watch sends what it sees."""

    path: str = ""  # a URL
    method: str = "POST"
    timeout: Duration = seconds(10)
    header: dict[str, list[str]] = {}
    tls_skip_verify: bool = False


class Watch(Block, kw_only=True):
    """One watch. ``parameters`` are those of its type: ``key``, ``service``, ``tag``, …

    A script handler has ``args``, or the older ``handler``, a command of the shell.
    """

    type: str
    datacenter: str = ""
    token: str = ""
    handler_type: str = "script"  # or http
    args: list[str] = []
    handler: str = ""
    http_handler_config: HttpHandler = HttpHandler()
    parameters: dict[str, Any] = {}


class WatchError(ValueError):
    """A watch that cannot run; the text says why."""


def watch(tree: dict[str, Any]) -> Watch:
    """The watch that the tree of a file describes. Raises WatchError."""
    given = {key: value for key, value in tree.items() if value is not None}
    kind = given.get("type")
    if kind is None:
        raise WatchError("Watch type must be specified")
    if kind not in TYPES:
        raise WatchError(f"Unsupported watch type: {kind}{nearest(str(kind), TYPES)}")
    common = {key: value for key, value in given.items() if key in _COMMON}
    reading = read(common, Watch)
    if reading.issues:
        raise WatchError("; ".join(issue.text for issue in reading.issues))
    parameters = _parameters(
        kind, {key: value for key, value in given.items() if key not in _COMMON}
    )
    found = build(Watch, {**reading.tree, "parameters": parameters})
    _check_handler(found)
    return found


def _parameters(kind: str, given: dict[str, Any]) -> dict[str, Any]:
    required, optional = TYPES[kind]
    known = (*required, *optional)
    for name, value in given.items():
        if name not in known:
            raise WatchError(f"Invalid parameters: [{name}]{nearest(name, (*known, *_COMMON))}")
        if name in _BOOLEANS:
            if not isinstance(value, bool):
                raise WatchError(f"Expecting {name} to be a boolean")
        elif name == "tag" and isinstance(value, list):
            if not all(isinstance(item, str) for item in value):
                raise WatchError("Expecting tag to be a string or a list of strings")
        elif not isinstance(value, str):
            raise WatchError(f"Expecting {name} to be a string")
    for name in required:
        if not given.get(name):
            raise WatchError(f"Must specify a single {name} to watch")
    if kind == "checks" and given.get("service") and given.get("state"):
        raise WatchError("Cannot specify service and state")
    if given.get("state", "any") not in _STATES:
        raise WatchError(f'state must be one of {", ".join(_STATES)}, not "{given["state"]}"')
    return given


def _check_handler(found: Watch) -> None:
    handlers = [bool(found.args), bool(found.handler), bool(found.http_handler_config.path)]
    if found.handler_type not in ("script", "http"):
        raise WatchError(
            f"Handler type '{found.handler_type}' not recognized; write script or http"
        )
    if sum(handlers) > 1:
        raise WatchError("Only one watch handler allowed")
    if found.handler_type == "http":
        if not is_url(found.http_handler_config.path):
            raise WatchError("Requires 'http_handler_config.path', a URL of http or https")
        if found.http_handler_config.timeout < 0:
            raise WatchError("http_handler_config.timeout cannot be negative")
    elif not (found.args or found.handler):
        raise WatchError("Must define a watch handler")
