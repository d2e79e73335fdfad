"""All middleware types by the name the configuration uses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from msgspec.structs import fields

from portway.config.options import Unsupported
from portway.edge.middlewares import (
    add_prefix,
    basic_auth,
    chain,
    headers,
    ip_allow_list,
    prelude,
    rate_limit,
    redirect_regex,
    redirect_scheme,
    replace_path,
    replace_path_regex,
    strip_prefix,
    strip_prefix_regex,
)
from portway.edge.middlewares.step import Kind, Place, Step

if TYPE_CHECKING:
    from portway.edge.dynamic import Middleware

KINDS: Mapping[str, Kind] = {
    "addPrefix": add_prefix.KIND,
    "basicAuth": basic_auth.KIND,
    "chain": chain.KIND,
    "headers": headers.KIND,
    "ipAllowList": ip_allow_list.KIND,
    "ipWhiteList": ip_allow_list.KIND,
    "rateLimit": rate_limit.KIND,
    "redirectRegex": redirect_regex.KIND,
    "redirectScheme": redirect_scheme.KIND,
    "replacePath": replace_path.KIND,
    "replacePathRegex": replace_path_regex.KIND,
    "stripPrefix": strip_prefix.KIND,
    "stripPrefixRegex": strip_prefix_regex.KIND,
}


def of(middleware: Middleware) -> tuple[str, Any] | str:
    """The type's name and its options, or what is wrong: no type, several, or one that is
    not supported."""
    found = [
        (field.encode_name, value)
        for field in fields(middleware)
        if (value := getattr(middleware, field.name)) is not None
    ]
    if not found:
        return f"a middleware needs one type; valid types are {', '.join(KINDS)}"
    if len(found) > 1:
        names = ", ".join(name for name, _ in found)
        return f"a middleware has exactly one type, this one has {len(found)} ({names})"
    name, options = found[0]
    if isinstance(options, Unsupported):
        return f"the middleware type {name} is not supported; supported are {', '.join(KINDS)}"
    return name, options


def check(middleware: Middleware) -> tuple[str, list[str]]:
    """The type's name (empty when there is not exactly one) and everything that is wrong."""
    found = of(middleware)
    if isinstance(found, str):
        names = [
            f.encode_name for f in fields(middleware) if getattr(middleware, f.name) is not None
        ]
        return (names[0] if len(names) == 1 else ""), [found]
    name, options = found
    return name, [f"{name}: {problem}" for problem in KINDS[name].problems(options)]


def notices(middleware: Middleware) -> list[str]:
    """What a user should know about a valid middleware, one sentence each."""
    found = of(middleware)
    if isinstance(found, str):
        return []
    name, options = found
    return [f"{name}: {notice}" for notice in KINDS[name].notices(options)]


def steps(middleware: Middleware, place: Place) -> Sequence[Step]:
    """The steps of a valid middleware; ValueError when it is not of one supported type."""
    found = of(middleware)
    if isinstance(found, str):
        raise ValueError(found)
    name, options = found
    return KINDS[name].steps(options, place)


def references(middleware: Middleware) -> Sequence[str]:
    """The names of the middlewares this one contains, as written."""
    found = of(middleware)
    if isinstance(found, str):
        return ()
    name, options = found
    return KINDS[name].references(options)


def script(*, responses: bool = True) -> str:
    """The shared Lua script with the text of every type."""
    texts = dict.fromkeys(kind.lua for kind in KINDS.values())
    return prelude.script(texts, responses=responses)
