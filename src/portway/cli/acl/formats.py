"""How access control is printed: lines for people, JSON for programs."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterator
from typing import Any

import click

from portway.cli.acl.fields import Fields, shaped
from portway.cli.command import Wrong
from portway.cli.output import print_json

FORMAT_HELP = "Output format: pretty or json."
META_HELP = "Show the hash and the indexes, too."
_TIME = re.compile(
    r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:\.(\d+))?(?:Z|([+-]\d\d):?(\d\d))", re.ASCII
)
Row = dict[str, Any]


def checked(format_: str) -> str:
    """The format, if there is one of this name. Raises Wrong."""
    if format_ not in ("pretty", "json"):
        raise Wrong(f"Unknown format: {format_}")
    return format_


def show(format_: str, value: Any, fields: Fields, text: Callable[[], str]) -> None:
    """Print JSON with these fields, or the text, after which comes a blank line."""
    if format_ == "json":
        print_json(shaped(value, fields))
    elif words := text():
        click.echo(words)


def time(text: str) -> str:
    """A time as Go prints it: ``2020-05-22 18:52:31.5 +0000 UTC``."""
    found = _TIME.fullmatch(text)
    if found is None:
        return text
    day, clock, part, hours, minutes = found.groups()
    part = (part or "").rstrip("0")
    zone = f"{hours}{minutes}" if hours else "+0000"
    return f"{day} {clock}{'.' if part else ''}{part} {zone} {zone if hours else 'UTC'}"


def hexadecimal(text: str) -> str:
    """A hash, which JSON has in base64, in hexadecimal digits."""
    try:
        return base64.b64decode(text).hex()
    except (binascii.Error, ValueError):
        return text


def links(row: Row, indent: str = "") -> Iterator[str]:
    """The policies, roles and identities of a token or role, a title above each."""
    for title in ("Policies", "Roles"):
        linked = row.get(title) or []
        if linked:
            yield f"{indent}{title}:"
        for link in linked:
            yield f"{indent}   {link.get('ID', '')} - {link.get('Name', '')}"
    if row.get("ServiceIdentities"):
        yield f"{indent}Service Identities:"
    for identity in row.get("ServiceIdentities") or []:
        yield f"{indent}   {service_identity(identity)}"
    if row.get("NodeIdentities"):
        yield f"{indent}Node Identities:"
    for identity in row.get("NodeIdentities") or []:
        yield f"{indent}   {node_identity(identity)}"
    if row.get("TemplatedPolicies"):
        yield f"{indent}Templated Policies:"
    for template in row.get("TemplatedPolicies") or []:
        yield f"{indent}   {template['TemplateName']}"
        if name := variable(template):
            yield f"{indent}      Name: {name}"
        yield f"{indent}      Datacenters: {datacenters(template)}"


def service_identity(identity: Row) -> str:
    """A service identity in one line."""
    return f"{identity['ServiceName']} (Datacenters: {datacenters(identity)})"


def node_identity(identity: Row) -> str:
    """A node identity in one line."""
    return f"{identity['NodeName']} (Datacenter: {identity.get('Datacenter', '')})"


def datacenters(row: Row) -> str:
    """The datacenters something is for."""
    return ", ".join(row.get("Datacenters") or []) or "all"


def variable(template: Row) -> str:
    """The name a templated policy is filled with."""
    variables = template.get("TemplateVariables") or {}
    return str(variables.get("Name") or variables.get("name") or "")


def meta(row: Row, label: Callable[[str, str], str], *, hashed: bool = True) -> Iterator[str]:
    """Hash and indexes; ``label`` makes a line of a name and a value."""
    if hashed:
        yield label("Hash", hexadecimal(row.get("Hash") or ""))
    yield label("Create Index", str(row.get("CreateIndex", 0)))
    yield label("Modify Index", str(row.get("ModifyIndex", 0)))
