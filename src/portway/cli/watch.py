"""``watch``: follow a view of an agent and run a program on each change."""

from __future__ import annotations

import os
from typing import Any

import click

from portway.cli import child
from portway.cli.client import ApiError, Client
from portway.cli.command import Wrong, command, fail, failing, flag
from portway.cli.duration import show
from portway.cli.goflags import boolean
from portway.cli.output import print_json
from portway.watch import Change, Follower, WatchError, environment, payload, plan

_LONGEST = 600.0 * (1 + 1 / 16) + 10  # seconds a blocking query may take


@command("watch", "[child...]", server=True)
@flag("filter", str, "Expression to filter by; for checks, nodes, services and service.")
@flag("key", str, "Key to watch; for key.")
@flag("name", str, "Name of the events to watch; for event.")
@flag("passingonly", str, "Whether to leave out what is not passing; for service: true or false.")
@flag("prefix", str, "Start of the keys to watch; for keyprefix.")
@flag("service", str, "Service to watch; for service, checks and connect_leaf.")
@flag("service-id", str, "ID of a service of the agent; for agent_service.")
@flag("shell", bool, "Run the child by a shell.", default=True)
@flag("state", str, "State of the checks to watch; for checks.")
@flag("tag", str, "Tag that instances must have; for service. May be repeated.", multiple=True)
@flag(
    "type",
    str,
    "What to watch: key, keyprefix, services, nodes, service, checks, event, connect_roots,"
    " connect_leaf or agent_service.",
)
def watch(
    client: Client,
    args: tuple[str, ...],
    filter: str,  # noqa: A002
    key: str,
    name: str,
    passingonly: str,
    prefix: str,
    service: str,
    service_id: str,
    shell: bool,
    state: str,
    tag: tuple[str, ...],
    type: str,  # noqa: A002
) -> int:
    """Follow a view of the agent, and run a program on each change.

    The program reads the view as JSON on its standard input, and its index in CONSUL_INDEX. If it
    fails, watch ends with exit code 1. Without a program the view is printed once.
    """
    if not type:
        raise Wrong("Watch type must be specified")
    parameters: dict[str, Any] = {
        "filter": filter,
        "key": key.removeprefix("/"),
        "name": name,
        "prefix": prefix.removeprefix("/"),
        "service": service,
        "service_id": service_id,
        "state": state,
        "tag": list(tag),
    }
    try:
        if passingonly:
            parameters["passingonly"] = boolean(passingonly)
        chosen = plan(type, {name: value for name, value in parameters.items() if value})
    except WatchError as error:
        raise Wrong(str(error)) from None
    except ValueError:
        said = f'strconv.ParseBool: parsing "{passingonly}": invalid syntax'
        raise Wrong(f"Failed to parse passingonly flag: {said}") from None
    with failing("Error querying Consul agent"):
        client.get("agent/self")  # so that an address or token that is wrong is told at once
    try:
        with child.interruptible():
            _follow(client, Follower(chosen), args, shell)
    except KeyboardInterrupt:
        return 0
    return 0


def _follow(client: Client, follower: Follower, args: tuple[str, ...], shell: bool) -> None:
    """Until the first change is printed, or a program fails or is asked to stop."""
    import time

    missing = [404] if follower.plan.may_miss else []
    while True:
        path, query = follower.request()
        try:
            answer = client.request("GET", path, query, accept=missing, timeout=_LONGEST)
            content_hash = answer.headers.get("X-Consul-ContentHash", "")
            body = answer.body if answer.status == 200 else None
            change = follower.answered(answer.index, content_hash, body)
        except (ApiError, ValueError) as error:
            delay = follower.failed()
            kind = follower.plan.type
            click.echo(f"Watch errored: type={kind} error={error} retry={show(delay)}", err=True)
            time.sleep(delay)
            continue
        if change is None:
            continue
        if not args:
            print_json(change.data)
            return
        if not _handled(change, args, shell):
            return


def _handled(change: Change, args: tuple[str, ...], shell: bool) -> bool:
    """Run the program; whether to go on. Raises Failed when it does."""
    try:
        code, signals = child.run(
            child.command_line(args, shell),
            stdin=payload(change),
            environ=environment(change, os.environ),
        )
    except OSError as error:
        fail(f"Error starting handler: {child.not_started(error)}")
    if signals:
        return False
    if code:
        fail(f"Error executing handler: {child.ending(code)}")
    return True
