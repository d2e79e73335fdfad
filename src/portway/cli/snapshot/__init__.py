"""``snapshot``: the whole state of the servers in a file."""

from __future__ import annotations

from portway.cli.command import group

snapshot = group(
    "snapshot",
    """Save the whole state of the servers in a file, look into it, and restore it.

    A snapshot holds everything: keys, catalog, sessions, prepared queries, ACLs with their
    secrets.
    """,
    {
        "decode": ("portway.cli.snapshot.reading:decode", "Print what a snapshot holds as JSON."),
        "inspect": ("portway.cli.snapshot.reading:inspect", "Show what a snapshot is made of."),
        "restore": ("portway.cli.snapshot.transfer:restore", "Restore a snapshot."),
        "save": ("portway.cli.snapshot.transfer:save", "Save a snapshot."),
    },
)
