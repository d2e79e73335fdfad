"""Host names: what Traefik's host matchers look at."""

from __future__ import annotations

ANY = "*"


def canonical_host(sent: str) -> str:
    """The host of a request, lower-case and without port; a trailing dot stays."""
    host = sent.strip(" \t")
    name, colon, _port = host.rpartition(":")
    if host.startswith("["):
        inner, bracket, rest = host[1:].partition("]")
        if bracket and (not rest or rest.startswith(":")):
            return inner.lower()
    elif colon and ":" not in name:
        host = name
    return host.lower()


def host_matches(wanted: str, host: str) -> bool:
    """Whether a canonical host is what ``Host`` wants.

    ``*`` wants any, ``*.x`` any one label before ``.x``; a dot at the end makes no difference.
    """
    if wanted == ANY:
        return True
    name, wanted = host.removesuffix("."), wanted.lower().removesuffix(".")
    if wanted.startswith("*"):
        _label, dot, rest = name.partition(".")
        return wanted == f"*{dot}{rest}"
    return bool(name) and name == wanted
