"""What an HTTP check demands of an answer beyond Consul's 2xx: a status, a text in the body."""

from __future__ import annotations

from typing import Any, NamedTuple

from portway.discovery.checks.http_request import Response
from portway.discovery.checks.result import CheckError
from portway.discovery.model import CheckDefinition

BODY_LIMIT = 64 * 1024
"""Bytes of a body in which a text is looked for."""


class Expectation(NamedTuple):
    """What an answer has to be like."""

    statuses: frozenset[int]
    """Empty: any 2xx."""
    pattern: str
    body: Any
    """The compiled pattern; None: any body."""

    def unmet(self, response: Response) -> str | None:
        """What is wrong with an answer; None if nothing is, empty if its status says it."""
        status = response.status
        if status not in self.statuses if self.statuses else not 200 <= status <= 299:
            return ""
        if self.body is not None and self.body.search(response.body) is None:
            return f' (body does not match "{self.pattern}")'
        return None


def expectation_of(definition: CheckDefinition) -> Expectation:
    """The expectation of a check. Raises CheckError for one that cannot be."""
    statuses, pattern = definition.expect_status, definition.expect_body
    if (statuses or pattern) and not definition.http:
        raise CheckError("ExpectStatus and ExpectBody are for HTTP checks only")
    for status in statuses:
        if not 200 <= status <= 599:
            raise CheckError(f"ExpectStatus must be between 200 and 599, not {status}")
    return Expectation(frozenset(statuses), pattern, _compiled(pattern) if pattern else None)


def _compiled(pattern: str) -> Any:
    import re2  # only when a pattern is written; linear in time, whatever a target sends

    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(pattern.encode(errors="replace"), options)
    except re2.error as error:
        reason = error.args[0].decode(errors="replace")
        raise CheckError(f'ExpectBody is no regular expression: "{pattern}": {reason}') from None
