"""What requests of the catalog and health API have in common: which rows they want and may see."""

from __future__ import annotations

from collections.abc import Iterable

from portway.discovery.api.error import bad_request, refused
from portway.discovery.api.request import Request
from portway.discovery.model import Check, Node
from portway.discovery.state import Host

Meta = tuple[tuple[str, str], ...]


def node_meta(request: Request) -> Meta:
    """``?node-meta=key:value``, all of which a node must have."""
    pairs = {}
    for pair in request.params("node-meta"):
        key, _, value = pair.partition(":")
        pairs[key] = value
    return tuple(pairs.items())


def has_meta(node: Node, wanted: Meta) -> bool:
    """Whether a node has all of it."""
    meta = node.meta or {}
    return all(meta.get(key) == value for key, value in wanted)


def passing(request: Request) -> bool:
    """``?passing``. Raises ApiError (400)."""
    if not request.param("passing"):
        return request.has("passing")
    value = request.boolean("passing")
    if value is None:
        raise bad_request("Invalid value for ?passing")
    return value


def of_peer(request: Request) -> bool:
    """Whether a peer's part of the catalog is asked for: without peerings there is none."""
    return bool(request.param("peer"))


def refuse_sameness_group(request: Request) -> None:
    """Raise ApiError (500) when what is asked for is that of a sameness group."""
    if request.param("sg") or request.param("sameness-group"):
        raise refused("sameness groups are not supported in consul CE")


def sees_all(request: Request) -> bool:
    """Whether the caller may see every node and every service."""
    authorizer = request.authorizer
    return authorizer.unrestricted or (
        authorizer.allows_all("node") and authorizer.allows_all("service")
    )


def visible_checks(request: Request, checks: Iterable[Check]) -> list[Check]:
    """The checks the caller may see: of readable nodes, and of readable services if of any."""
    return [
        check
        for check in checks
        if request.allows("node", "read", check.node)
        and (not check.service_name or request.allows("service", "read", check.service_name))
    ]


def visible_hosts(request: Request, hosts: Iterable[Host]) -> list[Host]:
    """The nodes the caller may see."""
    return [host for host in hosts if request.allows("node", "read", host.node.node)]


def set_cache_headers(request: Request) -> None:
    """The headers of ``?cached``: the state in memory is such a cache, and never behind."""
    consistent = request.has("consistent")  # which is refused
    if request.has("cached") and request.context.settings.use_cache and not consistent:
        request.answer_headers |= {"X-Cache": "HIT", "Age": "0"}
