"""``operator raft``: the servers that agree on what is written."""

from __future__ import annotations

import click

from portway.cli.client import ApiError, Client
from portway.cli.command import Wrong, command, fail, failing, flag, no_arguments
from portway.cli.output import table

_HEADER = "Node,ID,Address,State,Voter,RaftProtocol,Commit Index,Trails Leader By".split(",")


@command("list-peers", server=True)
def list_peers(client: Client, args: tuple[str, ...]) -> None:
    """List the servers of the cluster, and how far each is behind the leader."""
    no_arguments(args)
    with failing("Error getting peers: Failed to retrieve raft configuration"):
        click.echo(peers_shown(client))


def peers_shown(client: Client) -> str:
    """The servers of the cluster as a table. Raises ApiError."""
    peers = client.get("operator/raft/configuration").json()["Servers"]
    last = max((peer.get("LastIndex", 0) for peer in peers if peer["Leader"]), default=0)
    rows = [_HEADER]
    for peer in peers:
        index = peer.get("LastIndex", 0)
        behind = max(0, last - index)
        trails = "-" if peer["Leader"] else f"{behind} commit{'s' * (behind != 1)}"
        state = "leader" if peer["Leader"] else "follower"
        protocol = peer.get("ProtocolVersion") or "<=1"
        voter = "true" if peer["Voter"] else "false"
        who = [peer["Node"], peer["ID"], peer["Address"], state, voter]
        rows.append([*who, str(protocol), str(index), trails])
    return table(rows)


@command("remove-peer", server=True)
@flag("address", str, "Address of the server, as list-peers shows it.")
@flag("id", str, "ID of the server, as list-peers shows it.")
def remove_peer(client: Client, args: tuple[str, ...], address: str, id: str) -> None:  # noqa: A002
    """Remove a server that is gone for ever from those that must agree."""
    no_arguments(args)
    if not address and not id:
        raise Wrong("Error removing peer: an address or id is required for the peer to remove")
    if address and id:
        raise Wrong("Error removing peer: cannot give both an address and id")
    key, value = ("address", address) if address else ("id", id)
    with failing("Error removing peer"):
        client.delete("operator/raft/peer", {key: value})
    click.echo(f'Removed peer with {key} "{value}"')


@command("transfer-leader", server=True)
@flag("id", str, "ID of the server to lead; without it the cluster chooses.")
def transfer_leader(client: Client, args: tuple[str, ...], id: str) -> None:  # noqa: A002
    """Make another server the leader."""
    no_arguments(args)
    try:
        done = client.post("operator/raft/transfer-leader", {"id": id or None}).json()
    except ApiError as error:
        fail(f"Error transfering leadership: Failed to transfer leadership {error}")
    if not done.get("Success"):
        fail("Error transfering leadership: the server refused")
    click.echo("Success")
