"""``acl auth-method``, ``acl binding-rule``, ``login`` and ``logout``; what updates append."""

from __future__ import annotations

import json
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from .conftest import GUARDED, MANAGEMENT, Play
from .facts import of_json
from .world import Done, World

_UNKNOWN = "99999999-0000-4000-8000-000000000000"
_ERRORS = "Errors of the command line"
_BAD = "A login with a credential that is not good"
_KEY = ec.generate_private_key(ec.SECP256R1())
_PUBLIC = _KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
_CONFIG = json.dumps(
    {
        "JWTValidationPubKeys": [_PUBLIC],
        "JWTSupportedAlgs": ["ES256"],
        "BoundAudiences": ["consul"],
        "ClaimMappings": {"name": "name"},
    }
)


def _signed(**claims: Any) -> str:
    standard = {"aud": "consul", "exp": 4000000000, "nbf": 1600000000, "sub": "s"}
    return jwt.encode({**standard, **claims}, _KEY, "ES256")


def _keys(value: Any, at: str = "") -> dict[str, Any]:
    """The names in each object of ``value``, in their order."""
    found: dict[str, Any] = {}
    if isinstance(value, dict):
        found[f"order{at}"] = list(value)
    parts = value.items() if isinstance(value, dict) else enumerate(value)
    for name, one in parts:
        if isinstance(one, (dict, list)):
            found |= _keys(one, f"{at}.{name}")
    return found


def _json(
    ask: World,
    *argv: str,
    values: bool = True,
    differs: Mapping[str, Sequence[str]] | None = None,
    **options: Any,
) -> Any:
    """Run a command with ``-format=json``; record what it wrote, and the order of names.

    Without ``values`` record the names only: texts of templates are Portway's own.
    """
    done = ask.cli(*argv, "-format=json", record=False, **options)
    facts: dict[str, Any] = {"exit": done.code, "err": ask.names.text(done.err)}
    value = json.loads(done.out) if done.out else None
    if done.code == 0:
        facts |= _keys(value) | (of_json(value, ask.names) if values else {})
        facts["spaces"] = done.out == json.dumps(value, indent=4, ensure_ascii=False) + "\n"
    ask.note(f"{ask.names.text(' '.join(argv))} -format=json", facts, differs=differs)
    return value


def test_templated_policies_of_updates(play: Play, tmp_path: Path) -> None:
    # Never two service identities at once: the real Consul keeps them in the order of a Go map.
    file = tmp_path / "templates.hcl"
    file.write_text('TemplatedPolicy "builtin/node" { Name = "n1" }\n')
    empty = tmp_path / "empty.hcl"
    empty.write_text("")

    def scenario(ask: World) -> None:
        ask.names.add(str(tmp_path), "tmp")
        ask.put("acl/policy", {"Name": "clu-p"}, record=False)
        ask.put("acl/policy", {"Name": "clu-q"}, record=False)
        role = _json(ask, "acl", "role", "create", "-name=clu-r", "-templated-policy=builtin/dns")[
            "ID"
        ]
        token = _json(ask, "acl", "token", "create", "-templated-policy=builtin/dns")["AccessorID"]
        for update in (
            ("acl", "role", "update", f"-id={role}"),
            ("acl", "token", "update", f"-accessor-id={token}"),
        ):
            service = ("-append-templated-policy=builtin/service", "-var=name:api")
            ask.cli(*update, *service)
            ask.cli(*update, *service)
            ask.cli(*update, "-description=kept")
            ask.cli(*update, f"-append-templated-policy-file={file}")
            _json(ask, *update, "-policy-name=clu-p")
            ask.cli(*update, "-replace-templated-policy=builtin/node", "-var=name:n2")
            ask.cli(*update, f"-replace-templated-policy-file={file}")
            both = ("-append-templated-policy=builtin/dns", f"-append-templated-policy-file={file}")
            ask.cli(*update, *both)
            ask.cli(*update, *both, "-replace-templated-policy=builtin/dns")
            ask.cli(*update, "-replace-templated-policy=builtin/dns")
            ask.cli(*update, "-append-templated-policy=builtin/nope")
            ask.cli(*update, "-append-templated-policy=builtin/service")
            ask.cli(*update, "-append-templated-policy-file=/nope")
            ask.cli(*update, "-templated-policy=builtin/dns")
            ask.cli(*update, "-service-identity=a", "-node-identity=n:dc1", "-policy-name=clu-q")
            ask.cli(*update, "-service-identity=a:dc1", "-service-identity=a:dc1")
        update = ("acl", "token", "update", f"-accessor-id={token}")
        ask.cli(*update, "-append-policy-name=clu-q", "-append-role-name=clu-r")
        ask.cli(*update, "-append-policy-name=clu-q", "-append-service-identity=a:dc1")
        ask.cli(*update, "-append-node-identity=n:dc1", "-append-node-identity=m:dc1")
        ask.cli(*update, "-merge-policies", "-policy-name=clu-p", "-merge-service-identities")
        ask.cli("acl", "role", "update", f"-id={role}", "-no-merge", "-name=clu-r")
        create = ("create", "-templated-policy=builtin/dns", f"-templated-policy-file={file}")
        ask.cli("acl", "token", *create)
        ask.cli("acl", "role", *create, "-name=clu-x")
        ask.delete(f"acl/token/{token}", record=False)
        ask.delete(f"acl/role/{role}", record=False)
        for name in ("clu-p", "clu-q"):
            policy = ask.get(f"acl/policy/name/{name}", record=False).json["ID"]
            ask.delete(f"acl/policy/{policy}", record=False)

    play(scenario, GUARDED, token=MANAGEMENT)


