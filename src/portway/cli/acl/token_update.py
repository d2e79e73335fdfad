"""``acl token update``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import click

from portway.cli.acl import fields, grants
from portway.cli.acl.formats import FORMAT_HELP, META_HELP, checked, show
from portway.cli.acl.grants import Row
from portway.cli.acl.ids import token_id
from portway.cli.acl.token import ACCESSOR_HELP, accessor
from portway.cli.acl.token_text import token_text
from portway.cli.client import Client
from portway.cli.command import Wrong, command, failing, flag, no_arguments

_APPENDED = (
    ("append-policy-id", "ID of a policy to add"),
    ("append-policy-name", "Name of a policy to add"),
    ("append-role-id", "ID of a role to add"),
    ("append-role-name", "Name of a role to add"),
    ("append-service-identity", "Service identity to add"),
    ("append-node-identity", "Node identity to add"),
)
_MERGED = (
    ("merge-policies", "-append-policy-name or -append-policy-id"),
    ("merge-roles", "-append-role-name or -append-role-id"),
    ("merge-service-identities", "-append-service-identity"),
    ("merge-node-identities", "-append-node-identity"),
)


def _update_flags(function: Callable[..., Any]) -> Callable[..., Any]:
    for name, text in _APPENDED:
        function = flag(name, str, f"{text}; may be given several times.", multiple=True)(function)
    for name, instead in _MERGED:
        function = flag(name, bool, f"Deprecated: {instead}.")(function)
    return function


@command("update", server=True)
@flag("accessor-id", str, ACCESSOR_HELP)
@flag("description", str, "What the token is for; without it this stays as it is.")
@flag("format", str, FORMAT_HELP, default="pretty")
@flag("id", str, "Deprecated: -accessor-id.")
@flag("meta", bool, META_HELP)
@_update_flags
@grants.role_flags
@grants.change_flags
def update(
    client: Client,
    args: tuple[str, ...],
    accessor_id: str,
    description: str,
    format: str,  # noqa: A002
    id: str,  # noqa: A002
    meta: bool,
    **given: Any,
) -> None:
    """Change what a token may do.

    Policies and roles that are named take the place of those it has; without any it keeps them.
    Service and node identities that are not named are taken away. What -append- names comes to
    what it has.
    """
    no_arguments(args)
    checked(format)
    wanted = accessor(
        accessor_id, id, "Cannot update a token without specifying the -accessor-id parameter"
    )
    for plural, one in (("policies", "policy"), ("roles", "role")):
        if given[f"merge_{plural}"]:
            click.echo(
                f"merge-{plural} is deprecated and will be removed in a future Consul version. "
                f"Use `append-{one}-name` or `append-{one}-id` instead.",
                err=True,
            )
    with failing("Error determining token ID"):
        wanted = token_id(client, wanted)
    with failing("Error when retrieving current token"):
        token: Row = client.get(f"acl/token/{wanted}").json()
    if description:
        token["Description"] = description
    token["Policies"] = _links(
        token, "Policies", given, "policy", lambda i, n: grants.policies(client, i, n)
    )
    token["Roles"] = _links(token, "Roles", given, "role", lambda i, n: grants.roles(client, i, n))
    _identities(token, given)
    for field in ("ExpirationTTL", "Hash", "CreateIndex", "ModifyIndex"):
        token.pop(field, None)
    with failing(f"Failed to update token {wanted}"):
        changed = client.put(f"acl/token/{wanted}", (), token).json()
    show(format, changed, fields.TOKEN, lambda: token_text(changed, meta))


def _links(
    token: Row,
    field: str,
    given: dict[str, Any],
    what: str,
    made: Callable[[Sequence[str], Sequence[str]], list[Row]],
) -> list[Row]:
    """The policies or roles a token is to have. Raises Wrong, Failed."""
    whole = (given[f"{what}_id"], given[f"{what}_name"])
    added = (given[f"append_{what}_id"], given[f"append_{what}_name"])
    plural = field.lower()
    if any(whole) and any(added):
        raise Wrong(
            f"Cannot combine the use of {what}-id/{what}-name flags with append- variants. To set "
            f"or overwrite existing {plural}, use -{what}-id or -{what}-name. To append to "
            f"existing {plural}, use -append-{what}-id or -append-{what}-name."
        )
    old: list[Row] = token.get(field) or []
    if given[f"merge_{plural}"] or any(added):
        return grants.with_added(old, made(*(whole if any(whole) else added)), "ID", "Name")
    return made(*whole) if any(whole) else old


def _identities(token: Row, given: dict[str, Any]) -> None:
    """Fill in the identities a token is to have. Raises Wrong, Failed."""
    for field, what, keys, made in (
        ("ServiceIdentities", "service", ("ServiceName",), grants.service_identities),
        ("NodeIdentities", "node", ("NodeName", "Datacenter"), grants.node_identities),
    ):
        whole, added = given[f"{what}_identity"], given[f"append_{what}_identity"]
        if whole and added:
            raise Wrong(
                f"Cannot combine the use of {what}-identity flag with append-{what}-identity. To "
                f"set or overwrite existing {what} identities, use -{what}-identity. To append to "
                f"existing {what} identities, use -append-{what}-identity."
            )
        rows = made(added or whole)
        if added or given[f"merge_{what}_identities"]:
            rows = grants.with_added(token.get(field) or [], rows, *keys)
        token[field] = rows
    templated = token.get("TemplatedPolicies") or []
    token["TemplatedPolicies"] = grants.changed_templates(templated, given, "-append")
