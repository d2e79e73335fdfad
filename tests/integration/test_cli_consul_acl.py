"""Access control from the first token on, as HashiCorp's guide has it, against a real agent."""

from __future__ import annotations

import json
import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.integration.cli_consul_rig import Agent, Done, agent_running
from tests.patience import PATIENCE

_ACL = 'acl { enabled = true default_policy = "deny" enable_token_persistence = true }'
RULES = """
key_prefix "app/" {
  policy = "write"
}
key "app/secret" {
  policy = "deny"
}
"""


class Session:
    """An agent with access control, and commands made with one token or another."""

    def __init__(self, agent: Agent) -> None:
        self.agent = agent
        self.management = ""

    def call(self, *argv: str, token: str | None = None, stdin: str = "") -> Done:
        secret = self.management if token is None else token
        done = subprocess.run(
            [self.agent.program, *argv],
            env={**self.agent.environ, "CONSUL_HTTP_TOKEN": secret},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    def json(self, *argv: str) -> dict[str, object]:
        done = self.call(*argv, "-format=json")
        assert done.code == 0, done
        value: dict[str, object] = json.loads(done.out)
        return value


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    directory = tmp_path_factory.mktemp("acl")
    with agent_running(directory, "-hcl", _ACL) as agent:
        session = Session(agent)
        denied = agent.consul("kv", "put", "app/limit", "5")
        assert denied.code == 1 and "Permission denied: anonymous token" in denied.err
        done = agent.consul("acl", "bootstrap")
        lines = done.out.splitlines()
        assert (done.code, done.err) == (0, "")
        assert lines[0].startswith("AccessorID:       ")
        assert lines[1].startswith("SecretID:         ")
        assert lines[2:4] == [
            "Description:      Bootstrap Token (Global Management)",
            "Local:            false",
        ]
        assert lines[4].startswith("Create Time:      20") and lines[4].endswith(" +0000 UTC")
        assert lines[5:] == [
            "Policies:",
            "   00000000-0000-0000-0000-000000000001 - global-management",
            "",
        ]
        session.management = lines[1].split()[1]
        yield session


def test_bootstrap_works_once(session: Session) -> None:
    done = session.agent.consul("acl", "bootstrap")
    assert done.code == 1 and done.out == ""
    assert done.err.startswith(
        "Failed ACL bootstrapping: Unexpected response code: 403 (Permission denied: ACL bootstrap "
        "no longer allowed (reset index: "
    )


def test_the_guide_from_policy_to_denied_and_allowed(session: Session, tmp_path: Path) -> None:
    rules = tmp_path / "app.hcl"
    rules.write_text(RULES)
    done = session.call(
        "acl", "policy", "create", "-name=app", "-description=The app", f"-rules=@{rules}"
    )
    lines = done.out.splitlines()
    assert done.code == 0, done
    assert lines[0].startswith("ID:           ")
    assert lines[1:5] == [
        "Name:         app",
        "Description:  The app",
        "Datacenters:  ",
        "Rules:",
    ]
    assert "\n".join(lines[5:]).strip() == RULES.strip()
    made = session.json("acl", "token", "create", "-description=app", "-policy-name=app")
    token = str(made["SecretID"])
    assert made["Policies"] == [{"ID": lines[0].split()[1], "Name": "app"}]

    done = session.call("kv", "put", "app/limit", "5", token=token)
    assert (done.code, done.out) == (0, "Success! Data written to: app/limit\n")
    assert session.call("kv", "get", "app/limit", token=token).out == "5\n"
    for argv in (
        ("kv", "put", "other", "5"),
        ("kv", "put", "app/secret", "5"),
        ("kv", "get", "app/secret"),
        ("acl", "token", "list"),
        ("operator", "raft", "list-peers"),
    ):
        done = session.call(*argv, token=token)
        assert done.code == 1 and done.out == "", (argv, done)
        assert "Permission denied: token with AccessorID '" in done.err, argv
    assert session.call("kv", "get", "app/limit", token="nobody").code == 1

    read = session.call("acl", "token", "read", "-self", token=token)
    assert "Description:      app" in read.out.splitlines()
    # The policy takes effect as soon as it is changed.
    done = session.call("acl", "policy", "update", "-name=app", '-rules=key "app/limit" {}')
    assert done.code == 1 and "Error updating policy" in done.err
    done = session.call(
        "acl", "policy", "update", "-name=app", '-rules=key "app/limit" { policy = "read" }'
    )
    assert done.code == 0, done
    assert session.call("kv", "put", "app/limit", "6", token=token).code == 1
    assert session.call("kv", "get", "app/limit", token=token).out == "5\n"
    done = session.call("acl", "token", "delete", f"-accessor-id={made['AccessorID']}")
    assert (done.code, done.out) == (0, f'Token "{made["AccessorID"]}" deleted successfully\n')
    done = session.call("kv", "get", "app/limit", token=token)
    assert done.code == 1 and "ACL not found" in done.err


def test_policies(session: Session) -> None:
    create = ("acl", "policy", "create")
    done = session.call(*create, "-name=reader", "-rules=-", "-format=json", stdin=RULES)
    policy = json.loads(done.out)
    assert policy["Rules"] == RULES
    beginning = policy["ID"][:8]
    done = session.call("acl", "policy", "read", f"-id={beginning}", "-meta")
    lines = done.out.splitlines()
    assert lines[0] == f"ID:           {policy['ID']}"
    assert lines[4].startswith("Hash:         ") and len(lines[4]) > 40
    assert lines[5] == f"Create Index: {policy['CreateIndex']}"
    listed = session.call("acl", "policy", "list").out
    assert (
        "global-management:\n"
        "   ID:           00000000-0000-0000-0000-000000000001\n"
        "   Description:  A policy that grants unlimited access\n"
        "   Datacenters:  \n"
    ) in listed
    assert f"reader:\n   ID:           {policy['ID']}\n" in listed
    done = session.call("acl", "policy", "delete", "-name=reader")
    assert done.out == f'Policy "{policy["ID"]}" deleted successfully\n'
    done = session.call("acl", "policy", "read", "-name=reader")
    assert done.code == 1 and done.err == "Error policy not found: reader\n"
    for argv, text in (
        (("create",), "Missing required '-name' flag\n"),
        (("create", "-name=x", "-rules=@/nowhere"), "Error loading rules: Failed to read file: "),
        (("create", "-name=x", "-rules=kee {}"), "Failed to create new policy: Unexpected respo"),
        (("read",), "Must specify either the -id or -name parameters\n"),
        (("read", "-id=zz"), "Error determining policy ID: No such policy ID with prefix: zz\n"),
        (("read", "-id=0000"), "Error determining policy ID: Partial policy ID is not unique\n"),
        (("update",), "Cannot update a policy without specifying the -id or -name parameter\n"),
        (("list", "-format=xml"), "Unknown format: xml\n"),
        (("list", "x"), "Too many arguments (expected 0, got 1)\n"),
    ):
        done = session.call("acl", "policy", *argv)
        assert done.code == 1 and done.out == "", (argv, done)
        assert done.err.startswith(text), (argv, done.err)


def test_roles(session: Session) -> None:
    session.call("acl", "policy", "create", "-name=role-policy", "-rules=")
    done = session.call(
        "acl", "role", "create", "-name=ops", "-description=Operators",
        "-policy-name=role-policy", "-service-identity=web", "-service-identity=db:dc1,dc2",
        "-node-identity=n1:dc1", "-templated-policy=builtin/service", "-var=name:api",
    )  # fmt: skip
    lines = done.out.splitlines()
    assert done.code == 0, done
    assert lines[1:3] == ["Name:         ops", "Description:  Operators"]
    assert lines[3] == "Policies:" and lines[4].endswith(" - role-policy")
    assert lines[5:-1] == [
        "Service Identities:",
        "   web (Datacenters: all)",
        "   db (Datacenters: dc1, dc2)",
        "Node Identities:",
        "   n1 (Datacenter: dc1)",
        "Templated Policies:",
        "   builtin/service",
        "      Name: api",
        "      Datacenters: all",
    ]
    identity = lines[0].split()[1]
    done = session.call("acl", "role", "update", f"-id={identity[:10]}", "-service-identity=web2")
    assert "   web2 (Datacenters: all)" in done.out and "   web (Datacenters: all)" in done.out
    role = session.json("acl", "role", "read", "-name=ops")
    assert len(role["ServiceIdentities"]) == 3  # type: ignore[arg-type]
    done = session.call(
        "acl", "role", "update", f"-id={identity}", "-no-merge", "-name=ops",
        "-policy-name=role-policy",
    )  # fmt: skip
    assert "Identities" not in done.out and " - role-policy" in done.out
    listed = session.call("acl", "role", "list").out
    assert f"ops:\n   ID:           {identity}\n   Description:  \n   Policies:\n" in listed
    token = session.json("acl", "token", "create", "-role-name=ops")
    assert token["Roles"] == [{"ID": identity, "Name": "ops"}]
    done = session.call("acl", "role", "delete", "-name=ops")
    assert done.out == f'Role "{identity}" deleted successfully\n'
    done = session.call("acl", "role", "read", "-name=ops")
    assert (done.code, done.err) == (1, 'Role not found with name "ops"\n')
    done = session.call("acl", "role", "create", "-name=x")
    assert done.code == 1 and done.err.startswith("Cannot create a role without specifying -policy")


def test_tokens(session: Session) -> None:
    for name in ("one", "two"):
        session.call("acl", "policy", "create", f"-name=token-{name}", "-rules=")
    secret = "5a0c1b2d-0000-4000-8000-00000000abcd"
    made = session.json(
        "acl", "token", "create", "-policy-name=token-one", "-service-identity=web",
        "-expires-ttl=1h", f"-secret={secret}", "-local",
    )  # fmt: skip
    assert made["SecretID"] == secret and made["Local"] is True
    accessor = str(made["AccessorID"])
    done = session.call("acl", "token", "read", f"-accessor-id={accessor[:12]}", "-meta")
    assert f"SecretID:         {secret}" in done.out and "Expiration Time:  20" in done.out
    assert "Modify Index:     " in done.out and "   web (Datacenters: all)" in done.out
    update = ("acl", "token", "update", f"-accessor-id={accessor}")
    done = session.call(*update, "-append-policy-name=token-two", "-append-node-identity=n1:dc1")
    assert " - token-one" in done.out and " - token-two" in done.out
    assert "   n1 (Datacenter: dc1)" in done.out
    assert "Service Identities" not in done.out  # not named, so taken away, as documented
    done = session.call(*update, "-policy-name=token-two", "-merge-policies")
    assert done.err.startswith("merge-policies is deprecated and will be removed")
    assert " - token-one" in done.out and " - token-two" in done.out
    done = session.call(*update, "-policy-name=token-two", "-description=changed")
    assert " - token-one" not in done.out and "Description:      changed" in done.out
    done = session.call(*update, "-policy-name=a", "-append-policy-name=b")
    assert done.code == 1 and done.err.startswith("Cannot combine the use of policy-id/policy-name")
    done = session.call("acl", "token", "clone", f"-accessor-id={accessor}", "-description=copy")
    assert done.out.startswith("AccessorID:       ")
    assert "Description:      copy" in done.out and " - token-two" in done.out
    listed = session.call("acl", "token", "list").out
    assert listed.count("AccessorID:       ") >= 4 and "\n\nAccessorID:       " in listed
    done = session.call("acl", "token", "read", "-accessor-id=anonymous")
    assert "AccessorID:       00000000-0000-0000-0000-000000000002" in done.out
    for argv, text in (
        (("create",), "Cannot create a token without specifying -policy-name, -policy-id"),
        (("create", "-policy-name=nope"), "Failed to create new token: Unexpected response code"),
        (("create", "-service-identity=a:b:c"), "Malformed -service-identity argument: \"a:b:c\""),
        (("create", "-node-identity=a"), "Malformed -node-identity argument: \"a\""),
        (("create", "-templated-policy=builtin/service", "-var=x"), "Malformed -var argument"),
        (("read",), "Must specify the -accessor-id parameter\n"),
        (("read", "-accessor-id=zz"), "Error determining token ID: No such token ID with prefix"),
        (("delete",), "Must specify the -accessor-id parameter\n"),
        (("update",), "Cannot update a token without specifying the -accessor-id parameter\n"),
    ):  # fmt: skip
        done = session.call("acl", "token", *argv)
        assert done.code == 1 and done.out == "", (argv, done)
        assert done.err.startswith(text), (argv, done.err)


def test_a_token_with_all_its_rules(session: Session) -> None:
    session.call("acl", "policy", "create", "-name=exp", '-rules=key "a" { policy = "read" }')
    made = session.json(
        "acl", "token", "create", "-policy-name=exp", "-service-identity=web",
    )  # fmt: skip
    accessor = f"-accessor-id={made['AccessorID']}"
    done = session.call("acl", "token", "read", accessor, "-expanded")
    assert done.code == 0, done
    assert "\tPolicy Name: exp\n\t\tID: " in done.out
    assert '\t\tRules:\n\t\t\tkey "a" { policy = "read" }\n\n' in done.out
    assert "Service Identities:\n\tName: web (Datacenters: all)\n\t\tDescription: synthetic" in (
        done.out
    )
    assert '\t\t\tservice "web-sidecar-proxy" {' in done.out
    assert "=== End of Authorizer Layer 0: Token ===\n" in done.out
    assert "\nDefault Policy: deny\n\tDescription: Backstop rule used if" in done.out


def test_agent_tokens(session: Session) -> None:
    agent = session.json("acl", "token", "create", "-node-identity=" + _node(session) + ":dc1")
    secret = str(agent["SecretID"])
    done = session.call("acl", "set-agent-token", "agent", secret)
    assert (done.code, done.out) == (0, 'ACL token "agent" set successfully\n')
    done = session.call("acl", "set-agent-token", "nope", secret)
    assert done.code == 1 and done.err.startswith('Unknown token type "nope"; it can be default,')
    assert session.call("acl", "set-agent-token", "agent").code == 1


def _node(session: Session) -> str:
    done = session.call("catalog", "nodes")
    return done.out.splitlines()[1].split()[0]


def test_templates(session: Session) -> None:
    done = session.call("acl", "templated-policy", "list")
    assert "builtin/dns\n" in done.out and "builtin/service\n" in done.out
    assert done.out.splitlines()[:-1] == sorted(done.out.splitlines()[:-1])
    done = session.call("acl", "templated-policy", "read", "-name=builtin/service")
    assert done.out == (
        "Name:            builtin/service\n"
        "Input variables:\n"
        "\tName: String - Required - The name of the service.\n"
        "Example usage:\n"
        "\tconsul acl token create -templated-policy builtin/service -var name:api\n\n"
    )
    preview = ("acl", "templated-policy", "preview")
    done = session.call(*preview, "-name=builtin/service", "-var=name:api")
    assert 'service "api" {' in done.out and "Name:         synthetic-policy-" in done.out
    done = session.call("acl", "templated-policy", "read", "-name=nope")
    assert done.code == 1 and done.err.startswith('Error reading templated policy "nope": ')


def test_a_login_and_a_logout(session: Session, tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    config = {
        "JWTValidationPubKeys": [public.decode()],
        "JWTSupportedAlgs": ["ES256"],
        "ClaimMappings": {"team": "team"},
    }
    done = session.call(
        "acl", "auth-method", "create", "-type=jwt", "-name=ci", "-max-token-ttl=5m",
        "-description=CI jobs", f"-config={json.dumps(config)}",
    )  # fmt: skip
    assert done.code == 0, done
    assert done.out.startswith(
        "Name:          ci\nType:          jwt\nDescription:   CI jobs\nMaxTokenTTL:   5m0s\n"
    )
    assert "\nConfig:\n{\n  " in done.out
    done = session.call(
        "acl", "binding-rule", "create", "-method=ci", "-bind-type=service",
        "-bind-name=${value.team}", "-selector=value.team != root",
    )  # fmt: skip
    assert done.code == 0, done
    rule = done.out.split()[1]
    assert done.out.startswith(
        f"ID:           {rule}\nAuthMethod:   ci\nDescription:  \nBindType:     service\n"
        "BindName:     ${value.team}\nSelector:     value.team != root\n"
    )
    listed = session.call("acl", "auth-method", "list").out
    assert "ci:\n   Type:         jwt\n   Description:  CI jobs\n" in listed
    assert f"{rule}:\n   AuthMethod:   ci\n" in session.call("acl", "binding-rule", "list").out
    done = session.call("acl", "binding-rule", "update", f"-id={rule[:8]}", "-description=teams")
    assert "Description:  teams" in done.out and "BindName:     ${value.team}" in done.out

    credential, sink = tmp_path / "jwt", tmp_path / "token"
    claims = {"team": "web", "iat": int(time.time())}
    credential.write_text(jwt.encode(claims, key, "ES256") + "\n")
    login = ("login", "-method=ci", f"-token-sink-file={sink}")
    done = session.agent.consul(*login, f"-bearer-token-file={credential}", "-meta=job=7")
    assert (done.code, done.out, done.err) == (0, "", "")
    assert stat.S_IMODE(sink.stat().st_mode) == 0o600
    token = sink.read_text()
    mine = session.agent.consul("acl", "token", "read", "-self", f"-token-file={sink}")
    assert "Auth Method:      ci (Namespace: )" in mine.out
    assert 'Description:      token created via login: {"job":"7"}' in mine.out
    assert "   web (Datacenters: all)" in mine.out
    done = session.agent.consul("logout", f"-token-file={sink}")
    assert (done.code, done.out, done.err) == (0, "", "")
    done = session.call("kv", "get", "x", token=token)
    assert done.code == 1 and "ACL not found" in done.err

    credential.write_text(jwt.encode({**claims, "team": "root"}, key, "ES256"))
    done = session.agent.consul(*login, f"-bearer-token-file={credential}")
    assert done.code == 1 and done.err.startswith("Error logging in: Unexpected response code: 403")
    credential.write_text("")
    done = session.agent.consul(*login, f"-bearer-token-file={credential}")
    assert (done.code, done.err) == (1, f"No bearer token found in {credential}\n")
    done = session.agent.consul("login", "-method=ci")
    assert (done.code, done.err) == (1, "Missing required '-token-sink-file' flag\n")
    done = session.call("acl", "auth-method", "update", "-name=ci", "-description=Jobs")
    assert "Description:   Jobs" in done.out and "MaxTokenTTL:   5m0s" in done.out
    done = session.call("acl", "binding-rule", "delete", f"-id={rule}")
    assert done.out == f'Binding rule "{rule}" deleted successfully\n'
    done = session.call("acl", "auth-method", "delete", "-name=ci")
    assert done.out == 'Auth method "ci" deleted successfully\n'
    done = session.call("acl", "auth-method", "read", "-name=ci")
    assert (done.code, done.err) == (1, 'Auth method not found with name "ci"\n')


def test_without_access_control_the_commands_say_so(tmp_path: Path) -> None:
    with agent_running(tmp_path) as agent:
        done = agent.consul("acl", "token", "list")
        assert (done.code, done.err) == (
            1,
            "Failed to retrieve the token list: Unexpected response code: 401 (ACL support "
            "disabled)\n",
        )
