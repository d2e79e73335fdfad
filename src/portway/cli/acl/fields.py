"""The fields of access control in JSON: those the command line shows, in Consul's order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Fields = Mapping[str, Any]
"""Name → value of a field that is missing, or ``...`` if it is left out then."""

LINK: Fields = {"ID": "", "Name": ""}
_SERVICE: Fields = {"ServiceName": "", "Datacenters": ...}
_NODE: Fields = {"NodeName": "", "Datacenter": ""}
_VARIABLES: Fields = {"Name": ""}
_TEMPLATED: Fields = {"TemplateName": "", "TemplateVariables": ..., "Datacenters": ...}
_INDEXES: Fields = {"CreateIndex": 0, "ModifyIndex": 0}

POLICY: Fields = {
    "ID": "",
    "Name": "",
    "Description": "",
    "Rules": "",
    "Datacenters": None,
    "Hash": None,
    **_INDEXES,
}
POLICY_IN_LIST: Fields = {name: value for name, value in POLICY.items() if name != "Rules"}
_GRANTS: Fields = {"ServiceIdentities": ..., "NodeIdentities": ..., "TemplatedPolicies": ...}
ROLE: Fields = {
    "ID": "",
    "Name": "",
    "Description": "",
    "Policies": ...,
    **_GRANTS,
    "Hash": None,
    **_INDEXES,
}
TOKEN: Fields = {
    **_INDEXES,
    "AccessorID": "",
    "SecretID": "",
    "Description": "",
    "Policies": ...,
    "Roles": ...,
    **_GRANTS,
    "Local": False,
    "AuthMethod": ...,
    "ExpirationTTL": ...,
    "ExpirationTime": ...,
    "CreateTime": ...,
    "Hash": ...,
}
EXPANDED: Fields = {
    "ExpandedPolicies": None,
    "ExpandedRoles": None,
    "NamespaceDefaultPolicyIDs": None,
    "NamespaceDefaultRoleIDs": None,
    "AgentACLDefaultPolicy": "",
    "AgentACLDownPolicy": "",
    "ResolvedByAgent": "",
    **TOKEN,
}
RULE: Fields = {
    "ID": "",
    "Description": "",
    "AuthMethod": "",
    "Selector": "",
    "BindType": "",
    "BindName": "",
    "BindVars": ...,
    **_INDEXES,
}
METHOD_IN_LIST: Fields = {
    "MaxTokenTTL": ...,
    "Name": "",
    "Type": "",
    "DisplayName": ...,
    "Description": ...,
    "TokenLocality": ...,
    **_INDEXES,
}
METHOD: Fields = {
    **{name: value for name, value in METHOD_IN_LIST.items() if name not in _INDEXES},
    "Config": None,
    **_INDEXES,
}
TEMPLATE: Fields = {"TemplateName": "", "Schema": "", "Template": "", "Description": ""}

_WITHIN: Mapping[str, Fields] = {
    "Policies": LINK,
    "Roles": LINK,
    "ServiceIdentities": _SERVICE,
    "NodeIdentities": _NODE,
    "TemplatedPolicies": _TEMPLATED,
    "TemplateVariables": _VARIABLES,
    "BindVars": _VARIABLES,
    "ExpandedPolicies": POLICY,
    "ExpandedRoles": ROLE,
}


def shaped(value: Any, fields: Fields) -> Any:
    """``value``, an object or a list of them, with ``fields``, in their order."""
    if isinstance(value, list):
        return [shaped(one, fields) for one in value]
    if not isinstance(value, dict):
        return value
    row: dict[str, Any] = {}
    given = {name.lower(): one for name, one in value.items()}  # the API has "name" and "Name"
    for name, missing in fields.items():
        found = given.get(name.lower(), missing)
        if missing is ... and found in (..., None, "", [], {}, 0):
            continue
        row[name] = shaped(found, _WITHIN[name]) if name in _WITHIN else found
    return row
