"""Tokens, policies, roles, auth methods and binding rules as the store and the API have them.

Links hold IDs only: names are filled in when something is shown, because they may change.
Fields with defaults are written only when they say something, as in the documented JSON.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

import msgspec
from msgspec import field

from portway.discovery.model.catalog import Wire

HIDDEN = "<hidden>"
"""What stands for a secret that the caller may not see."""


class Link(Wire):
    """A policy or role by ID or name."""

    id: str = ""
    name: str = ""


class ServiceIdentity(Wire):
    """A service's own permissions: to register itself and its sidecar, and to discover."""

    service_name: str = ""
    datacenters: list[str] = []


class NodeIdentity(Wire):
    """An agent's own permissions: to register its node, and to discover services."""

    node_name: str = ""
    datacenter: str = ""


class TemplateVariables(msgspec.Struct, omit_defaults=True):
    """What a template is filled with."""

    name: str = ""


class TemplatedPolicy(Wire):
    """A built-in policy filled with variables."""

    template_name: str = ""
    template_id: str = ""
    template_variables: TemplateVariables | None = None
    datacenters: list[str] = []


class Token(Wire, kw_only=True):
    """A token. ``expiration_ttl`` is only ever an input; the store keeps the time itself."""

    accessor_id: str
    secret_id: str
    description: str
    policies: list[Link] = []
    roles: list[Link] = []
    service_identities: list[ServiceIdentity] = []
    node_identities: list[NodeIdentity] = []
    templated_policies: list[TemplatedPolicy] = []
    local: bool
    auth_method: str = ""
    expiration_time: datetime | None = None
    create_time: datetime
    hash: bytes
    create_index: int = field(name="CreateIndex", default=0)
    modify_index: int = field(name="ModifyIndex", default=0)

    @property
    def key(self) -> str:
        """Its key in the table: IDs are kept as they were given, and are the same in any case."""
        return self.accessor_id.lower()

    def expired(self, now: datetime) -> bool:
        """Whether the token's time is over."""
        return self.expiration_time is not None and self.expiration_time <= now


class Bootstrap(Wire, kw_only=True):
    """That the first management token has been made; its index is the key to another one."""

    accessor_id: str
    create_index: int = field(name="CreateIndex", default=0)
    modify_index: int = field(name="ModifyIndex", default=0)


class Policy(Wire, kw_only=True):
    """Named rules; without datacenters they hold in all of them."""

    id: str
    name: str
    description: str
    rules: str
    datacenters: list[str] = []
    hash: bytes
    create_index: int = field(name="CreateIndex", default=0)
    modify_index: int = field(name="ModifyIndex", default=0)


class Role(Wire, kw_only=True):
    """A named set of policies and identities."""

    id: str
    name: str
    description: str
    policies: list[Link] = []
    service_identities: list[ServiceIdentity] = []
    node_identities: list[NodeIdentity] = []
    templated_policies: list[TemplatedPolicy] = []
    hash: bytes
    create_index: int = field(name="CreateIndex", default=0)
    modify_index: int = field(name="ModifyIndex", default=0)


class AuthMethod(Wire, kw_only=True):
    """A way to trade a credential of another system for a token. The TTL is Go's, or empty."""

    name: str
    type: str
    display_name: str = ""
    description: str = ""
    max_token_ttl: str = field(name="MaxTokenTTL", default="")
    token_locality: Literal["", "local", "global"] = ""
    config: dict[str, Any]
    create_index: int = field(name="CreateIndex", default=0)
    modify_index: int = field(name="ModifyIndex", default=0)


class BindVars(msgspec.Struct, omit_defaults=True):
    """The variables of a templated policy that a binding rule hands out."""

    name: str = ""


class BindingRule(Wire, kw_only=True):
    """What a login through an auth method is worth."""

    id: str
    description: str
    auth_method: str
    selector: str
    bind_type: str
    bind_name: str
    bind_vars: BindVars | None = None
    create_index: int = field(name="CreateIndex", default=0)
    modify_index: int = field(name="ModifyIndex", default=0)