def test_json(play: Play) -> None:
    rules = ("acl", "policy", "create", "-description=<a & b>", "-rules=")

    def scenario(ask: World) -> None:
        _json(ask, *rules, "-name=clj-p", "-valid-datacenter=dc1")
        _json(ask, *rules, "-name=clj-q")
        _json(ask, "acl", "policy", "read", "-name=clj-p")
        shown = _json(ask, "acl", "policy", "list", values=False)
        both = ("-service-identity=a:dc1", "-node-identity=n:dc1", "-policy-name=clj-p")
        template = ("-templated-policy=builtin/service", "-var=name:api")
        role = _json(ask, "acl", "role", "create", "-name=clj-r", *both, *template)
        _json(ask, "acl", "role", "list")
        _json(ask, "acl", "role", "read", "-name=clj-r")
        token = _json(
            *(ask, "acl", "token", "create", *both, *template, "-role-name=clj-r"),
            *("-expires-ttl=1h", "-description=d"),
        )
        accessor = f"-accessor-id={token['AccessorID']}"
        read = ("acl", "token", "read", accessor)
        _json(ask, *read)
        _json(ask, *read, "-expanded", values=False)
        _json(ask, "acl", "token", "update", accessor, *both)
        copy = _json(ask, "acl", "token", "clone", accessor)["AccessorID"]
        listed = ask.cli("acl", "token", "list", "-format=json", record=False)
        mine = [row for row in json.loads(listed.out) if row["AccessorID"] == copy]
        ask.note("tokens", _keys(mine))
        for one in (token["AccessorID"], copy):
            ask.delete(f"acl/token/{one}", record=False)
        _json(ask, "acl", "templated-policy", "list", values=False)
        _json(ask, "acl", "templated-policy", "read", "-name=builtin/service", values=False)
        preview = ("acl", "templated-policy", "preview", "-name=builtin/service", "-var=name:a")
        _json(ask, *preview, values=False)
        ask.delete(f"acl/role/{role['ID']}", record=False)
        for row in shown:
            if row["Name"].startswith("clj-"):
                ask.delete(f"acl/policy/{row['ID']}", record=False)

    play(scenario, GUARDED, token=MANAGEMENT, own=True)  # lists show what others left


