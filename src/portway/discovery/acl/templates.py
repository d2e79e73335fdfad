"""Built-in policies, and policies made from a template: identities and templated policies."""

from __future__ import annotations

import re
from typing import NamedTuple

from portway.discovery.acl.errors import AclError
from portway.discovery.acl.hashes import policy_hash
from portway.discovery.acl.rules import NAMED, WHOLE
from portway.discovery.model.acl import (
    NodeIdentity,
    Policy,
    Role,
    ServiceIdentity,
    TemplatedPolicy,
    TemplateVariables,
    Token,
)

RESERVED_PREFIX = "00000000-0000-0000-0000-0000000000"
"""IDs that begin so are kept for what is built in."""
GLOBAL_MANAGEMENT = "00000000-0000-0000-0000-000000000001"
GLOBAL_READ_ONLY = "00000000-0000-0000-0000-000000000002"

_FNV_128A = "6c62272e07bb014262b821756295c58d"
"""The hash of nothing, which ends the IDs of policies that are made from a template."""
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9\-_]*[a-z0-9])?")
_NAME_SCHEMA = """{
  "type": "object",
  "properties": {"name": {"type": "string", "$ref": "#/definitions/min-length-one"}},
  "required": ["name"],
  "definitions": {"min-length-one": {"type": "string", "minLength": 1}}
}"""


class Template(NamedTuple):
    """A policy with a gap. ``template`` has ``{{.Name}}`` where the name goes."""

    id: str
    description: str
    template: str

    @property
    def schema(self) -> str:
        """The JSON schema of its variables; empty for a template without."""
        return _NAME_SCHEMA if "{{.Name}}" in self.template else ""


def _rule(resource: str, name: str, access: str) -> str:
    return f'{resource} "{name}" {{\n  policy = "{access}"\n}}\n'


_READ_CATALOG = _rule("service_prefix", "", "read") + _rule("node_prefix", "", "read")
_SERVICE = (
    _rule("service", "{{.Name}}", "write")
    + _rule("service", "{{.Name}}-sidecar-proxy", "write")
    + _READ_CATALOG
)
_NODE = _rule("node", "{{.Name}}", "write") + _rule("service_prefix", "", "read")
_NOMAD = (
    _rule("agent_prefix", "", "read")
    + _rule("node_prefix", "", "read")
    + _rule("service_prefix", "", "write")
)

TEMPLATES = {
    "builtin/service": Template(
        "00000000-0000-0000-0000-000000000003",
        "Lets a service register itself and its sidecar proxy, and discover other services.",
        _SERVICE,
    ),
    "builtin/node": Template(
        "00000000-0000-0000-0000-000000000004",
        "Lets an agent register its node and discover services.",
        _NODE,
    ),
    "builtin/dns": Template(
        "00000000-0000-0000-0000-000000000005",
        "Lets DNS answer for every service, node and prepared query.",
        _READ_CATALOG + _rule("query_prefix", "", "read"),
    ),
    "builtin/nomad-server": Template(
        "00000000-0000-0000-0000-000000000006",
        "What a Nomad server needs: to register services and to make tokens for them.",
        'acl = "write"\n' + _NOMAD,
    ),
    "builtin/api-gateway": Template(
        "00000000-0000-0000-0000-000000000008",
        "What an API gateway needs: to register itself, and to read services and the mesh.",
        'mesh = "read"\n' + _READ_CATALOG + _rule("service", "{{.Name}}", "write"),
    ),
    "builtin/nomad-client": Template(
        "00000000-0000-0000-0000-000000000009",
        "What a Nomad client needs: to register services and to read keys.",
        _NOMAD + _rule("key_prefix", "", "read"),
    ),
}
"""The templates by name."""


def valid_identity_name(name: str) -> bool:
    """Names of services and nodes that identities may be for."""
    return len(name) <= 256 and _NAME.fullmatch(name) is not None


def check_template(policy: TemplatedPolicy, owner: str) -> TemplatedPolicy:
    """The reference of a token or role made complete. Raises AclError when it cannot be."""
    name = policy.template_name
    if not name:
        raise AclError(f"templated policy is missing the template name field on this {owner}")
    if name not in TEMPLATES:
        raise AclError(
            f'no such ACL templated policy with Name "{name}"'
            if owner == "token"
            else f"templated policy with an invalid templated name: {name} for this {owner}"
        )
    problem = problem_of(name, policy.template_variables)
    if problem:
        raise AclError(
            f'validation error for templated policy "{name}": {problem}'
            if owner == "token"
            else f"encountered {owner} with invalid templated policy: {problem}"
        )
    return TemplatedPolicy(name, TEMPLATES[name].id, policy.template_variables, policy.datacenters)


def problem_of(name: str, variables: TemplateVariables | None) -> str:
    """Why a template cannot be filled with these variables; empty if it can."""
    if not TEMPLATES[name].schema:
        return ""
    if variables is None:
        return "1 error occurred:\n\t* Invalid type. Expected: object, given: null\n\n"
    kind = {"builtin/service": "service identity", "builtin/node": "node identity"}.get(name)
    if kind and not valid_identity_name(variables.name):
        gap = "  " if kind == "node identity" else " "
        return (
            f'{kind} "{variables.name}"{gap}has an invalid name. '
            "Only lowercase alphanumeric characters, '-' and '_' are allowed"
        )
    return "" if variables.name else "1 error occurred:\n\t* name is required\n\n"


def template_rules(policy: TemplatedPolicy) -> str:
    """The rules a checked templated policy stands for."""
    template = TEMPLATES[policy.template_name]
    name = policy.template_variables.name if policy.template_variables else ""
    return template.template.replace("{{.Name}}", name)


def service_rules(identity: ServiceIdentity) -> str:
    """The rules a service identity stands for."""
    return _SERVICE.replace("{{.Name}}", identity.service_name)


def node_rules(identity: NodeIdentity) -> str:
    """The rules a node identity stands for."""
    return _NODE.replace("{{.Name}}", identity.node_name)


def recovery_rules(node: str) -> str:
    """What an agent's recovery token may: manage that agent, and see nodes."""
    quoted = node.replace("\\", "\\\\").replace('"', '\\"')
    return _rule("agent", quoted, "write") + _rule("node_prefix", "", "read")


def synthetic_policy(policy: TemplatedPolicy) -> Policy:
    """The policy a checked templated policy stands for, for display."""
    rules = template_rules(policy)
    digest = rules.encode().hex() + _FNV_128A
    made = Policy(
        id=digest,
        name=f"synthetic-policy-{digest}",
        description=f"synthetic policy generated from templated policy: {policy.template_name}",
        rules=rules,
        datacenters=policy.datacenters,
        hash=b"",
    )
    made.hash = policy_hash(made)
    return made


def synthetic_policies(owner: Token | Role) -> list[Policy]:
    """What the identities and templated policies of a token or role stand for, for display."""
    templates = [
        *(
            named_template("builtin/service", service.service_name, service.datacenters)
            for service in owner.service_identities
        ),
        *(
            named_template("builtin/node", node.node_name, [node.datacenter])
            for node in owner.node_identities
        ),
        *owner.templated_policies,
    ]
    return [synthetic_policy(template) for template in templates]


def builtin_policies() -> list[Policy]:
    """The policies every cluster has: full management, and reading everything."""
    policies = [
        Policy(
            id=GLOBAL_MANAGEMENT,
            name="global-management",
            description="A policy that grants unlimited access",
            rules=_global("write"),
            hash=b"",
        ),
        Policy(
            id=GLOBAL_READ_ONLY,
            name="builtin/global-read-only",
            description="A policy that grants read-only access to all objects",
            rules=_global("read"),
            hash=b"",
        ),
    ]
    for policy in policies:
        policy.hash = policy_hash(policy)
    return policies


def _global(access: str) -> str:
    whole = "".join(f'{resource} = "{access}"\n' for resource in WHOLE)
    named = "".join(
        _rule(f"{resource}_prefix", "", access) for resource in NAMED if resource != "service"
    )
    service = f'service_prefix "" {{\n  policy = "{access}"\n  intentions = "{access}"\n}}\n'
    return whole + named + service


def named_template(name: str, variable: str, datacenters: list[str]) -> TemplatedPolicy:
    """A reference to a template by name."""
    return TemplatedPolicy(name, "", TemplateVariables(variable), datacenters)
