"""What people send to create or change tokens and the like.

Fields that only answers have are accepted, because clients send back what they have read.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from msgspec import field

from portway.config import Duration
from portway.discovery.model import Wire
from portway.discovery.model.acl import (
    BindVars,
    Link,
    NodeIdentity,
    ServiceIdentity,
    TemplatedPolicy,
)

_ZERO = Duration(0)


class Written(Wire, kw_only=True):
    """What answers carry and requests may repeat; it is not looked at."""

    hash: str = ""
    create_time: str = ""
    create_index: int = 0
    modify_index: int = 0


class Grants(Written, kw_only=True):
    """What tokens and roles have in common."""

    description: str = ""
    policies: list[Link] = []
    service_identities: list[ServiceIdentity] = []
    node_identities: list[NodeIdentity] = []
    templated_policies: list[TemplatedPolicy] = []


class TokenRequest(Grants, kw_only=True):
    """A token to create or change."""

    accessor_id: str = ""
    secret_id: str = ""
    roles: list[Link] = []
    local: bool = False
    auth_method: str = ""
    expiration_time: datetime | None = None
    expiration_ttl: Duration = field(name="ExpirationTTL", default=_ZERO)


class RoleRequest(Grants, kw_only=True):
    """A role to create or change."""

    id: str = ""
    name: str = ""


class PolicyRequest(Written, kw_only=True):
    """A policy to create or change."""

    id: str = ""
    name: str = ""
    description: str = ""
    rules: str = ""
    datacenters: list[str] = []


class AuthMethodRequest(Written, kw_only=True):
    """An auth method to create or change."""

    name: str = ""
    type: str = ""
    display_name: str = ""
    description: str = ""
    max_token_ttl: Duration = field(name="MaxTokenTTL", default=_ZERO)
    token_locality: str = ""
    config: dict[str, Any] = {}


class BindingRuleRequest(Written, kw_only=True):
    """A binding rule to create or change."""

    id: str = ""
    description: str = ""
    auth_method: str = ""
    selector: str = ""
    bind_type: str = ""
    bind_name: str = ""
    bind_vars: BindVars | None = None


class LoginRequest(Wire, kw_only=True):
    """A credential to trade for a token."""

    auth_method: str = ""
    bearer_token: str = ""
    meta: dict[str, str] = {}


class BootstrapRequest(Wire, kw_only=True):
    """The first token, with a chosen secret."""

    bootstrap_secret: str = ""
