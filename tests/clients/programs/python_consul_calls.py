# mypy: ignore-errors
"""What applications do with python-consul, run by the interpreter of its own environment.

``python_consul_calls.py SCENARIO`` runs one function. CONSUL_HTTP_ADDR names the agent,
MANAGEMENT is the token of one with access control.
"""

import asyncio
import os
import sys
import threading
import time
import types

import consul

HOST, _, PORT = os.environ["CONSUL_HTTP_ADDR"].rpartition(":")
c = consul.Consul(host=HOST, port=int(PORT))


def until(question, wanted=True):
    """Ask until the answer is as wanted."""
    end = time.monotonic() + 240
    while (answer := question()) != wanted:
        assert time.monotonic() < end, f"{answer!r} and not {wanted!r}"
        time.sleep(0.05)


def raises(call, error, text):
    """The call fails, with this error and text."""
    try:
        call()
    except error as raised:
        assert text in str(raised), raised
    else:
        raise AssertionError("no error")


def kv():
    index, missing = c.kv.get("kv/none")
    assert int(index) > 0 and missing is None
    assert c.kv.put("kv/a", "text", flags=7) is True
    assert c.kv.put("kv/b/c", b"\x00\xff") is True
    index, entry = c.kv.get("kv/a")
    assert (entry["Value"], entry["Flags"], entry["LockIndex"]) == (b"text", 7, 0)
    assert c.kv.get("kv/b/c")[1]["Value"] == b"\x00\xff"
    assert c.kv.put("kv/empty", "") and c.kv.get("kv/empty")[1]["Value"] is None
    assert [row["Key"] for row in c.kv.get("kv/", recurse=True)[1]] == [
        "kv/a",
        "kv/b/c",
        "kv/empty",
    ]
    assert c.kv.get("kv/", keys=True, separator="/")[1] == ["kv/a", "kv/b/", "kv/empty"]
    assert c.kv.put("kv/a", "late", cas=0) is False
    assert c.kv.put("kv/a", "new", cas=entry["ModifyIndex"]) is True
    assert c.kv.delete("kv/a", cas=1) is False
    assert c.kv.delete("kv/", recurse=True) is True
    assert c.kv.get("kv/", recurse=True)[1] is None
    assert c.kv.put("kv/café ☕", "unicode") and c.kv.get("kv/café ☕")[1]["Key"] == "kv/café ☕"


def blocking():
    c.kv.put("blocking", "1")
    index, _ = c.kv.get("blocking")
    timer = threading.Timer(0.3, lambda: consul.Consul(HOST, int(PORT)).kv.put("blocking", "2"))
    timer.start()
    later, entry = c.kv.get("blocking", index=index, wait="30s")
    assert int(later) > int(index) and entry["Value"] == b"2"
    assert c.kv.get("blocking", index=later, wait="10ms")[0] == later


def transactions():
    value = "dmFsdWU="
    done = c.txn.put([{"KV": {"Verb": "set", "Key": "txn", "Value": value, "Flags": 3}}])
    assert done["Errors"] is None and done["Results"][0]["KV"]["Flags"] == 3
    read = c.txn.put([{"KV": {"Verb": "get", "Key": "txn", "Value": ""}}])
    assert read["Results"][0]["KV"]["Value"] == value


def locks():
    first, second = c.session.create(name="a", ttl=10, lock_delay=0), c.session.create(lock_delay=0)
    assert c.kv.put("lock", "a", acquire=first) and not c.kv.put("lock", "b", acquire=second)
    held = c.kv.get("lock")[1]
    assert (held["Session"], held["LockIndex"]) == (first, 1)
    assert c.session.renew(first)["TTL"] == "10s"
    assert c.session.info(first)[1]["Name"] == "a"
    assert {row["ID"] for row in c.session.list()[1]} >= {first, second}
    node = c.agent.self()["Config"]["NodeName"]
    assert {row["ID"] for row in c.session.node(node)[1]} >= {first, second}
    assert c.kv.put("lock", "a", release=first) and c.kv.put("lock", "b", acquire=second)
    assert c.session.destroy(second) and "Session" not in c.kv.get("lock")[1]
    assert c.session.info(second)[1] is None
    raises(lambda: c.session.renew(second), consul.NotFound, second)


def services():
    check = consul.Check.http(f"http://{HOST}:{PORT}/v1/status/leader", "1s")
    assert c.agent.service.register("api", "api-1", "10.0.0.1", 80, ["a", "b"], check)
    assert c.agent.service.register("api", "api-2", port=81, check=consul.Check.ttl("60s"))
    assert c.agent.services()["api-1"]["Tags"] == ["a", "b"]
    assert c.agent.checks()["service:api-2"]["Status"] == "critical"
    until(lambda: len(c.health.service("api", passing=True)[1]), 1)
    assert c.agent.check.ttl_pass("service:api-2", "fine")
    until(lambda: len(c.health.service("api", passing=True)[1]), 2)
    (tagged,) = c.health.service("api", tag="a")[1]
    assert tagged["Service"]["Address"] == "10.0.0.1"
    assert {row["CheckID"] for row in c.health.checks("api")[1]} == {
        "service:api-1",
        "service:api-2",
    }
    assert c.agent.check.ttl_warn("service:api-2") and c.agent.check.ttl_fail("service:api-2")
    until(lambda: [row["CheckID"] for row in c.health.state("critical")[1]], ["service:api-2"])
    assert c.agent.service.maintenance("api-1", True, "why")
    assert c.agent.checks()["_service_maintenance:api-1"]["Notes"] == "why"
    assert c.agent.service.maintenance("api-1", False)
    assert c.agent.service.deregister("api-1") and c.agent.service.deregister("api-2")
    until(lambda: c.catalog.service("api")[1], [])


