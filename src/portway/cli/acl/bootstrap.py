"""``acl bootstrap``: the first token."""

from __future__ import annotations

from portway.cli.acl import fields
from portway.cli.acl.formats import FORMAT_HELP, META_HELP, checked, show
from portway.cli.acl.token_text import token_text
from portway.cli.client import Client
from portway.cli.command import Wrong, command, fail, failing, flag
from portway.cli.data import contents, data


@command("bootstrap", "[FILE]", server=True)
@flag("format", str, FORMAT_HELP, default="pretty")
@flag("meta", bool, META_HELP)
def bootstrap(
    client: Client,
    args: tuple[str, ...],
    format: str,  # noqa: A002
    meta: bool,
) -> None:
    """Make the first token, which may do everything. It works once.

    FILE, or - for standard input, holds the secret the token is to have, a UUID; without it a
    new one is made.
    """
    checked(format)
    if len(args) > 1:
        raise Wrong(f"Error: Too many arguments (expected 0 or 1, got {len(args)})")
    body = None
    if args:
        try:
            secret = (data("-") if args[0] == "-" else contents(args[0])).decode().strip()
        except (OSError, UnicodeDecodeError) as error:
            fail(f"Error reading bootstrap token: {error}")
        body = {"BootstrapSecret": secret}
    with failing("Failed ACL bootstrapping"):
        token = client.put("acl/bootstrap", (), body).json()
    token.pop("ID", None)
    show(format, token, fields.TOKEN, lambda: token_text(token, meta))
