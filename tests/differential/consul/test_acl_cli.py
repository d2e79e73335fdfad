"""``consul acl``, ``consul login`` and ``consul logout``."""

from __future__ import annotations

from .conftest import GUARDED, MANAGEMENT, Play
from .world import World

_UNKNOWN = "99999999-0000-4000-8000-000000000000"
_RULES = 'key_prefix "" { policy = "read" }'


def test_policies_and_roles(play: Play) -> None:
    def scenario(ask: World) -> None:
        cli = ask.cli
        cli("acl", "policy", "create", "-name=cli-p", "-description=d", f"-rules={_RULES}")
        cli(
            "acl",
            "policy",
            "create",
            "-name=cli-q",
            "-rules=-",
            "-format=json",
            stdin=_RULES,
            record=False,
        )
        cli("acl", "policy", "create", "-name=cli-p")
        cli("acl", "policy", "create")
        cli("acl", "policy", "create", "-name=cli-r", "-rules=@/nope/file")
        cli("acl", "policy", "create", "-name=cli-r", "-format=nope")
        policy = ask.get("acl/policy/name/cli-p", record=False).json["ID"]
        cli("acl", "policy", "read", "-name=cli-p", "-meta")
        cli("acl", "policy", "read", "-id=zz")
        cli("acl", "policy", "read", "-name=cli-none")
        cli("acl", "policy", "read")
        cli("acl", "policy", "update", "-name=cli-p", "-description=new")
        cli("acl", "policy", "update", f"-id={policy}", "-no-merge", "-name=cli-p2")
        cli("acl", "policy", "update", "-name=cli-none")
        cli(
            "acl", "role", "create", "-name=cli-role", "-policy-name=cli-q", "-service-identity=web"
        )
        cli(
            "acl",
            "role",
            "create",
            "-name=cli-role2",
            "-node-identity=n:dc1",
            "-format=json",
            record=False,
        )
        cli("acl", "role", "create", "-name=cli-role3")
        cli("acl", "role", "create", "-policy-name=cli-q")
        cli("acl", "role", "create", "-name=cli-x", "-policy-name=none")
        cli("acl", "role", "create", "-name=cli-x", "-node-identity=n")
        role = ask.get("acl/role/name/cli-role", record=False).json["ID"]
        cli("acl", "role", "read", f"-id={role}")
        cli("acl", "role", "read", f"-id={_UNKNOWN}")
        cli("acl", "role", "read", "-name=none")
        cli("acl", "role", "read")
        cli("acl", "role", "list")
        cli("acl", "role", "update", f"-id={role}", "-description=changed")
        cli("acl", "role", "update", f"-id={role}", "-no-merge", "-name=cli-role")
        cli("acl", "role", "update")
        cli("acl", "role", "delete", "-name=cli-role")
        cli("acl", "role", "delete", "-name=cli-role2")
        cli("acl", "role", "delete", "-name=cli-none")
        cli("acl", "role", "delete")
        cli("acl", "policy", "delete", "-name=cli-q")
        cli("acl", "policy", "delete", f"-id={policy}")
        ended = cli("acl", "policy", "delete", f"-id={policy}", record=False)
        ask.note("delete a policy again", {"exit": ended.code})
        cli("acl", "policy", "delete", "-name=none")
        cli("acl", "policy", "delete")
        for name in ("cli-role3", "cli-role2"):
            if (left := ask.get(f"acl/role/name/{name}", record=False)).status == 200:
                ask.delete(f"acl/role/{left.json['ID']}", record=False)
        cli("acl", "policy", "list", environ={"CONSUL_HTTP_TOKEN": ""})
        cli("acl", "policy", "list", environ={"CONSUL_HTTP_TOKEN": _UNKNOWN})

    play(scenario, GUARDED, token=MANAGEMENT)


def test_tokens(play: Play) -> None:
    accessor = "6a1253d2-1785-24fd-91c2-f8e78c745522"
    secret = "45a3bd52-07c7-47a4-52fd-0745e0cfe922"

    def scenario(ask: World) -> None:
        cli = ask.cli
        ask.put("acl/policy", {"Name": "clt-p", "Rules": _RULES}, record=False)
        chosen = (f"-accessor={accessor}", f"-secret={secret}")
        cli("acl", "token", "create", *chosen, "-description=a token", "-policy-name=clt-p")
        cli("acl", "token", "create", *chosen, "-policy-name=clt-p")
        cli(
            "acl",
            "token",
            "create",
            "-service-identity=web:dc1,dc2",
            "-local",
            "-format=json",
            record=False,
        )
        cli("acl", "token", "create", "-service-identity=web", "-expires-ttl=1h", "-meta")
        cli("acl", "token", "create", "-node-identity=n:dc1", "-description=node")
        cli("acl", "token", "create", "-templated-policy=builtin/service", "-var=name:api")
        cli("acl", "token", "create", "-templated-policy=builtin/dns", "-format=json", record=False)
        cli("acl", "token", "create")
        cli("acl", "token", "create", "-policy-name=none")
        cli("acl", "token", "create", "-service-identity=a:b:c")
        cli("acl", "token", "read", f"-accessor-id={accessor}")
        cli(
            "acl",
            "token",
            "read",
            f"-accessor-id={accessor}",
            "-meta",
            "-format=json",
            record=False,
        )
        cli("acl", "token", "read", f"-id={accessor}")
        cli("acl", "token", "read", "-self")
        cli("acl", "token", "read", "-self", environ={"CONSUL_HTTP_TOKEN": ""})
        cli("acl", "token", "read")
        cli("acl", "token", "read", f"-accessor-id={_UNKNOWN}")
        cli("acl", "token", "read", "-accessor-id=zz")
        cli("acl", "token", "clone", f"-accessor-id={accessor}", "-description=clone")
        cli("acl", "token", "clone")
        update = ("acl", "token", "update", f"-accessor-id={accessor}")
        cli(*update, "-description=updated")
        cli(*update, "-append-service-identity=web")
        cli(*update, "-append-templated-policy=builtin/dns")
        cli(*update, "-policy-name=clt-p", "-append-policy-name=clt-p")
        cli("acl", "token", "update")
        cli("acl", "token", "delete", f"-accessor-id={accessor}")
        cli("acl", "token", "delete", f"-accessor-id={accessor}")
        cli("acl", "token", "delete")
        own = ask.get("acl/token/self", record=False).json["AccessorID"]
        for one in ask.get("acl/tokens", record=False).json:
            if one["AccessorID"] not in (own, "00000000-0000-0000-0000-000000000002"):
                ask.delete(f"acl/token/{one['AccessorID']}", record=False)
        cli("acl", "token", "list")
        cli("acl", "token", "list", environ={"CONSUL_HTTP_TOKEN": ""})
        cli("acl", "set-agent-token", "default", "")
        for wrong in (("nope", "x"), ()):
            ended = cli("acl", "set-agent-token", *wrong, record=False)
            ask.note(f"set-agent-token {wrong}", {"exit": ended.code})
        cli("acl", "templated-policy", "read", "-name=nope")
        cli("acl", "templated-policy", "read")
        cli("acl", "templated-policy", "preview")
        cli("acl", "bootstrap", environ={"CONSUL_HTTP_TOKEN": ""}, record=False)
        policy = ask.get("acl/policy/name/clt-p", record=False).json["ID"]
        ask.delete(f"acl/policy/{policy}", record=False)

    play(scenario, GUARDED, token=MANAGEMENT, mixed=True)
