"""``logout``: give back a token that ``login`` has made."""

from __future__ import annotations

from portway.cli.client import Client
from portway.cli.command import command, failing, no_arguments


@command("logout", server=True)
def logout(client: Client, args: tuple[str, ...]) -> None:
    """Give back the token that the request is made with, which consul login has made."""
    no_arguments(args)
    with failing("Error destroying token"):
        client.post("acl/logout")
