"""What requests of the HTTP API do, by the names of Consul's metrics."""

from __future__ import annotations

from collections.abc import Mapping

_REGISTER, _DEREGISTER = "consul.catalog.register", "consul.catalog.deregister"
_INTENTION, _QUERY = "consul.intention.apply", "consul.prepared-query.apply"


def _acl() -> dict[tuple[str, str], str]:
    found = {}
    for path, kind in (
        ("policy", "policy"),
        ("role", "role"),
        ("token", "token"),
        ("auth-method", "authmethod"),
        ("binding-rule", "bindingrule"),
    ):
        for route in (f"/v1/acl/{path}", f"/v1/acl/{path}/"):
            found["PUT", route] = f"consul.acl.{kind}.upsert"
            found["DELETE", route] = f"consul.acl.{kind}.delete"
    return found


OPERATIONS: Mapping[tuple[str, str], str] = {
    ("PUT", "/v1/kv/"): "consul.kvs.apply",
    ("DELETE", "/v1/kv/"): "consul.kvs.apply",
    ("PUT", "/v1/txn"): "consul.txn.apply",
    ("PUT", "/v1/session/create"): "consul.session.apply",
    ("PUT", "/v1/session/destroy/"): "consul.session.apply",
    ("PUT", "/v1/session/renew/"): "consul.session.renew",
    ("PUT", "/v1/catalog/register"): _REGISTER,
    ("PUT", "/v1/agent/service/register"): _REGISTER,
    ("PUT", "/v1/agent/check/register"): _REGISTER,
    ("PUT", "/v1/catalog/deregister"): _DEREGISTER,
    ("PUT", "/v1/agent/service/deregister/"): _DEREGISTER,
    ("PUT", "/v1/agent/check/deregister/"): _DEREGISTER,
    ("PUT", "/v1/config"): "consul.config_entry.apply",
    ("DELETE", "/v1/config/"): "consul.config_entry.delete",
    ("POST", "/v1/connect/intentions"): _INTENTION,
    ("PUT", "/v1/connect/intentions/exact"): _INTENTION,
    ("DELETE", "/v1/connect/intentions/exact"): _INTENTION,
    ("PUT", "/v1/connect/intentions/"): _INTENTION,
    ("DELETE", "/v1/connect/intentions/"): _INTENTION,
    ("POST", "/v1/query"): _QUERY,
    ("PUT", "/v1/query/"): _QUERY,
    ("DELETE", "/v1/query/"): _QUERY,
    ("PUT", "/v1/acl/login"): "consul.acl.login",
    ("POST", "/v1/acl/login"): "consul.acl.login",
    ("POST", "/v1/acl/logout"): "consul.acl.logout",
    **_acl(),
}
"""Method and route of the writes that have a metric of their own beside ``consul.api.http``."""
