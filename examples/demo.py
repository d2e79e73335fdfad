"""The first tour: Portway in front of small services that come up, scale and vanish.

Runs until Ctrl-C; with ``--once`` it plays one round and exits non-zero if any request failed.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import yaml


@contextmanager
def instance(name: str) -> Iterator[str]:
    """One instance of a sample service on a free port; yields its URL."""

    class Hello(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = f"{name} answers {self.path}\n".encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hello)
    server.daemon_threads = True
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def publish(directory: Path, service: str, rule: str, urls: list[str], prefix: str = "") -> None:
    """Write the dynamic configuration of a service as one file that appears at once."""
    router: dict[str, object] = {"rule": rule, "service": service}
    balancer = {"loadBalancer": {"servers": [{"url": url} for url in urls]}}
    http: dict[str, object] = {"services": {service: balancer}, "routers": {service: router}}
    if prefix:
        router["middlewares"] = ["strip"]
        http["middlewares"] = {"strip": {"stripPrefix": {"prefixes": [prefix]}}}
    text = yaml.safe_dump({"http": http}, sort_keys=False)
    unfinished = directory / f".{service}.tmp"
    unfinished.write_text(text)
    unfinished.rename(directory / f"{service}.yml")


class Edge:
    """A running ``portway edge`` that watches a directory."""

    def __init__(self, directory: Path, port: int, api_port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.api = f"http://127.0.0.1:{api_port}"
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", "portway", "edge"),
                f"--providers.file.directory={directory}",
                f"--entrypoints.web.address=127.0.0.1:{port}",
                f"--entrypoints.traefik.address=127.0.0.1:{api_port}",
                *("--api.insecure=true", "--ping=true", "--log.level=ERROR"),
            ]
        )

    def wait_ready(self) -> None:
        """Return once /ping answers; exits when Portway ends or stays silent for a minute."""
        for _ in range(600):
            if self._process.poll() is not None:
                sys.exit("Portway did not start; its message is above")
            try:
                urllib.request.urlopen(f"{self.api}/ping", timeout=1)
                return
            except OSError:
                time.sleep(0.1)
        self.stop()
        sys.exit(f"Portway did not become ready on {self.api}/ping")

    def get(self, path: str, host: str) -> tuple[int, str]:
        """Status and body of a request through Envoy."""
        request = urllib.request.Request(self.url + path, headers={"Host": host})
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def wait_for(self, path: str, host: str, status: int) -> None:
        """Return once a request is answered with a status."""
        for _ in range(200):
            if self.get(path, host)[0] == status:
                return
            time.sleep(0.05)
        raise TimeoutError(f"{host}{path} did not answer {status}")

    def print_routes(self) -> None:
        """Show the live routing table."""
        command = [sys.executable, "-m", "portway", "routes", "--api", self.api]
        subprocess.run(command, check=True)

    def stop(self) -> None:
        """Stop Portway gracefully."""
        self._process.send_signal(signal.SIGTERM)
        self._process.wait()


def say(text: str) -> None:
    print(f"\n\033[1m{text}\033[0m" if sys.stdout.isatty() else f"\n{text}", flush=True)


def spread(edge: Edge, host: str, requests: int = 300) -> int:
    """Send requests, print who answered and return how many failed."""
    answers = [edge.get("/", host) for _ in range(requests)]
    for who, count in sorted(Counter(body.split()[0] for _, body in answers).items()):
        print(f"  {who:<8} answered {count:>4} of {requests}", flush=True)
    return sum(status != 200 for status, _ in answers)


def round_trip(edge: Edge, directory: Path, pause: float) -> int:
    """One round of coming, scaling and vanishing; returns the number of failed requests."""
    failed = 0
    with ExitStack() as services:
        shop = [services.enter_context(instance("shop-1"))]
        publish(directory, "shop", "Host(`shop.localhost`)", shop)
        api = services.enter_context(instance("api"))
        publish(
            directory, "api", "Host(`shop.localhost`) && PathPrefix(`/api`)", [api], prefix="/api"
        )
        edge.wait_for("/", "shop.localhost", 200)
        edge.wait_for("/api/items", "shop.localhost", 200)
        say("Two services came up, written as files in " + str(directory))
        edge.print_routes()
        print(f"\n  try it:  curl -H 'Host: shop.localhost' {edge.url}/", flush=True)
        print(f"           curl -H 'Host: shop.localhost' {edge.url}/api/items", flush=True)
        time.sleep(pause)

        say("shop scales to 3 instances")
        with ExitStack() as more:
            shop += [more.enter_context(instance(name)) for name in ("shop-2", "shop-3")]
            publish(directory, "shop", "Host(`shop.localhost`)", shop)
            time.sleep(1)
            failed += spread(edge, "shop.localhost")
            time.sleep(pause)
            say("and back to 1")
            publish(directory, "shop", "Host(`shop.localhost`)", shop[:1])
            time.sleep(1)
        failed += spread(edge, "shop.localhost")
        time.sleep(pause)

        say("api vanishes; the rest of shop.localhost keeps answering")
        (directory / "api.yml").unlink()
        time.sleep(1)
        print("  /api/items ->", *edge.get("/api/items", "shop.localhost"), flush=True)
        failed += spread(edge, "shop.localhost", 50)
        time.sleep(pause)
    (directory / "shop.yml").unlink(missing_ok=True)
    return failed


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--once", action="store_true", help="play one round and exit")
    options.add_argument("--port", type=int, default=8000, help="port of the entry point")
    options.add_argument("--api-port", type=int, default=8081, help="port of the API")
    chosen = options.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with tempfile.TemporaryDirectory(prefix="portway-demo-") as name:
        edge = Edge(Path(name), chosen.port, chosen.api_port)
        failed = 0
        try:
            edge.wait_ready()
            while True:
                failed += round_trip(edge, Path(name), pause=0 if chosen.once else 10)
                print(f"\n  requests that failed so far: {failed}", flush=True)
                if chosen.once:
                    break
        except KeyboardInterrupt:
            print(flush=True)
        finally:
            edge.stop()
    return 1 if failed else 0


if __name__ == "__main__":
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    sys.exit(main())
