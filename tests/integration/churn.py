"""Load on a proxy while the containers behind it come and go: what does it cost?

:func:`run` starts a service of real containers on a network of its own, a proxy that finds
them by their labels, and ``wrk`` with kept-alive connections; it stops and starts the
containers while the load lasts, and counts what the clients saw.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import signal
import sys
import tempfile
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from tests.docker.images import whoami_image
from tests.integration.passage import Passage
from tests.patience import PATIENCE
from tests.ports import free_port

CONNECTIONS = 16
PAUSE = 1.0  # seconds between the starts and stops of containers
IMAGE = "portway-test-churn:latest"

ProxyName = Literal["portway", "traefik"]


class Result(NamedTuple):
    """What the clients saw, and how often a container went away meanwhile."""

    requests: int
    non_2xx: int  # wrk counts 400 and above; nothing here answers below
    timeouts: int  # answers that took longer than ten seconds
    errors: int  # connections refused, reset or closed in the middle
    stops: int
    disturbances: int
    slowest: float  # seconds

    @property
    def losses(self) -> int:
        """Requests that did not get their answer."""
        return self.non_2xx + self.timeouts + self.errors


class Service:
    """Containers that serve ``app.test`` together, on a Docker network of their own."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.id = f"portway-churn-{uuid.uuid4().hex[:8]}"
        given = {
            "churn": self.id,
            "traefik.enable": "true",
            "traefik.http.routers.app.rule": "Host(`app.test`)",
            "traefik.http.services.app.loadbalancer.server.port": "80",
        }
        self._flags = [part for pair in given.items() for part in ("--label", "=".join(pair))]
        for variable in environment.items():
            self._flags += ["--env", "=".join(variable)]
        self.containers: list[str] = []

    async def add(self, name: str) -> None:
        """Run one more container, under the full name that :attr:`containers` then holds."""
        full = f"{self.id}-{name}"
        await docker("run", "-d", "--network", self.id, "--name", full, *self._flags, IMAGE)
        self.containers.append(full)

    async def address(self, container: str) -> str:
        """The IP address of a container that runs."""
        form = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
        return await docker("inspect", "-f", form, container)

    async def accepts(self, container: str) -> None:
        """Wait until a container takes connections."""
        address = await self.address(container)
        await until(lambda: reachable(address, 80), f"{container} accepts no connections")

    @contextlib.asynccontextmanager
    async def up(self, count: int) -> AsyncIterator[Service]:
        """The service with so many containers; they are removed at the end."""
        await docker("network", "create", self.id)
        try:
            for number in range(count):
                await self.add(str(number))
            for container in self.containers:
                await self.accepts(container)
            yield self
        finally:
            found = (await docker("ps", "-aq", "--filter", f"label=churn={self.id}")).split()
            if found:
                await docker("rm", "-f", *found)
            await docker("network", "rm", self.id)


class Proxy:
    """A proxy process that follows the containers of one service."""

    def __init__(self, name: ProxyName, daemon: Path, service: str, log: Path) -> None:
        self.port = free_port()
        self._log = log
        own = [sys.executable, "-m", "portway"]
        self._command = [
            *(own if name == "portway" else [str(Path(sys.executable).with_name("traefik"))]),
            f"--entrypoints.web.address=127.0.0.1:{self.port}",
            "--providers.docker=true",
            "--providers.docker.exposedbydefault=false",
            f"--providers.docker.endpoint=unix://{daemon}",
            f"--providers.docker.network={service}",
            f"--providers.docker.constraints=Label(`churn`, `{service}`)",
        ]
        self.process: asyncio.subprocess.Process

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[Proxy]:
        """The proxy, once it answers for the service."""
        with self._log.open("wb") as log:
            self.process = await asyncio.create_subprocess_exec(
                *self._command, stdout=log, stderr=log
            )
        try:
            await until(self._answers, "the proxy does not serve")
            yield self
        finally:
            if self.process.returncode is None:
                self.process.terminate()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self.process.wait(), PATIENCE)
            if self.process.returncode is None:
                self.process.kill()  # its children die with it
                await self.process.wait()

    def control(self) -> int | None:
        """The process id of Portway's control process, while there is one."""
        for child in children(self.process.pid):
            with contextlib.suppress(OSError):
                if b"portway.edge.control" in Path(f"/proc/{child}/cmdline").read_bytes():
                    return child
        return None

    async def _answers(self) -> bool:
        assert self.process.returncode is None, self._log.read_text(errors="replace")
        with contextlib.suppress(OSError, EOFError):
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            try:
                writer.write(b"GET / HTTP/1.1\r\nHost: app.test\r\n\r\n")
                return b" 200 " in await reader.readline()
            finally:
                writer.close()
        return False


