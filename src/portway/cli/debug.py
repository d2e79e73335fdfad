"""``debug``: an archive of what an agent is and does for a while."""

from __future__ import annotations

import json
import shutil
import tarfile
import threading
import time
from contextlib import ExitStack, suppress
from http.client import HTTPException
from pathlib import Path
from typing import Any

import click

from portway.cli.child import interruptible
from portway.cli.client import ApiError, Client
from portway.cli.command import BOOL, DURATION, Wrong, command, fail, flag
from portway.cli.duration import show
from portway.cli.operator_raft import peers_shown
from portway.cli.output import go_json
from portway.cli.troubleshoot import PORTS, tried

_STATIC = {
    "host": ("agent/host", {}),
    "agent": ("agent/self", {}),
    "members": ("agent/members", {"wan": "1"}),
}
_OVER_TIME = ("metrics", "logs")
_NOT_OURS = "pprof"  # profiles of Go programs
_RENAMED = {"cluster": "members"}
_LEAST_DURATION = 10.0  # seconds
_LEAST_INTERVAL = 5.0  # seconds
_BLOCK = 65536  # bytes
_INDEX_VERSION = 1
_INVALID = "==> Capture validation failed"


@command("debug")
@flag("archive", BOOL, "Make an archive; false leaves a directory.", default=True)
@flag(
    "capture",
    str,
    "What to record: agent, host, members, metrics or logs; may be repeated. Default: all.",
    multiple=True,
)
@flag("duration", DURATION, "How long to record.", default=300.0)
@flag("interval", DURATION, "How often to record metrics.", default=30.0)
@flag("output", str, "Path of the archive, without .tar.gz, or of the directory.")
@flag("since", str, "In Consul: how far back to collect logs; refused here.")
def debug(
    client: Client,
    args: tuple[str, ...],
    archive: bool,
    capture: tuple[str, ...],
    duration: float,
    interval: float,
    output: str,
    since: str,
) -> None:
    """Record what an agent is and does, for somebody who is to find out what is wrong.

    Configuration, host and members are recorded once, metrics now and then, the log as it is
    written. Secrets are left out of the agent's answers, other private things are not: look the
    archive through before you hand it on. An interrupt ends the recording early.
    """
    if args:
        raise Wrong("==> debug: Too many arguments provided, expected 0")
    if since:
        raise Wrong("-since: it is done by a program of Consul's vendor, hcdiag; save logs instead")
    if duration < _LEAST_DURATION:
        raise Wrong(f"{_INVALID}: duration must be longer than {show(_LEAST_DURATION)}")
    if interval < _LEAST_INTERVAL:
        raise Wrong(f"{_INVALID}: interval must be longer than {show(_LEAST_INTERVAL)}")
    if duration < interval:
        spans = f"duration ({show(duration)}) must be longer than interval ({show(interval)})"
        raise Wrong(f"{_INVALID}: {spans}")
    targets = _targets(capture)
    try:
        version = client.get("agent/self").json()["Config"]["Version"]
    except ApiError as error:
        said = f"error querying target agent: {error}. verify connectivity and agent address"
        fail(f"{_INVALID}: {said}")
    folder = Path(output or f"consul-debug-{time.strftime('%Y-%m-%dT%H-%M-%SZ', time.gmtime())}")
    result = folder.with_name(f"{folder.name}.tar.gz") if archive else folder
    if result.exists():
        fail(f"output directory already exists: {result}")
    try:
        folder.mkdir(mode=0o700, parents=True)
    except OSError as error:
        words = f"mkdir {folder}: {(error.strerror or '').lower()}"
        fail(f"{_INVALID}: could not create output directory: {words}")
    click.echo("==> Starting debugger and capturing static information...")
    for label, value in (
        ("Agent Version", version),
        ("Interval", show(interval)),
        ("Duration", show(duration)),
        ("Output", result),
        ("Capture", ", ".join(targets)),
    ):
        click.echo(f"{label:>18}: '{value}'")
    _record(client, folder, targets, duration, interval)
    index = {
        "Version": _INDEX_VERSION,
        "AgentVersion": version,
        "Interval": show(interval),
        "Duration": show(duration),
        "Targets": targets,
    }
    _write(folder / "index.json", index)
    if archive:
        _pack(folder, result)
        shutil.rmtree(folder)
    click.echo(f"Saved debug archive: {result}")


