// What applications do with the npm package consul.
//
// node npm_consul_calls.js SCENARIO, with NODE_PATH to the package, runs one function.
// CONSUL_HTTP_ADDR names the agent, MANAGEMENT is the token of one with access control.
"use strict";

const assert = require("assert").strict;
const Consul = require("consul");

const [host, port] = process.env.CONSUL_HTTP_ADDR.split(":");
const c = new Consul({ host, port });
const FALSE = undefined; // this version of the client gives an answer "false" so

async function until(question, wanted) {
  const end = Date.now() + 30000;
  for (;;) {
    const answer = await question();
    try {
      return assert.deepEqual(answer, wanted);
    } catch (error) {
      if (Date.now() > end) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

const scenarios = {
  async kv() {
    assert.equal(await c.kv.get("kv/none"), undefined);
    assert.equal(await c.kv.set({ key: "kv/a", value: "text", flags: 7 }), true);
    assert.equal(await c.kv.set("kv/b/c", "other"), true);
    const entry = await c.kv.get("kv/a");
    assert.deepEqual([entry.Value, entry.Flags, entry.LockIndex], ["text", 7, 0]);
    assert.equal((await c.kv.get({ key: "kv/a", raw: true })).toString(), "text");
    const all = await c.kv.get({ key: "kv/", recurse: true });
    assert.deepEqual(all.map((row) => row.Key), ["kv/a", "kv/b/c"]);
    assert.deepEqual(await c.kv.keys({ key: "kv/", separator: "/" }), ["kv/a", "kv/b/"]);
    assert.deepEqual(await c.kv.keys("kv/"), ["kv/a", "kv/b/c"]);
    assert.equal(await c.kv.set({ key: "kv/a", value: "late", cas: "0" }), FALSE);
    const cas = String(entry.ModifyIndex);
    assert.equal(await c.kv.set({ key: "kv/a", value: "new", cas }), true);
    assert.equal(await c.kv.del({ key: "kv/a", cas }), FALSE);
    assert.equal(await c.kv.del({ key: "kv/", recurse: true }), true);
    await assert.rejects(c.kv.keys("kv/"), /not found/);
  },

  async transactions() {
    const value = Buffer.from("value").toString("base64");
    const set = { KV: { Verb: "set", Key: "txn", Value: value } };
    const done = await c.transaction.create([set, { KV: { Verb: "get", Key: "txn" } }]);
    assert.equal(done.Results[1].KV.Value, value);
    const wrong = [{ KV: { Verb: "check-index", Key: "txn", Index: 1 } }];
    await assert.rejects(c.transaction.create(wrong), /conflict/i);
  },

  async locks() {
    const first = (await c.session.create({ name: "a", ttl: "10s", lockdelay: "0s" })).ID;
    const second = (await c.session.create({ lockdelay: "0s" })).ID;
    assert.equal(await c.kv.set({ key: "lock", value: "a", acquire: first }), true);
    assert.equal(await c.kv.set({ key: "lock", value: "b", acquire: second }), FALSE);
    assert.equal((await c.kv.get("lock")).Session, first);
    assert.equal((await c.session.renew(first))[0].TTL, "10s");
    assert.equal((await c.session.get(first)).Name, "a");
    const node = (await c.agent.self()).Config.NodeName;
    for (const listed of [await c.session.list(), await c.session.node(node)]) {
      assert(listed.some((row) => row.ID === first));
    }
    assert.equal(await c.kv.set({ key: "lock", value: "a", release: first }), true);
    assert.equal(await c.kv.set({ key: "lock", value: "b", acquire: second }), true);
    await c.session.destroy(second);
    assert.equal((await c.kv.get("lock")).Session, undefined);
    assert.equal(await c.session.get(second), undefined);
  },

  async services() {
    const http = `http://${host}:${port}/v1/status/leader`;
    await c.agent.service.register({
      name: "api", id: "api-1", address: "10.0.0.1", port: 80, tags: ["a"], meta: { m: "1" },
      check: { http, interval: "1s", timeout: "1s" },
    });
    await c.agent.service.register({ name: "api", id: "api-2", checks: [{ ttl: "60s" }] });
    assert.deepEqual((await c.agent.service.list())["api-1"].Tags, ["a"]);
    const passing = async () => (await c.health.service({ service: "api", passing: true })).length;
    await until(passing, 1);
    await c.agent.check.pass({ id: "service:api-2", note: "fine" });
    await until(passing, 2);
    await c.agent.check.warn("service:api-2");
    await c.agent.check.fail("service:api-2");
    const critical = async () => (await c.health.state("critical")).map((row) => row.CheckID);
    await until(critical, ["service:api-2"]);
    assert.equal((await c.health.service({ service: "api", tag: "a" }))[0].Service.Meta.m, "1");
    assert.equal((await c.health.checks("api")).length, 2);
    await c.agent.service.maintenance({ id: "api-1", enable: true, reason: "why" });
    assert.equal((await c.agent.check.list())["_service_maintenance:api-1"].Notes, "why");
    await c.agent.service.maintenance({ id: "api-1", enable: false });
    await c.agent.service.deregister("api-1");
    await c.agent.service.deregister({ id: "api-2" });
    await until(() => c.catalog.service.nodes("api"), []);
  },

  async checks() {
    await c.agent.check.register({ name: "memory", id: "mem", ttl: "60s", notes: "n" });
    await c.agent.check.pass("mem");
    assert.equal((await c.agent.check.list()).mem.Status, "passing");
    await c.agent.check.register({ name: "script", args: ["/bin/true"], interval: "1s" });
    await until(async () => (await c.agent.check.list()).script.Status, "passing");
    await c.agent.check.deregister("mem");
    await c.agent.check.deregister("script");
    assert.deepEqual(await c.agent.check.list(), {});
  },

  async catalog() {
    await c.catalog.register({
      node: "far", address: "10.9.9.9",
      service: { service: "outside", tags: ["x"], port: 5 },
      check: { name: "reachable", status: "passing" },
    });
    assert.deepEqual(await c.catalog.datacenters(), ["dc1"]);
    assert((await c.catalog.node.list()).some((row) => row.Node === "far"));
    assert.equal((await c.catalog.node.services("far")).Services.outside.Port, 5);
    assert.deepEqual((await c.catalog.service.list()).outside, ["x"]);
    assert.equal((await c.catalog.service.nodes({ service: "outside", tag: "x" }))[0].ServicePort, 5);
    assert.deepEqual(await c.catalog.connect.nodes("outside"), []);
    assert.equal((await c.health.node("far"))[0].Status, "passing");
    await c.catalog.deregister("far");
    assert(!(await c.catalog.node.list()).some((row) => row.Node === "far"));
  },

  async agent() {
    const self = await c.agent.self();
    assert.deepEqual((await c.agent.members()).map((row) => row.Name), [self.Config.NodeName]);
    await c.agent.reload();
    await c.agent.maintenance({ enable: true, reason: "upgrade" });
    await c.agent.maintenance(false);
    assert.equal(await c.status.leader(), (await c.status.peers())[0]);
    const event = await c.event.fire({ name: "deploy", payload: "v1" });
    await until(async () => (await c.event.list("deploy")).map((row) => row.ID), [event.ID]);
  },

  async queries() {
    await c.agent.service.register({ name: "queried", port: 1 });
    const made = await c.query.create({ name: "by-name", service: { service: "queried" } });
    assert.equal((await c.query.get(made.ID)).Name, "by-name");
    await until(async () => (await c.query.execute("by-name")).Nodes.length, 1);
    await c.query.update({ query: made.ID, name: "other", service: { service: "queried" } });
    await c.query.explain("other"); // its answer is an object, of which this client gives nothing
    assert.equal((await c.query.list()).length, 1);
    await c.query.destroy(made.ID);
    await c.agent.service.deregister("queried");
  },

  // Each of five changes is one event, in order.
  async watch() {
    const watch = c.watch({ method: c.kv.get, options: { key: "watched", wait: "20s" } });
    const seen = [];
    const change = () => new Promise((resolve, reject) => {
      watch.once("change", resolve);
      watch.once("error", reject);
    });
    for (let value = 0; value < 5; value++) {
      const changed = change();
      await c.kv.set("watched", String(value));
      let row = await changed;
      if (row === undefined) row = await change(); // the key's absence was told first
      seen.push(row.Value);
    }
    watch.end();
    assert.deepEqual(seen, ["0", "1", "2", "3", "4"]);
  },

  async watchHealth() {
    const options = { service: "watched", passing: true, wait: "20s" };
    const watch = c.watch({ method: c.health.service, options });
    const ports = new Promise((resolve, reject) => {
      watch.on("error", reject);
      watch.on("change", (rows) => rows.length && resolve(rows.map((row) => row.Service.Port)));
    });
    await c.agent.service.register({ name: "watched", port: 9 });
    assert.deepEqual(await ports, [9]);
    watch.end();
    await c.agent.service.deregister("watched");
  },

  async refusedByConsulToo() {
    await assert.rejects(c.acl.legacy.list(), /not a recognized HTTP API endpoint/);
    await assert.rejects(c.acl.legacy.create({ name: "x" }), /not a recognized HTTP API endpoint/);
  },

  async tokens() {
    await assert.rejects(c.kv.set("secret", "x"), /forbidden/);
    const token = process.env.MANAGEMENT;
    assert.equal(await c.kv.set({ key: "secret", value: "x", token }), true);
    const allowed = new Consul({ host, port, defaults: { token } });
    assert.equal((await allowed.kv.get("secret")).Value, "x");
    await allowed.agent.service.register({ name: "guarded", port: 1 });
    assert.deepEqual(await c.catalog.service.list(), {});
    await until(async () => "guarded" in (await allowed.catalog.service.list()), true);
    await allowed.session.destroy((await allowed.session.create()).ID);
    await assert.rejects(allowed.acl.bootstrap(), /no longer allowed/);
    assert.equal((await allowed.acl.replication()).Enabled, false);
  },
};

scenarios[process.argv[2]]().then(
  () => process.exit(0),
  (error) => {
    console.error(error);
    process.exit(1);
  },
);
