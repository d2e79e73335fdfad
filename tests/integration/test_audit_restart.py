"""What a restart of the servers must not do to blocking queries: lose a change.

The index of a reading counts what was deleted (documented rule 3), and a deletion leaves nothing
behind that could be read again. So a server that starts on an old store must not know less of
deletions than its clients do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from portway.discovery.server import Server
from portway.discovery.state import Reading, State
from tests.integration.discovery_rig import Discovery

READS: dict[str, Callable[[State], Reading[Any]]] = {
    "a service": lambda state: state.catalog.read_service("web"),
    "a service of the mesh": lambda state: state.catalog.read_connect("web"),
    "a node": lambda state: state.catalog.read_host("n2"),
    "all nodes": lambda state: state.catalog.read_hosts(),
    "all names": lambda state: state.catalog.read_names(),
    "all checks": lambda state: state.catalog.read_checks(),
    "checks of a status": lambda state: state.catalog.read_checks("passing"),
    "keys": lambda state: state.kv.read_under("p/"),
    "a key": lambda state: state.kv.read("p/2"),
}


@pytest.mark.parametrize(
    "method, path, body, told",
    [
        (
            "PUT",
            "/v1/catalog/deregister",
            {"Node": "n2", "ServiceID": "web"},
            {
                *("a service", "a service of the mesh", "a node"),
                *("all names", "all checks", "checks of a status"),
            },
        ),
        (
            "PUT",
            "/v1/catalog/deregister",
            {"Node": "n2", "CheckID": "c"},
            {
                *("a service", "a service of the mesh", "a node"),
                *("all checks", "checks of a status"),
            },
        ),
        ("PUT", "/v1/catalog/deregister", {"Node": "n2"}, {*READS} - {"keys", "a key"}),
        ("DELETE", "/v1/kv/p/2", None, {"keys", "a key"}),
    ],
)
async def test_what_was_removed_before_a_restart_is_told_after_it(
    discovery: Discovery, method: str, path: str, body: Any, told: set[str]
) -> None:
    """Rule 3: a reader whose index is from before the removal is answered at once."""
    for number in (1, 2):
        await discovery.register(
            Node=f"n{number}",
            Address=f"10.0.0.{number}",
            Service={"Service": "web", "Port": 1, "Connect": {"Native": True}},
            Check={"Name": "c", "Status": "passing", "ServiceID": "web"},
        )
        await discovery.put(f"/v1/kv/p/{number}", b"x")
    state = discovery.server.state
    before = {name: read(state).index for name, read in READS.items()}
    await discovery.call(method, path, body)
    assert {name for name, read in READS.items() if read(state).index > before[name]} == told

    again = Server(discovery.server.store)
    await again.start()
    after = {name for name, read in READS.items() if read(again.state).index > before[name]}
    again.stop()

    assert told <= after