def _targets(capture: tuple[str, ...]) -> list[str]:
    known = [*_OVER_TIME, *_STATIC]
    given = [_RENAMED.get(name, name) for one in capture for name in one.split(",")]
    for name in given:
        if name not in known and name != _NOT_OURS:
            raise Wrong(f"{_INVALID}: target not found: {name}; valid: {', '.join(known)}")
    if _NOT_OURS in given:
        click.echo(f"{_NOT_OURS}: left out, since the agent is not a Go program", err=True)
    return [name for name in known if name in given] if given else known


def _record(
    client: Client, folder: Path, targets: list[str], duration: float, interval: float
) -> None:
    """Record until the time is over, or an interrupt."""
    with ExitStack() as stack:
        try:
            stack.enter_context(interruptible())
            for name in targets:
                if name in _STATIC:
                    _once(client, folder, name)
            _ports(folder)
            _peers(client, folder)
            if "logs" in targets:
                stack.callback(_follow_log(client, folder / "consul.log"))
            if any(name in _OVER_TIME for name in targets):
                metrics = folder / "metrics.json" if "metrics" in targets else None
                _intervals(client, metrics, duration, interval)
        except KeyboardInterrupt:
            click.echo("==> Interrupted, ending the recording...")


def _once(client: Client, folder: Path, name: str) -> None:
    path, params = _STATIC[name]
    try:
        _write(folder / f"{name}.json", client.get(path, params).json())
    except ApiError as error:
        click.echo(f"Static capture failed: {name}: {error}", err=True)


def _ports(folder: Path) -> None:
    """Which of the ports that servers have by default are open on this machine."""
    found = tried("localhost", PORTS.split(","))
    tree = {
        "Open": [port for port, is_open in found.items() if is_open] or None,
        "Closed": [port for port, is_open in found.items() if not is_open] or None,
    }
    _write(folder / "ports.json", tree)


def _peers(client: Client, folder: Path) -> None:
    """The servers, as ``operator raft list-peers`` shows them; the file has Consul's name."""
    try:
        (folder / "listpeers.json").write_text(peers_shown(client))
    except ApiError as error:
        click.echo(f"Raft list peers capture failed: {error}", err=True)


def _intervals(client: Client, metrics: Path | None, duration: float, interval: float) -> None:
    """Append the metrics as a line, each interval."""
    began = time.monotonic()
    number = 0
    while True:
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        click.echo(f"==> Beginning capture interval {now} ({number})")
        if metrics is not None:
            try:
                line = go_json(client.get("agent/metrics").json())
            except ApiError as error:
                click.echo(f"Error encountered during collection: {error}", err=True)
            else:
                with metrics.open("a") as file:
                    file.write(f"{line}\n")
        number += 1
        end = min(began + number * interval, began + duration)
        time.sleep(max(0.0, end - time.monotonic()))
        if end >= began + duration:
            return


def _follow_log(client: Client, path: Path) -> Any:
    """Write the agent's log to a file; gives what ends that."""
    reader = client.copy()

    def follow() -> None:
        with suppress(ApiError, OSError, HTTPException), path.open("wb") as file:
            params = {"loglevel": "trace"}
            with reader.stream("GET", "agent/monitor", params, timeout=None) as response:
                while block := response.read1(_BLOCK):
                    file.write(block)
                    file.flush()

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()

    def end() -> None:
        reader.abort()
        thread.join(timeout=5)

    return end


def _write(path: Path, tree: Any) -> None:
    path.write_text(json.dumps(tree, indent="\t", ensure_ascii=False) + "\n")


def _pack(folder: Path, result: Path) -> None:
    with result.open("xb") as file:
        result.chmod(0o600)
        with tarfile.open(fileobj=file, mode="w:gz") as archive:
            archive.add(folder, folder.name)
