"""``intention``: who may call whom."""

from __future__ import annotations

from portway.cli.command import group

intention = group(
    "intention",
    """Say which services may call which, and look it up.

    consul intention create web db allows web to call db, consul intention create -deny '*' db
    refuses all others, and consul intention check web db says what counts.
    """,
    {
        "check": ("portway.cli.intention.read:check", "Say whether a service may call another."),
        "create": ("portway.cli.intention.write:create", "Make intentions."),
        "delete": ("portway.cli.intention.write:delete", "Delete an intention."),
        "get": ("portway.cli.intention.read:get", "Show an intention."),
        "list": ("portway.cli.intention.read:list_", "List the intentions."),
        "match": ("portway.cli.intention.read:match", "List what concerns a service."),
    },
)
