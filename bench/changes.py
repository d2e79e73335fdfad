"""How soon a container's start or stop counts at the proxy, Portway beside Traefik.

Three kinds of change, each timed from Docker's own event to the first answer that shows it
(the sample server accepts within a millisecond of its start):

* ``replica start``: one more container of a service that others serve already;
* ``stop``: the only container of a service gets its stop signal;
* ``router start``: a container that brings a router and a service of its own.

Measured with one router and with 2,000 others present.
"""

from __future__ import annotations

import argparse
import http.client
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.docker.images import whoami_image
from tests.ports import free_port

from bench.process import running, wait_for_status

IMAGE = "portway-bench/whoami:latest"
HOST = "changes.bench.test"
TIMEOUT = 30.0


def docker(*arguments: str) -> str:
    """Run a docker command; returns what it prints."""
    command = ["docker", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


class Events:
    """Docker's events of containers as they come: (name, action) -> time in nanoseconds."""

    def __init__(self, stack: ExitStack) -> None:
        self._seen: dict[tuple[str, str], int] = {}
        self._news = threading.Condition()
        command = ["docker", "events", "--filter", "type=container", "--format", "{{json .}}"]
        process = stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        stack.callback(process.kill)
        assert process.stdout is not None
        threading.Thread(target=self._read, args=(process.stdout,), daemon=True).start()

    def _read(self, lines: Iterator[str]) -> None:
        for line in lines:
            event = json.loads(line)
            key = (event["Actor"]["Attributes"].get("name", ""), event["Action"])
            with self._news:
                self._seen[key] = event["timeNano"]
                self._news.notify_all()

    def clear(self) -> None:
        with self._news:
            self._seen.clear()

    def wait(self, name: str, action: str) -> int:
        """The time of an event since the last ``clear``."""
        with self._news:
            if not self._news.wait_for(lambda: (name, action) in self._seen, TIMEOUT):
                raise TimeoutError(f"no {action} event of {name}")
            return self._seen[name, action]


class Client:
    """Asks the proxy without pause; notes the first answer after a moment that fits.

    Several connections ask, for one of them may wait for a container that is just gone.
    """

    def __init__(self, port: int, host: str, connections: int = 4) -> None:
        self._port, self._host = port, host
        self._wanted: Callable[[int, str], bool] | None = None
        self._found = threading.Event()
        self._at = 0
        self._over = False
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._ask) for _ in range(connections)]
        for thread in self._threads:
            thread.start()

    def expect(self, wanted: Callable[[int, str], bool]) -> None:
        """From now on look for an answer (status, body) that fits."""
        with self._lock:
            self._found.clear()
            self._wanted = wanted

    def found(self) -> int:
        """When the answer came, in nanoseconds of the wall clock, as Docker's events have."""
        if not self._found.wait(TIMEOUT):
            raise TimeoutError(f"{self._host} never showed the change")
        return self._at

    def end(self) -> None:
        """Stop asking."""
        self._over = True
        for thread in self._threads:
            thread.join()

    def _ask(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)
        while not self._over:
            try:
                connection.request("GET", "/", headers={"Host": self._host})
                answer = connection.getresponse()
                status, body = answer.status, answer.read().decode()
            except (OSError, http.client.HTTPException):
                connection.close()
                continue
            self._judge(status, body, time.time_ns())
            time.sleep(0.002)

    def _judge(self, status: int, body: str, now: int) -> None:
        with self._lock:
            if self._wanted is not None and self._wanted(status, body):
                self._wanted, self._at = None, now
                self._found.set()


def labels(router: str) -> list[str]:
    pairs = {
        "bench.changes": "true",
        f"traefik.http.routers.{router}.rule": f"Host(`{router}.{HOST}`)",
        f"traefik.http.services.{router}.loadbalancer.server.port": "80",
    }
    return [word for key, value in pairs.items() for word in ("-l", f"{key}={value}")]


