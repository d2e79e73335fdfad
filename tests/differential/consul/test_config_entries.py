"""Config entries: what is taken, what is read back, what is refused and why."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from .conftest import GUARDED, MANAGEMENT, Play
from .facts import of_json
from .world import World

_SINGLE = {"proxy-defaults": "global", "mesh": "mesh", "exported-services": "default"}
_HTTP = ("cfg-x", "b")
"""The services that a case may need to speak HTTP."""
_TOLD = "Status of API gateways and their routes"


class Case(NamedTuple):
    """An entry as it is written, and the row of the document if it is answered differently."""

    body: dict[str, Any]
    http: bool = False
    differs: str = ""

    @property
    def kind(self) -> str:
        return str(self.body.get("Kind", self.body.get("kind", "")))


def _cases() -> list[Case]:
    """``entries.jsonl``: a case in each line."""
    lines = Path(__file__).with_name("entries.jsonl").read_text().splitlines()
    return [Case(**json.loads(line)) for line in lines]


CASES = _cases()


def _play_case(ask: World, case: Case) -> None:
    for service in _HTTP if case.http else ():
        entry = {"Kind": "service-defaults", "Name": service, "Protocol": "http"}
        ask.put("config", entry, record=False)
    refused = case.differs and case.differs != _TOLD
    differs = {case.differs: ["*"]} if refused else None
    answer = ask.put("config", case.body, differs=differs)
    given = {key.lower(): value for key, value in case.body.items()}
    name = given.get("name") or _SINGLE.get(case.kind, "")
    path = f"config/{case.kind}/{name}"
    if answer.status == 200:
        if not refused:
            told = {_TOLD: ["?json.Status.Conditions*"]} if case.differs else None
            ask.get(path, differs=told)
        ask.delete(path, record=False)
    for service in _HTTP if case.http else ():
        ask.delete(f"config/service-defaults/{service}", record=False)


@pytest.mark.parametrize("kind", sorted({case.kind for case in CASES} - {""}))
def test_entries_of_each_kind(play: Play, kind: str) -> None:
    def scenario(ask: World) -> None:
        for case in CASES:
            if case.kind == kind:
                _play_case(ask, case)

    play(scenario)


def test_requests_without_an_entry(play: Play) -> None:
    def scenario(ask: World) -> None:
        for path in (
            *("config", "config/nope", "config/nope/x", "config/service-resolver"),
            *("config/service-defaults/nope", "config/service-defaults/"),
            *("config/service-defaults/a/b", "config/sameness-group", "config/sameness-group/x"),
        ):
            ask.get(path)
        for path in (
            *("config/service-defaults/", "config/service-defaults", "config/nope/x", "config/"),
            *("config", "config/sameness-group/x", "config/proxy-defaults/x", "config/mesh/x"),
        ):
            ask.delete(path)
        ask.ask("POST", "config", {})
        ask.ask("POST", "config/service-defaults/x", {})
        for body in ("", "[]", "null", "1", "{}", '{"Kind": 1}', '{"Kind": ""}', '{"Kind": "x"}'):
            ask.put("config", body)
        for kind in ("service-defaults", "sameness-group", "control-plane-request-limit"):
            ask.put("config", {"Kind": kind})
        ask.put("config", {"Kind": "service-defaults", "Name": "cfg-a", "Nope": 1})
        ask.put("config", {"Kind": "mesh", "Nope": 1})
        ask.put("config", "{")

    play(scenario)


def test_an_entry_lives(play: Play) -> None:
    """Written, compared and set, read in any case of its name, filtered, and deleted."""

    def scenario(ask: World) -> None:
        entry = {"Kind": "service-defaults", "Name": "cfg-life"}
        path = "config/service-defaults/cfg-life"

        def index() -> int:
            return int(ask.get(path, record=False).json["ModifyIndex"])

        for cas in ("x", "-1", "77", "0", "0", ""):
            ask.put(f"config?cas={cas}", entry)
        ask.get(path)
        ask.get("config/service-defaults/CFG-Life")
        before = index()
        ask.put("config", entry)
        ask.note("the same again", {"moved": index() != before})
        ask.put("config?cas=0", {**entry, "Protocol": "HTTP"})
        ask.put("config", {**entry, "Protocol": "HTTP"})
        ask.note("another", {"moved": index() != before})
        ask.put("config", {**entry, "Name": "CFG-life", "Protocol": "HTTP"})
        ask.get(path)
        ask.get("config/service-defaults")
        for query in (
            *("filter=Protocol==http", "filter=Name==x", "filter=Nope==x", "dc=dc2", "dc=dc1"),
            *("ns=default", "ns=other", "partition=other", "cached", "stale", "consistent"),
        ):
            ask.get(f"config/service-defaults?{query}")
        ask.get("config/service-resolver?filter=Name==x")
        ask.get(f"{path}?ns=other")
        ask.put("config?dc=dc2", entry)
        ask.put("config?ns=other", entry)
        ask.put("config?ns=default", entry)
        for cas in ("1", "x"):
            ask.delete(f"{path}?cas={cas}")
        ask.delete("config/service-defaults/nope?cas=1")
        ask.delete("config/service-defaults/nope?cas=0")
        ask.delete("config/service-defaults/nope")
        ask.delete(f"{path}?dc=dc2")
        ask.get(path)
        for field in ("Namespace", "Partition"):
            named = {**entry, field: "default"}
            row = "Fields of Consul Enterprise in config entries"
            ask.put("config", named, differs={row: ["*"]})
            ask.delete(path, record=False)

    play(scenario)


def test_entries_together(play: Play) -> None:
    """An entry that does not go with the others is refused, and so is taking one away."""

    def scenario(ask: World) -> None:
        written: list[str] = []

        def put(kind: str, name: str, **fields: Any) -> None:
            ask.put("config", {"Kind": kind, "Name": name, **fields})
            if f"config/{kind}/{name}" not in written:
                written.append(f"config/{kind}/{name}")

        def splits(*services: str) -> dict[str, Any]:
            share = 100 // len(services)
            return {"Splits": [{"Weight": share, "Service": service} for service in services]}

        def source(**permission: Any) -> dict[str, Any]:
            return {"Sources": [{"Name": "cfg-b", "Permissions": [permission]}]}

        put("service-splitter", "cfg-a", **splits("cfg-a", "cfg-b"))
        put("service-router", "cfg-a", Routes=[{"Match": {"HTTP": {"PathPrefix": "/"}}}])
        put("service-defaults", "cfg-a", Protocol="http")
        put("service-splitter", "cfg-a", **splits("cfg-a", "cfg-b"))
        put("service-defaults", "cfg-b", Protocol="grpc")
        put("service-splitter", "cfg-a", **splits("cfg-a", "cfg-b"))
        put("service-defaults", "cfg-b", Protocol="http")
        put("service-splitter", "cfg-a", **splits("cfg-a", "cfg-b"))
        put("service-defaults", "cfg-b", Protocol="grpc")
        put("service-defaults", "cfg-a", Protocol="tcp")
        ask.delete("config/service-defaults/cfg-b")
        ask.delete("config/service-defaults/cfg-a")
        circle = {"Kind": "service-splitter", "Name": "cfg-b", **splits("cfg-a")}
        told = ask.put("config", circle, record=False)
        # The real one begins with either of the two, in the order of a Go map.
        text = re.sub("cfg-[ab]", "cfg-?", told.body.decode())
        ask.note("a circle of splitters", {"status": told.status, "body": text})
        put("service-router", "cfg-b", Routes=[{"Destination": {"ServiceSubset": "v1"}}])
        put("service-resolver", "cfg-b", Subsets={"v1": {"Filter": "Service.Meta.v == 1"}})
        put("service-router", "cfg-b", Routes=[{"Destination": {"ServiceSubset": "v1"}}])
        put("service-resolver", "cfg-b", Subsets={"v2": {}})
        ask.delete("config/service-resolver/cfg-b")
        put("service-resolver", "cfg-c", Redirect={"Service": "cfg-d"})
        put("service-resolver", "cfg-d", Redirect={"Service": "cfg-e"})
        put("service-resolver", "cfg-f", Redirect={"Service": "cfg-b", "ServiceSubset": "v9"})
        put("service-resolver", "cfg-f", Failover={"*": {"Service": "cfg-b", "ServiceSubset": "x"}})
        put("service-defaults", "cfg-f", ExternalSNI="x.y", Protocol="http")
        put("service-resolver", "cfg-f", Redirect={"Service": "cfg-b"})
        put("service-resolver", "cfg-f", Subsets={"v1": {}})
        put("service-intentions", "cfg-a", **source(Action="allow", HTTP={"PathPrefix": "/"}))
        put("service-intentions", "cfg-z", **source(Action="allow", HTTP={"PathPrefix": "/"}))
        put("service-router", "cfg-a")
        ask.delete("config/service-splitter/cfg-a")
        ask.delete("config/service-router/cfg-a")
        put("service-defaults", "cfg-a", Protocol="tcp")
        ask.delete("config/service-defaults/cfg-a")
        listener = {"Port": 8080, "Protocol": "http", "Services": [{"Name": "cfg-a"}]}
        put("ingress-gateway", "cfg-gw", Listeners=[listener])
        put("ingress-gateway", "cfg-gw", Listeners=[{**listener, "Protocol": "tcp"}])
        put("service-defaults", "cfg-a", Protocol="grpc")
        put("proxy-defaults", "global", Config={"protocol": "http"})
        put("service-splitter", "cfg-y", **splits("cfg-y", "cfg-w"))
        put("proxy-defaults", "global", Config={"protocol": "tcp"})
        ask.delete("config/proxy-defaults/global")
        keys = {"Local": {"JWKS": "e30="}}
        put("jwt-provider", "cfg-jwt", JSONWebKeySet=keys)
        put("service-intentions", "cfg-j", Sources=[], JWT={"Providers": [{"Name": "cfg-jwt"}]})
        allow = [{"Name": "cfg-b", "Action": "allow"}]
        put("service-intentions", "cfg-j", Sources=allow, JWT={"Providers": [{"Name": "cfg-jwt"}]})
        ask.delete("config/jwt-provider/cfg-jwt")
        put("service-defaults", "cfg-m", MutualTLSMode="permissive")
        ask.put("config", {"Kind": "mesh", "AllowEnablingPermissiveMutualTLS": True})
        put("service-defaults", "cfg-m", MutualTLSMode="permissive")
        ask.delete("config/mesh/mesh")
        for kind in ("service-router", "service-splitter", "service-resolver"):
            ask.get(f"config/{kind}")
        while written:
            for path in list(written):
                if ask.delete(path, record=False).status == 200:
                    written.remove(path)

    play(scenario)


def test_rights_on_entries(play: Play) -> None:
    def scenario(ask: World) -> None:
        rules = 'service "cfg-own" { policy = "write" } service "cfg-see" { policy = "read" }'
        policy = {"Name": "cfg-rights", "Rules": rules}
        policy_id = ask.put("acl/policy", policy, record=False).json["ID"]
        made = ask.put("acl/token", {"Policies": [{"ID": policy_id}]}, record=False).json
        token = made["SecretID"]

        def entry(kind: str, name: str, **fields: Any) -> dict[str, Any]:
            return {"Kind": kind, "Name": name, **fields}

        for body in (
            entry("service-defaults", "cfg-own"),
            entry("service-defaults", "cfg-see"),
            entry("service-defaults", "cfg-other"),
            entry("service-resolver", "cfg-own", Redirect={"Service": "cfg-see"}),
            entry("service-resolver", "cfg-own", Redirect={"Service": "cfg-other"}),
            entry("service-intentions", "cfg-own", Sources=[{"Name": "x", "Action": "allow"}]),
            entry("proxy-defaults", "global"),
            entry("ingress-gateway", "cfg-own"),
            entry("terminating-gateway", "cfg-own"),
            entry("exported-services", "default"),
            entry("api-gateway", "cfg-own"),
            entry("tcp-route", "cfg-own"),
            entry("inline-certificate", "cfg-own"),
            entry("jwt-provider", "cfg-own", JSONWebKeySet={"Local": {"JWKS": "e30="}}),
        ):
            ask.put("config", body, token=token)
            ask.put("config", body, token="")
        ask.put("config", {"Kind": "mesh"}, token=token)
        ask.put("config", entry("service-defaults", "cfg-other"), record=False)
        for path in (
            *("service-defaults/cfg-own", "service-defaults/cfg-see", "service-defaults/cfg-other"),
            *("service-defaults", "service-intentions", "service-intentions/cfg-own", ""),
            *("proxy-defaults", "proxy-defaults/global", "mesh/mesh", "exported-services/default"),
            *("api-gateway/x", "tcp-route/x", "inline-certificate/x", "jwt-provider/x"),
            *("ingress-gateway/cfg-own", "terminating-gateway/x", "service-resolver"),
        ):
            ask.get(f"config/{path}", token=token)
            ask.get(f"config/{path}", token="")
        for name in ("cfg-see", "cfg-other", "cfg-none"):
            ask.delete(f"config/service-defaults/{name}", token=token)
        ask.delete("config/mesh/mesh", token=token)
        for path in (
            *("service-resolver/cfg-own", "service-intentions/cfg-own", "ingress-gateway/cfg-own"),
            *("terminating-gateway/cfg-own", "service-defaults/cfg-own"),
        ):
            ask.delete(f"config/{path}", token=token)
        ask.delete("config/service-defaults/cfg-other", record=False)
        ask.delete("config/service-resolver/cfg-own", record=False)
        ask.delete(f"acl/token/{made['AccessorID']}", record=False)
        ask.delete(f"acl/policy/{policy_id}", record=False)

    play(scenario, GUARDED, token=MANAGEMENT)


_HCL = """
Kind = "service-resolver"
Name = "cfg-cli"
DefaultSubset = "v1"
Subsets = {
  v1 = { Filter = "Service.Meta.version == v1" }
  "v2" = { Filter = "Service.Meta.version == v2" OnlyPassing = true }
}
Failover = { "*" = { Datacenters = ["dc2", "dc3"] } }
ConnectTimeout = "15s"
"""
_BLOCKS = """
kind = "service-router"
name = "cfg-cli"
routes {
  match {
    http {
      path_prefix = "/admin"
      header {
        name = "x"
        exact = "y"
      }
    }
  }
  destination {
    prefix_rewrite = "/"
    num_retries = 3
    request_timeout = "5s"
  }
}
routes {
  match {
    http {
      methods = ["put"]
    }
  }
}
"""


def test_words(play: Play, tmp_path: Path) -> None:
    def scenario(ask: World) -> None:
        ask.names.add(str(tmp_path), "directory")

        def write(name: str, content: str, *flags: str, **options: Any) -> None:
            file = tmp_path / name
            file.write_text(content)
            ask.cli("config", "write", *flags, str(file), **options)

        def say(*words: str, **options: Any) -> None:
            ask.cli("config", *words, **options)

        write(
            "defaults.json", '{"Kind": "service-defaults", "Name": "cfg-cli", "Protocol": "http"}'
        )
        write("resolver.hcl", _HCL)
        write("router.hcl", _BLOCKS)
        write("mesh.hcl", 'Kind = "mesh"\nTransparentProxy { MeshDestinationsOnly = true }\n')
        for kind, name in (
            *(("service-resolver", "cfg-cli"), ("service-router", "cfg-cli"), ("mesh", "mesh")),
        ):
            done = ask.cli("config", "read", f"-kind={kind}", f"-name={name}", record=False)
            read = json.loads(done.out or "null")
            ask.note(f"consul config read {kind}", of_json(read, ask.names))
        say("list", "-kind", "service-resolver")
        say("list", "-kind", "sameness-group")
        say(
            "write", "-", stdin='{"Kind": "service-defaults", "Name": "cfg-in", "Protocol": "http"}'
        )
        say("write", "-cas", "-modify-index=0", "-", stdin='Kind="service-defaults" Name="cfg-c"')
        say("write", "-cas", "-modify-index=9", "-", stdin=_HCL.replace("15s", "16s"))
        say("write", "-cas", "-", stdin=_HCL)
        say("write", "-modify-index=3", "-", stdin=_HCL)
        for content in (
            *("", "{", 'Name = "x"', 'Kind = "nope"', 'Kind = "service-defaults"'),
            *('Kind = "service-splitter" Name = "q"',),
            'Kind = "service-defaults" Name = "cfg-x" Protocol = "nope"',
        ):
            go = {"Errors of Go's libraries": ["err.*"]} if content == "{" else None
            say("write", "-", stdin=content, differs=go)
        say("write")
        say("write", "a", "b")
        say("write", str(tmp_path / "missing"))
        say("read")
        say("read", "-kind", "service-defaults")
        say("read", "-name", "x")
        say("read", "-kind", "service-defaults", "-name", "cfg-none")
        say("read", "-kind", "nope", "-name", "x")
        say("list")
        say("list", "-kind", "nope")
        say("list", "-kind", "service-defaults", "-filter", "Name == `cfg-cli`")
        say("delete")
        say("delete", "-kind", "service-defaults")
        say("delete", "-kind", "nope", "-name", "x")
        say("delete", "-kind", "service-defaults", "-name", "cfg-none")
        say("delete", "-kind", "service-defaults", "-name", "cfg-cli")
        say("delete", "-kind", "service-router", "-name", "cfg-cli", "-cas", "-modify-index=1")
        say("delete", "-kind", "service-router", "-name", "cfg-cli", "-cas")
        say("delete", "-kind", "service-router", "-name", "cfg-cli", "-modify-index=1")
        say("delete", "-filename", str(tmp_path / "router.hcl"))
        say("delete", "-filename", str(tmp_path / "missing"))
        say("delete", "-kind", "service-resolver", "-name", "cfg-cli")
        say("delete", "-kind", "mesh", "-name", "mesh")
        for name in ("cfg-cli", "cfg-in", "cfg-c"):
            say("delete", "-kind=service-defaults", f"-name={name}")
        say("list", "-kind", "service-resolver")
        say("nope")

    play(scenario, mixed=True)
