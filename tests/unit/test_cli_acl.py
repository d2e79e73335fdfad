"""``consul acl``: what is sent for options and files, where the agent's answer matters little."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.cli_agent import Consul, FakeAgent, calling, serving

agent = pytest.fixture(serving)
consul = pytest.fixture(calling)

ID = "a1b2c3d4-0000-4000-8000-000000000000"
TOKEN: dict[str, Any] = {
    "AccessorID": ID,
    "SecretID": "5e0b5ee9-0000-4000-8000-000000000000",
    "Description": "",
    "Local": False,
    "CreateTime": "2024-05-06T07:08:09.123456789Z",
}
RULE: dict[str, Any] = {
    "ID": ID,
    "AuthMethod": "ci",
    "Description": "old",
    "BindType": "service",
    "BindName": "web",
    "Selector": "a == b",
    "CreateIndex": 5,
    "ModifyIndex": 6,
}
METHOD: dict[str, Any] = {
    "Name": "k8s",
    "Type": "kubernetes",
    "Description": "old",
    "MaxTokenTTL": "5m0s",
    "Config": {"Host": "https://a", "CACert": "C", "ServiceAccountJWT": "J"},
    "CreateIndex": 5,
    "ModifyIndex": 6,
}

TEMPLATES = """
TemplatedPolicy "builtin/service" { Name = "api" }
TemplatedPolicy "builtin/node" {
  Name = "n1"
  Datacenters = ["dc1"]
}
TemplatedPolicy "builtin/dns" {}
"""
ROWS = [
    {"TemplateName": "builtin/service", "TemplateVariables": {"name": "api"}},
    {
        "TemplateName": "builtin/node",
        "TemplateVariables": {"name": "n1"},
        "Datacenters": ["dc1"],
    },
    {"TemplateName": "builtin/dns"},
]


def test_templates_of_a_file(agent: FakeAgent, consul: Consul, tmp_path: Path) -> None:
    agent.answer("PUT", "/acl/token", TOKEN)
    hcl, of_json = tmp_path / "a.hcl", tmp_path / "a.json"
    hcl.write_text(TEMPLATES)
    tree = {
        "builtin/service": {"Name": "api"},
        "builtin/node": {"Name": "n1", "Datacenters": ["dc1"]},
        "builtin/dns": {},
    }
    of_json.write_text(json.dumps({"TemplatedPolicy": tree}))
    for file in (hcl, of_json):
        done = consul("acl", "token", "create", f"-templated-policy-file={file}")
        assert done.code == 0, done
        assert agent.questions[-1].json["TemplatedPolicies"] == ROWS


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ('Templates "builtin/dns" {}', "has no TemplatedPolicy"),
        ('TemplatedPolicy "builtin/service" { Nam = "x" }', '"Nam" of builtin/service is not kn'),
        ('TemplatedPolicy "builtin/service" { Name = 5 }', '"Name" of builtin/service is not kn'),
        ("TemplatedPolicy = 5", "has no TemplatedPolicy"),
        ("TemplatedPolicy {", "Error parsing templated policy file: "),
    ],
)
def test_wrong_templates(
    agent: FakeAgent, consul: Consul, tmp_path: Path, text: str, error: str
) -> None:
    file = tmp_path / "a.hcl"
    file.write_text(text)
    done = consul("acl", "token", "create", f"-templated-policy-file={file}")
    assert done.code == 1 and error in done.err
    assert not agent.questions


def test_a_token_with_everything(agent: FakeAgent, consul: Consul) -> None:
    agent.answer("PUT", "/acl/token", TOKEN)
    agent.answer("GET", "/acl/policies", [{"ID": ID}])
    agent.answer("GET", "/acl/roles", [{"ID": ID}])
    done = consul(
        "acl", "token", "create", "-policy-id=a1b2", "-policy-name=p", "-role-id=a1b2",
        "-role-name=r", "-service-identity=web:dc1,dc2", "-node-identity=n1:dc1",
        "-templated-policy=builtin/node", "-var=name:n1", f"-accessor={ID}", "-secret=s",
        "-expires-ttl=90m", "-local", "-description=d",
    )  # fmt: skip
    assert done.code == 0, done
    assert "Create Time:      2024-05-06 07:08:09.123456789 +0000 UTC\n" in done.out
    assert agent.asked("PUT", "/acl/token")[0].json == {
        "AccessorID": ID,
        "SecretID": "s",
        "Description": "d",
        "Local": True,
        "ExpirationTTL": "1h30m0s",
        "Policies": [{"Name": "p"}, {"ID": ID}],
        "Roles": [{"Name": "r"}, {"ID": ID}],
        "ServiceIdentities": [{"ServiceName": "web", "Datacenters": ["dc1", "dc2"]}],
        "NodeIdentities": [{"NodeName": "n1", "Datacenter": "dc1"}],
        "TemplatedPolicies": [
            {"TemplateName": "builtin/node", "TemplateVariables": {"name": "n1"}},
        ],
    }


@pytest.mark.parametrize(
    ("ids", "text"),
    [
        (["a1b2", "a1c3"], "Partial policy ID is not unique"),
        (["b1"], "No such policy ID with prefix: a1"),
    ],
)
def test_beginnings_of_ids(agent: FakeAgent, consul: Consul, ids: list[str], text: str) -> None:
    agent.answer("GET", "/acl/policies", [{"ID": one} for one in ids])
    done = consul("acl", "token", "create", "-policy-id=a1")
    assert done == (1, "", f"Error resolving policy ID a1: {text}\n")


def test_binding_rules(agent: FakeAgent, consul: Consul) -> None:
    variables = {"BindVars": {"Name": "${value.app}"}}
    shown = {"BindVars": {"name": "${value.app}"}}
    agent.answer("PUT", "/acl/binding-rule", {**RULE, **shown})
    done = consul(
        "acl", "binding-rule", "create", "-method=ci", "-bind-type=templated-policy",
        "-bind-name=builtin/service", "-bind-vars=name=${value.app}", "-meta",
    )  # fmt: skip
    assert agent.questions[-1].json == {
        "AuthMethod": "ci",
        "Description": "",
        "BindType": "templated-policy",
        "BindName": "builtin/service",
        "Selector": "",
        **variables,
    }
    assert "     - Name: ${value.app}\n" in done.out and "Modify Index: 6\n" in done.out


def test_changes_of_a_binding_rule(agent: FakeAgent, consul: Consul) -> None:
    path = f"/acl/binding-rule/{ID}"
    agent.answer("GET", path, RULE)
    agent.answer("PUT", path, RULE)
    kept = {key: RULE[key] for key in RULE if not key.endswith("Index")}
    for options, sent in (
        (["-description=new"], {**kept, "Description": "new"}),
        (["-selector="], {**kept, "Selector": ""}),
        (
            ["-no-merge", "-bind-name=db"],
            {"ID": ID, "AuthMethod": "ci", "BindType": "service", "BindName": "db"},
        ),
    ):
        done = consul("acl", "binding-rule", "update", f"-id={ID}", *options)
        assert done.code == 0, done
        assert agent.questions[-1].json == sent
    done = consul("acl", "binding-rule", "update", f"-id={ID}", "-no-merge")
    assert done == (1, "", "Missing required '-bind-name' flag\n")


def test_an_auth_method_of_kubernetes(agent: FakeAgent, consul: Consul, tmp_path: Path) -> None:
    agent.answer("PUT", "/acl/auth-method", METHOD)
    agent.answer("GET", "/acl/auth-method/k8s", METHOD)
    agent.answer("PUT", "/acl/auth-method/k8s", METHOD)
    certificate = tmp_path / "ca.pem"
    certificate.write_text("PEM")
    host, account = "-kubernetes-host=https://b", "-kubernetes-service-account-jwt=J2"
    done = consul(
        "acl", "auth-method", "create", "-type=kubernetes", "-name=k8s", host, account,
        f"-kubernetes-ca-cert=@{certificate}", "-display-name=K", "-token-locality=global",
    )  # fmt: skip
    assert done.code == 0, done
    assert agent.questions[-1].json == {
        "Name": "k8s",
        "Type": "kubernetes",
        "DisplayName": "K",
        "TokenLocality": "global",
        "Config": {"Host": "https://b", "CACert": "PEM", "ServiceAccountJWT": "J2"},
    }
    update = ("acl", "auth-method", "update", "-name=k8s")
    assert consul(*update, host).code == 0
    assert agent.questions[-1].json == {
        "Name": "k8s",
        "Type": "kubernetes",
        "Description": "old",
        "MaxTokenTTL": "5m0s",
        "Config": {"Host": "https://b", "CACert": "C", "ServiceAccountJWT": "J"},
    }
    assert consul(*update, '-config={"Host": "x"}').code == 0
    assert agent.questions[-1].json["Config"] == {"Host": "x"}
    done = consul(*update, "-no-merge", host, account)
    assert done == (1, "", "Missing required '-kubernetes-ca-cert' flag\n")


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        (("auth-method", "create"), "Missing required '-type' flag\n"),
        (("auth-method", "create", "-type=jwt"), "Missing required '-name' flag\n"),
        (
            ("auth-method", "create", "-type=kubernetes", "-name=x"),
            "Missing required '-kubernetes-host' flag\n",
        ),
        (
            ("auth-method", "create", "-type=jwt", "-name=x", "-config={"),
            "Error parsing JSON for auth method config: ",
        ),
        (
            ("auth-method", "create", "-type=jwt", "-name=x", "-config=[]"),
            "Error parsing JSON for auth method config: it is not an object\n",
        ),
        (
            ("auth-method", "create", "-type=jwt", "-name=x", "-config=@/nowhere"),
            "Error loading configuration file: ",
        ),
        (
            ("auth-method", "create", "-type=k", "-name=x", "-config={}", "-kubernetes-host=a"),
            "Cannot use command line arguments with '-config' flags\n",
        ),
        (
            ("auth-method", "create", "-type=k", "-name=x", "-kubernetes-ca-cert=@/nowhere"),
            "Invalid '-kubernetes-ca-cert' value: ",
        ),
        (
            ("auth-method", "update"),
            "Cannot update an auth method without specifying the -name parameter\n",
        ),
        (("auth-method", "read"), "Must specify the -name parameter\n"),
        (("auth-method", "delete"), "Must specify the -name parameter\n"),
        (("binding-rule", "create"), "Missing required '-method' flag\n"),
        (("binding-rule", "create", "-method=a"), "Missing required '-bind-name' flag\n"),
        (
            (
                *("binding-rule", "create", "-method=a", "-bind-type=templated-policy"),
                *("-bind-name=b", "-bind-vars=colour=c"),
            ),
            'Unknown variable of templated policies: "colour"',
        ),
        (
            ("binding-rule", "update"),
            "Cannot update a binding rule without specifying the -id parameter\n",
        ),
        (("binding-rule", "read"), "Must specify the -id parameter.\n"),
        (("binding-rule", "delete"), "Must specify the -id parameter\n"),
        (("role", "create"), "Missing required '-name' flag\n"),
        (("role", "update"), "Cannot update a role without specifying the -id parameter\n"),
        (("role", "read"), "Must specify either the -id or -name parameters\n"),
        (("role", "delete"), "Must specify the -id or -name parameters\n"),
        (
            ("token", "create", "-policy-name=p", "-var=name:x"),
            "Cannot specify variables without specifying templated policy\n",
        ),
        (
            ("token", "create", "-templated-policy=a", "-templated-policy-file=b"),
            "Cannot combine the use of templated-policy flag with templated-policy-file. ",
        ),
        (("token", "read", "-self", "-expanded"), "Cannot use both -expanded and -self\n"),
        (("token", "clone"), "Cannot update a token without specifying the -accessor-id parameter"),
        (
            ("templated-policy", "preview"),
            "Cannot preview a templated policy without specifying -name or -file\n",
        ),
        (("templated-policy", "read"), "Must specify the -name parameter\n"),
        (("bootstrap", "a", "b"), "Error: Too many arguments (expected 0 or 1, got 2)\n"),
        (("bootstrap", "/nowhere"), "Error reading bootstrap token: "),
        (("set-agent-token", "agent"), "Error! Missing TOKEN argument\n"),
    ],
)
def test_wrong_commands(agent: FakeAgent, consul: Consul, argv: tuple[str, ...], text: str) -> None:
    done = consul("acl", *argv)
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith(text)
    assert not agent.questions
