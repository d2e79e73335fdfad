"""``acl policy``: named rules."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import click

from portway.cli.acl import fields, formats
from portway.cli.acl.formats import FORMAT_HELP, META_HELP, Row, checked, show
from portway.cli.acl.ids import policy_id
from portway.cli.acl.listing import show_list
from portway.cli.client import Client
from portway.cli.command import Wrong, command, fail, failing, flag, group, no_arguments
from portway.cli.data import data

_RULES_HELP = "Rules in HCL or JSON; @FILE reads a file, - standard input."


def policy_text(policy: Row, meta: bool) -> str:
    """A policy with its rules."""
    lines = [
        _label("ID", policy.get("ID", "")),
        _label("Name", policy.get("Name", "")),
        _label("Description", policy.get("Description", "")),
        _label("Datacenters", ", ".join(policy.get("Datacenters") or [])),
        *(formats.meta(policy, _label) if meta else ()),
        "Rules:",
    ]
    return "\n".join(lines) + f"\n{policy.get('Rules', '')}"


def _entry(policy: Row, meta: bool) -> Iterator[str]:
    yield f"{policy['Name']}:"
    yield "   " + _label("ID", policy["ID"])
    yield "   " + _label("Description", policy.get("Description", ""))
    yield "   " + _label("Datacenters", ", ".join(policy.get("Datacenters") or []))
    if meta:
        yield from ("   " + line for line in formats.meta(policy, _label))


def _label(name: str, value: str) -> str:
    return f"{name + ':':<14}{value}"


def _rules(text: str) -> str:
    try:
        return data(text).decode()
    except (OSError, UnicodeDecodeError) as error:
        fail(f"Error loading rules: {error}")


@command("create", server=True)
@flag("description", str, "What the policy is for.")
@flag("format", str, FORMAT_HELP, default="pretty")
@flag("from-token", str, "No longer there: tokens have no rules of their own.")
@flag("meta", bool, META_HELP)
@flag("name", str, "Name of the policy.")
@flag("rules", str, _RULES_HELP)
@flag("valid-datacenter", str, "Datacenter it counts in; may be given again.", multiple=True)
def create(
    client: Client,
    args: tuple[str, ...],
    description: str,
    format: str,  # noqa: A002
    from_token: str,
    meta: bool,
    name: str,
    rules: str,
    valid_datacenter: tuple[str, ...],
) -> None:
    """Make a policy.

    consul acl policy create -name web -rules 'service "web" { policy = "write" }'
    """
    no_arguments(args)
    checked(format)
    if not name:
        raise Wrong("Missing required '-name' flag")
    if from_token:
        raise Wrong("-from-token is no longer supported: tokens have no rules of their own")
    body: dict[str, Any] = {"Name": name, "Description": description, "Rules": _rules(rules)}
    if valid_datacenter:
        body["Datacenters"] = list(valid_datacenter)
    with failing("Failed to create new policy"):
        policy = client.put("acl/policy", (), body).json()
    show(format, policy, fields.POLICY, lambda: policy_text(policy, meta))


@command("read", server=True)
@flag("format", str, FORMAT_HELP, default="pretty")
@flag("id", str, "ID of the policy, or its beginning.")
@flag("meta", bool, META_HELP)
@flag("name", str, "Name of the policy.")
def read(
    client: Client,
    args: tuple[str, ...],
    format: str,  # noqa: A002
    id: str,  # noqa: A002
    meta: bool,
    name: str,
) -> None:
    """Show a policy."""
    no_arguments(args)
    checked(format)
    policy = _found(client, id, name, "Error policy not found: {}")
    show(format, policy, fields.POLICY, lambda: policy_text(policy, meta))


_NO_SUCH = "Error determining policy ID: No such policy with name: {}"


def _found(client: Client, given_id: str, name: str, missing: str = _NO_SUCH) -> Row:
    """The policy of an ID or name; ``missing`` says that there is none of the name."""
    if not given_id and not name:
        raise Wrong("Must specify either the -id or -name parameters")
    path = f"acl/policy/name/{name}"
    if given_id:
        with failing("Error determining policy ID"):
            path = f"acl/policy/{policy_id(client, given_id)}"
    with failing(f'Error reading policy "{given_id or name}"'):
        answer = client.get(path, missing=[] if given_id else [404])
    if answer.status != 200:
        raise Wrong(missing.format(name))
    policy: Row = answer.json()
    return policy


@command("list", server=True)
@flag("format", str, FORMAT_HELP, default="pretty")
@flag("meta", bool, META_HELP)
def list_(
    client: Client,
    args: tuple[str, ...],
    format: str,  # noqa: A002
    meta: bool,
) -> None:
    """List the policies, without their rules."""
    no_arguments(args)
    entry = partial(_entry, meta=meta)
    show_list(client, format, "policy", "acl/policies", fields.POLICY_IN_LIST, entry)


@command("update", server=True)
@flag("description", str, "What the policy is for.")
@flag("format", str, FORMAT_HELP, default="pretty")
@flag("id", str, "ID of the policy, or its beginning.")
@flag("meta", bool, META_HELP)
@flag("name", str, "Name of the policy; with -id the name it is to have.")
@flag("no-merge", bool, "What is not given becomes empty, instead of staying as it is.")
@flag("rules", str, _RULES_HELP)
@flag("valid-datacenter", str, "Datacenter it counts in; may be given again.", multiple=True)
def update(
    client: Client,
    args: tuple[str, ...],
    description: str,
    format: str,  # noqa: A002
    id: str,  # noqa: A002
    meta: bool,
    name: str,
    no_merge: bool,
    rules: str,
    valid_datacenter: tuple[str, ...],
) -> None:
    """Change a policy; what is not given stays as it is."""
    no_arguments(args)
    checked(format)
    if not id and not name:
        raise Wrong("Cannot update a policy without specifying the -id or -name parameter")
    current = _found(client, id, name)
    body: dict[str, Any] = {"ID": current["ID"], "Name": name or current["Name"]}
    if no_merge and not name:
        raise Wrong("Cannot use -no-merge without specifying the -name parameter")
    kept = {} if no_merge else current
    body["Description"] = description or kept.get("Description", "")
    body["Rules"] = _rules(rules) if rules else kept.get("Rules", "")
    body["Datacenters"] = list(valid_datacenter) or kept.get("Datacenters") or []
    with failing(f'Error updating policy "{current["ID"]}"'):
        policy = client.put(f"acl/policy/{current['ID']}", (), body).json()
    show(format, policy, fields.POLICY, lambda: policy_text(policy, meta))


@command("delete", server=True)
@flag("id", str, "ID of the policy, or its beginning.")
@flag("name", str, "Name of the policy.")
def delete(
    client: Client,
    args: tuple[str, ...],
    id: str,  # noqa: A002
    name: str,
) -> None:
    """Delete a policy."""
    no_arguments(args)
    if not id and not name:
        raise Wrong("Must specify either the -id or -name parameters")
    with failing("Error determining policy ID"):
        wanted = policy_id(client, id) if id else str(_found(client, "", name)["ID"])
    with failing(f'Error deleting policy "{wanted}"'):
        client.delete(f"acl/policy/{wanted}")
    click.echo(f'Policy "{wanted}" deleted successfully')


policy = group(
    "policy",
    "Manage policies: named rules, which tokens and roles are linked to.",
    {
        "create": ("portway.cli.acl.policy:create", "Make a policy."),
        "delete": ("portway.cli.acl.policy:delete", "Delete a policy."),
        "list": ("portway.cli.acl.policy:list_", "List the policies."),
        "read": ("portway.cli.acl.policy:read", "Show a policy."),
        "update": ("portway.cli.acl.policy:update", "Change a policy."),
    },
)
