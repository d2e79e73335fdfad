"""How commands name intentions: by source and destination, or by an ID."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from portway.cli.client import Client
from portway.cli.command import Wrong

Row = dict[str, Any]
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


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
    """The intention that arguments name, SRC DST or ID. Raises Wrong, ApiError."""
    if len(args) == 1:
        if not _UUID.fullmatch(args[0]):
            raise Wrong(f'Error: "{args[0]}" is no ID; name a source and a destination')
        row: Row = client.get(f"connect/intentions/{args[0]}").json()
        return row
    if len(args) != 2:
        raise Wrong(f"Error: command requires exactly one or two arguments, got {len(args)}")
    where = {"source": args[0], "destination": args[1]}
    exact: Row = client.get("connect/intentions/exact", where).json()
    return exact
