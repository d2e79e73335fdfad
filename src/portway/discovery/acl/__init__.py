"""Access control: rules, what a token may do, and the tokens themselves."""

from portway.discovery.acl.authorizer import (
    ALLOW_ALL,
    DENY_ALL,
    MANAGE_ALL,
    Authorizer,
    Permissions,
)
from portway.discovery.acl.errors import (
    ANONYMOUS_ID,
    AclDisabledError,
    AclError,
    AclNotFoundError,
    PermissionDeniedError,
)
from portway.discovery.acl.resolve import AclSettings, Resolver
from portway.discovery.acl.rules import Rule, Rules, parse_rules

__all__ = [
    "ALLOW_ALL",
    "ANONYMOUS_ID",
    "DENY_ALL",
    "MANAGE_ALL",
    "AclDisabledError",
    "AclError",
    "AclNotFoundError",
    "AclSettings",
    "Authorizer",
    "PermissionDeniedError",
    "Permissions",
    "Resolver",
    "Rule",
    "Rules",
    "parse_rules",
]
