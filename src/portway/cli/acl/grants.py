"""What tokens and roles are given: flags, and the bodies made of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from portway.cli.acl.ids import policy_id, role_id
from portway.cli.client import ApiError, Client
from portway.cli.command import Wrong, fail, flag
from portway.cli.data import contents

_F = Callable[..., Any]
Row = dict[str, Any]
_MANY = "; may be given several times."

_TEMPLATED = (
    ("templated-policy", "Name of a templated policy, with -var for its variables."),
    ("templated-policy-file", "File of templated policies in HCL or JSON."),
)


def grant_flags(function: _F) -> _F:
    """Declare the flags of what a new token or role is given."""
    function = _link_flags(function)
    for name, text in _TEMPLATED:
        function = flag(name, str, text)(function)
    return function


def change_flags(function: _F) -> _F:
    """Declare the flags of what a token or role is given that exists."""
    function = _link_flags(function)
    for name, text in _TEMPLATED:
        function = flag(f"append-{name}", str, f"{text} It comes to those there are.")(function)
        function = flag(f"replace-{name}", str, f"{text} It is the only one then.")(function)
    return function


def _link_flags(function: _F) -> _F:
    for name, text in (
        ("policy-id", f"ID of a policy, or its beginning{_MANY}"),
        ("policy-name", f"Name of a policy{_MANY}"),
        ("service-identity", f"Service, as NAME or NAME:DATACENTER,…{_MANY}"),
        ("node-identity", f"Node, as NAME:DATACENTER{_MANY}"),
        ("var", f"Variable of the templated policy that is named, as name:VALUE{_MANY}"),
    ):
        function = flag(name, str, text, multiple=True)(function)
    return function


def role_flags(function: _F) -> _F:
    """Declare the flags of the roles of a token."""
    function = flag("role-id", str, f"ID of a role, or its beginning{_MANY}", multiple=True)(
        function
    )
    return flag("role-name", str, f"Name of a role{_MANY}", multiple=True)(function)


def policies(client: Client, ids: Sequence[str], names: Sequence[str]) -> list[Row]:
    """Links to policies. Raises Failed."""
    return [{"Name": name} for name in names] + [
        {"ID": _resolved(policy_id, client, "policy", text)} for text in ids
    ]


def roles(client: Client, ids: Sequence[str], names: Sequence[str]) -> list[Row]:
    """Links to roles. Raises Failed."""
    return [{"Name": name} for name in names] + [
        {"ID": _resolved(role_id, client, "role", text)} for text in ids
    ]


def _resolved(resolve: Callable[[Client, str], str], client: Client, what: str, text: str) -> str:
    try:
        return resolve(client, text)
    except ApiError as error:
        fail(f"Error resolving {what} ID {text}: {error}")


def service_identities(texts: Sequence[str]) -> list[Row]:
    """Service identities. Raises Wrong."""
    rows = []
    for text in texts:
        name, colon, places = text.partition(":")
        if ":" in places:
            raise Wrong(f'Malformed -service-identity argument: "{text}"')
        rows.append({"ServiceName": name} | ({"Datacenters": places.split(",")} if colon else {}))
    return rows


def node_identities(texts: Sequence[str]) -> list[Row]:
    """Node identities. Raises Wrong."""
    rows = []
    for text in texts:
        if text.count(":") != 1:
            raise Wrong(f'Malformed -node-identity argument: "{text}"')
        name, _, place = text.partition(":")
        rows.append({"NodeName": name, "Datacenter": place})
    return rows


def templated_policies(name: str, file: str, variables: Sequence[str]) -> list[Row]:
    """Templated policies of one flag or a file. Raises Wrong, Failed."""
    if variables and not name:
        raise Wrong("Cannot specify variables without specifying templated policy")
    rows: list[Row] = []
    if name:
        row: Row = {"TemplateName": name}
        if variables:
            row["TemplateVariables"] = template_variables(variables)
        rows.append(row)
    return [*rows, *(_of_file(file) if file else ())]


def new_templates(what: str, given: Mapping[str, Any]) -> list[Row]:
    """The templated policies of a new token or role, ``what``. Raises Wrong, Failed."""
    name, file = given["templated_policy"], given["templated_policy_file"]
    if name and file:
        raise Wrong(
            "Cannot combine the use of templated-policy flag with templated-policy-file. To create "
            f"a {what} with a single templated policy and simple use case, use -templated-policy. "
            "For multiple templated policies and more complicated use cases, use "
            "-templated-policy-file"
        )
    return templated_policies(name, file, given["var"])


def changed_templates(
    current: Sequence[Row], given: Mapping[str, Any], append: str = "append"
) -> list[Row]:
    """The templated policies that something is to have. Raises Wrong, Failed.

    ``append`` is how Consul begins the name of the flag when it refuses both ways at once.
    """
    added, whole = (
        (given[f"{how}_templated_policy"], given[f"{how}_templated_policy_file"])
        for how in ("append", "replace")
    )
    if any(added) and any(whole):
        raise Wrong(
            f"Cannot combine the use of {append}-templated-policy flags with "
            "replace-templated-policy. To set or overwrite existing templated policies, use "
            "-replace-templated-policy or -replace-templated-policy-file. To append to existing "
            "templated policies, use -append-templated-policy or -append-templated-policy-file."
        )
    rows = templated_policies(*(whole if any(whole) else added), given["var"])
    return rows if any(whole) else [*current, *rows]


def template_variables(texts: Sequence[str]) -> Row:
    """Variables written ``name:value``. Raises Wrong."""
    values: Row = {}
    for text in texts:
        key, colon, value = text.partition(":")
        if not colon:
            raise Wrong(f'Malformed -var argument: "{text}"; it must be name:VALUE')
        if key.lower() != "name":
            raise Wrong(f'Unknown variable of templated policies: "{key}"; there is name')
        values["name"] = value
    return values


def _of_file(path: str) -> list[Row]:
    """``TemplatedPolicy "builtin/service" { Name = "api" }`` and so on."""
    from portway.config.hcl import HclError, parse_hcl

    try:
        tree = parse_hcl(contents(path).decode("utf-8-sig"), path)
    except OSError as error:
        fail(str(error))
    except (HclError, UnicodeDecodeError) as error:
        fail(f"Error parsing templated policy file: {error}")
    rows: list[Row] = []
    found = next((value for key, value in tree.items() if key.lower() == "templatedpolicy"), None)
    for names in found if isinstance(found, list) else [found]:
        if not isinstance(names, dict):
            fail(f"Error parsing templated policy file: {path} has no TemplatedPolicy")
        for name, blocks in names.items():
            each = blocks if isinstance(blocks, list) else [blocks]
            rows += [_of_block(path, name, block) for block in each]
    return rows


def _of_block(path: str, name: str, block: Any) -> Row:
    row: Row = {"TemplateName": name}
    for key, value in (block if isinstance(block, dict) else {"": block}).items():
        if key.lower() == "name" and isinstance(value, str):
            row["TemplateVariables"] = {"name": value}
        elif key.lower() == "datacenters" and isinstance(value, list):
            row["Datacenters"] = value
        else:
            fail(
                f'Error parsing templated policy file: {path}: "{key}" of {name} is not known; '
                "there are Name and Datacenters"
            )
    return row


def with_added(rows: Sequence[Row], more: Sequence[Row], *keys: str) -> list[Row]:
    """``rows`` and ``more``, which take the place of what is the same by ``keys``."""
    merged = list(rows)
    for one in more:
        found = next((n for n, row in enumerate(merged) if _same(row, one, keys)), len(merged))
        merged[found : found + 1] = [one]
    return merged


def _same(one: Row, other: Row, keys: Sequence[str]) -> bool:
    return any(one.get(key) and one.get(key) == other.get(key) for key in keys) and all(
        one.get(key) == other.get(key) for key in keys if one.get(key) and other.get(key)
    )
