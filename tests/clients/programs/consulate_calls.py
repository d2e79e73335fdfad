# mypy: ignore-errors
"""What applications do with consulate, run by the interpreter of its own environment.

``consulate_calls.py SCENARIO`` runs one function. CONSUL_HTTP_ADDR names the agent,
MANAGEMENT is the token of one with access control.

What this client makes of answers is its own, for example a list of one as its one element.
"""

import json
import os
import subprocess
import sys
import time

_loads = json.loads
# json.loads lost the argument ``encoding``, which this client gives, in Python 3.9.
json.loads = lambda text, encoding=None, **others: _loads(text, **others)

import consulate  # noqa: E402

HOST, _, PORT = os.environ["CONSUL_HTTP_ADDR"].rpartition(":")
c = consulate.Consul(host=HOST, port=int(PORT))
plain = consulate.adapters.Request()
URL = f"http://{HOST}:{PORT}/v1"


def until(question, wanted=True):
    """Ask until the answer is as wanted."""
    end = time.monotonic() + 240
    while (answer := question()) != wanted:
        assert time.monotonic() < end, f"{answer!r} and not {wanted!r}"
        time.sleep(0.05)


def kv():
    assert c.kv.get("kv/none") is None and "kv/none" not in c.kv
    c.kv["kv/a"] = "text"
    c.kv.set("kv/b", "other")
    c.kv.set_record("kv/c", 9, "third")
    assert c.kv["kv/a"] == "text" and "kv/a" in c.kv
    assert c.kv.get_record("kv/c")["Flags"] == 9
    c.kv.set_record("kv/c", 9, "changed", replace=False)
    assert c.kv["kv/c"] == "third"
    c.kv["kv/a"] = "changed"  # by comparison with the index it read
    assert c.kv.find("kv/") == {"kv/a": "changed", "kv/b": "other", "kv/c": "third"}
    assert c.kv.find("kv", separator="/") == "kv/"
    assert sorted(c.kv.keys()) == ["kv/a", "kv/b", "kv/c"] == sorted(c.kv)
    assert c.kv.items() == [{"kv/a": "changed"}, {"kv/b": "other"}, {"kv/c": "third"}]
    assert [row[:2] for row in c.kv.records()][2] == ("kv/c", 9)
    assert len(c.kv) == 3 and c.kv.values() == ["changed", "other", "third"]
    assert c.kv.get("kv/a", raw=True) == "changed"
    del c.kv["kv/a"]
    try:
        c.kv["kv/a"]
    except KeyError as error:
        assert "kv/a" in str(error)
    else:
        raise AssertionError("deleted and still there")
    assert c.kv.delete("kv", recurse=True).body is True
    assert "kv/b" not in c.kv


def locks():
    first, second = c.session.create("a", ttl="10s", delay="0s"), c.session.create(delay="0s")
    assert c.kv.acquire_lock("lock", first) and not c.kv.acquire_lock("lock", second)
    assert c.kv.get_record("lock")["Session"] == first
    assert c.session.renew(first) and c.session.info(first)["Name"] == "a"
    (member,) = c.agent.members()
    assert first in [row["ID"] for row in c.session.list()]
    assert first in [row["ID"] for row in c.session.node(member["Name"])]
    assert c.kv.release_lock("lock", first) and c.kv.acquire_lock("lock", second)
    assert c.session.destroy(second) and c.session.destroy(first)


def services():
    url = f"http://{HOST}:{PORT}/v1/status/leader"
    assert c.agent.service.register("api", "api-1", "10.0.0.1", 80, ["a"], None, "1s", None, url)
    assert c.agent.service.register("db", port=5, ttl="60s")
    (names,) = c.agent.services()
    assert (names["api-1"]["Tags"], names["db"]["Port"]) == (["a"], 5)
    until(lambda: c.agent.checks()[0]["service:api-1"]["Status"], "passing")
    for call, status in (("pass", "passing"), ("warn", "warning"), ("fail", "critical")):
        assert plain.put(f"{URL}/agent/check/{call}/service:db").status_code == 200
        assert c.agent.checks()[0]["service:db"]["Status"] == status
    until(lambda: c.catalog.services()[0].get("api"), ["a"])
    assert c.catalog.service("api")[0]["ServiceAddress"] == "10.0.0.1"
    until(lambda: c.health.service("db", passing=True), [])
    assert c.health.service("api", tag="a")[0]["Service"]["ID"] == "api-1"
    assert c.health.checks("db")[0]["Status"] == "critical"
    assert c.health.state("critical")[0]["CheckID"] == "service:db"
    for path in ("service/deregister/api-1", "service/deregister/db"):
        assert plain.put(f"{URL}/agent/{path}").status_code == 200
    until(lambda: c.catalog.service("api"), [])


