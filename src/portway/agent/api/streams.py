"""``/v1/agent/monitor`` and ``/v1/agent/metrics…``: what the agent tells while it runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from portway.agent.logs import LEVELS, Log, render
from portway.agent.prometheus import CONTENT_TYPE, exposition
from portway.agent.runtime import Runtime
from portway.agent.telemetry import INTERVAL, Telemetry
from portway.discovery.api.answer import JSON, TEXT, Answer, encode, json_answer
from portway.discovery.api.error import bad_request
from portway.discovery.api.request import Request
from portway.discovery.api.route import Route

_FLUSH = 0.2  # seconds between two writes to a subscriber
_MOST_LINES = 10_000  # that wait for a slow subscriber; further ones are counted and left out


class StreamsApi:
    """The endpoints that stream."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def routes(self) -> tuple[Route, ...]:
        """The routes of the family."""
        return (
            Route("/v1/agent/monitor", {"GET": self.monitor}, access="agent:read"),
            Route("/v1/agent/metrics", {"GET": self.metrics}, access="agent:read"),
            Route("/v1/agent/metrics/stream", {"GET": self.stream}, access="agent:read"),
        )

    async def metrics(self, request: Request) -> Answer:
        """The metrics of the last interval, or for Prometheus since the start."""
        request.require("agent", "read", self._runtime.config.node_name)
        accept = request.headers.get("accept", "")
        wants = request.param("format") == "prometheus" or any(
            kind in accept for kind in ("version=0.0.4", "version=0.4.0", "openmetrics")
        )
        if not wants:
            return json_answer(self._runtime.telemetry.summary())
        body = exposition(self._runtime.telemetry, self._runtime.started)
        return Answer(body, 200, CONTENT_TYPE)

    async def stream(self, request: Request) -> Answer:
        """The metrics of each interval as it ends."""
        request.require("agent", "read", self._runtime.config.node_name)
        return Answer(_intervals(self._runtime.telemetry), 200, JSON)

    async def monitor(self, request: Request) -> Answer:
        """The log as it comes, of a level the caller chooses."""
        request.require("agent", "read", self._runtime.config.node_name)
        level = request.param("loglevel", "INFO").upper()
        level = {"WARNING": "WARN", "ERR": "ERROR"}.get(level, level)
        if level not in LEVELS:
            raise bad_request(f"Unknown log level: {request.param('loglevel')}")
        lines = follow(self._runtime.log, LEVELS[level], request.has("logjson"))
        return Answer(lines, 200, TEXT)


async def follow(log: Log, level: int, as_json: bool) -> AsyncIterator[bytes]:
    """The lines of a log from now on, in chunks, until the reader goes away."""
    waiting: list[str] = []
    missed = 0

    def take(severity: int, fields: dict[str, Any]) -> None:
        nonlocal missed
        if severity < level:
            return
        if len(waiting) < _MOST_LINES:
            waiting.append(render(fields, as_json))
        else:
            missed += 1

    log.sinks.append(take)
    try:
        yield b""
        while True:
            await asyncio.sleep(_FLUSH)
            if missed:
                waiting.append(f"[WARN] {missed} lines were left out: the reader was too slow")
                missed = 0
            if waiting:
                chunk = "".join(line + "\n" for line in waiting)
                waiting.clear()
                yield chunk.encode()
    finally:
        log.sinks.remove(take)


async def _intervals(telemetry: Telemetry) -> AsyncIterator[bytes]:
    while True:
        yield encode(telemetry.summary()) + b"\n"
        await asyncio.sleep(INTERVAL)