def test_tokens_of_the_agent(play: Play, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(_UNKNOWN)

    def scenario(ask: World) -> None:
        words = ("acl", "set-agent-token")
        ask.cli(*words)
        ask.cli(*words, "default")
        ask.cli(*words, "nope")
        ask.cli(*words, "default", "a", "b")
        ask.cli(*words, "nope", "x", differs={_ERRORS: ["err.0"]})
        ask.cli(*words, "-datacenter=dc1", "-stale", "dns", f"@{tmp_path}/token")
        ask.cli(*words, "-datacenter=dc9", "dns", "-", stdin=_UNKNOWN)
        ask.cli(*words, "dns", "@/nope")
        for kind in ("default", "recovery", "replication", "config_file_service_registration"):
            ask.cli(*words, kind, "")
        ask.cli(*words, "dns", "")
        ask.cli(*words, "dns", "x", environ={"CONSUL_HTTP_TOKEN": _UNKNOWN})

    play(scenario, GUARDED, token=MANAGEMENT)


def test_auth_methods(play: Play, tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text(_CONFIG)

    def scenario(ask: World) -> None:
        ask.names.add(str(tmp_path), "tmp")
        method = ("acl", "auth-method")
        create = (*method, "create", "-type=jwt")
        ask.cli(*create, "-name=clm-a", f"-config=@{config}")
        ask.cli(
            *create,
            *("-name=clm-b", "-config=-", "-meta", "-display-name=B", "-description=d"),
            *("-max-token-ttl=90m", "-token-locality=global"),
            stdin=_CONFIG,
        )
        _json(ask, *create, "-name=clm-c", f"-config={_CONFIG}", "-max-token-ttl=5m")
        ask.cli(*create, "-name=clm-a", f"-config=@{config}")
        ask.cli(*create)
        ask.cli(*method, "create", "-name=x")
        ask.cli(*create, "-name=x", "-config=@/nope")
        ask.cli(*create, "-name=x", "-config={", differs={_ERRORS: ["err.0"]})
        ask.cli(*create, "-name=x", f"-config=@{config}", "-kubernetes-host=h")
        ask.cli(*create, "-name=x", f"-config=@{config}", "-format=nope")
        ask.cli(*create, "-name=x", f"-config=@{config}", "-max-token-ttl=nope")
        ask.cli(*create, "-name=x", f"-config=@{config}", "-max-token-ttl=1s")
        for given in ((), ("-kubernetes-host=h",), ("-kubernetes-host=h", "-kubernetes-ca-cert=c")):
            ask.cli(*method, "create", "-type=kubernetes", "-name=x", *given)
        ask.delete("acl/auth-method/x", record=False)  # made, though the format is wrong
        for form in ((), ("-meta",)):
            ask.cli(*method, "list", *form)
            ask.cli(*method, "read", "-name=clm-b", *form)
        _json(ask, *method, "list")
        for name in ("clm-a", "clm-b", "clm-c"):
            _json(ask, *method, "read", f"-name={name}")
        ask.cli(*method, "read")
        ask.cli(*method, "read", "-name=nope")
        ask.cli(*method, "read", "-name=clm-a", environ={"CONSUL_HTTP_TOKEN": ""})
        ask.cli(*method, "list", environ={"CONSUL_HTTP_TOKEN": _UNKNOWN})
        update = (*method, "update", "-name=clm-b")
        ask.cli(*update, "-description=new")
        _json(ask, *update, "-display-name=Bee", "-max-token-ttl=2h")
        ask.cli(*update, f"-config={_CONFIG}", "-token-locality=local")
        ask.cli(*update, "-no-merge", f"-config=@{config}")
        ask.cli(*update, "-no-merge", differs={_ERRORS: []})
        ask.cli(*update, "-config=@/nope")
        ask.cli(*update, "-config={}")
        ask.cli(*update, f"-config=@{config}", "-kubernetes-host=h")
        ask.cli(*method, "update")
        ask.cli(*method, "update", "-name=nope")
        for name in ("clm-a", "clm-b", "clm-c", "nope"):
            ask.cli(*method, "delete", f"-name={name}")
        ask.cli(*method, "delete")
        ask.cli(*method, "list")
        _json(ask, *method, "list")

    play(scenario, GUARDED, token=MANAGEMENT)


def test_binding_rules(play: Play) -> None:
    def scenario(ask: World) -> None:
        ask.put(
            "acl/auth-method",
            {"Name": "clb", "Type": "jwt", "Config": json.loads(_CONFIG)},
            record=False,
        )
        rule = ("acl", "binding-rule")
        create = (*rule, "create", "-method=clb")
        ask.cli(*create, "-bind-name=web")
        listed = ask.get("acl/binding-rules", record=False).json
        one = listed[0]["ID"]
        ask.names.add(one[:8], "short")
        ask.cli(*rule, "list")
        ask.cli(*rule, "list", "-meta")
        _json(ask, *rule, "list")
        ask.cli(*rule, "delete", f"-id={one[:8]}")
        ask.cli(*rule, "list")
        _json(ask, *rule, "list")
        templated = ("-bind-type=templated-policy", "-bind-name=builtin/service")
        named = "-bind-vars=name=${value.name}"
        made = _json(ask, *create, *templated, named)["ID"]
        ask.names.add(made[:8], "short 2")
        ask.cli(*rule, "read", f"-id={made}")
        ask.cli(*rule, "list")
        ask.cli(*create, "-bind-type=role", "-bind-name=r", "-selector=value.name==x", "-meta")
        for wrong in (
            (),
            ("-bind-name=web", "-bind-type="),
            ("-bind-name=web", "-bind-type=nope"),
            ("-bind-name=web", named),
            ("-bind-name=web", "-format=nope"),
            (*templated, "-bind-vars=name"),
        ):
            ask.cli(*create, *wrong)
        ask.cli(*rule, "create", "-bind-name=web")
        ask.cli(*rule, "create", "-method=nope", "-bind-name=web")
        _json(ask, *rule, "read", f"-id={made}")
        ask.cli(*rule, "read", f"-id={made[:8]}", "-meta")
        ask.cli(*rule, "read")
        ask.cli(*rule, "read", "-id=zz")
        ask.cli(*rule, "read", f"-id={_UNKNOWN}")
        ask.cli(*rule, "list", "-method=nope")
        ask.cli(*rule, "list", environ={"CONSUL_HTTP_TOKEN": ""})
        update = (*rule, "update", f"-id={made}")
        ask.cli(*update, *templated, "-description=d")
        ask.cli(*update, *templated, "-bind-vars=name=x")
        ask.cli(*update, *templated, "-selector=value.name==x")
        ask.cli(*update, *templated, "-selector=")
        ask.cli(*update, "-bind-type=role", "-bind-name=r")
        _json(ask, *update, "-bind-type=service", "-bind-name=web")
        ask.cli(*update, "-no-merge")
        ask.cli(*update, "-no-merge", "-bind-type=", "-bind-name=a")
        ask.cli(*update, "-no-merge", "-bind-name=a")
        ask.cli(*update, "-no-merge", "-bind-name=a", named)
        ask.cli(*update, "-bind-type=nope")
        ask.cli(*rule, "update")
        ask.cli(*rule, "update", "-id=zz")
        ask.cli(*rule, "update", f"-id={_UNKNOWN}")
        ask.cli(*rule, "delete", f"-id={made}")
        ask.cli(*rule, "delete", f"-id={made}")
        ask.cli(*rule, "delete", "-id=zz")
        ask.cli(*rule, "delete")
        ask.delete("acl/auth-method/clb", record=False)

    play(scenario, GUARDED, token=MANAGEMENT)


def test_logins(play: Play, tmp_path: Path) -> None:
    def scenario(ask: World) -> None:
        ask.names.add(str(tmp_path), "tmp")
        ask.put(
            "acl/auth-method",
            {"Name": "cll", "Type": "jwt", "Config": json.loads(_CONFIG)},
            record=False,
        )
        rule = {"AuthMethod": "cll", "BindType": "service", "BindName": "${value.name}"}
        ask.put("acl/binding-rule", {**rule, "Selector": "value.name==web"}, record=False)
        good, other, bad, empty = (tmp_path / name for name in ("good", "other", "bad", "empty"))
        good.write_text(f"\n{_signed(name='web')}\n")
        other.write_text(_signed(name="x"))
        bad.write_text(_signed(name="web", aud="x"))
        empty.write_text(" \n")
        sink = tmp_path / "new" / "sink"

        def login(*flags: str, **options: Any) -> Done:
            return ask.cli("login", *flags, **options)

        to = ("-method=cll", f"-token-sink-file={sink}")
        login()
        login("-method=cll")
        login(*to)
        login(*to, f"-bearer-token-file={tmp_path}/none")
        login(*to, f"-bearer-token-file={empty}")
        login(*to, f"-bearer-token-file={good}", "x")
        login(*to, f"-bearer-token-file={other}")
        login(*to, f"-bearer-token-file={bad}", differs={_BAD: ["err.*"]})
        login("-method=nope", to[1], f"-bearer-token-file={good}")
        login(*to, f"-bearer-token-file={good}", "-meta=x")
        ask.note("sink", {"there": sink.exists()})
        login(*to, f"-bearer-token-file={good}", "-type=jwt", "-meta=b=2", "-meta=a=1")
        secret = {"CONSUL_HTTP_TOKEN": sink.read_text()}
        mode = stat.S_IMODE(sink.stat().st_mode)
        ask.note("sink", {"mode": oct(mode), "length": len(secret["CONSUL_HTTP_TOKEN"])})
        ask.cli("acl", "token", "read", "-self", environ=secret)
        _json(ask, "acl", "token", "read", "-self", environ=secret)
        ask.cli("acl", "token", "read", "-self", "-token-file", str(sink))
        login(*to, f"-bearer-token-file={good}", environ={"CONSUL_HTTP_TOKEN": _UNKNOWN})
        ask.cli("logout", "x", environ=secret)
        ask.cli("logout", environ=secret)
        ask.cli("logout", environ=secret)
        ask.cli("logout", environ={"CONSUL_HTTP_TOKEN": ""})
        ask.cli("logout")
        ask.cli("logout", f"-token-file={sink}")
        ask.cli("logout", "-token-file=/nope")
        sink.unlink()
        sink.parent.rmdir()
        ask.delete("acl/auth-method/cll", record=False)

    play(scenario, GUARDED, token=MANAGEMENT)
