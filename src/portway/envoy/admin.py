"""A client for Envoy's admin interface on its Unix socket."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, Self

if TYPE_CHECKING:
    import aiohttp  # a fifth of a second that a start need not wait for

_USABLE = frozenset({"HEALTHY", "UNKNOWN", "DEGRADED"})
_UNUSABLE = (
    "failed_active_health_check",
    "failed_outlier_check",
    "pending_active_hc",
    "pending_dynamic_removal",
    "excluded_via_immediate_hc_fail",
)
_ACTIVE = r"^http\..+\.downstream_(rq|cx)_active$"


class AdminError(Exception):
    """Envoy's admin interface cannot be reached or refused a command."""


class Active(NamedTuple):
    """What clients have open at the moment, over all listeners."""

    requests: int
    connections: int


class Admin:
    """Envoy's admin interface. Use as an async context manager, or call ``close``.

    Every method raises AdminError when Envoy does not answer or answers with an error.
    """

    def __init__(self, path: Path, timeout: float = 5.0) -> None:
        """``path`` is the socket, ``timeout`` the seconds one command may take."""
        self._path = path
        self._timeout = timeout
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections to Envoy."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def ready(self) -> bool:
        """Whether Envoy is live: initial configuration received and listeners started."""
        status, body = await self._ask("GET", "/ready")
        return status == 200 and body.strip() == b"LIVE"

    async def stats(self, pattern: str) -> dict[str, int]:
        """Counters and gauges whose name matches the regular expression (RE2, searched)."""
        text = await self._get("/stats", {"filter": pattern})
        return parse_stats(text.decode())

    async def prometheus(self) -> bytes:
        """All statistics in the Prometheus text format."""
        return await self._get("/stats/prometheus", {})

    async def active(self) -> Active:
        """Requests and connections that clients have open."""
        numbers = {
            name: value
            for name, value in (await self.stats(_ACTIVE)).items()
            if not name.startswith("http.admin.")
        }
        return Active(
            sum(value for name, value in numbers.items() if name.endswith("rq_active")),
            sum(value for name, value in numbers.items() if name.endswith("cx_active")),
        )

    async def warming(self) -> int:
        """How many clusters are not usable yet (waiting for endpoints, names or health)."""
        name = "cluster_manager.warming_clusters"
        return (await self.stats(f"^{re.escape(name)}$")).get(name, 0)

    async def health(self) -> dict[tuple[str, str], bool]:
        """(cluster, "ip:port" or host name) → whether Envoy would send requests there."""
        return parse_health(json.loads(await self._get("/clusters", {"format": "json"})))

    async def drain_listeners(self, *, graceful: bool = False, skip_exit: bool = False) -> None:
        """Without ``graceful`` stop accepting at once; with it ask clients to leave, and with
        ``skip_exit`` keep accepting until Envoy is told to exit."""
        options = {"graceful": ""} if graceful else {}
        if skip_exit:
            options["skip_exit"] = ""
        await self._command("/drain_listeners", options)

    async def _get(self, path: str, query: Mapping[str, str]) -> bytes:
        return await self._checked("GET", path, query)

    async def _command(self, path: str, query: Mapping[str, str]) -> None:
        await self._checked("POST", path, query)

    async def _checked(self, method: str, path: str, query: Mapping[str, str]) -> bytes:
        status, body = await self._ask(method, path, query)
        if status != 200:
            words = body.decode(errors="replace").strip()[:200]
            raise AdminError(f"Envoy's admin interface answered {path} with {status}: {words}")
        return body

    async def _ask(
        self, method: str, path: str, query: Mapping[str, str] | None = None
    ) -> tuple[int, bytes]:
        import aiohttp

        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.UnixConnector(path=str(self._path)),
                timeout=aiohttp.ClientTimeout(total=self._timeout),
            )
        try:
            async with self._session.request(method, "http://envoy" + path, params=query) as answer:
                return answer.status, await answer.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            reason = str(error) or type(error).__name__
            raise AdminError(f"Envoy's admin interface does not answer {path}: {reason}") from error


def parse_stats(text: str) -> dict[str, int]:
    """Read ``name: number`` lines; lines with anything else (histograms, text) are left out."""
    numbers = {}
    for line in text.splitlines():
        name, _, value = line.rpartition(": ")
        if name and value.isdecimal():
            numbers[name] = int(value)
    return numbers


def parse_health(answer: Any) -> dict[tuple[str, str], bool]:
    """Read ``/clusters?format=json``: a host is healthy when its EDS status says so and
    neither active checks, outlier detection nor a pending removal speak against it.

    Hosts are found under their address and, if they have one, their host name; several
    addresses of one name are healthy when one of them is."""
    found: dict[tuple[str, str], bool] = {}
    for cluster in answer.get("cluster_statuses", ()):
        for host in cluster.get("host_statuses", ()):
            where = host.get("address", {}).get("socket_address")
            if where is not None:
                address = _host_port(where["address"], where.get("port_value", 0))
                healthy = _healthy(host.get("health_status", {}))
                found[cluster["name"], address] = healthy
                if name := host.get("hostname"):
                    named = (cluster["name"], name)
                    found[named] = healthy or (name != address and found.get(named, False))
    return found


def _host_port(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _healthy(status: Mapping[str, Any]) -> bool:
    eds = status.get("eds_health_status", "HEALTHY")
    return eds in _USABLE and not any(status.get(flag) for flag in _UNUSABLE)
