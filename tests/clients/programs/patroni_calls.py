# mypy: ignore-errors
"""What Patroni does with Consul to keep one primary, by Patroni's own module for it.

``patroni_calls.py SCENARIO`` runs one function. CONSUL_HTTP_ADDR names the agent, MANAGEMENT is
the token of one with access control. PostgreSQL itself has no part in it.
"""

import os
import sys
import threading
import time

import consul
from patroni.dcs import get_dcs

HOST, _, PORT = os.environ["CONSUL_HTTP_ADDR"].rpartition(":")
c = consul.Consul(host=HOST, port=int(PORT))


def dcs(name, **settings):
    """The store as a member of the cluster sees it."""
    return get_dcs(
        {
            "scope": "pg",
            "namespace": "service",
            "name": name,
            "ttl": 20,
            "loop_wait": 1,
            "retry_timeout": 10,
            "consul": {"host": HOST, "port": int(PORT), "register_service": True} | settings,
        }
    )


def data(number, role):
    """What a member tells of itself."""
    return {
        "conn_url": f"postgres://127.0.0.{number}:5432/postgres",
        "api_url": f"http://127.0.0.{number}:8008/patroni",
        "role": role,
        "state": "running",
        "xlog_location": number,
    }


def until(question, wanted=True):
    """Ask until the answer is as wanted."""
    end = time.monotonic() + 240
    while (answer := question()) != wanted:
        assert time.monotonic() < end, f"{answer!r} and not {wanted!r}"
        time.sleep(0.05)


def cluster(**settings):
    """One of two members leads; the other learns of it, and takes over."""
    first, second = dcs("a", **settings), dcs("b", **settings)
    assert first.initialize(create_new=True) and not second.initialize(create_new=True)
    assert first.initialize(create_new=False, sysid="7000")
    assert first.attempt_to_acquire_leader() and not second.attempt_to_acquire_leader()
    for member, number, role in ((first, 1, "primary"), (second, 2, "replica")):
        assert member.get_cluster() and member.touch_member(data(number, role))
    seen = second.get_cluster()
    assert (seen.initialize, seen.leader.name, seen.leader.member.conn_url) == (
        "7000",
        "a",
        "postgres://127.0.0.1:5432/postgres",
    )
    assert sorted(member.name for member in seen.members) == ["a", "b"]
    assert first.set_config_value('{"ttl": 20}') and first.set_history_value("[]")
    assert first.get_cluster().config.data == {"ttl": 20}
    stale = first.get_cluster().config.version - 1
    assert not first.set_config_value('{"ttl": 21}', stale)
    assert first.update_leader(first.get_cluster(), 100, None, None)
    assert second.get_cluster().status.last_lsn == 100

    until(lambda: len(c.health.service("pg")[1]), 2)
    tags = {row["Service"]["ID"]: row["Service"]["Tags"] for row in c.health.service("pg")[1]}
    assert tags == {"pg/a": ["primary", "master"], "pg/b": ["replica"]}

    version = second.get_cluster().leader.version
    threading.Timer(0.5, lambda: first.delete_leader(first.get_cluster().leader, 200)).start()
    began = time.monotonic()
    assert second.watch(version, 25), "a watcher is woken when the leader goes"
    assert time.monotonic() - began < 20
    until(lambda: second.get_cluster().is_unlocked())
    assert second.attempt_to_acquire_leader() and not first.attempt_to_acquire_leader()
    assert second.touch_member(data(2, "primary")) and first.touch_member(data(1, "replica"))
    assert first.get_cluster().leader.name == "b"

    # The session of the leader ends: its key is deleted, and with it its membership.
    c.session.destroy(second._session)
    until(lambda: [member.name for member in first.get_cluster().members], ["a"])
    assert first.get_cluster().is_unlocked() and first.attempt_to_acquire_leader()
    assert first.touch_member(data(1, "primary") | {"state": "stopped"})
    assert second.touch_member(data(2, "replica"))
    until(lambda: [row["Service"]["ID"] for row in c.health.service("pg")[1]], ["pg/b"])
    assert first.delete_cluster() and first.get_cluster().is_empty()
    c.agent.service.deregister("pg%2Fb")


def tokens():
    """The same with a token."""
    c.token = os.environ["MANAGEMENT"]
    cluster(token=c.token)


if __name__ == "__main__":
    globals()[sys.argv[1]]()