def watching_health():
    index, none = c.health.service("watched", passing=True)
    assert none == []
    threading.Timer(0.3, lambda: c.agent.service.register("watched", port=1)).start()
    while not none:
        index, none = c.health.service("watched", passing=True, index=index, wait="30s")
    assert none[0]["Service"]["Port"] == 1
    c.agent.service.deregister("watched")


def checks():
    assert c.agent.check.register("memory", consul.Check.ttl("60s"), notes="n", check_id="mem")
    assert c.agent.check.ttl_pass("mem", "all is well")
    listed = c.agent.checks()["mem"]
    assert (listed["Name"], listed["Notes"], listed["Output"]) == ("memory", "n", "all is well")
    assert c.agent.check.register("script", consul.Check.script(["/bin/true"], "1s"))
    until(lambda: c.agent.checks()["script"]["Status"], "passing")
    assert c.agent.check.register("tcp", consul.Check.tcp(HOST, int(PORT), "1s"))
    until(lambda: c.agent.checks()["tcp"]["Status"], "passing")
    for name in ("mem", "script", "tcp"):
        assert c.agent.check.deregister(name)


def catalog():
    service = {"Service": "outside", "Tags": ["x"], "Port": 5}
    health = {"Name": "reachable", "Status": "passing", "ServiceID": "outside"}
    assert c.catalog.register("far", "10.9.9.9", service=service, check=health)
    assert c.catalog.datacenters() == ["dc1"]
    assert "far" in [row["Node"] for row in c.catalog.nodes()[1]]
    assert c.catalog.services()[1]["outside"] == ["x"]
    assert c.catalog.node("far")[1]["Services"]["outside"]["Port"] == 5
    assert c.catalog.service("outside", tag="x")[1][0]["Address"] == "10.9.9.9"
    assert c.catalog.nodes(near="_agent", consistency="stale")[1]
    assert c.health.node("far")[1][0]["Status"] == "passing"
    assert c.catalog.deregister("far") and c.catalog.node("far")[1] is None


def agent():
    me = c.agent.self()
    assert me["Member"] in c.agent.members()
    assert c.agent.members(wan=True)[0]["Name"] == me["Config"]["NodeName"] + ".dc1"
    assert c.agent.maintenance(True, "upgrade") and "_node_maintenance" in c.agent.checks()
    assert c.agent.maintenance(False) and "_node_maintenance" not in c.agent.checks()
    assert c.status.leader() == c.status.peers()[0]
    assert c.operator.raft_config()["Servers"][0]["Leader"] is True
    assert c.coordinate.datacenters()[0]["Datacenter"] == "dc1"
    assert isinstance(c.coordinate.nodes()[1], list)


def events():
    fired = c.event.fire("deploy", "v1")
    until(lambda: fired["ID"] in [row["ID"] for row in c.event.list("deploy")[1]])


def queries():
    c.agent.service.register("queried", port=1)
    made = c.query.create("queried", name="by-name", onlypassing=True, tags=[])["ID"]
    assert made in [row["ID"] for row in c.query.list()]
    assert c.query.get(made)[0]["Name"] == "by-name"
    until(lambda: len(c.query.execute("by-name")["Nodes"]), 1)
    assert c.query.update(made, service="queried", name="other")
    assert c.query.explain("other")["Query"]["ID"] == made
    assert c.query.delete(made)
    c.agent.service.deregister("queried")


def refused_by_consul_too():
    """Calls that Consul has given up since this client was written."""
    for call in (c.agent.force_leave, c.agent.join):  # with GET
        raises(lambda call=call: call("nobody"), consul.base.ClientError, "405")
    # The client reads the answers 404 of paths that are no endpoints like those of endpoints.
    for call in (c.acl.list, lambda: c.acl.info("x"), lambda: c.acl.create("x")):
        raises(call, KeyError, "x-consul-index")


def tokens():
    management = os.environ["MANAGEMENT"]
    denied = "lacks permission 'key:write' on \"secret\""
    raises(lambda: c.kv.put("secret", "x"), consul.ACLPermissionDenied, denied)
    assert c.kv.put("secret", "x", token=management)
    assert c.kv.get("secret", token=management)[1]["Value"] == b"x"
    with_token = consul.Consul(HOST, int(PORT), token=management)
    assert with_token.agent.service.register("guarded", port=1, check=consul.Check.ttl("60s"))
    assert c.catalog.services()[1] == {}
    assert "guarded" in with_token.catalog.services()[1]
    # This client sends no token with sessions, whatever it was given.
    raises(with_token.session.create, consul.ACLPermissionDenied, "session:write")


def asynchronous():
    # Python 3.11 has no asyncio.coroutine, which this client still decorates with.
    asyncio.coroutine = types.coroutine
    import consul.aio

    async def main():
        client = consul.aio.Consul(host=HOST, port=int(PORT), loop=asyncio.get_running_loop())
        assert await client.kv.put("aio", "1")
        index, _ = await client.kv.get("aio")
        waiting = asyncio.ensure_future(client.kv.get("aio", index=index, wait="30s"))
        await asyncio.sleep(0.2)
        assert await client.kv.put("aio", "2")
        assert (await waiting)[1]["Value"] == b"2"
        await client.http._session.close()

    asyncio.run(main())


if __name__ == "__main__":
    globals()[sys.argv[1]]()
