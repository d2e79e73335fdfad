"""The watches of the configuration: each follows the agent's own API, inside the process."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from http import HTTPStatus
from typing import Any

import structlog

from portway.agent.config import Watch
from portway.agent.own_api import OwnApi
from portway.discovery.api import App
from portway.watch import (
    Change,
    HttpHandler,
    Reply,
    Request,
    ScriptHandler,
    WatchFailed,
    WatchHandler,
    follow,
    plan,
)

log = structlog.get_logger("agent.watch")


class Watches:
    """The running watches; a reload replaces all of them, as Consul does."""

    def __init__(self, app: App, token: Callable[[], str]) -> None:
        self._app = app
        self._token = token
        self._tasks: list[asyncio.Task[None]] = []

    def run(self, watches: list[Watch]) -> None:
        """Run these watches in the place of those before."""
        self.stop()
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._follow(watch)) for watch in watches]

    def stop(self) -> None:
        """Stop all watches."""
        for task in self._tasks:
            task.cancel()
        self._tasks = []

    async def _follow(self, watch: Watch) -> None:
        parameters: dict[str, Any] = dict(watch.parameters)
        if watch.datacenter:
            parameters["datacenter"] = watch.datacenter
        api = OwnApi(self._app, lambda: watch.token or self._token())
        name = _handler_name(watch)

        def report(error: str, delay: float) -> None:
            log.error("Watch errored", type=watch.type, error=error, retry=f"{delay:g}s")

        await follow(
            plan(watch.type, parameters),
            partial(ask, api),
            _handler(watch, name),
            report=report,
        )


def _handler_name(watch: Watch) -> str:
    if watch.handler_type == "http":
        return watch.http_handler_config.path
    return watch.handler or " ".join(watch.args)


def _handler(watch: Watch, name: str) -> Callable[[Change], Awaitable[None]]:
    def told(text: str) -> None:
        log.debug("Watch handler output", handler=name, output=text)

    def failed(text: str) -> None:
        log.error("Watch handler failed", handler=name, error=text)

    handler: WatchHandler
    if watch.handler_type == "http":
        config = watch.http_handler_config
        handler = HttpHandler(
            config.path,
            method=config.method,
            header=config.header,
            timeout=config.timeout,
            tls_skip_verify=config.tls_skip_verify,
            log=told,
            failed=failed,
        )
    elif watch.args:
        handler = ScriptHandler(watch.args, log=told, failed=failed)
    else:
        handler = ScriptHandler.of_shell(watch.handler, log=told, failed=failed)
    return handler


async def ask(api: OwnApi, request: Request) -> Reply:
    """Put a request of a watch to the API. Raises WatchFailed without an answer."""
    answer = await api.call("GET", request.path, request.query)
    index = answer.headers.get("x-consul-index")
    if answer.status == HTTPStatus.NOT_FOUND and index is None:
        raise WatchFailed(answer.body.decode())  # not a key that is missing, but an endpoint
    content = answer.headers.get("x-consul-contenthash", "")
    return Reply(answer.status, int(index or 0), content, answer.body)