def refused_by_consul_too():
    """What Consul has given up since this client was written."""
    # Registrations of checks name the field Script, which is unknown since 1.1.
    assert c.agent.check.register("kept", ttl="60s") is False
    assert plain.put(f"{URL}/agent/check/register", {"Name": "kept", "TTL": "60s"}).body == ""
    # It asks with GET for what has been PUT since 1.0.
    for call in (c.agent.check.ttl_pass, c.agent.check.deregister, c.agent.service.deregister):
        assert call("kept") is False
    assert c.agent.checks()[0]["kept"]["Status"] == "critical"
    assert c.agent.force_leave("nobody") is False and c.agent.join("nobody") is False
    assert plain.put(f"{URL}/agent/check/deregister/kept").status_code == 200


def catalog():
    # This client's own register and deregister ask "register", which is no URL.
    service = {"ID": "o", "Service": "outside", "Port": 5}
    health = {"Name": "reachable", "Status": "passing", "ServiceID": "o"}
    node = {"Node": "far", "Address": "10.9.9.9", "Service": service, "Check": health}
    assert plain.put(f"{URL}/catalog/register", node).body is True
    assert c.catalog.datacenters() == "dc1"
    assert "far" in [row["Node"] for row in c.catalog.nodes()]
    assert c.catalog.node("far")["Services"]["o"]["Port"] == 5
    assert c.health.node("far")[0]["Status"] == "passing"
    assert plain.put(f"{URL}/catalog/deregister", {"Node": "far"}).body is True
    assert c.catalog.node("far") is None


def others():
    assert [c.status.leader()] == c.status.peers()
    event = c.event.fire("deploy", "v1")
    until(lambda: c.event.list("deploy").get("ID") if c.event.list("deploy") else None, event)
    assert c.acl.list() == []  # it asks as before Consul 1.4, and takes the refusal for nothing


def command():
    """The program ``consulate``: its own copy of Python's breakage is mended the same way."""
    program = [sys.executable, __file__, "cli", "--api-host", HOST, "--api-port", PORT]

    def run(*argv, stdin=None):
        done = subprocess.run(
            [*program, *argv], input=stdin, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, (argv, done)
        return done.stdout

    run("kv", "set", "cli/a", "1")
    assert run("kv", "get", "cli/a").strip() == "1"
    assert "cli/a" in run("kv", "ls")
    saved = run("kv", "backup")
    run("kv", "rm", "cli/a")
    run("kv", "restore", stdin=saved)
    assert c.kv["cli/a"] == "1"
    run("register", "-a", "10.0.0.2", "-p", "7", "cli-service", "no-check")
    assert c.agent.services()[0]["cli-service"]["Port"] == 7
    run("run_once", "cli/lock", "true")


def tokens():
    try:
        c.kv.get("secret")
        c.kv["secret"] = "x"
    except KeyError as error:
        assert "403" in str(error)
    else:
        raise AssertionError("written without a token")
    allowed = consulate.Consul(host=HOST, port=int(PORT), token=os.environ["MANAGEMENT"])
    allowed.kv["secret"] = "x"
    assert allowed.kv["secret"] == "x"
    assert allowed.session.destroy(allowed.session.create())
    assert allowed.agent.service.register("guarded", port=1)


if __name__ == "__main__":
    if sys.argv[1] == "cli":
        del sys.argv[1]
        from consulate import cli as own

        own.main()
    else:
        globals()[sys.argv[1]]()
