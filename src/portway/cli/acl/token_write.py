"""``acl token create`` and ``acl token clone``."""

from __future__ import annotations

from typing import Any

from portway.cli import duration
from portway.cli.acl import fields, grants
from portway.cli.acl.formats import FORMAT_HELP, META_HELP, checked, show
from portway.cli.acl.ids import token_id
from portway.cli.acl.token import ACCESSOR_HELP, accessor
from portway.cli.acl.token_text import token_text
from portway.cli.client import Client
from portway.cli.command import DURATION, Wrong, command, failing, flag, no_arguments


@command("create", server=True)
@flag("accessor", str, "Accessor ID to give the token; without it a new one is made.")
@flag("description", str, "What the token is for.")
@flag("expires-ttl", DURATION, "How long the token is valid; without it for ever.")
@flag("format", str, FORMAT_HELP, default="pretty")
@flag("local", bool, "Keep the token in this datacenter.")
@flag("meta", bool, META_HELP)
@flag("secret", str, "Secret ID to give the token; without it a new one is made.")
@grants.role_flags
@grants.grant_flags
def create(
    client: Client,
    args: tuple[str, ...],
    accessor: str,
    description: str,
    expires_ttl: float,
    format: str,  # noqa: A002
    local: bool,
    meta: bool,
    secret: str,
    role_id: tuple[str, ...],
    role_name: tuple[str, ...],
    policy_id: tuple[str, ...],
    policy_name: tuple[str, ...],
    service_identity: tuple[str, ...],
    node_identity: tuple[str, ...],
    **templated: Any,
) -> None:
    """Make a token, and show it with its secret.

    consul acl token create -description "web" -policy-name web
    """
    no_arguments(args)
    checked(format)
    given = (policy_id, policy_name, role_id, role_name, service_identity, node_identity)
    if not any(given) and not any(templated.values()):
        raise Wrong(
            "Cannot create a token without specifying -policy-name, -policy-id, -role-name, "
            "-role-id, -service-identity, -node-identity, -templated-policy, or "
            "-templated-policy-file at least once"
        )
    body: dict[str, Any] = {
        "AccessorID": accessor,
        "SecretID": secret,
        "Description": description,
        "Local": local,
        "ServiceIdentities": grants.service_identities(service_identity),
        "NodeIdentities": grants.node_identities(node_identity),
        "TemplatedPolicies": grants.new_templates("token", templated),
    }
    if expires_ttl:
        body["ExpirationTTL"] = duration.show(expires_ttl)
    body["Policies"] = grants.policies(client, policy_id, policy_name)
    body["Roles"] = grants.roles(client, role_id, role_name)
    with failing("Failed to create new token"):
        token = client.put("acl/token", (), {key: v for key, v in body.items() if v}).json()
    show(format, token, fields.TOKEN, lambda: token_text(token, meta))


@command("clone", server=True)
@flag("accessor-id", str, ACCESSOR_HELP)
@flag("description", str, "What the new token is for; without it that of the other.")
@flag("format", str, FORMAT_HELP, default="pretty")
@flag("id", str, "Deprecated: -accessor-id.")
@flag("meta", bool, META_HELP)
def clone(
    client: Client,
    args: tuple[str, ...],
    accessor_id: str,
    description: str,
    format: str,  # noqa: A002
    id: str,  # noqa: A002
    meta: bool,
) -> None:
    """Make a token that may do the same as another."""
    no_arguments(args)
    checked(format)
    wanted = accessor(
        accessor_id, id, "Cannot update a token without specifying the -accessor-id parameter"
    )
    with failing("Error determining token ID"):
        wanted = token_id(client, wanted)
    body = {"Description": description} if description else {}
    with failing("Error cloning token"):
        token = client.put(f"acl/token/{wanted}/clone", (), body).json()
    show(format, token, fields.TOKEN, lambda: token_text(token, meta))
