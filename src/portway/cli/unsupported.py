"""Commands of Consul that are known, but not here: they say so."""

from __future__ import annotations

import click

from portway.cli.command import Failed

_REASONS = {
    "connect": "service meshes are not supported yet",
    "resource": "Consul's resource API is experimental and not offered",
    "troubleshoot": "service meshes are not supported yet",
}


class _Unsupported(click.Command):
    """Takes any arguments and fails with the reason."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        path = ctx.command_path.split()
        raise Failed(f"{' '.join(path)}: {_REASONS[path[1]]}")


command = _Unsupported("unsupported")
