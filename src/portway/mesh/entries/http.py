"""Parts of entries about HTTP: matches of paths and headers, changes of headers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from portway.discovery.model import Wire
from portway.mesh.entries.entry import EntryError

METHODS = frozenset(
    ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "CONNECT", "OPTIONS", "TRACE")
)
HTTP_LIKE = frozenset(("http", "http2", "grpc"))
"""Protocols whose requests can be told apart."""


class HeaderModifiers(Wire):
    """Headers to add, to put in the place of others, and to remove."""

    add: dict[str, str] = {}
    set: dict[str, str] = {}
    remove: list[str] = []


class HeaderMatch(Wire, kw_only=True):
    """What a header must be: exactly one of present, exact, prefix, suffix, contains or regex.

    ``invert`` turns the outcome around; ``ignore_case`` is of the texts that are compared.
    """

    name: str
    present: bool = False
    exact: str = ""
    prefix: str = ""
    suffix: str = ""
    contains: str = ""
    regex: str = ""
    invert: bool = False
    ignore_case: bool = False


class PathMatch(Protocol):
    """What has a match of the path."""

    path_exact: str
    path_prefix: str
    path_regex: str


def check_path(match: PathMatch, where: str, dot: str = " ") -> bool:
    """Raise EntryError unless at most one match of the path is given, and it can match.

    Returns whether there is one.
    """
    for field, text in (("PathExact", match.path_exact), ("PathPrefix", match.path_prefix)):
        if text and not text.startswith("/"):
            raise EntryError(f"{where}{dot}{field} doesn't start with '/': \"{text}\"")
    given = [text for text in (match.path_exact, match.path_prefix, match.path_regex) if text]
    if len(given) > 1:
        raise EntryError(
            f"{where} should only contain at most one of PathExact, PathPrefix, or PathRegex"
        )
    check_regex(match.path_regex, f"{where}{dot}PathRegex")
    return bool(given)


def check_headers(
    headers: Sequence[HeaderMatch],
    where: str,
    ways: str = "Present, Exact, Prefix, Suffix, or Regex",
) -> None:
    """Raise EntryError unless each match names a header and one way to compare it.

    ``ways`` is what the message lists.
    """
    for index, header in enumerate(headers):
        here = f"{where}Header[{index}]"
        if not header.name:
            raise EntryError(f"{here} missing required Name field")
        texts = (header.exact, header.prefix, header.suffix, header.contains, header.regex)
        if sum(map(bool, (header.present, *texts))) != 1:
            raise EntryError(f"{here} should only contain one of {ways}")
        if header.ignore_case and (header.present or header.regex):
            raise EntryError(
                f"{here} should set one of Exact, Prefix, Suffix, or Contains when using IgnoreCase"
            )
        check_regex(header.regex, f"{here}.Regex")


def check_methods(methods: Sequence[str], where: str) -> None:
    """Raise EntryError for a method that is none, or is given twice. They are in capitals."""
    seen = set()
    for method in methods:
        if method not in METHODS:
            raise EntryError(f'{where}Methods contains an invalid method "{method}"')
        if method in seen:
            raise EntryError(f'{where}Methods contains "{method}" more than once')
        seen.add(method)


def check_regex(text: str, where: str) -> None:
    """Raise EntryError for a pattern that Envoy, whose dialect is RE2, could not load."""
    if not text:
        return
    import re2  # only when a pattern is written

    options = re2.Options()
    options.log_errors = False
    try:
        re2.compile(text.encode(), options)
    except (re2.error, UnicodeEncodeError) as error:
        detail = error.args[0]
        reason = detail.decode(errors="replace") if isinstance(detail, bytes) else str(detail)
        raise EntryError(f'{where} is not a valid regular expression: "{text}": {reason}') from None


def check_modifiers(modifiers: HeaderModifiers | None, protocol: str, where: str) -> None:
    """Raise EntryError for changes of headers where there are none."""
    given = modifiers and (modifiers.add or modifiers.set or modifiers.remove)
    if given and protocol not in HTTP_LIKE:
        raise EntryError(where.format("only valid for http, http2 and grpc protocols"))


def upper(methods: list[str]) -> list[str]:
    """Methods in capitals, as they are kept."""
    return [method.upper() for method in methods]
