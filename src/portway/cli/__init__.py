"""The command line: one module per command, imported when the command runs.

``portway --some.option=…`` without a command is ``portway edge``, as for Traefik, under
whatever name the program is called.
"""

from __future__ import annotations

import difflib
import importlib
import sys
from collections.abc import Sequence

import click

# name → where the command is, and what ``portway --help`` says of it
COMMANDS = {
    "edge": ("portway.cli.edge:edge", "Run the edge router (the default)."),
    "healthcheck": (
        "portway.cli.healthcheck:healthcheck",
        "Call /ping of a running edge router; ping must be enabled.",
    ),
    "routes": ("portway.cli.routes:routes", "Show the live routing table, with errors."),
    "version": ("portway.cli.version:version", "Show the version."),
}
_ANYWHERE = ("--help", "-h", "--version")


class Commands(click.Group):
    """A group whose commands are imported on use, so that ``--help`` imports none."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    def get_help(self, ctx: click.Context) -> str:
        from portway.cli.help import overview

        return overview({name: text for name, (_, text) in COMMANDS.items()})


class RawCommand(click.Command):
    """A command whose arguments click leaves alone: static options have a grammar of their own.

    The callback receives them as ``argv``.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if "--help" in args or "-h" in args:
            click.echo(self.get_help(ctx))
            ctx.exit()
        ctx.params["argv"] = tuple(args)
        return []

    def get_help(self, ctx: click.Context) -> str:
        from portway.cli.help import command_help

        return command_help(ctx.command_path, self.help or "")


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="portway", message="%(prog)s %(version)s")
def portway() -> None:
    """Portway, an edge router that configures itself."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code; ``argv`` excludes the program's name."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or (arguments[0].startswith("-") and arguments[0] not in _ANYWHERE):
        arguments.insert(0, "edge")
    elif arguments[0] in _ANYWHERE:
        del arguments[1:]
    try:
        result = portway.main(arguments, prog_name="portway", standalone_mode=False)
    except click.ClickException as error:
        return fail([_words(error, arguments)])
    except click.Abort:
        return 130
    return result if isinstance(result, int) else 0


def fail(messages: Sequence[str]) -> int:
    """Write one line per message to standard error and return the exit code of failure."""
    for message in messages:
        click.echo(f"portway: {message}", err=True)
    return 1


def _words(error: click.ClickException, arguments: Sequence[str]) -> str:
    name = arguments[0]
    if isinstance(error, click.UsageError) and not name.startswith("-") and name not in COMMANDS:
        close = difflib.get_close_matches(name, COMMANDS, n=1)
        hint = f"did you mean {close[0]}?" if close else f"commands: {', '.join(COMMANDS)}"
        return f"command not found: {name}; {hint}"
    return " ".join(error.format_message().split())
