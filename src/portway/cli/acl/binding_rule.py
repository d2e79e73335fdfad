"""``acl binding-rule``: what a login through an auth method is worth."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import click

from portway.cli.acl import fields, formats
from portway.cli.acl.formats import FORMAT_HELP, META_HELP, Row, checked, show
from portway.cli.acl.grants import template_variables
from portway.cli.acl.ids import rule_id
from portway.cli.acl.listing import show_list
from portway.cli.client import Client
from portway.cli.command import PAIR, Wrong, command, failing, flag, group, no_arguments

_TYPE_HELP = "What is given: service, node, role, policy or templated-policy."
_NAME_HELP = "Name of what is given; ${…} stands for a value of the credential."
_VARS_HELP = "Variable of a templated policy, as name=VALUE."
_TEMPLATED = "templated-policy"
_SELECTOR_HELP = "Expression that the credential's values must fulfil."


def _lines(rule: Row, meta: bool) -> Iterator[str]:
    yield _label("AuthMethod", rule.get("AuthMethod", ""))
    yield _label("Description", rule.get("Description", ""))
    yield _label("BindType", rule.get("BindType", ""))
    yield _label("BindName", rule.get("BindName", ""))
    variables = rule.get("BindVars") or {}
    if variables.get("name"):
        yield _label("BindVars", "")
        yield f"     - Name: {variables['name']}"
    yield _label("Selector", rule.get("Selector", ""))
    if meta:
        yield from formats.meta(rule, _label, hashed=False)


def _entry(rule: Row, meta: bool) -> Iterator[str]:
    yield f"{rule['ID']}:"
    yield from (f"   {line}" for line in _lines(rule, meta))


def _text(rule: Row, meta: bool) -> str:
    return "".join(f"{line}\n" for line in (_label("ID", rule["ID"]), *_lines(rule, meta)))


def _label(name: str, value: str) -> str:
    return f"{name + ':':<14}{value}"


@command("create", server=True)
@flag("bind-name", str, _NAME_HELP)
@flag("bind-type", str, _TYPE_HELP, default="service")
@flag("bind-vars", PAIR, _VARS_HELP, multiple=True)
@flag("description", str, "What the rule is for.")
@flag("format", str, FORMAT_HELP, default="pretty")
@flag("meta", bool, META_HELP)
@flag("method", str, "Name of the auth method.")
@flag("selector", str, _SELECTOR_HELP)
def create(
    client: Client,
    args: tuple[str, ...],
    bind_name: str,
    bind_type: str,
    bind_vars: tuple[tuple[str, str], ...],
    description: str,
    format: str,  # noqa: A002
    meta: bool,
    method: str,
    selector: str,
) -> None:
    """Make a binding rule."""
    no_arguments(args)
    checked(format)
    if not method:
        raise Wrong("Missing required '-method' flag")
    if not bind_type:
        raise Wrong("Missing required '-bind-type' flag")
    if not bind_name:
        raise Wrong("Missing required '-bind-name' flag")
    if bind_vars and bind_type != _TEMPLATED:
        raise Wrong("Cannot specify -bind-vars when -bind-type is not templated-policy")
    body: Row = {
        "AuthMethod": method,
        "Description": description,
        "BindType": bind_type,
        "BindName": bind_name,
        "Selector": selector,
        **_variables(bind_vars),
    }
    with failing("Failed to create new binding rule"):
        rule = client.put("acl/binding-rule", (), body).json()
    show(format, rule, fields.RULE, lambda: _text(rule, meta))


def _variables(pairs: tuple[tuple[str, str], ...]) -> Row:
    if not pairs:
        return {}
    return {"BindVars": {"Name": template_variables([":".join(one) for one in pairs])["name"]}}


@command("update", server=True)
@flag("bind-name", str, _NAME_HELP)
@flag("bind-type", str, _TYPE_HELP, default=...)
@flag("bind-vars", PAIR, _VARS_HELP, multiple=True)
@flag("description", str, "What the rule is for.")
@flag("format", str, FORMAT_HELP, default="pretty")
@flag("id", str, "ID of the rule, or its beginning.")
@flag("meta", bool, META_HELP)
@flag("no-merge", bool, "What is not given is taken away, instead of staying as it is.")
@flag("selector", str, _SELECTOR_HELP, default=...)
def update(
    client: Client,
    args: tuple[str, ...],
    bind_name: str,
    bind_type: str | None,
    bind_vars: tuple[tuple[str, str], ...],
    description: str,
    format: str,  # noqa: A002
    id: str,  # noqa: A002
    meta: bool,
    no_merge: bool,
    selector: str | None,
) -> None:
    """Change a binding rule; what is not given stays as it is."""
    no_arguments(args)
    checked(format)
    if not id:
        raise Wrong("Cannot update a binding rule without specifying the -id parameter")
    current = _found(client, id, "Error when retrieving current binding rule")
    given: Row = {
        "Description": description,
        "BindType": bind_type,
        "BindName": bind_name,
        **_variables(bind_vars),
    }
    body: Row = {key: value for key, value in given.items() if value}
    if selector is not None:
        body["Selector"] = selector  # an empty one fits every credential
    fixed: Row = {"ID": current["ID"], "AuthMethod": current["AuthMethod"]}
    if no_merge:
        if bind_type == "":
            raise Wrong("Missing required '-bind-type' flag")
        if not bind_name:
            raise Wrong("Missing required '-bind-name' flag")
        body.setdefault("BindType", "service")
        if bind_vars and body["BindType"] != _TEMPLATED:
            raise Wrong("-bind-vars cannot be specified when -bind-type is not templated-policy")
    else:
        old = {key: current[key] for key in current if not key.endswith("Index")}
        body = {**old, **body}
        if bind_type and bind_type != _TEMPLATED:
            body.pop("BindVars", None)
    with failing(f'Error updating binding rule "{current["ID"]}"'):
        rule = client.put(f"acl/binding-rule/{current['ID']}", (), {**body, **fixed}).json()
    show(format, rule, fields.RULE, lambda: _text(rule, meta))


def _found(client: Client, given: str, what: str) -> Row:
    with failing("Error determining binding rule ID"):
        wanted = rule_id(client, given)
    with failing(what):
        answer = client.get(f"acl/binding-rule/{wanted}", missing=[404])
    if answer.status != 200:
        raise Wrong(f'Binding rule not found with ID "{wanted}"')
    rule: dict[str, Any] = answer.json()
    return rule


@command("read", server=True)
@flag("format", str, FORMAT_HELP, default="pretty")
@flag("id", str, "ID of the rule, or its beginning.")
@flag("meta", bool, META_HELP)
def read(
    client: Client,
    args: tuple[str, ...],
    format: str,  # noqa: A002
    id: str,  # noqa: A002
    meta: bool,
) -> None:
    """Show a binding rule."""
    no_arguments(args)
    checked(format)
    if not id:
        raise Wrong("Must specify the -id parameter.")
    rule = _found(client, id, f'Error reading binding rule "{id}"')
    show(format, rule, fields.RULE, lambda: _text(rule, meta))


@command("list", server=True)
@flag("format", str, FORMAT_HELP, default="pretty")
@flag("meta", bool, META_HELP)
@flag("method", str, "Only rules of this auth method.")
def list_(
    client: Client,
    args: tuple[str, ...],
    format: str,  # noqa: A002
    meta: bool,
    method: str,
) -> None:
    """List the binding rules."""
    no_arguments(args)
    entry = partial(_entry, meta=meta)
    of = {"authmethod": method or None}
    show_list(client, format, "binding rule", "acl/binding-rules", fields.RULE, entry, of)


@command("delete", server=True)
@flag("id", str, "ID of the rule, or its beginning.")
def delete(
    client: Client,
    args: tuple[str, ...],
    id: str,  # noqa: A002
) -> None:
    """Delete a binding rule."""
    no_arguments(args)
    if not id:
        raise Wrong("Must specify the -id parameter")
    with failing("Error determining binding rule ID"):
        wanted = rule_id(client, id)
    with failing(f'Error deleting binding rule "{wanted}"'):
        client.delete(f"acl/binding-rule/{wanted}")
    click.echo(f'Binding rule "{wanted}" deleted successfully')


binding_rule = group(
    "binding-rule",
    "Manage binding rules: what a login through an auth method is worth.",
    {
        "create": ("portway.cli.acl.binding_rule:create", "Make a binding rule."),
        "delete": ("portway.cli.acl.binding_rule:delete", "Delete a binding rule."),
        "list": ("portway.cli.acl.binding_rule:list_", "List the binding rules."),
        "read": ("portway.cli.acl.binding_rule:read", "Show a binding rule."),
        "update": ("portway.cli.acl.binding_rule:update", "Change a binding rule."),
    },
)
