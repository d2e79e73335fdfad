"""``config``: config entries."""

from __future__ import annotations

import json
from typing import Any

import click

from portway.cli.client import ApiError, Client, StatusError
from portway.cli.command import (
    UINT,
    Failed,
    Wrong,
    command,
    fail,
    failing,
    flag,
    group,
    no_arguments,
)
from portway.cli.data import contents, data
from portway.cli.output import print_json

_UNDECODED = "Failed to decode config entry input: "
_NO_KIND = "invalid config entry kind: "
_REFUSED = "Request decoding failed: "
_INSECURE = (
    "MutualTLSMode=permissive is insecure: connections without mutual TLS are let in. Set it to "
    "strict as soon as no client needs it any more."
)


def entry_of(text: str, source: str) -> dict[str, Any]:
    """A config entry in HCL or JSON. Raises Failed."""
    from portway.config.hcl import HclError, parse_hcl

    try:
        return parse_hcl(text, source)
    except HclError as error:
        fail(f"Failed to decode config entry input: {error}")


def _field(entry: dict[str, Any], name: str) -> str:
    value = next((entry[key] for key in entry if key.lower() == name), "")
    return value if isinstance(value, str) else ""


def _read(path: str) -> dict[str, Any]:
    try:
        text = (data("-") if path == "-" else contents(path)).decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        fail(f"Failed to load data: {error}")
    return entry_of(text, "stdin" if path == "-" else path)


def _cas(cas: bool, modify_index: int) -> dict[str, Any]:
    """The parameter of a compare-and-set."""
    return {"cas": modify_index} if cas else {}


@command("write", "[FILE]", server=True)
@flag("cas", bool, "Write only if the entry is still at -modify-index; 0 means there is none.")
@flag("modify-index", UINT, "Index of the entry that -cas compares with.")
def write(client: Client, args: tuple[str, ...], cas: bool, modify_index: int) -> None:
    """Write a config entry from a file in HCL or JSON; - is standard input."""
    if len(args) != 1:
        raise Wrong(
            "Must provide exactly one positional argument to specify the config entry to write"
        )
    entry = _read(args[0])
    kind = _field(entry, "kind")
    if not kind:
        fail(f"{_UNDECODED}Payload does not contain a kind/Kind key at the top level")
    name = _field(entry, "name") or {"mesh": "mesh", "proxy-defaults": "global"}.get(kind, "")
    if _field(entry, "mutualtlsmode") == "permissive" or "permissive" in (
        entry.get("mutual_tls_mode"),
    ):
        click.echo(f"WARNING: {_INSECURE}", err=True)
    try:
        done = client.put("config", _cas(cas, modify_index), entry).json()
    except ApiError as error:
        reason = error.body if isinstance(error, StatusError) else ""
        if reason.startswith(_REFUSED):
            fail(_UNDECODED + reason.removeprefix(_REFUSED))
        raise Failed(f"Error writing config entry {kind}/{name}: {error}") from None
    if done is not True:
        fail(f"Config entry not updated: {kind}/{name}")
    click.echo(f"Config entry written: {kind}/{name}")


@command("read", server=True)
@flag("kind", str, "Kind of the entry.")
@flag("name", str, "Name of the entry.")
def read(client: Client, args: tuple[str, ...], kind: str, name: str) -> None:
    """Show a config entry in JSON."""
    no_arguments(args)
    if not kind:
        raise Wrong("Must specify the -kind parameter")
    if not name:
        raise Wrong("Must specify the -name parameter")
    try:
        entry = client.get(f"config/{kind}/{name}").json()
    except ApiError as error:
        body = error.body if isinstance(error, StatusError) else ""
        reason = body if body.startswith(_NO_KIND) else str(error)
        raise Failed(f"Error reading config entry {kind}/{name}: {reason}") from None
    entry.pop("Hash", None)  # of the stored entry; it is no part of one that is written
    print_json(entry, "\t")


@command("list", server=True)
@flag("filter", str, "Expression that entries must fulfil, of service-defaults only.")
@flag("kind", str, "Kind of the entries.")
def list_(
    client: Client,
    args: tuple[str, ...],
    filter: str,  # noqa: A002
    kind: str,
) -> None:
    """List the names of the config entries of a kind."""
    no_arguments(args)
    if not kind:
        raise Wrong("Must specify the -kind parameter")
    if filter and kind != "service-defaults":
        raise Wrong(f"-filter: entries of kind {kind} cannot be filtered")
    with failing(f'Error listing config entries for kind "{kind}"'):
        entries = client.get(f"config/{kind}", {"filter": filter or None}).json()
    for entry in entries:
        click.echo(entry.get("Name", "mesh" if kind == "mesh" else ""))


@command("delete", server=True)
@flag("cas", bool, "Delete only if the entry is still at -modify-index.")
@flag("filename", str, "File of the entry to delete, instead of -kind and -name.")
@flag("kind", str, "Kind of the entry.")
@flag("modify-index", UINT, "Index of the entry that -cas compares with.")
@flag("name", str, "Name of the entry.")
def delete(
    client: Client,
    args: tuple[str, ...],
    cas: bool,
    filename: str,
    kind: str,
    modify_index: int,
    name: str,
) -> None:
    """Delete a config entry."""
    no_arguments(args)
    if filename:
        if kind or name:
            raise Wrong("filename can't be used with kind or name")
        entry = _read(filename)
        kind, name = _field(entry, "kind"), _field(entry, "name")
        name = name or {"mesh": "mesh", "proxy-defaults": "global"}.get(kind, "")
    if not kind:
        raise Wrong("Must specify the -kind or -filename parameter")
    if not name:
        raise Wrong("Must specify the -name parameter")
    if cas and not modify_index:
        raise Wrong("Must specify a -modify-index greater than 0 with -cas")
    if modify_index and not cas:
        raise Wrong("Cannot specify -modify-index without -cas")
    with failing(f"Error deleting config entry {kind}/{name}"):
        answer = client.delete(f"config/{kind}/{name}", _cas(cas, modify_index))
    if cas and json.loads(answer.body) is not True:
        fail(f"Config entry not deleted: {kind}/{name}")
    click.echo(f"Config entry deleted: {kind}/{name}")


config = group(
    "config",
    """Manage config entries: settings of services, of proxies, and of the whole mesh.

    consul config write web.hcl writes one, consul config read -kind service-defaults -name web
    shows it.
    """,
    {
        "delete": ("portway.cli.config:delete", "Delete a config entry."),
        "list": ("portway.cli.config:list_", "List the config entries of a kind."),
        "read": ("portway.cli.config:read", "Show a config entry."),
        "write": ("portway.cli.config:write", "Write a config entry."),
    },
)
