"""``/v1/agent/…``: the HTTP API of the agent itself, beside that of discovery."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from portway.agent.api import connect
from portway.agent.api.agent import AgentApi
from portway.agent.api.checks import ChecksApi
from portway.agent.api.services import ServicesApi
from portway.agent.api.streams import StreamsApi
from portway.agent.runtime import Runtime
from portway.discovery.api.route import Route


def agent_routes(runtime: Runtime, reload: Callable[[], Awaitable[None]]) -> tuple[Route, ...]:
    """Every route of the agent; ``reload`` reads the configuration again."""
    families = (
        AgentApi(runtime, reload),
        ServicesApi(runtime.agent, runtime.config.datacenter),
        ChecksApi(runtime.agent),
        StreamsApi(runtime),
    )
    own = tuple(route for family in families for route in family.routes())
    return (*own, *connect.ROUTES)
