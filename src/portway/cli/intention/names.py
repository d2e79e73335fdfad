"""How commands name intentions: by source and destination, or by an ID."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from portway.cli.client import ApiError, Client, StatusError
from portway.cli.command import Failed, Wrong

Row = dict[str, Any]


def source(row: Row) -> str:
    """The source as people write it."""
    peer = row.get("SourcePeer")
    return f"peer:{peer}/{row['SourceName']}" if peer else str(row["SourceName"])


def action(row: Row) -> str:
    """The action, or the number of permissions."""
    permissions = len(row.get("Permissions") or [])
    if not permissions:
        return str(row.get("Action", ""))
    return f"{permissions} permission{'s' if permissions != 1 else ''}"


def text(row: Row) -> str:
    """An intention in one line: ``web => db (allow)``."""
    return f"{source(row)} => {row['DestinationName']} ({action(row)})"


def found(client: Client, args: Sequence[str]) -> Row:
    """The intention that arguments name, SRC DST or ID. Raises Wrong, Failed."""
    if len(args) not in (1, 2):
        raise Wrong("command requires exactly 1 or 2 arguments")
    try:
        if len(args) == 1:
            named = f'ID "{args[0]}"'
            answer = client.get(f"connect/intentions/{quote(args[0], safe='')}", missing=[404])
        else:
            named = f'source "{args[0]}" and destination "{args[1]}"'
            where = {"source": args[0], "destination": args[1]}
            answer = client.get("connect/intentions/exact", where, missing=[404])
    except StatusError as error:
        text = f"Unexpected response {error.code}: {error.body}"
        raise Failed(f"Error reading the intention: {text}") from None
    except ApiError as error:
        raise Failed(f"Error reading the intention: {error}") from None
    if answer.status == 404:
        raise Failed(f"Intention not found with {named}")
    row: Row = answer.json()
    return row
