"""The matchers there are, and what their arguments must be."""

from __future__ import annotations

from ipaddress import ip_network
from typing import NamedTuple

from portway.rules.error import RuleError
from portway.rules.pattern import compile_pattern
from portway.rules.tree import Matcher
from portway.rules.wire import translate

MAX_ARGUMENT = 4096
"""Longest accepted argument, in characters."""


class Signature(NamedTuple):
    """How many arguments a matcher takes, and an example of its use."""

    arity: tuple[int, ...]
    example: str


MATCHERS = {
    "Host": Signature((1,), "Host(`example.com`)"),
    "HostRegexp": Signature((1,), "HostRegexp(`^.+\\.example\\.com$`)"),
    "Path": Signature((1,), "Path(`/exact`)"),
    "PathPrefix": Signature((1,), "PathPrefix(`/api`)"),
    "PathRegexp": Signature((1,), "PathRegexp(`^/v[0-9]+/`)"),
    "Method": Signature((1,), "Method(`GET`)"),
    "Header": Signature((2,), "Header(`X-Name`, `value`)"),
    "HeaderRegexp": Signature((2,), "HeaderRegexp(`X-Name`, `^value`)"),
    "Query": Signature((1, 2), "Query(`name`, `value`)"),
    "QueryRegexp": Signature((1, 2), "QueryRegexp(`name`, `^value`)"),
    "ClientIP": Signature((1,), "ClientIP(`10.0.0.0/8`)"),
}

_SINGLE_VALUED = {"Host", "Path", "PathPrefix", "Method", "ClientIP", "HostRegexp", "PathRegexp"}


def validate(matcher: Matcher, columns: tuple[int, ...]) -> None:
    """Check a matcher's arguments, which stand at ``columns``. Raises :class:`RuleError`."""
    name, args = matcher.name, matcher.args
    signature = MATCHERS[name]
    if not args:
        raise RuleError(f"no args for matcher {name}; write {signature.example}", matcher.column)
    for arg, column in zip(args, columns, strict=True):
        if not arg:
            raise RuleError(f"empty args for matcher {name}", column)
        if len(arg) > MAX_ARGUMENT:
            message = f"the value has {len(arg)} characters; at most {MAX_ARGUMENT} are allowed"
            raise RuleError(message, column)
    if len(args) not in signature.arity:
        wanted = " ".join(map(str, signature.arity))
        message = f"unexpected number of parameters; got {len(args)}, expected one of [{wanted}]"
        hint = f" for {name}"
        if name in _SINGLE_VALUED and len(args) > 1:
            hint += f": write {' || '.join(f'{name}(`{a}`)' for a in args[:2])}"
        raise RuleError(message + hint, matcher.column)
    _CHECKS.get(name, _nothing)(name, args[-1], columns[-1])
    if name.endswith("Regexp") and not (name == "QueryRegexp" and len(args) == 1):
        _regexp(matcher, columns[-1])


def _host(name: str, value: str, column: int) -> None:
    if not value.isascii():
        message = (
            f"invalid value {value!r} for {name} matcher, non-ASCII characters are not allowed"
        )
        raise RuleError(f"{message}; write the xn-- form", column)


def _path(_name: str, value: str, column: int) -> None:
    if not value.startswith("/"):
        raise RuleError(f"path {value!r} does not start with a '/'", column)


def _client_ip(_name: str, value: str, column: int) -> None:
    try:
        if "%" in value:
            raise ValueError("zones are not allowed")
        if "/" in value and not value.rpartition("/")[2].isdecimal():
            raise ValueError("the length of the prefix must be a number")
        ip_network(value, strict=False)
    except ValueError as error:
        message = f"invalid CIDR address: {value} ({error}); write an address or 10.0.0.0/8"
        raise RuleError(message, column) from None


def _nothing(_name: str, _value: str, _column: int) -> None:
    pass


_CHECKS = {
    "Host": _host,
    "HostRegexp": _host,
    "Path": _path,
    "PathPrefix": _path,
    "ClientIP": _client_ip,
}


def _regexp(matcher: Matcher, column: int) -> None:
    text = matcher.args[-1]
    try:
        compile_pattern(text)
        translate(matcher)
    except ValueError as error:
        raise RuleError(f"compiling {matcher.name} matcher: {error}", column) from None
