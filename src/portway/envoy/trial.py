"""Trials: what Envoy thinks of a resource, asked of a short-lived Envoy that serves nobody.

``envoy --mode validate`` loads a configuration as a serving Envoy would, without opening
anything, in some 50 ms. So what is refused can be searched without touching the Envoy that
carries traffic.
"""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import tempfile
from pathlib import Path
from typing import Final

from envoy.config.bootstrap.v3.bootstrap_pb2 import Bootstrap
from envoy.config.core.v3.extension_pb2 import TypedExtensionConfig
from envoy.config.listener.v3.listener_components_pb2 import Filter, FilterChain
from envoy.extensions.filters.http.router.v3.router_pb2 import Router
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2 as hcm,
)
from google.protobuf.json_format import ParseDict

from portway.envoy.bootstrap import LAYERED_RUNTIME
from portway.envoy.messages import pack
from portway.envoy.resource import FILTER, ROUTES, Resource

_PATIENCE: Final = 20.0  # seconds; ten thousand routes take about one
_REASON: Final = re.compile(r"error initializing configuration '[^']*': (.*)", re.DOTALL)
_BROKEN_RULE: Final = "Proto constraint validation failed"  # comes after a print of the message
_LONGEST: Final = 500


class TrialFailed(Exception):  # noqa: N818
    """Envoy could not be asked; the text says why."""


class Trial:
    """Asks the Envoy binary ``envoy``, by files in a directory that only its owner may enter."""

    def __init__(self, envoy: Path, directory: Path) -> None:
        self._envoy = envoy
        self._directory = directory

    async def refusal(self, resource: Resource) -> str | None:
        """Why Envoy refuses a route table or an HTTP filter, in its words; None if it takes it.

        Raises TrialFailed when there is no answer.
        """
        descriptor, name = tempfile.mkstemp(".pb", "trial-", self._directory)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(_bootstrap(resource))
            return await self._ask(name)
        finally:
            Path(name).unlink(missing_ok=True)

    async def _ask(self, path: str) -> str | None:
        # Not asyncio's subprocesses: uvloop forks, which gRPC complains about.
        return await asyncio.to_thread(self._run, path)

    def _run(self, path: str) -> str | None:
        command = [str(self._envoy), "--mode", "validate", "-c", path, "-l", "error"]
        try:
            process = subprocess.run(
                [*command, "--disable-hot-restart"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                timeout=_PATIENCE,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise TrialFailed(str(error)) from error
        if process.returncode == 0:
            return None
        words = process.stderr.decode(errors="replace").strip()
        reason = _REASON.search(words)
        if reason is None:
            raise TrialFailed(f"exit code {process.returncode}: {words[-500:]}")
        return brief(reason[1])


def brief(reason: str) -> str:
    """Envoy's words in one line, without the print of a whole message that may stand before."""
    at = max(reason.rfind(_BROKEN_RULE), 0)
    return " ".join(reason[at:].split())[:_LONGEST]


def _bootstrap(resource: Resource) -> bytes:
    """A configuration of one listener with the resource inside."""
    manager = hcm.HttpConnectionManager(stat_prefix="trial")
    match resource.key.type_url:
        case t if t == ROUTES:
            manager.route_config.MergeFromString(resource.body)
            manager.route_config.validate_clusters.value = False
        case t if t == FILTER:
            found = TypedExtensionConfig.FromString(resource.body)
            manager.route_config.SetInParent()
            manager.http_filters.add(name=found.name, typed_config=found.typed_config)
        case other:
            raise ValueError(f"no trial of {other}")
    manager.http_filters.add(name="router", typed_config=pack(Router()))
    content = Bootstrap()
    ParseDict(LAYERED_RUNTIME, content.layered_runtime)
    listener = content.static_resources.listeners.add(name="trial")
    listener.address.socket_address.address = "127.0.0.1"
    listener.address.socket_address.port_value = 0
    listener.filter_chains.append(
        FilterChain(filters=[Filter(name="http", typed_config=pack(manager))])
    )
    return bytes(content.SerializeToString())
