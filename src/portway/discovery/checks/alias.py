"""``alias_service``, ``alias_node``: a check that is as another service or node is.

The worst of the checks of the service with that ID and of the node it is on: critical, then
warning, then passing; critical too when there is no such service. Without ``alias_node`` that
is this node, and without ``alias_service`` the node alone counts. It follows each change at
once: the agent pushes its target (``WatchAlias``), nothing is asked in between. There is no
interval and there are no thresholds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from portway.discovery.checks.result import Result, critical, passing
from portway.discovery.model import CRITICAL, WARNING, CheckStatus


class AliasedCheck(NamedTuple):
    """A check of the target."""

    check_id: str
    name: str
    status: CheckStatus
    output: str
    service_id: str
    """Empty for a check of the node."""


class AliasTarget(NamedTuple):
    """The target as it is now."""

    node: str
    checks: Sequence[AliasedCheck]
    """At least those of the node and of the service; others are passed over."""
    exists: bool = True
    """Whether the node has the service; without a service, whether there is the node."""
    error: str = ""
    """Why it is not known, if it is not."""


WatchAlias = Callable[[str, str, str, Callable[[AliasTarget], None]], Callable[[], None]]
"""``watch(check_id, node, service_id, changed) -> stop``: what the agent provides.

``check_id`` is the alias: what it may see of another node depends on whose it is.
``changed`` is to be called with the target as it is, soon or at once, and after each change of
its checks until ``stop`` is called. An empty ``node`` is this one, an empty ``service_id`` means
the node's own checks only.
"""


def judged(check_id: str, service_id: str, target: AliasTarget) -> Result:
    """The result of a target. ``check_id`` is the alias itself, which does not count."""
    if target.error:
        return critical(f"Failure checking aliased node or service: {target.error}")
    relevant = [
        check
        for check in target.checks
        if check.service_id in ("", service_id) and check.check_id != check_id
    ]
    if not target.exists:
        what = f"Service {service_id} could not be found on node" if service_id else "No node"
        return critical(f"{what} {target.node}")
    for status in (CRITICAL, WARNING):
        for check in relevant:
            if check.status == status:
                output = f'Aliased check "{check.name}" failing: {check.output}'
                return Result(status, output)
    return passing("All checks passing." if relevant else "No checks found.")
