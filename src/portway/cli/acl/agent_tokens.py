"""``acl set-agent-token``: the tokens an agent itself uses."""

from __future__ import annotations

import click

from portway.cli.client import Client
from portway.cli.command import Wrong, command, fail, failing
from portway.cli.data import data

_KINDS = {
    "agent": "agent",
    "agent_master": "agent_recovery",
    "config_file_service_registration": "config_file_service_registration",
    "default": "default",
    "dns": "dns",
    "master": "agent_recovery",
    "recovery": "agent_recovery",
    "replication": "replication",
}
_KNOWN = ("default", "agent", "recovery", "replication", "config_file_service_registration", "dns")


@command("set-agent-token", "TYPE TOKEN", server=True)
def set_agent_token(client: Client, args: tuple[str, ...]) -> None:
    """Set a token that the agent uses for requests of its own; an empty TOKEN takes it away.

    TOKEN may be @FILE, which holds it, or - for standard input.

    TYPE is one of:

        default                            for requests without a token
        agent                              for its own upkeep, such as its node and its checks
        recovery                           to reach the agent when servers cannot be asked
        replication                        to copy from the primary datacenter
        config_file_service_registration   for services of configuration files
        dns                                for questions by DNS

    The token is lost when the agent restarts, unless acl.enable_token_persistence is on.
    """
    if not args:
        raise Wrong("Error! Missing TYPE and TOKEN arguments")
    kind = args[0]
    if len(args) == 1:
        raise Wrong(f"Error! {'Missing TOKEN' if kind in _KINDS else 'MISSING TYPE'} argument")
    if len(args) > 2:
        raise Wrong(f"Error! Too many arguments: expected 2 got {len(args)}")
    if kind not in _KINDS:
        raise Wrong(f'Unknown token type "{kind}"; it can be {", ".join(_KNOWN)}')
    try:
        token = data(args[1]).decode()
    except (OSError, UnicodeDecodeError) as error:
        fail(f"Error! {error}")
    with failing(f'Failed to set ACL token "{kind}"'):
        client.put(f"agent/token/{_KINDS[kind]}", (), {"Token": token})
    click.echo(f'ACL token "{kind}" set successfully')
