"""``acl role``: named sets of policies and identities."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import click

from portway.cli.acl import fields, formats, grants
from portway.cli.acl.formats import FORMAT_HELP, META_HELP, Row, checked, show
from portway.cli.acl.ids import role_id
from portway.cli.acl.listing import show_list
from portway.cli.client import Client
from portway.cli.command import Wrong, command, failing, flag, group, no_arguments


def _text(role: Row, meta: bool) -> str:
    lines = [
        _label("ID", role.get("ID", "")),
        _label("Name", role.get("Name", "")),
        _label("Description", role.get("Description", "")),
        *(formats.meta(role, _label) if meta else ()),
        *formats.links(role),
    ]
    return "".join(f"{line}\n" for line in lines)


def _entry(role: Row, meta: bool) -> Iterator[str]:
    yield f"{role['Name']}:"
    yield "   " + _label("ID", role["ID"])
    yield "   " + _label("Description", role.get("Description", ""))
    if meta:
        yield from ("   " + line for line in formats.meta(role, _label))
    yield from formats.links(role, "   ")


def _label(name: str, value: str) -> str:
    return f"{name + ':':<14}{value}"


@command("create", server=True)
@flag("description", str, "What the role is for.")
@flag("format", str, FORMAT_HELP, default="pretty")
@flag("meta", bool, META_HELP)
@flag("name", str, "Name of the role.")
@grants.grant_flags
def create(
    client: Client,
    args: tuple[str, ...],
    description: str,
    format: str,  # noqa: A002
    meta: bool,
    name: str,
    **given: Any,
) -> None:
    """Make a role."""
    no_arguments(args)
    checked(format)
    if not name:
        raise Wrong("Missing required '-name' flag")
    if not any(given.values()):
        raise Wrong(
            "Cannot create a role without specifying -policy-name, -policy-id, -service-identity, "
            "-node-identity, -templated-policy-file or -templated-policy at least once"
        )
    body = {
        "Name": name,
        "Description": description,
        **_grants(client, given),
        "TemplatedPolicies": grants.new_templates("role", given),
    }
    with failing("Failed to create new role"):
        role = client.put("acl/role", (), body).json()
    show(format, role, fields.ROLE, lambda: _text(role, meta))


def _grants(client: Client, given: dict[str, Any]) -> Row:
    """Identities and policies that are given to a role, as the API takes them."""
    return {
        "ServiceIdentities": grants.service_identities(given["service_identity"]),
        "NodeIdentities": grants.node_identities(given["node_identity"]),
        "Policies": grants.policies(client, given["policy_id"], given["policy_name"]),
    }


@command("read", server=True)
@flag("format", str, FORMAT_HELP, default="pretty")
@flag("id", str, "ID of the role, or its beginning.")
@flag("meta", bool, META_HELP)
@flag("name", str, "Name of the role.")
def read(
    client: Client,
    args: tuple[str, ...],
    format: str,  # noqa: A002
    id: str,  # noqa: A002
    meta: bool,
    name: str,
) -> None:
    """Show a role."""
    no_arguments(args)
    checked(format)
    role = _found(client, id, name)
    show(format, role, fields.ROLE, lambda: _text(role, meta))


def _found(
    client: Client, given_id: str, name: str, missing: str = 'Role not found with name "{}"'
) -> Row:
    """The role of an ID or name; ``missing`` says that there is none of the name."""
    if not given_id and not name:
        raise Wrong("Must specify either the -id or -name parameters")
    path, problem = f"acl/role/name/{name}", missing.format(name)
    if given_id:
        with failing("Error determining role ID"):
            wanted = role_id(client, given_id)
        path, problem = f"acl/role/{wanted}", f'Role not found with ID "{wanted}"'
    with failing(f'Error reading role "{given_id or name}"'):
        answer = client.get(path, missing=[404])
    if answer.status != 200:
        raise Wrong(problem)
    role: Row = answer.json()
    return role


@command("list", server=True)
@flag("format", str, FORMAT_HELP, default="pretty")
@flag("meta", bool, META_HELP)
def list_(
    client: Client,
    args: tuple[str, ...],
    format: str,  # noqa: A002
    meta: bool,
) -> None:
    """List the roles."""
    no_arguments(args)
    show_list(client, format, "role", "acl/roles", fields.ROLE, partial(_entry, meta=meta))


@command("update", server=True)
@flag("description", str, "What the role is for.")
@flag("format", str, FORMAT_HELP, default="pretty")
@flag("id", str, "ID of the role, or its beginning.")
@flag("meta", bool, META_HELP)
@flag("name", str, "Name the role is to have.")
@flag("no-merge", bool, "What is not given is taken away, instead of staying as it is.")
@grants.change_flags
def update(
    client: Client,
    args: tuple[str, ...],
    description: str,
    format: str,  # noqa: A002
    id: str,  # noqa: A002
    meta: bool,
    name: str,
    no_merge: bool,
    **given: Any,
) -> None:
    """Change a role; what is given comes to what it has."""
    no_arguments(args)
    checked(format)
    if not id:
        raise Wrong("Cannot update a role without specifying the -id parameter")
    with failing("Error determining role ID"):
        wanted = role_id(client, id)
    current = _found(client, wanted, "")
    if no_merge and not name:
        raise Wrong("Missing required '-name' flag")
    body: Row = {
        "ID": wanted,
        "Name": name or current["Name"],
        "Description": description or ("" if no_merge else current.get("Description", "")),
    }
    for field, rows in _grants(client, given).items():
        if no_merge:
            body[field] = rows
        else:
            keys = _KEYS[field]
            body[field] = grants.with_added(current.get(field) or [], rows, *keys)
    templated = [] if no_merge else current.get("TemplatedPolicies") or []
    body["TemplatedPolicies"] = grants.changed_templates(templated, given)
    with failing(f'Error updating role "{wanted}"'):
        role = client.put(f"acl/role/{wanted}", (), body).json()
    show(format, role, fields.ROLE, lambda: _text(role, meta))


_KEYS = {
    "Policies": ("ID", "Name"),
    "ServiceIdentities": ("ServiceName",),
    "NodeIdentities": ("NodeName", "Datacenter"),
}


@command("delete", server=True)
@flag("id", str, "ID of the role, or its beginning.")
@flag("name", str, "Name of the role.")
def delete(
    client: Client,
    args: tuple[str, ...],
    id: str,  # noqa: A002
    name: str,
) -> None:
    """Delete a role."""
    no_arguments(args)
    if not id and not name:
        raise Wrong("Must specify the -id or -name parameters")
    with failing("Error determining role ID"):
        missing = "Error determining role ID: No such role with name {}"
        wanted = role_id(client, id) if id else str(_found(client, "", name, missing)["ID"])
    with failing(f'Error deleting role "{wanted}"'):
        client.delete(f"acl/role/{wanted}")
    click.echo(f'Role "{wanted}" deleted successfully')


role = group(
    "role",
    "Manage roles: named sets of policies and identities, which tokens are linked to.",
    {
        "create": ("portway.cli.acl.role:create", "Make a role."),
        "delete": ("portway.cli.acl.role:delete", "Delete a role."),
        "list": ("portway.cli.acl.role:list_", "List the roles."),
        "read": ("portway.cli.acl.role:read", "Show a role."),
        "update": ("portway.cli.acl.role:update", "Change a role."),
    },
)
