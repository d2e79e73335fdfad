"""``portway agent``: run an agent in the foreground."""

from __future__ import annotations

import click

from portway.cli import RawCommand, goflags

_DESCRIPTION = """Starts the agent and runs until an interrupt is received.

The agent keeps the services and checks of its node. With -server it also keeps the catalog, the
key-value store and everything else a datacenter has. Configuration comes from flags and from
files in HCL or JSON; run validate to check them.

With -dev it is a server for development that keeps nothing on disk."""


class AgentCommand(RawCommand):
    """A command whose flags are those of ``portway.agent.config.flags``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if any(argument.lstrip("-") in goflags.HELP for argument in args if argument[:1] == "-"):
            args = ["--help"]
        return super().parse_args(ctx, args)

    def get_help(self, ctx: click.Context) -> str:
        from portway.agent.config.flags import FLAGS
        from portway.cli.command import BOOL, DURATION, INT, Flag
        from portway.cli.usage import COMMAND_OPTIONS, command_usage

        kinds = {"bool": BOOL, "duration": DURATION, "int": INT, "map": click.STRING}
        flags = [
            Flag(flag.name, kinds.get(flag.kind, click.STRING), flag.help, COMMAND_OPTIONS)
            for flag in FLAGS
        ]
        return command_usage(ctx.command_path, "", _DESCRIPTION, flags)


@click.command("agent", cls=AgentCommand)
def agent(argv: tuple[str, ...]) -> int:
    """Run an agent."""
    from portway.agent.config import ConfigError, load

    try:
        loaded = load(argv)
    except ConfigError as error:
        click.echo(f"==> {error}", err=True)
        return 1
    from portway.agent.run import main

    return main(loaded)
