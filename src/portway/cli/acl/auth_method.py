"""``acl auth-method``: ways to trade credentials of other systems for tokens."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import click

from portway.cli import duration
from portway.cli.acl import fields, formats
from portway.cli.acl.formats import FORMAT_HELP, META_HELP, Row, checked, show
from portway.cli.acl.listing import show_list
from portway.cli.client import Client
from portway.cli.command import (
    DURATION,
    Wrong,
    command,
    fail,
    failing,
    flag,
    group,
    no_arguments,
)
from portway.cli.data import data
from portway.cli.output import go_json

_KUBERNETES = (
    ("kubernetes-host", "Address of the Kubernetes API server."),
    ("kubernetes-ca-cert", "CA certificate of the Kubernetes API server; @FILE reads a file."),
    (
        "kubernetes-service-account-jwt",
        "Token of a Kubernetes service account that may review tokens.",
    ),
)
_FIELDS = {
    "kubernetes_host": "Host",
    "kubernetes_ca_cert": "CACert",
    "kubernetes_service_account_jwt": "ServiceAccountJWT",
}


def _text(method: Row, meta: bool) -> str:
    lines = [_label("Name", method["Name"]), _label("Type", method.get("Type", ""))]
    if method.get("DisplayName"):
        lines.append(_label("DisplayName", method["DisplayName"]))
    lines.append(_label("Description", method.get("Description", "")))
    lines += [
        _label(field, method[field])
        for field in ("MaxTokenTTL", "TokenLocality")
        if method.get(field) and method[field] != "0s"
    ]
    if meta:
        lines += formats.meta(method, _label, hashed=False)
    lines.append("Config:")
    return "\n".join([*lines, go_json(method.get("Config"), "  ")])


def _entry(method: Row, meta: bool) -> Iterator[str]:
    yield f"{method['Name']}:"
    yield f"   {'Type:':<14}{method.get('Type', '')}"
    if method.get("DisplayName"):
        yield f"   {'DisplayName:':<14}{method['DisplayName']}"
    yield f"   {'Description:':<14}{method.get('Description', '')}"
    if meta:
        yield from formats.meta(method, lambda n, v: f"   {n + ':':<14}{v}", hashed=False)


def _label(name: str, value: str) -> str:
    return f"{name + ':':<15}{value}"


def _flags(function: Callable[..., Any]) -> Callable[..., Any]:
    for name, text in _KUBERNETES:
        function = flag(name, str, text)(function)
    for name, text in (
        ("config", "Configuration in JSON; @FILE reads a file, - standard input."),
        ("description", "What the auth method is for."),
        ("display-name", "Name to show to people."),
        ("token-locality", "Where its tokens count: local or global."),
    ):
        function = flag(name, str, text)(function)
    return flag("max-token-ttl", DURATION, "How long its tokens are valid at most.")(function)


def _settings(given: dict[str, Any]) -> Row:
    """The fields that are given. Raises Wrong, Failed."""
    row: Row = {
        "DisplayName": given["display_name"],
        "Description": given["description"],
        "TokenLocality": given["token_locality"],
    }
    if given["max_token_ttl"]:
        row["MaxTokenTTL"] = duration.show(given["max_token_ttl"])
    return {key: value for key, value in row.items() if value}


def _config(given: dict[str, Any], *, new: bool = False) -> Row:
    """What is given of the configuration. Raises Wrong, Failed."""
    kubernetes = {_FIELDS[name]: given[name] for name in _FIELDS if given[name]}
    if given["config"]:
        if kubernetes:
            flags = "flags" if new else "flag"
            raise Wrong(f"Cannot use command line arguments with '-config' {flags}")
        try:
            config = json.loads(data(given["config"]))
        except OSError as error:
            fail(f"Error loading configuration file: {error}")
        except ValueError as error:
            fail(f"Error parsing JSON for auth method config: {error}")
        if not isinstance(config, dict):
            fail("Error parsing JSON for auth method config: it is not an object")
        return config
    certificate = kubernetes.get("CACert", "")
    if certificate:
        try:
            kubernetes["CACert"] = data(certificate).decode()
        except (OSError, UnicodeDecodeError) as error:
            fail(f"Invalid '-kubernetes-ca-cert' value: {error}")
        if not kubernetes["CACert"]:
            fail("Kubernetes CA Cert is empty")
    return kubernetes


def _complete(kind: str, config: Row) -> None:
    """Raise Wrong unless a configuration for Kubernetes has what it needs."""
    if kind != "kubernetes":
        return
    for name, field in _FIELDS.items():
        if not config.get(field):
            raise Wrong(f"Missing required '-{name.replace('_', '-')}' flag")


@command("create", server=True)
@flag("format", str, FORMAT_HELP, default="pretty")
@flag("meta", bool, META_HELP)
@flag("name", str, "Name of the auth method.")
@flag("type", str, "Type of the auth method, such as jwt or kubernetes.")
@_flags
def create(
    client: Client,
    args: tuple[str, ...],
    format: str,  # noqa: A002
    meta: bool,
    name: str,
    type: str,  # noqa: A002
    **given: Any,
) -> None:
    """Make an auth method."""
    no_arguments(args)
    checked(format)
    if not type:
        raise Wrong("Missing required '-type' flag")
    if not name:
        raise Wrong("Missing required '-name' flag")
    config = _config(given, new=True)
    if not given["config"]:
        _complete(type, config)
    body = {"Name": name, "Type": type, **_settings(given), "Config": config}
    with failing("Failed to create new auth method"):
        method = client.put("acl/auth-method", (), body).json()
    show(format, method, fields.METHOD, lambda: _text(method, meta))


@command("update", server=True)
@flag("format", str, FORMAT_HELP, default="pretty")
@flag("meta", bool, META_HELP)
@flag("name", str, "Name of the auth method.")
@flag("no-merge", bool, "What is not given is taken away, instead of staying as it is.")
@_flags
def update(
    client: Client,
    args: tuple[str, ...],
    format: str,  # noqa: A002
    meta: bool,
    name: str,
    no_merge: bool,
    **given: Any,
) -> None:
    """Change an auth method; what is not given stays as it is."""
    no_arguments(args)
    checked(format)
    if not name:
        raise Wrong("Cannot update an auth method without specifying the -name parameter")
    current = _found(client, name, "Error when retrieving current auth method")
    config = _config(given)
    body: Row = {"Name": name, "Type": current["Type"]}
    if no_merge:
        if not given["config"]:
            _complete(current["Type"], config)
        body |= {**_settings(given), "Config": config}
    else:
        kept = {key: current[key] for key in current if key not in ("CreateIndex", "ModifyIndex")}
        old = {} if given["config"] else kept.get("Config") or {}
        body = {**kept, **_settings(given), "Config": {**old, **config}}
    with failing(f'Error updating auth method "{name}"'):
        method = client.put(f"acl/auth-method/{name}", (), body).json()
    show(format, method, fields.METHOD, lambda: _text(method, meta))


def _found(client: Client, name: str, what: str) -> Row:
    with failing(what):
        answer = client.get(f"acl/auth-method/{name}", missing=[404])
    if answer.status != 200:
        raise Wrong(f'Auth method not found with name "{name}"')
    method: Row = answer.json()
    return method


@command("read", server=True)
@flag("format", str, FORMAT_HELP, default="pretty")
@flag("meta", bool, META_HELP)
@flag("name", str, "Name of the auth method.")
def read(
    client: Client,
    args: tuple[str, ...],
    format: str,  # noqa: A002
    meta: bool,
    name: str,
) -> None:
    """Show an auth method."""
    no_arguments(args)
    checked(format)
    if not name:
        raise Wrong("Must specify the -name parameter")
    method = _found(client, name, f'Error reading auth method "{name}"')
    show(format, method, fields.METHOD, lambda: _text(method, meta))


@command("list", server=True)
@flag("format", str, FORMAT_HELP, default="pretty")
@flag("meta", bool, META_HELP)
def list_(
    client: Client,
    args: tuple[str, ...],
    format: str,  # noqa: A002
    meta: bool,
) -> None:
    """List the auth methods."""
    no_arguments(args)
    entry = partial(_entry, meta=meta)
    show_list(client, format, "auth method", "acl/auth-methods", fields.METHOD_IN_LIST, entry)


@command("delete", server=True)
@flag("name", str, "Name of the auth method.")
def delete(client: Client, args: tuple[str, ...], name: str) -> None:
    """Delete an auth method, its binding rules, and the tokens that were made with it."""
    no_arguments(args)
    if not name:
        raise Wrong("Must specify the -name parameter")
    with failing(f'Error deleting auth method "{name}"'):
        client.delete(f"acl/auth-method/{name}")
    click.echo(f'Auth method "{name}" deleted successfully')


auth_method = group(
    "auth-method",
    "Manage auth methods: ways to trade credentials of other systems for tokens.",
    {
        "create": ("portway.cli.acl.auth_method:create", "Make an auth method."),
        "delete": ("portway.cli.acl.auth_method:delete", "Delete an auth method."),
        "list": ("portway.cli.acl.auth_method:list_", "List the auth methods."),
        "read": ("portway.cli.acl.auth_method:read", "Show an auth method."),
        "update": ("portway.cli.acl.auth_method:update", "Change an auth method."),
    },
)