@contextmanager
def container(name: str, router: str) -> Iterator[str]:
    """A created container, removed at the end."""
    docker("create", "--name", name, "--hostname", name, *labels(router), IMAGE)
    try:
        yield name
    finally:
        docker("rm", "-f", name)


def others(directory: Path, count: int) -> Path:
    """A dynamic file with routers that have nothing to do with the containers."""
    routers = {f"o{n}": {"rule": f"Host(`o{n}.test`)", "service": f"o{n}"} for n in range(count)}
    url = "http://127.0.0.1:9"
    services = {f"o{n}": {"loadBalancer": {"servers": [{"url": url}]}} for n in range(count)}
    path = directory / "others.yml"
    path.write_text(json.dumps({"http": {"routers": routers, "services": services}}))
    return path


def start(events: Events, client: Client, name: str) -> float:
    """Start a container; returns the milliseconds until it answered through the proxy."""
    events.clear()
    client.expect(lambda status, body: status == 200 and f"Hostname: {name}\n" in body)
    docker("start", name)
    return (client.found() - events.wait(name, "start")) / 1e6


def stop(events: Events, client: Client, name: str) -> float:
    """Stop a container; returns the milliseconds until the proxy knew."""
    events.clear()
    client.expect(
        lambda status, body: status == 404 or (status == 503 and "no available server" in body)
    )
    docker("stop", name)
    return (client.found() - events.wait(name, "kill")) / 1e6


def measure(command: list[str], port: int, rounds: int) -> dict[str, list[float]]:
    """Run a proxy and time every kind of change a number of times."""
    taken: dict[str, list[float]] = {"replica start": [], "stop": [], "router start": []}
    with ExitStack() as stack:
        events = Events(stack)
        docker("start", stack.enter_context(container("bench-steady", "pair")))
        twin = stack.enter_context(container("bench-twin", "pair"))
        solo = stack.enter_context(container("bench-solo", "solo"))
        stack.enter_context(running(command))
        wait_for_status(port, f"pair.{HOST}")
        clients = [Client(port, f"{router}.{HOST}") for router in ("pair", "solo")]
        pair, single = clients
        for client in clients:
            stack.callback(client.end)
        for _ in range(rounds):
            taken["replica start"].append(start(events, pair, twin))
            docker("stop", twin)
            taken["router start"].append(start(events, single, solo))
            taken["stop"].append(stop(events, single, solo))
    return taken


def main(arguments: Sequence[str] = ()) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench changes", description=__doc__)
    parser.add_argument("--rounds", type=int, default=50, help="Portway's changes of each kind")
    parser.add_argument("--rival-rounds", type=int, default=10, help="Traefik's")
    chosen = parser.parse_args(arguments)
    whoami_image(IMAGE)
    row = "{:>7} {:<8} {:<14} {:>6} {:>9} {:>9} {:>9}"
    print(row.format("others", "proxy", "change", "events", "p50 ms", "p99 ms", "max ms"))
    for count in (0, 2000):
        for name, program, rounds in (
            ("portway", [sys.executable, "-m", "portway", "edge"], chosen.rounds),
            ("traefik", ["traefik"], chosen.rival_rounds),
        ):
            with tempfile.TemporaryDirectory() as directory:
                port = free_port()
                flags = [
                    f"--entrypoints.web.address=127.0.0.1:{port}",
                    "--providers.docker.constraints=Label(`bench.changes`,`true`)",
                    f"--providers.file.filename={others(Path(directory), count)}",
                ]
                for change, times in measure([*program, *flags], port, rounds).items():
                    ordered = sorted(times)
                    p99 = ordered[min(len(ordered) - 1, round(0.99 * len(ordered)))]
                    values = [statistics.median(ordered), p99, ordered[-1]]
                    shown = [f"{value:.1f}" for value in values]
                    print(row.format(count, name, change, len(times), *shown), flush=True)
