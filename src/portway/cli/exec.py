"""``exec``: run a command on many nodes, by the key-value store and an event."""

from __future__ import annotations

import base64
import json
import queue
import sys
import threading
import time
from contextlib import suppress
from typing import Any, NamedTuple

import click

from portway.cli.child import interruptible
from portway.cli.client import ApiError, Client
from portway.cli.command import DURATION, Wrong, command, failing, flag
from portway.cli.regexps import check_filters
from portway.cli.session import Session

_EVENT = "_rexec"
_WAIT = 15.0  # seconds a blocking query may take
_FAILED = 2  # the exit code when a node failed, or did not end


class Seen(NamedTuple):
    """Something a node wrote: ``ack``, ``output``, ``beat`` or ``exit``."""

    what: str
    node: str
    data: bytes = b""


@command("exec", "[-|command...]", server=True)
@flag("node", str, "Only nodes whose name matches this `regexp`.")
@flag("prefix", str, "Where in the key-value store requests are written.", default=_EVENT)
@flag("service", str, "Only nodes with a service whose name matches this `regexp`.")
@flag("shell", bool, "Run the command by a shell.", default=True)
@flag("tag", str, "With -service: the service must have a tag that matches this `regexp`.")
@flag("verbose", bool, "Tell each step.")
@flag("wait", DURATION, "How long nothing may be heard before it ends.", default=2.0)
@flag("wait-repl", DURATION, "How long to wait for the request to reach all servers.", default=0.2)
def exec_(
    client: Client,
    args: tuple[str, ...],
    node: str,
    prefix: str,
    service: str,
    shell: bool,
    tag: str,
    verbose: bool,
    wait: float,
    wait_repl: float,
) -> int:
    """Run a command on the nodes of a datacenter, and print what it writes there.

    With - for the command a script is read from standard input and run. Agents run commands only
    if their configuration says disable_remote_exec = false. The exit code is 2 if the command
    failed on a node or did not end.
    """
    if not args:
        raise Wrong("Must specify a command to execute")
    check_filters(node, service, tag)
    if wait <= 0:
        raise Wrong("-wait must be positive")
    job = _job(args, shell, wait)
    filters = {"node": node or None, "service": service or None, "tag": tag or None}
    with failing("Error querying Consul agent"):
        client.get("agent/self")
    try:
        with interruptible():
            with failing("Failed to create session"):
                session = Session(client, "Remote Exec", fields={"Behavior": "delete"})
            folder = f"{prefix.strip('/')}/{session.id}/"
            try:
                _tell(verbose, f"Created remote execution session: {session.id}")
                with failing("Failed to create job file"):
                    body = json.dumps(job).encode()
                    client.put(f"kv/{folder}job", {"acquire": session.id}, body)
                _tell(verbose, "Uploaded remote execution spec")
                time.sleep(wait_repl)
                named = {"Prefix": prefix.strip("/"), "Session": session.id}
                with failing("Failed to fire event"):
                    fired = client.put(f"event/fire/{_EVENT}", filters, named).json()
                _tell(verbose, f"Fired remote execution event: {fired['ID']}")
                return _wait(client, folder, wait, verbose)
            finally:
                session.destroy()
                with suppress(ApiError):
                    client.delete(f"kv/{folder}", {"recurse": True})
    except KeyboardInterrupt:
        return 1


def _job(args: tuple[str, ...], shell: bool, wait: float) -> dict[str, Any]:
    job: dict[str, Any] = {"Wait": round(wait * 1e9)}
    if args == ("-",):
        script = sys.stdin.buffer.read()
        if not script:
            raise Wrong("Must specify a command to execute")
        job["Script"] = base64.b64encode(script).decode()
    elif shell:
        job["Command"] = " ".join(args)
    else:
        job["Args"] = list(args)
    return job


def _tell(verbose: bool, text: str) -> None:
    if verbose:
        click.echo(text)


def _wait(client: Client, folder: str, wait: float, verbose: bool) -> int:
    """Print what the nodes write until nothing was heard for a while; the exit code."""
    began = time.monotonic()
    heard: queue.SimpleQueue[Seen | ApiError] = queue.SimpleQueue()
    reader = client.copy()
    threading.Thread(target=_read, args=(reader, folder, heard), daemon=True).start()
    acknowledged = ended = 0
    failed = False
    try:
        while True:
            # Those that are at work may be slow to say so.
            patience = wait * 2 if acknowledged > ended else wait
            try:
                seen = heard.get(timeout=patience)
            except queue.Empty:
                break
            if isinstance(seen, ApiError):
                click.echo(f"Failed to read results: {seen}", err=True)
                return 1
            _print(seen, verbose)
            acknowledged += seen.what == "ack"
            if seen.what == "exit":
                ended += 1
                failed = failed or seen.data != b"0"
    finally:
        reader.abort()
    click.echo(f"{ended} / {acknowledged} node(s) completed / acknowledged")
    _tell(verbose, f"Completed in {time.monotonic() - began:.2f} seconds")
    return _FAILED if failed or ended < acknowledged else 0


def _print(seen: Seen, verbose: bool) -> None:
    if seen.what == "output":
        lines = seen.data.removesuffix(b"\n").split(b"\n")
        click.echo(b"\n".join(f"    {seen.node}: ".encode() + line for line in lines))
    elif seen.what == "exit":
        code = seen.data.decode(errors="replace")
        click.echo(f"==> {seen.node}: finished with exit code {code}", err=code != "0")
    elif verbose:
        text = "acknowledged" if seen.what == "ack" else "heartbeat received"
        click.echo(f"==> {seen.node}: {text}")


def _read(client: Client, folder: str, heard: queue.SimpleQueue[Seen | ApiError]) -> None:
    """Hand on each key that appears below ``folder``, until the client is aborted."""
    known = {f"{folder}job"}
    index = 0
    try:
        while True:
            answer, index = client.blocking(
                f"kv/{folder}", {"keys": True}, index=index, wait=_WAIT, missing=[404]
            )
            keys = answer.json() if answer.status == 200 else []
            for key in sorted(set(keys) - known, key=_order):
                known.add(key)
                found = client.get(f"kv/{key}", {"raw": True}, missing=[404])
                seen = understood(key.removeprefix(folder), found.body)
                if seen is not None and found.status == 200:
                    heard.put(seen)
    except ApiError as error:
        heard.put(error)


def _order(key: str) -> tuple[bool, str]:
    return key.endswith("/exit"), key  # what a command wrote comes before its end


def understood(key: str, data: bytes) -> Seen | None:
    """What a key says, ``<node>/ack``, ``<node>/exit`` or ``<node>/out/<number>``."""
    if key.endswith("/ack"):
        return Seen("ack", key.removesuffix("/ack"))
    if key.endswith("/exit"):
        return Seen("exit", key.removesuffix("/exit"), data)
    node, out, _ = key.rpartition("/out/")
    if out:
        return Seen("output" if data else "beat", node, data)
    return None
