"""``acl templated-policy``: the templates of policies."""

from __future__ import annotations

from portway.cli.acl import fields
from portway.cli.acl.fields import shaped
from portway.cli.acl.formats import FORMAT_HELP, META_HELP, Row, checked, show
from portway.cli.acl.grants import templated_policies
from portway.cli.acl.policy import policy_text
from portway.cli.client import Client
from portway.cli.command import Wrong, command, failing, flag, group, no_arguments

_VARIABLES = {
    "builtin/service": ("String - Required - The name of the service.", "api"),
    "builtin/node": ("String - Required - The node name.", "node-1"),
    "builtin/api-gateway": ("String - Required - The api gateway name.", "api-gateway-1"),
}


def _text(template: Row, meta: bool) -> str:
    name = template["TemplateName"]
    lines = [f"{'Name:':<17}{name}"]
    example = f"\tconsul acl token create -templated-policy {name}"
    if name in _VARIABLES:
        what, value = _VARIABLES[name]
        lines += ["Input variables:", f"\tName: {what}"]
        example += f" -var name:{value}"
    else:
        lines.append("Input variables: None")
    lines += ["Example usage:", example]
    if meta:
        if template.get("Schema"):
            lines += ["Schema:", template["Schema"], ""]
        lines += ["Raw Template:", template.get("Template", "")]
    return "".join(f"{line}\n" for line in lines)


@command("list", server=True)
@flag("format", str, FORMAT_HELP, default="pretty")
@flag("meta", bool, META_HELP)
def list_(
    client: Client,
    args: tuple[str, ...],
    format: str,  # noqa: A002
    meta: bool,
) -> None:
    """List the templates."""
    no_arguments(args)
    checked(format)
    with failing("Failed to retrieve the templated policies list"):
        templates: dict[str, Row] = client.get("acl/templated-policies").json()
    rows = {name: shaped(templates[name], fields.TEMPLATE) for name in sorted(templates)}
    show(format, rows, dict.fromkeys(rows), lambda: "".join(f"{name}\n" for name in rows))


@command("read", server=True)
@flag("format", str, FORMAT_HELP, default="pretty")
@flag("meta", bool, "Show the template itself, too.")
@flag("name", str, "Name of the template.")
def read(
    client: Client,
    args: tuple[str, ...],
    format: str,  # noqa: A002
    meta: bool,
    name: str,
) -> None:
    """Show a template: its variables and how it is used."""
    no_arguments(args)
    checked(format)
    if not name:
        raise Wrong("Must specify the -name parameter")
    with failing(f'Error reading templated policy "{name}"'):
        template = client.get(f"acl/templated-policy/name/{name}").json()
    show(format, template, fields.TEMPLATE, lambda: _text(template, meta))


@command("preview", server=True)
@flag("file", str, "File of one templated policy in HCL or JSON.")
@flag("format", str, FORMAT_HELP, default="pretty")
@flag("meta", bool, META_HELP)
@flag("name", str, "Name of the template.")
@flag("var", str, "Variable, as name:VALUE.", multiple=True)
def preview(
    client: Client,
    args: tuple[str, ...],
    file: str,
    format: str,  # noqa: A002
    meta: bool,
    name: str,
    var: tuple[str, ...],
) -> None:
    """Show the policy that a template becomes with its variables."""
    no_arguments(args)
    checked(format)
    if not name and not file:
        raise Wrong("Cannot preview a templated policy without specifying -name or -file")
    rows = templated_policies(name, file, var)
    if len(rows) != 1:
        raise Wrong("Can only preview a single templated policy at a time.")
    row = rows[0]
    wanted = row["TemplateName"]
    with failing("Failed to generate the templated policy preview"):
        policy = client.post(
            f"acl/templated-policy/preview/{wanted}", (), row.get("TemplateVariables") or {}
        ).json()
    show(format, policy, fields.POLICY, lambda: policy_text(policy, meta))


templated_policy = group(
    "templated-policy",
    "Look at the templates that policies of services, nodes and the like are made of.",
    {
        "list": ("portway.cli.acl.templated_policy:list_", "List the templates."),
        "preview": ("portway.cli.acl.templated_policy:preview", "Show a policy of a template."),
        "read": ("portway.cli.acl.templated_policy:read", "Show a template."),
    },
)
