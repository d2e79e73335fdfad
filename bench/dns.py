"""DNS answers per second and CPU per answer while the catalog changes, beside Consul and unbound.

dnsperf asks an agent of ours, one of Consul, and an unbound that holds the same records as local
data, in turn, several rounds, so that a noisy machine is noisy for all; ours and unbound answer
with one thread. Meanwhile a service of both agents is registered anew several times a second, with
another address each time; unbound's data stay as they are.
"""

from __future__ import annotations

import argparse
import http.client
import json
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from itertools import repeat
from pathlib import Path
from typing import NamedTuple

from tests.ports import free_port

from bench.process import cpu_seconds, running, wait_for_status
from bench.rivals import agent_programs

SERVICES = 1000
INSTANCES = 3
WRITERS = 16
CHANGES = 5  # a second
PROBE = b"\0\1\1\0\0\1\0\0\0\0\0\0\2s0\7service\6consul\0\0\1\0\1"


UNBOUND = """\
remote-control:
  control-enable: no
server:
  interface: 127.0.0.1
  port: {port}
  num-threads: 1
  do-daemonize: no
  username: ""
  chroot: ""
  pidfile: ""
  use-syslog: no
  verbosity: 0
  rrset-roundrobin: yes
  local-zone: "consul." static
  local-data: "consul. 0 IN SOA ns.consul. hostmaster.consul. 1 3600 600 86400 0"
"""


class Load(NamedTuple):
    """What is asked: lines of dnsperf's input, and its options."""

    name: str
    questions: list[str]
    options: tuple[str, ...] = ()


class Sample(NamedTuple):
    """One loaded moment: answers per second, CPU microseconds per answer."""

    rate: float
    cpu: float


LOADS = (
    Load("A", ["s0.service.consul A"]),
    Load("SRV, EDNS", ["s0.service.consul SRV"], ("-e",)),
    Load(f"A of {SERVICES}", [f"s{n}.service.consul A" for n in range(SERVICES)]),
    Load("no such name", ["nope.service.consul A"]),
)


def address(service: int, instance: int) -> str:
    return f"10.{instance}.{service // 256}.{service % 256}"


def register(api: http.client.HTTPConnection, service: int, instance: int, target: str) -> None:
    body = {
        "Node": f"n{instance}",
        "Address": f"192.0.2.{instance}",
        "Service": {"ID": f"s{service}", "Service": f"s{service}", "Address": target, "Port": 80},
    }
    api.request("PUT", "/v1/catalog/register", json.dumps(body))
    answer = api.getresponse()
    text = answer.read()
    if answer.status != 200:
        sys.exit(f"registration failed: {answer.status} {text.decode()}")


def fill(web: int, part: int) -> None:
    """Register a part of all services; several writers share one flush to disk."""
    api = http.client.HTTPConnection("127.0.0.1", web)
    for service in range(part, SERVICES, WRITERS):
        for instance in range(INSTANCES):
            register(api, service, instance, address(service, instance))


def agent(program: list[str], directory: Path, dns: int, web: int) -> list[str]:
    """A server that has nothing else to do."""
    directory.mkdir()
    ports = {"dns": dns, "http": web, "grpc": -1, "grpc_tls": -1, "server": free_port()}
    ports |= {"serf_lan": free_port(), "serf_wan": free_port()}
    config = {
        "server": True,
        "bootstrap": True,
        "bind_addr": "127.0.0.1",
        "data_dir": str(directory / "data"),
        "node_name": "bench",
        "ports": ports,
        "log_level": "ERROR",
    }
    path = directory / "agent.json"
    path.write_text(json.dumps(config))
    return [*program, "agent", f"-config-file={path}"]


