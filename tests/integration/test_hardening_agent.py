"""A real agent with access control, against somebody with a few rights."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.audit_rig import Client
from tests.integration.cli_consul_rig import agent_running, eventually

MANAGEMENT = "11111111-2222-4333-8444-555555555555"
ACL = f"""
acl {{
  enabled = true
  default_policy = "deny"
  tokens {{ initial_management = "{MANAGEMENT}" agent = "{MANAGEMENT}" }}
}}
"""


@pytest.fixture(scope="module")
def manager(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """The owner of an agent with the services ``api`` and ``web`` and a check of the node."""
    folder: Path = tmp_path_factory.mktemp("agent")
    (folder / "acl.hcl").write_text(ACL)
    with agent_running(folder, "-node=here", f"-config-file={folder / 'acl.hcl'}") as agent:
        client = Client(agent, MANAGEMENT)
        for name in ("api", "web"):
            client.does("agent/service/register", {"Name": name, "Check": {"TTL": "1h"}})
        client.does("agent/check/register", {"Name": "disk", "TTL": "1h"})
        yield client


@pytest.fixture(scope="module")
def web(manager: Client) -> Client:
    """Who may write the service ``web``."""
    rules = 'service "web" { policy = "write" } service_prefix "web-" { policy = "write" }'
    policy = manager.put("acl/policy", {"Name": "web", "Rules": rules}).json
    token = manager.put("acl/token", {"Policies": [{"ID": policy["ID"]}]}).json
    return Client(manager.agent, token["SecretID"])


@pytest.mark.parametrize(
    "registration",
    [
        {"Name": "web", "Check": {"CheckID": "service:api", "TTL": "1h"}},
        {"Name": "web", "Checks": [{"CheckID": "disk", "TTL": "1h"}]},
        # The ID a check is given may be that of another one, too.
        {"Name": "web", "ID": "api", "Check": {"TTL": "1h"}},
        {
            "Name": "web",
            "Port": 80,
            "Connect": {
                "SidecarService": {"Checks": [{"CheckID": "disk", "Name": "x", "TTL": "1h"}]}
            },
        },
    ],
)
def test_a_registration_takes_no_check_of_others(
    manager: Client, web: Client, registration: dict[str, Any]
) -> None:
    before = manager.json("agent/checks")

    reply = web.put("agent/service/register", registration)
    assert (reply.status, "lacks permission" in reply.text) == (403, True), reply.text
    assert manager.json("agent/checks") == before


def test_a_registration_may_replace_its_own_checks(manager: Client, web: Client) -> None:
    for _ in range(2):
        web.does("agent/service/register", {"Name": "web", "Check": {"TTL": "2h"}})


def test_an_alias_shows_no_more_of_another_node_than_its_owner_may_see(
    manager: Client, web: Client
) -> None:
    check = {"Name": "vault", "ServiceID": "vault", "Status": "critical", "Output": "the secret"}
    body = {
        "Node": "there",
        "Address": "10.0.0.2",
        "Service": {"Service": "vault"},
        "Check": check,
    }
    assert manager.put("catalog/register", body).text == "true"
    outputs = {}
    for name, client in (("of-web", web), ("of-manager", manager)):
        alias = {"Name": name, "ServiceID": "web", "AliasNode": "there", "AliasService": "vault"}
        client.does("agent/check/register", alias)

        def output(name: str = name) -> Any:
            return manager.json("agent/checks")[name]["Output"]

        eventually(lambda: bool(output()), "the alias to be judged")
        outputs[name] = output()
    assert "the secret" in outputs["of-manager"]
    assert outputs["of-web"] == "Service vault could not be found on node there"
