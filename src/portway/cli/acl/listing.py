"""What the ``list`` words have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from portway.cli.acl.fields import Fields
from portway.cli.acl.formats import Row, checked, show
from portway.cli.client import Client, Params
from portway.cli.command import failing


def show_list(
    client: Client,
    format_: str,
    what: str,
    path: str,
    fields: Fields,
    entry: Callable[[Row], Iterable[str]],
    params: Params = (),
) -> None:
    """Print all objects of a kind as JSON with these fields, or the lines of each ``entry``.

    ``what`` is the kind in words; they are at ``path`` below ``/v1``. Raises Wrong, Failed.
    """
    checked(format_)
    with failing(f"Failed to retrieve the {what} list"):
        rows = client.get(path, params).json()
    lines = (line for row in rows for line in entry(row))
    show(format_, rows, fields, lambda: "".join(f"{line}\n" for line in lines))
