"""``/v1/acl/policy``, ``/v1/acl/role`` and their lists; templated policies."""

from __future__ import annotations

from typing import Any

from portway.discovery.acl import policies as operations
from portway.discovery.acl.grants import check_id
from portway.discovery.acl.requests import PolicyRequest, RoleRequest
from portway.discovery.acl.templates import TEMPLATES, Template, problem_of, synthetic_policy
from portway.discovery.api.acl_tokens import (
    MISSING,
    TURN,
    acl_of,
    named_role,
    resolver_of,
    shown_synthetic,
)
from portway.discovery.api.answer import Answer, json_answer
from portway.discovery.api.blocking import read
from portway.discovery.api.decode import decode
from portway.discovery.api.error import bad_request, not_found
from portway.discovery.api.request import Request
from portway.discovery.api.route import Route
from portway.discovery.model.acl import Policy, TemplatedPolicy, TemplateVariables


async def create_policy(request: Request) -> Answer:
    """Make a policy."""
    acl = acl_of(request, "write")
    wanted = decode(await request.body(), PolicyRequest, prefix="Policy decoding failed: ")
    if wanted.id:
        raise bad_request("Cannot specify the ID when creating a new policy")
    return json_answer(
        await request.context.server.transact(
            lambda draft: operations.write_policy(acl, draft, "", wanted), TURN
        )
    )


async def put_policy(request: Request) -> Answer:
    """Change a policy."""
    acl = acl_of(request, "write")
    wanted = decode(await request.body(), PolicyRequest, prefix="Policy decoding failed: ")
    policy_id = request.rest
    if wanted.id and wanted.id != policy_id:
        raise bad_request("Policy ID in URL and payload do not match")
    return json_answer(
        await request.context.server.transact(
            lambda draft: operations.write_policy(acl, draft, policy_id, wanted), TURN
        )
    )


async def get_policy(request: Request) -> Answer:
    """Read a policy by ID."""
    policy_id = _rest(request, "Missing policy ID")
    acl = acl_of(request, "read")
    policy_id = check_id(policy_id, "policy")
    query = lambda: acl.read(acl.policies, acl.policies.get(policy_id))  # noqa: E731
    return _found((await read(request, query)).value, "policy")


async def get_policy_by_name(request: Request) -> Answer:
    """Read a policy by name."""
    name = _rest(request, "Missing policy Name")
    acl = acl_of(request, "read")
    query = lambda: acl.read(acl.policies, acl.policy_by_name(name))  # noqa: E731
    return _found((await read(request, query)).value, "policy")


async def delete_policy(request: Request) -> Answer:
    """Delete a policy."""
    policy_id = _rest(request, "Missing policy ID")
    acl = acl_of(request, "write")
    await request.context.server.transact(
        lambda draft: operations.delete_policy(acl, draft, policy_id), TURN
    )
    return json_answer(True)


async def list_policies(request: Request) -> Answer:
    """List policies, without their rules."""
    acl = acl_of(request, "read")
    policies = (await read(request, lambda: acl.read_all(acl.policies))).value
    return json_answer([_stub(policy) for policy in policies])


async def create_role(request: Request) -> Answer:
    """Make a role."""
    return await _write_role(request, "")


async def put_role(request: Request) -> Answer:
    """Change a role."""
    return await _write_role(request, request.rest)


async def _write_role(request: Request, role_id: str) -> Answer:
    acl = acl_of(request, "write")
    wanted = decode(await request.body(), RoleRequest, prefix="Role decoding failed: ")
    if wanted.id and wanted.id != role_id:
        raise bad_request("Role ID in URL and payload do not match")
    role = await request.context.server.transact(
        lambda draft: operations.write_role(acl, draft, role_id, wanted), TURN
    )
    return json_answer(named_role(acl, role))


async def get_role(request: Request) -> Answer:
    """Read a role by ID."""
    role_id = _rest(request, "Missing role ID")
    acl = acl_of(request, "read")
    role_id = check_id(role_id, "role")
    role = (await read(request, lambda: acl.read(acl.roles, acl.roles.get(role_id)))).value
    return _found(role and named_role(acl, role), "role")


