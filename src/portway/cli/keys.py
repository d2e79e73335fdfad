"""``keygen`` and ``keyring``: the keys that members of a cluster encrypt with."""

from __future__ import annotations

import base64
import secrets
from typing import Any

import click

from portway.cli.client import Client
from portway.cli.command import INT, Wrong, command, failing, flag, no_arguments

_BYTES = 32  # AES-256
_MOST_RELAYS = 5


@command("keygen", api=False)
def keygen(args: tuple[str, ...]) -> None:
    """Make a key for -encrypt: 32 random bytes in base64."""
    no_arguments(args)
    click.echo(base64.b64encode(secrets.token_bytes(_BYTES)).decode())


@command("keyring")
@flag("install", str, "Install this `key`; it is not used to encrypt until -use.")
@flag("list", bool, "List the keys that are installed.")
@flag("list-primary", bool, "List the keys that are used to encrypt.")
@flag("local-only", bool, "With -list: ask only servers of this datacenter, over no WAN.")
@flag("relay-factor", INT, "Members, up to 5, to pass answers on through.")
@flag("remove", str, "Remove this `key`; the one that is used cannot be removed.")
@flag("use", str, "Encrypt with this `key`, which must be installed.")
def keyring(
    client: Client,
    args: tuple[str, ...],
    install: str,
    list: bool,  # noqa: A002
    list_primary: bool,
    local_only: bool,
    relay_factor: int,
    remove: str,
    use: str,
) -> None:
    """List and change the keys that members of the cluster encrypt their messages with."""
    actions = sum(map(bool, (install, list, list_primary, remove, use)))
    if not actions:
        context = click.get_current_context()
        click.echo(context.get_help(), err=True)
        context.exit(1)
    no_arguments(args)
    if actions > 1:
        raise Wrong("Only a single action is allowed")
    if not 0 <= relay_factor <= _MOST_RELAYS:
        raise Wrong(
            f"Error parsing relay factor: Relay factor must be in range: [0, {_MOST_RELAYS}]"
        )
    if local_only and not (list or list_primary):
        raise Wrong("Error validating local-only: local-only can only be set for list requests")
    params = {
        "relay-factor": relay_factor or None,
        "local-only": "true" if local_only else None,
    }
    with failing("error"):
        if list or list_primary:
            click.echo(f"==> Gathering installed {'primary ' * list_primary}encryption keys...")
            rings = client.get("operator/keyring", params).json()
            click.echo(_listed(rings, "PrimaryKeys" if list_primary else "Keys"))
        elif install:
            click.echo("==> Installing new gossip encryption key...")
            client.post("operator/keyring", params, {"Key": install})
        elif use:
            click.echo("==> Changing primary gossip encryption key...")
            client.put("operator/keyring", params, {"Key": use})
        else:
            click.echo("==> Removing gossip encryption key...")
            client.request("DELETE", "operator/keyring", params, {"Key": remove})


def _listed(rings: list[dict[str, Any]], which: str) -> str:
    lines = []
    for ring in rings:
        segment = f" [{ring['Segment']}]" if ring.get("Segment") else ""
        lines += ["", "WAN:" if ring["WAN"] else f"{ring['Datacenter']} (LAN){segment}:"]
        for node, message in (ring.get("Messages") or {}).items():
            lines.append(f"  ===> {node}: {message}")
        for key, number in (ring.get(which) or {}).items():
            lines.append(f"  {key} [{number}/{ring['NumNodes']}]")
    return "\n".join(lines)
