"""Services that configuration files define, as the API takes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from portway.cli import duration
from portway.cli.command import fail


def definitions(paths: Sequence[str]) -> list[dict[str, Any]]:
    """The services of some files or directories, read as the agent reads its configuration.

    Raises Failed on a file that is wrong, and on none with a service.
    """
    from portway.agent.config import ConfigError, contents, sources

    found: list[dict[str, Any]] = []
    try:
        for source in sources(paths)[0]:
            found += [_wire(service) for service in contents(source).tree.get("services", ())]
    except ConfigError as error:
        fail(f"Error: {error}")
    if not found:
        fail(f"Error: no service is defined in {', '.join(paths)}")
    return found


def _wire(node: Any) -> Any:
    """JSON of a definition: durations, which are seconds there, as Go writes them."""
    from portway.config import Duration

    if isinstance(node, dict):
        return {key: _wire(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_wire(value) for value in node]
    return duration.show(node) if isinstance(node, Duration) else node
