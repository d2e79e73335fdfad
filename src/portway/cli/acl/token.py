"""``acl token``: reading, listing and deleting tokens; the group of all its commands."""

from __future__ import annotations

import click

from portway.cli.acl import fields
from portway.cli.acl.formats import FORMAT_HELP, META_HELP, checked, show
from portway.cli.acl.ids import token_id
from portway.cli.acl.token_text import expanded_text, token_text
from portway.cli.client import Client
from portway.cli.command import Wrong, command, failing, flag, group, no_arguments

ACCESSOR_HELP = "Accessor ID of the token, or its beginning."


def accessor(given: str, deprecated: str, missing: str) -> str:
    """The accessor ID of one of both flags. Raises Wrong without one."""
    if deprecated and not given:
        click.echo("Use the -accessor-id parameter to specify token by Accessor ID", err=True)
    if not (given or deprecated):
        raise Wrong(missing)
    return given or deprecated


@command("read", server=True)
@flag("accessor-id", str, ACCESSOR_HELP)
@flag("expanded", bool, "Show all rules that count, and where they come from.")
@flag("format", str, FORMAT_HELP, default="pretty")
@flag("id", str, "Deprecated: -accessor-id.")
@flag("meta", bool, META_HELP)
@flag("self", bool, "Show the token that the request is made with.")
def read(
    client: Client,
    args: tuple[str, ...],
    accessor_id: str,
    expanded: bool,
    format: str,  # noqa: A002
    id: str,  # noqa: A002
    meta: bool,
    self: bool,
) -> None:
    """Show a token."""
    no_arguments(args)
    checked(format)
    if self and expanded:
        raise Wrong("Cannot use both -expanded and -self")
    if self:
        with failing("Error reading token"):
            token = client.get("acl/token/self").json()
    else:
        wanted = accessor(accessor_id, id, "Must specify the -accessor-id parameter")
        with failing("Error determining token ID"):
            wanted = token_id(client, wanted)
        with failing(f'Error reading token "{wanted}"'):
            token = client.get(f"acl/token/{wanted}", {"expanded": expanded}).json()
    text = expanded_text if expanded else token_text
    show(format, token, fields.EXPANDED if expanded else fields.TOKEN, lambda: text(token, meta))


@command("list", server=True)
@flag("format", str, FORMAT_HELP, default="pretty")
@flag("meta", bool, META_HELP)
def list_(
    client: Client,
    args: tuple[str, ...],
    format: str,  # noqa: A002
    meta: bool,
) -> None:
    """List the tokens."""
    no_arguments(args)
    checked(format)
    with failing("Failed to retrieve the token list"):
        tokens = client.get("acl/tokens").json()
    show(
        format, tokens, fields.TOKEN, lambda: "\n".join(token_text(token, meta) for token in tokens)
    )


@command("delete", server=True)
@flag("accessor-id", str, ACCESSOR_HELP)
@flag("id", str, "Deprecated: -accessor-id.")
def delete(
    client: Client,
    args: tuple[str, ...],
    accessor_id: str,
    id: str,  # noqa: A002
) -> None:
    """Delete a token."""
    no_arguments(args)
    wanted = accessor(accessor_id, id, "Must specify the -accessor-id parameter")
    with failing("Error determining token ID"):
        wanted = token_id(client, wanted)
    with failing(f'Error deleting token "{wanted}"'):
        client.delete(f"acl/token/{wanted}")
    click.echo(f'Token "{wanted}" deleted successfully')


token = group(
    "token",
    """Manage tokens. A token has an accessor ID, by which it is managed, and a secret ID, which
    requests carry.""",
    {
        "clone": ("portway.cli.acl.token_write:clone", "Make a token like another."),
        "create": ("portway.cli.acl.token_write:create", "Make a token."),
        "delete": ("portway.cli.acl.token:delete", "Delete a token."),
        "list": ("portway.cli.acl.token:list_", "List the tokens."),
        "read": ("portway.cli.acl.token:read", "Show a token."),
        "update": ("portway.cli.acl.token_update:update", "Change a token."),
    },
)
