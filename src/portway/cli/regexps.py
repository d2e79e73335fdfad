"""Regular expressions that commands take, judged before anything is sent."""

from __future__ import annotations

from portway.cli.command import Wrong


def check_filters(node: str, service: str, tag: str) -> None:
    """Raise Wrong unless each is an expression of RE2, and a tag comes with a service."""
    for what, text in (("node", node), ("service", service), ("tag", tag)):
        if text:
            _check(what, text)
    if tag and not service:
        raise Wrong("Cannot provide tag filter without service filter.")


def _check(what: str, text: str) -> None:
    from portway.discovery.operations.patterns import pattern

    try:
        pattern(text)
    except ValueError as error:
        raise Wrong(f"Failed to compile {what} filter regexp: {error}") from None