class Scene(NamedTuple):
    """What a disturbance or a churn works on, and how long: until ``over`` is set, and a churn
    at least until it has stopped containers ``stops`` times."""

    service: Service
    proxy: Proxy
    passage: Passage
    stops: int
    over: asyncio.Event

    async def pause(self, seconds: float) -> bool:
        """Let time pass; False when it is over."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.over.wait(), seconds)
        return not self.over.is_set()

    async def goes_on(self, stops: int) -> bool:
        """Let time pass; False when a churn with so many stops has come to its end."""
        await asyncio.sleep(PAUSE)
        return stops < self.stops or not self.over.is_set()


Play = Callable[[Scene], Coroutine[None, None, int]]
"""Goes on until the scene is over; returns how often it did what it does."""


# Disturbances


async def calm(scene: Scene) -> int:
    """Nothing but the containers changes."""
    await scene.over.wait()
    return 0


async def killed_control(scene: Scene) -> int:
    """The control process is killed, again and again, soon after its restart."""
    killed = 0
    while await scene.pause(5 * PAUSE):
        if control := scene.proxy.control():
            os.kill(control, signal.SIGKILL)
            killed += 1
    return killed


async def daemon_away(scene: Scene) -> int:
    """The daemon's socket goes away for longer than it takes to stop and start a container."""
    times = 0
    while await scene.pause(3 * PAUSE):
        scene.passage.close()
        times += 1
        await scene.pause(6 * PAUSE)
        await scene.passage.open()
    return times


# Churns


async def stopped_in_turn(scene: Scene) -> int:
    """``docker stop`` and ``docker start`` of one container after the other."""
    return await _in_turn(scene, ["stop"], ["start"])


async def restarted(scene: Scene) -> int:
    """``docker restart`` of one container after the other."""
    return await _in_turn(scene, ["restart"])


async def killed(scene: Scene) -> int:
    """``docker kill`` of one container after the other."""
    return await _in_turn(scene, ["kill"], ["start"])


async def paused(scene: Scene) -> int:
    """``docker pause`` of one container after the other, for less than a client waits."""
    return await _in_turn(scene, ["pause"], ["unpause"], between=0.5)


async def stopped_against_its_will(scene: Scene) -> int:
    """``docker stop`` of containers that ignore the signal until they are killed."""
    return await _in_turn(scene, ["stop", "-t", "3"], ["start"])


async def recreated(scene: Scene) -> int:
    """``docker rm -f`` of the oldest container, and a new one in its place."""
    stops = 0
    while await scene.goes_on(stops):
        await docker("rm", "-f", scene.service.containers.pop(0))
        stops += 1
        await scene.service.add(f"new-{stops}")
        await scene.service.accepts(scene.service.containers[-1])
    return stops


async def _in_turn(
    scene: Scene, away: Sequence[str], back: Sequence[str] = (), between: float = PAUSE / 2
) -> int:
    """One container after the other goes away and comes back before the next goes."""
    stops = 0
    containers = itertools.cycle(scene.service.containers)
    while await scene.goes_on(stops):
        container = next(containers)
        await docker(*away, container)
        stops += 1
        if back:
            await asyncio.sleep(between)
            await docker(*back, container)
        await scene.service.accepts(container)
    return stops


# The load


