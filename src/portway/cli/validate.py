"""``portway validate``: check configuration files without running an agent."""

from __future__ import annotations

import click

from portway.cli.command import Wrong, command, fail, flag


@command("validate", "FILE_OR_DIRECTORY...", api=False)
@flag(
    "config-format",
    str,
    "Config files are in this `format` irrespective of their extension: hcl or json.",
)
@flag("quiet", bool, "When given, a successful run will produce no output.")
def validate(args: tuple[str, ...], config_format: str, quiet: bool) -> None:
    """Check configuration files.

    The files and directories are read as an agent reads them: directories stand for their files
    that end in .hcl or .json, and later values win. What would keep an agent from starting is
    printed, and the exit code is 1. Warnings are printed too. Nothing is written.
    """
    from portway.agent.config import ConfigError
    from portway.agent.config import validate as validated

    if not args:
        raise Wrong("Must specify at least one config file or directory")
    if config_format not in ("", "hcl", "json"):
        raise Wrong("-config-format must be either 'hcl' or 'json")
    try:
        loaded = validated(args, config_format)
    except ConfigError as error:
        fail(f"Config validation failed: {error}")
    for warning in loaded.warnings:
        click.echo(f"* {warning}", err=True)
    if not quiet:
        click.echo("Configuration is valid!")
