"""``snapshot save`` and ``snapshot restore``."""

from __future__ import annotations

import os
import sys
from http.client import HTTPException, HTTPResponse
from pathlib import Path

import click

from portway.cli.client import ApiError, Client
from portway.cli.command import Wrong, command, fail, failing, flag, one_argument

_BLOCK = 1 << 20  # bytes
_PARTS = ("version", "dc", "node", "status")


@command("save", "FILE", server=True)
@flag(
    "append-filename",
    str,
    "What to add to the name of the file, with commas between them: version, dc, node, status.",
)
def save(client: Client, args: tuple[str, ...], append_filename: str) -> None:
    """Save the state of the servers in a file.

    The file is verified before it gets its name, and only its owner may read it.
    """
    file = Path(one_argument(args, "Missing FILE argument"))
    if append_filename:
        file = _named(client, file, append_filename)
    unverified = file.with_name(f"{file.name}.unverified")
    try:
        try:
            _receive(client, unverified)
            index = _verify(unverified)
        except ApiError as error:
            fail(f"Error saving snapshot: {error}")
        unverified.replace(file)
    except OSError as error:
        fail(f"Error writing unverified snapshot file: open {error.filename}: {_reason(error)}")
    finally:
        unverified.unlink(missing_ok=True)
    click.echo(f"Saved and verified snapshot to index {index}")


def _receive(client: Client, path: Path) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        with client.stream("GET", "snapshot") as response:
            while block := _block(response):
                file.write(block)
        file.flush()
        os.fsync(file.fileno())


def _block(response: HTTPResponse) -> bytes:
    try:
        return response.read(_BLOCK)
    except (OSError, HTTPException) as error:
        raise ApiError(f"the answer broke off: {error}") from None


def _verify(path: Path) -> int:
    """The index of a snapshot that can be restored."""
    from portway.discovery.snapshot import SnapshotError, read

    try:
        return read(path.read_bytes()).meta.index
    except SnapshotError as error:
        fail(f"Error verifying snapshot file: {error}")


def _named(client: Client, file: Path, wanted: str) -> Path:
    """The file with some words of the agent before its suffix."""
    parts = [part.strip() for part in wanted.split(",")]
    for part in parts:
        if part not in _PARTS:
            raise Wrong(f'-append-filename: "{part}" is none of {", ".join(_PARTS)}')
    with failing("Error querying Consul agent"):
        known = client.get("agent/self").json()
    config = known["Config"]
    leads = known.get("Stats", {}).get("consul", {}).get("leader") == "true"
    words = {
        "version": config.get("Version", ""),
        "dc": config["Datacenter"],
        "node": config["NodeName"],
        "status": "leader" if leads else "follower",
    }
    name = "-".join([file.stem, *(words[part] for part in _PARTS if part in parts)])
    return file.with_name(f"{name}{file.suffix}")


@command("restore", "FILE", server=True)
def restore(client: Client, args: tuple[str, ...]) -> None:
    """Put the state of a snapshot in the place of the servers' state.

    Whatever was written since it was saved is gone. Name - to read standard input.
    """
    path = one_argument(args, "Missing FILE argument")
    try:
        content = sys.stdin.buffer.read() if path == "-" else _read(path)
    except OSError as error:
        fail(f"Error opening snapshot file: open {path}: {_reason(error)}")
    with failing("Error restoring snapshot"):
        client.put("snapshot", (), content)
    click.echo("Restored snapshot")


def _read(path: str) -> bytes:
    return Path(path).read_bytes()


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