async def get_role_by_name(request: Request) -> Answer:
    """Read a role by name."""
    name = _rest(request, "Missing role Name")
    acl = acl_of(request, "read")
    role = (await read(request, lambda: acl.read(acl.roles, acl.role_by_name(name)))).value
    return _found(role and named_role(acl, role), "role")


async def delete_role(request: Request) -> Answer:
    """Delete a role."""
    role_id = _rest(request, "Missing role ID")
    acl = acl_of(request, "write")
    await request.context.server.transact(
        lambda draft: operations.delete_role(acl, draft, role_id), TURN
    )
    return json_answer(True)


async def list_roles(request: Request) -> Answer:
    """List roles, those that link one policy if asked."""
    acl = acl_of(request, "read")
    roles = (await read(request, lambda: acl.read_all(acl.roles))).value
    policy = request.param("policy")
    if policy:
        policy = check_id(policy, "role")
    wanted = [
        named_role(acl, role)
        for role in roles
        if not policy or any(link.id == policy for link in role.policies)
    ]
    return json_answer(wanted)


async def list_templates(request: Request) -> Answer:
    """The built-in templates by name."""
    acl_of(request, "read")
    return json_answer({name: _template(name, it) for name, it in TEMPLATES.items()})


async def get_template(request: Request) -> Answer:
    """One built-in template."""
    name = _rest(request, "Missing templated policy Name")
    acl_of(request, "read")
    template = TEMPLATES.get(name)
    if template is None:
        raise bad_request(f"Invalid templated policy Name: {name}")
    return json_answer(_template(name, template))


async def preview_template(request: Request) -> Answer:
    """The policy a template becomes with given variables."""
    name = _rest(request, "Missing templated policy Name")
    acl_of(request, "read")
    if name not in TEMPLATES:
        raise bad_request(f'templated policy "{name}" does not exist')
    prefix = "Failed to decode request body: "
    variables = decode(await request.body(), TemplateVariables, prefix=prefix)
    problem = problem_of(name, variables)
    if problem:
        raise bad_request(f'validation error for templated policy: "{name}": {problem}')
    return json_answer(shown_synthetic(synthetic_policy(TemplatedPolicy(name, "", variables))))


def _rest(request: Request, missing: str) -> str:
    resolver_of(request)
    if not request.rest:
        raise bad_request(missing)
    return request.rest


def _found(row: object, what: str) -> Answer:
    if row is None:
        raise not_found(MISSING.format(what))
    return json_answer(row)


def _stub(policy: Policy) -> dict[str, Any]:
    return {
        "ID": policy.id,
        "Name": policy.name,
        "Description": policy.description,
        "Datacenters": policy.datacenters or None,
        "Hash": policy.hash,
        "CreateIndex": policy.create_index,
        "ModifyIndex": policy.modify_index,
    }


def _template(name: str, template: Template) -> dict[str, str]:
    return {
        "TemplateName": name,
        "Schema": template.schema,
        "Template": template.template,
        "Description": template.description,
    }


ROUTES = (
    Route("/v1/acl/policy", {"PUT": create_policy}, access="acl:write"),
    Route("/v1/acl/policies", {"GET": list_policies}, access="acl:read"),
    Route(
        "/v1/acl/policy/",
        {"GET": get_policy, "PUT": put_policy, "DELETE": delete_policy},
        access="GET acl:read, PUT and DELETE acl:write",
    ),
    Route("/v1/acl/policy/name/", {"GET": get_policy_by_name}, access="acl:read"),
    Route("/v1/acl/role", {"PUT": create_role}, access="acl:write"),
    Route("/v1/acl/roles", {"GET": list_roles}, access="acl:read"),
    Route(
        "/v1/acl/role/",
        {"GET": get_role, "PUT": put_role, "DELETE": delete_role},
        access="GET acl:read, PUT and DELETE acl:write",
    ),
    Route("/v1/acl/role/name/", {"GET": get_role_by_name}, access="acl:read"),
    Route("/v1/acl/templated-policies", {"GET": list_templates}, access="acl:read"),
    Route("/v1/acl/templated-policy/name/", {"GET": get_template}, access="acl:read"),
    Route("/v1/acl/templated-policy/preview/", {"POST": preview_template}, access="acl:read"),
)
