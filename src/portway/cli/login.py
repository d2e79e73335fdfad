"""``login``: trade a credential of another system for a token."""

from __future__ import annotations

from pathlib import Path

from portway.cli import private_file
from portway.cli.client import Client
from portway.cli.command import PAIR, Wrong, command, fail, failing, flag
from portway.cli.data import contents


@command("login", server=True)
@flag("bearer-token-file", str, "File that holds the credential.")
@flag("meta", PAIR, "Metadata of the token; may be given several times.", multiple=True)
@flag("method", str, "Name of the auth method.")
@flag("token-sink-file", str, "File to write the token to, which only you may read.")
@flag("type", str, "Type of the auth method; it must be one with credentials in files.")
def login(
    client: Client,
    args: tuple[str, ...],
    bearer_token_file: str,
    meta: tuple[tuple[str, str], ...],
    method: str,
    token_sink_file: str,
    type: str,  # noqa: A002
) -> None:
    """Trade a credential of another system for a token.

    consul login -method kubernetes -bearer-token-file /var/run/secrets/token -token-sink-file
    consul.token
    """
    if args:
        raise Wrong("Should have no non-flag arguments.")
    if not method:
        raise Wrong("Missing required '-method' flag")
    if not token_sink_file:
        raise Wrong("Missing required '-token-sink-file' flag")
    if type == "oidc":
        raise Wrong("auth methods of type oidc are a Consul Enterprise feature")
    if not bearer_token_file:
        raise Wrong("Missing required '-bearer-token-file' flag")
    try:
        credential = contents(bearer_token_file).decode().strip()
    except (OSError, UnicodeDecodeError) as error:
        fail(str(error).removeprefix("Failed to read file: "))
    if not credential:
        fail(f"No bearer token found in {bearer_token_file}")
    body = {"AuthMethod": method, "BearerToken": credential, "Meta": dict(meta)}
    with failing("Error logging in"):
        token = client.post("acl/login", (), body).json()
    try:
        Path(token_sink_file).parent.mkdir(0o755, parents=True, exist_ok=True)
        private_file.write(token_sink_file, token["SecretID"].encode())
    except OSError as error:
        fail(f"Error writing token to file sink: {token_sink_file}: {error.strerror}")
