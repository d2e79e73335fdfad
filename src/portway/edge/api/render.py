"""Runtime objects as the JSON that Traefik's API shows.

Traefik writes its Go structs with ``omitempty``: fields with a zero value are left out, fields
behind a pointer only when unset; durations are Go's strings; ``<``, ``>`` and ``&`` are escaped.
"""

from __future__ import annotations

import types
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Annotated, Any, NamedTuple, Union, get_args, get_origin, get_type_hints

import msgspec

from portway.config.options import LABEL_ONLY, Duration, Unsupported
from portway.edge.dynamic import HealthCheck, LoadBalancer, ResponseForwarding, Router, Service
from portway.edge.runtime import MiddlewareInfo, RouterInfo, ServiceInfo
from portway.edge.services import kind

Json = dict[str, Any]


class _Field(NamedTuple):
    attribute: str
    name: str
    always: bool  # shown whatever its value, unless None


@lru_cache(maxsize=256)
def _fields(struct: type[msgspec.Struct]) -> tuple[_Field, ...]:
    hints = get_type_hints(struct, include_extras=True)
    found = []
    for field in msgspec.structs.fields(struct):
        hint = hints[field.name]
        if get_origin(hint) is Annotated:
            if LABEL_ONLY in get_args(hint)[1:]:
                continue
            hint = get_args(hint)[0]
        # Optional fields are Go pointers, and so are booleans that default to true, as Go
        # could not tell an unset one from false.
        pointer = get_origin(hint) in (Union, types.UnionType) or field.default is True
        found.append(_Field(field.name, field.encode_name, pointer))
    return tuple(found)


def plain(value: Any) -> Any:
    """A configuration object as the JSON tree Go would write."""
    if isinstance(value, Unsupported):
        return value.value
    if isinstance(value, msgspec.Struct):
        return _struct(value)
    if isinstance(value, Duration):
        return str(value)
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def _struct(value: msgspec.Struct) -> Json:
    tree = {}
    for attribute, name, always in _fields(type(value)):
        item = getattr(value, attribute)
        if item is None:
            continue
        if item or always or isinstance(item, msgspec.Struct):
            tree[name] = plain(item)
    return tree


def encode(tree: Any) -> bytes:
    """JSON as Go's encoder writes it, HTML characters escaped."""
    return _escape(msgspec.json.encode(tree))


def _escape(text: bytes) -> bytes:
    for character, escaped in _ESCAPES:
        if character in text:
            text = text.replace(character, escaped)
    return text


_ESCAPES = tuple(
    (character.encode(), f"\\u{ord(character):04x}".encode()) for character in "&<>\u2028\u2029"
)


def provider_of(name: str) -> str:
    """The provider part of a qualified name."""
    return name.rpartition("@")[2]


def priority(info: RouterInfo) -> int:
    """A router's effective priority; without entry points it has none but its own."""
    return info.priority if info.using else info.config.priority


def router(info: RouterInfo) -> Json:
    """A router as ``rawdata`` shows it."""
    tree: Json = plain(msgspec.structs.replace(info.config, priority=priority(info)))
    if provider_of(info.name) == "internal":
        tree["ruleSyntax"] = "default"
    tree["observability"] = _observability(info.config)
    return _state(tree, info.errors, info.status, using=info.using)


def _observability(config: Router) -> Json:
    chosen = config.observability
    shown: Json = {
        "accessLogs": True,
        "metrics": True,
        "tracing": True,
        "traceVerbosity": "minimal",
    }
    if chosen is not None:
        shown.update(plain(chosen))
    return shown


def service(info: ServiceInfo) -> Json:
    """A service as ``rawdata`` shows it, without the state of its servers."""
    config = info.config
    if config.load_balancer is not None:
        balancer = _with_defaults(config.load_balancer)
        transport = balancer.servers_transport
        if transport and info.used_by and "@" not in transport:  # qualified on first use
            named = f"{transport}@{provider_of(info.name)}"
            balancer = msgspec.structs.replace(balancer, servers_transport=named)
        config = Service(load_balancer=balancer)
    return _state(plain(config), info.errors, info.status, usedBy=info.used_by)


_DEFAULT_FORWARDING = ResponseForwarding()


def _with_defaults(balancer: LoadBalancer) -> LoadBalancer:
    check = balancer.health_check
    if check is not None:
        check = _check_with_defaults(check)
    return msgspec.structs.replace(
        balancer,
        strategy=balancer.strategy or "wrr",
        response_forwarding=balancer.response_forwarding or _DEFAULT_FORWARDING,
        health_check=check,
    )


def _check_with_defaults(check: HealthCheck) -> HealthCheck:
    return msgspec.structs.replace(check, mode=check.mode or "http")


def middleware(info: MiddlewareInfo) -> Json:
    """A middleware as ``rawdata`` shows it."""
    tree: Json = plain(info.config)
    if info.config.chain is not None and info.used_by:  # Traefik qualifies them on first use
        provider = provider_of(info.name)
        members = info.config.chain.middlewares
        tree["chain"]["middlewares"] = [m if "@" in m else f"{m}@{provider}" for m in members]
    return _state(tree, info.errors, info.status, usedBy=info.used_by)


def _state(tree: Json, errors: Sequence[str], status: str, **users: Sequence[str]) -> Json:
    if errors:
        tree["error"] = errors
    tree["status"] = status
    tree.update({name: names for name, names in users.items() if names})
    return tree


def listed_router(info: RouterInfo) -> Json:
    """A router as lists and its own page show it."""
    tree = router(info)
    if info.config.tls is not None:
        tree["tls"] = {"options": "default", **tree["tls"]}
    tree["name"], tree["provider"] = info.name, provider_of(info.name)
    tree["priorityStr"] = str(priority(info))
    return tree


def listed_service(info: ServiceInfo) -> Json:
    """A service as lists and its own page show it, without the state of its servers."""
    return _listed(service(info), info.name, kind(info.config))


def listed_middleware(info: MiddlewareInfo) -> Json:
    """A middleware as lists and its own page show it."""
    return _listed(middleware(info), info.name, info.type)


def _listed(tree: Json, name: str, type_name: str) -> Json:
    tree["name"], tree["provider"] = name, provider_of(name)
    if type_name:
        tree["type"] = type_name.lower()
    return tree
