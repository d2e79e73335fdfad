"""``logout``: give back a token that ``login`` has made."""

from __future__ import annotations

from portway.cli.client import Client
from portway.cli.command import Wrong, command, failing


@command("logout", server=True)
def logout(client: Client, args: tuple[str, ...]) -> None:
    """Give back the token that the request is made with, which consul login has made."""
    if args:
        raise Wrong("Should have no non-flag arguments.")
    with failing("Error destroying token"):
        client.post("acl/logout")