def unbound(directory: Path, dns: int) -> list[str]:
    """The same records as local data."""
    lines = [UNBOUND.format(port=dns)]
    for service in range(SERVICES):
        name = f"s{service}.service.consul. 0 IN"
        for instance in range(INSTANCES):
            target = f"{address(service, instance)}"
            lines.append(f'  local-data: "{name} A {target}"')
            host = socket.inet_aton(target).hex() + ".addr.dc1.consul."
            lines.append(f'  local-data: "{name} SRV 1 1 80 {host}"')
            lines.append(f'  local-data: "{host} 0 IN A {target}"')
    path = directory / "unbound.conf"
    path.write_text("\n".join(lines) + "\n")
    return ["unbound", "-d", "-c", str(path)]


def wait_for_dns(port: int) -> None:
    """Return once a question is answered, whatever the answer."""
    with socket.socket(type=socket.SOCK_DGRAM) as probe:
        probe.settimeout(0.1)
        for _ in range(300):
            try:
                probe.sendto(PROBE, ("127.0.0.1", port))
                probe.recv(512)
            except OSError:
                time.sleep(0.05)
            else:
                return
    raise TimeoutError(f"nobody answers on port {port}")


@contextmanager
def changing(web: int) -> Iterator[None]:
    """Another address for an instance of the first service, again and again."""
    over = threading.Event()

    def change() -> None:
        api = http.client.HTTPConnection("127.0.0.1", web)
        for turn in range(1_000_000):
            if over.wait(1 / CHANGES):
                return
            register(api, 0, 0, f"10.200.0.{turn % 200}")

    thread = threading.Thread(target=change)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def ask(load: Load, directory: Path, port: int, pid: int, seconds: int) -> Sample:
    """Run dnsperf once. Lost questions are fatal."""
    path = directory / "questions"
    path.write_text("".join(f"{line}\n" for line in load.questions))
    before = cpu_seconds(pid)
    command = ["dnsperf", "-s", "127.0.0.1", "-p", str(port), "-d", str(path), "-l", str(seconds)]
    text = subprocess.run(
        [*command, "-c", "8", "-q", "200", *load.options],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    used = cpu_seconds(pid) - before
    done = re.search(r"Queries completed:\s+(\d+) \((\S+)%\)", text)
    rate = re.search(r"Queries per second:\s+([\d.]+)", text)
    assert done and rate
    if float(done[2]) < 99.9:
        sys.exit(f"questions were lost:\n{text}")
    return Sample(float(rate[1]), used / int(done[1]) * 1e6)


def main(arguments: Sequence[str] = ()) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench dns", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3)
    chosen = parser.parse_args(arguments)
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        servers, webs = {}, []
        for name, program in agent_programs().items():
            port, web = free_port(), free_port()
            pid = stack.enter_context(running(agent(program, directory / name, port, web)))
            servers[name] = (pid, port)
            webs.append(web)
        port = free_port()
        servers["unbound"] = (stack.enter_context(running(unbound(directory, port))), port)
        for _, port in servers.values():
            wait_for_dns(port)
        for web in webs:
            wait_for_status(web, "127.0.0.1", path="/v1/catalog/nodes?consistent")
            with ThreadPoolExecutor(WRITERS) as writers:
                for _ in writers.map(fill, repeat(web), range(WRITERS)):
                    pass
            stack.enter_context(changing(web))
        row = "{:<14} {:<8} {:>10} {:>12} {:>11}"
        print(row.format("question", "server", "answers/s", "µs CPU each", "× unbound"))
        for load in LOADS:
            taken: dict[str, list[Sample]] = {name: [] for name in servers}
            for _ in range(chosen.rounds):
                for name, (pid, port) in servers.items():
                    taken[name].append(ask(load, directory, port, pid, chosen.seconds))
            rates = {
                name: statistics.median(each.rate for each in samples)
                for name, samples in taken.items()
            }
            for name, samples in taken.items():
                cpu = statistics.median(each.cpu for each in samples)
                ratio = f"{rates[name] / rates['unbound']:.2f}"
                print(
                    row.format(load.name, name, f"{rates[name]:.0f}", f"{cpu:.1f}", ratio),
                    flush=True,
                )
            if load is LOADS[0]:
                print(f"portway, a service of {INSTANCES} that changes: want >= 40000 answers/s")
