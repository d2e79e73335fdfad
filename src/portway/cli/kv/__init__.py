"""``kv``: the key-value store."""

from __future__ import annotations

from portway.cli.command import group

kv = group(
    "kv",
    """Read and write the key-value store.

    Keys are paths without a leading slash: consul kv put web/limit 5 writes one, consul kv get
    web/limit reads it, consul kv get -recurse web reads all below it, and consul kv delete
    -recurse web deletes them.
    """,
    {
        "delete": ("portway.cli.kv.write:delete", "Delete keys."),
        "export": ("portway.cli.kv.read:export", "Print a tree of keys as JSON."),
        "get": ("portway.cli.kv.read:get", "Print the value of a key, or of many."),
        "history": ("portway.cli.kv.read:history", "List the versions of a key."),
        "import": ("portway.cli.kv.write:import_", "Write a tree of keys from JSON."),
        "put": ("portway.cli.kv.write:put", "Write the value of a key."),
    },
)
