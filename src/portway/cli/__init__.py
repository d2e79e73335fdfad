"""The command line: one module per command, imported when the command runs.

The name the program is called by chooses its words. Under ``portway`` (and ``traefik``),
``--some.option=…`` without a command is ``portway edge``, and every command is there. Under
``consul`` there are Consul's commands alone, and without one their list is printed.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import PurePath

import click

from portway.cli.commands import COMMANDS, CONSUL

__all__ = ["COMMANDS", "RawCommand", "fail", "main"]

_HELP = ("--help", "-help", "-h")
_ANYWHERE = ("--help", "-h", "--version")
_VERSION = ("--version", "-version", "-v")
_BEFORE = (
    "Invalid flags before the subcommand. If these flags are for\n"
    "the subcommand, please put them after the subcommand."
)
_UNKNOWN_COMMAND = 127  # as a shell's


class Commands(click.Group):
    """A group whose commands are imported on use, so that ``--help`` imports none."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        from portway.cli.command import load

        return load(COMMANDS, cmd_name)

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
    """Portway: edge router, service registry and mesh."""


def main(argv: Sequence[str] | None = None, program: str | None = None) -> int:
    """Run the command line and return the exit code; ``argv`` excludes the program's name.

    ``program`` is that name; without it the process's own counts.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    name = PurePath(sys.argv[0] if program is None else program).name
    return _consul(arguments) if name == "consul" else _portway(arguments)


def _portway(arguments: list[str]) -> int:
    if not arguments or (arguments[0].startswith("-") and arguments[0] not in _ANYWHERE):
        arguments.insert(0, "edge")
    elif arguments[0] in _ANYWHERE:
        del arguments[1:]
    return _run(arguments, "portway")


def _consul(arguments: list[str]) -> int:
    from portway.cli.usage import program_usage

    before = arguments[: arguments.index("--")] if "--" in arguments else arguments
    first = arguments[0] if arguments else ""
    if first.startswith("-") and any(argument in _VERSION for argument in before):
        arguments = ["version"]
    elif first.startswith("-") and first not in _HELP and CONSUL.keys() & set(before):
        click.echo(_BEFORE, err=True)
        return 1
    elif first not in CONSUL:
        asked = first in _HELP
        if first and not asked:
            close = _closest(first, CONSUL)
            hint = f"; did you mean {close}?" if close else ""
            click.echo(f"command not found: {first}{hint}", err=True)
        usage = program_usage("consul", {name: text for name, (_, text) in CONSUL.items()})
        click.echo(usage, err=not asked)
        return 0 if asked else _UNKNOWN_COMMAND
    return _run(arguments, "consul")


def _run(arguments: list[str], program: str) -> int:
    try:
        result = portway.main(arguments, prog_name=program, standalone_mode=False)
    except click.UsageError as error:
        return fail([_words(error, arguments)])
    except click.ClickException as error:
        if arguments[0] in CONSUL and type(error) is not click.ClickException:
            click.echo(error.format_message(), err=True)
            return error.exit_code
        return fail([_words(error, arguments)])
    except click.Abort:
        return 130
    except BrokenPipeError:
        # The reader of our output went away, as `head` does. Nothing is left to be said.
        sys.stdout = None
        return 1
    return result if isinstance(result, int) else 0


def fail(messages: Sequence[str]) -> int:
    """Write one line per message to standard error and return the exit code of failure."""
    for message in messages:
        click.echo(f"portway: {message}", err=True)
    return 1


def _words(error: click.ClickException, arguments: Sequence[str]) -> str:
    name = arguments[0]
    if isinstance(error, click.UsageError) and not name.startswith("-") and name not in COMMANDS:
        close = _closest(name, COMMANDS)
        hint = f"did you mean {close}?" if close else f"commands: {', '.join(COMMANDS)}"
        return f"command not found: {name}; {hint}"
    return " ".join(error.format_message().split())


def _closest(name: str, commands: Iterable[str]) -> str:
    import difflib

    return next(iter(difflib.get_close_matches(name, commands, n=1)), "")