async def run(
    name: ProxyName,
    disturbance: Play = calm,
    churn: Play = stopped_in_turn,
    *,
    seconds: int = 42,
    stops: int = 9,
    method: str = "GET",
    environment: Mapping[str, str] | None = None,
) -> Result:
    """Load a proxy during a churn and a disturbance: for so many seconds at least, and at
    least until containers were stopped so many times.

    ``environment`` is that of the three containers. What the proxy wrote goes to the standard
    output, for pytest to show when the test fails.
    """
    whoami_image(IMAGE)
    with tempfile.TemporaryDirectory() as where:
        directory = Path(where)
        passage = Passage(directory / "docker.sock")
        await passage.open()
        log = directory / "log"
        try:
            async with (
                Service(environment or {}).up(3) as service,
                Proxy(name, passage.path, service.id, log).serving() as proxy,
            ):
                scene = Scene(service, proxy, passage, stops, asyncio.Event())
                async with asyncio.timeout(4 * seconds + PATIENCE):
                    result = await _play(scene, disturbance, churn, seconds, method)
        finally:
            passage.close()
            print(log.read_text(errors="replace")[-20_000:] if log.exists() else "")
    print(f"{name}, {disturbance.__name__}, {churn.__name__}, {method}: {result}")
    return result


async def _play(scene: Scene, disturbance: Play, churn: Play, seconds: int, method: str) -> Result:
    async with _wrk(scene.proxy.port, method) as seen, asyncio.TaskGroup() as group:
        disturbances = group.create_task(disturbance(scene))
        stops = group.create_task(churn(scene))
        await asyncio.sleep(seconds)
        scene.over.set()
    return Result(
        requests=seen["requests"],
        non_2xx=seen["status"],
        timeouts=seen["timeout"],
        errors=seen["connect"] + seen["read"] + seen["write"],
        stops=stops.result(),
        disturbances=disturbances.result(),
        slowest=seen["slowest"] / 1e6,
    )


_SCRIPT = """
wrk.method = "%s"
wrk.headers["Host"] = "app.test"
if wrk.method == "POST" then wrk.body = string.rep("x", 2000) end
done = function(summary, latency, requests)
  local e = summary.errors
  io.write(string.format('\\n{"requests": %%d, "status": %%d, "timeout": %%d, "connect": %%d, ' ..
    '"read": %%d, "write": %%d, "slowest": %%d}\\n', summary.requests, e.status, e.timeout,
    e.connect, e.read, e.write, latency.max))
end
"""


@contextlib.asynccontextmanager
async def _wrk(port: int, method: str) -> AsyncIterator[dict[str, int]]:
    """Load with kept-alive connections; the dictionary tells afterwards what came of it, times
    in microseconds."""
    seen: dict[str, int] = {}
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(_SCRIPT % method)
        script.flush()
        options = ("-t2", f"-c{CONNECTIONS}", "-d1h", "--timeout", "10s", "-s", script.name)
        process = await asyncio.create_subprocess_exec(
            "wrk", *options, f"http://127.0.0.1:{port}/", stdout=asyncio.subprocess.PIPE
        )
        try:
            yield seen
            process.send_signal(signal.SIGINT)  # ends the load
            output, _ = await process.communicate()
            seen.update(json.loads(output.decode().strip().splitlines()[-1]))
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()


# The machine


async def docker(*arguments: str) -> str:
    """What a docker command prints."""
    process = await asyncio.create_subprocess_exec(
        "docker",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, problem = await process.communicate()
    assert process.returncode == 0, f"docker {' '.join(arguments)}: {problem.decode()}"
    return output.decode().strip()


async def until(condition: Callable[[], Awaitable[bool]], what: str) -> None:
    """Wait for a condition; ``what`` tells of its absence."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + PATIENCE
    while not await condition():
        assert loop.time() < deadline, what
        await asyncio.sleep(0.05)


async def reachable(address: str, port: int) -> bool:
    """Whether a connection can be made."""
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(1):
            _, writer = await asyncio.open_connection(address, port)
        writer.close()
        return True
    return False


def children(pid: int) -> list[int]:
    """The processes that a process has started and that are still there."""
    with contextlib.suppress(OSError):
        return [int(n) for n in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []
