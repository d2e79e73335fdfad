"""Tokens as lines for people."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from portway.cli.acl import formats
from portway.cli.acl.formats import Row

_INDENT = "\t"


def token_text(token: Row, meta: bool) -> str:
    """A token with what it is given, by name."""
    return "".join(f"{line}\n" for line in (*_head(token, meta), *formats.links(token)))


def expanded_text(token: Row, meta: bool) -> str:
    """A token with all the rules that count, and where they come from."""
    return "\n".join((*_head(token, meta), *_layers(token))) + "\n"


def _head(token: Row, meta: bool) -> Iterator[str]:
    yield _label("AccessorID", token.get("AccessorID", ""))
    yield _label("SecretID", token.get("SecretID", ""))
    yield _label("Description", token.get("Description", ""))
    yield _label("Local", "true" if token.get("Local") else "false")
    if token.get("AuthMethod"):
        yield _label("Auth Method", f"{token['AuthMethod']} (Namespace: )")
    yield _label("Create Time", formats.time(token.get("CreateTime", "")))
    if token.get("ExpirationTime"):
        yield _label("Expiration Time", formats.time(token["ExpirationTime"]))
    if meta:
        yield from formats.meta(token, _label)


def _label(name: str, value: str) -> str:
    return f"{name + ':':<18}{value}"


def _layers(token: Row) -> Iterator[str]:
    policies = {policy["ID"]: policy for policy in token.get("ExpandedPolicies") or []}
    yield from _grants(token, policies, "")
    roles = {role["ID"]: role for role in token.get("ExpandedRoles") or []}
    if token.get("Roles"):
        yield "Roles:"
    for link in token.get("Roles") or []:
        role = roles.get(link["ID"], link)
        yield f"\tRole Name: {role.get('Name', '')}"
        yield f"\t\tID: {role['ID']}"
        yield f"\t\tDescription: {role.get('Description', '')}"
        yield from _grants(role, policies, "\t\t")
    yield "=== End of Authorizer Layer 0: Token ==="
    yield "=== Start of Authorizer Layer 2: Agent Configuration Defaults (Inherited) ==="
    yield (
        "Description: Defined at request-time by the agent that resolves the ACL token; other "
        "agents may have different configuration defaults"
    )
    yield f'Resolved By Agent: "{token.get("ResolvedByAgent", "")}"'
    yield ""
    yield f"Default Policy: {token.get('AgentACLDefaultPolicy', '')}"
    yield (
        "\tDescription: Backstop rule used if no preceding layer has a matching rule (refer to "
        "default_policy option in agent configuration)"
    )
    yield ""
    yield f"Down Policy: {token.get('AgentACLDownPolicy', '')}"
    yield (
        "\tDescription: Defines what to do if this Token's information cannot be read from the "
        "primary_datacenter (refer to down_policy option in agent configuration)"
    )
    yield ""


def _grants(row: Row, policies: dict[str, Row], indent: str) -> Iterator[str]:
    """Policies, identities and templated policies with their rules."""
    if row.get("Policies"):
        yield f"{indent}Policies:"
    for link in row.get("Policies") or []:
        policy = policies.get(link["ID"], link)
        yield f"{indent}\tPolicy Name: {policy.get('Name', '')}"
        yield f"{indent}\t\tID: {policy['ID']}"
        yield from _described(policy.get("Description", ""), policy.get("Rules", ""), indent + "\t")
    if row.get("ServiceIdentities"):
        yield f"{indent}Service Identities:"
    for identity in row.get("ServiceIdentities") or []:
        yield f"{indent}\tName: {formats.service_identity(identity)}"
        yield from _templated("builtin/service", identity["ServiceName"], indent + "\t")
    if row.get("NodeIdentities"):
        yield f"{indent}Node Identities:"
    for identity in row.get("NodeIdentities") or []:
        yield f"{indent}\tName: {formats.node_identity(identity)}"
        yield from _templated("builtin/node", identity["NodeName"], indent + "\t")
    if row.get("TemplatedPolicies"):
        yield f"{indent}Templated Policies:"
    for template in row.get("TemplatedPolicies") or []:
        yield f"{indent}\t{template['TemplateName']}"
        name = formats.variable(template)
        if name:
            yield f"{indent}\t\tName: {name}"
        yield f"{indent}\t\tDatacenters: {formats.datacenters(template)}"
        yield from _templated(template["TemplateName"], name, indent + "\t")


def _templated(template: str, name: str, indent: str) -> Iterable[str]:
    from portway.discovery.acl.templates import template_rules
    from portway.discovery.model.acl import TemplatedPolicy, TemplateVariables

    rules = template_rules(TemplatedPolicy(template, "", TemplateVariables(name)))
    description = f"synthetic policy generated from templated policy: {template}"
    return _described(description, rules, indent)


def _described(description: str, rules: str, indent: str) -> Iterator[str]:
    yield f"{indent}\tDescription: {description}"
    yield f"{indent}\tRules:"
    for line in rules.rstrip("\n").split("\n"):
        yield f"{indent}\t\t{line}"
    yield ""
