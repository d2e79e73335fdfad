"""DNS: what may be seen, and what large or odd registrations do to others."""

from __future__ import annotations

import dns.flags
import dns.rcode
import pytest

from portway.discovery.acl import Authorizer
from portway.discovery.acl.authorizer import Permissions
from portway.discovery.acl.rules import parse_rules
from tests.unit.dns_world import World


def test_a_rule_for_a_virtual_address_holds_for_the_service_as_it_is_called() -> None:
    world = World()
    world.node("n1", "10.0.0.1")
    world.service("n1", "Vault", tagged={"consul-virtual": "240.0.0.1"})
    rules = parse_rules('service "Vault" { policy = "deny" }')
    world.tokens.authorizer = Authorizer(Permissions((rules,)), "test", default_allow=True)

    assert world.ask("vault.virtual.consul").rcode() == dns.rcode.NXDOMAIN


@pytest.mark.parametrize("kind", ["A", "SRV", "TXT", "ANY"])
@pytest.mark.parametrize("size", [70_000, 300_000])
def test_metadata_that_no_record_can_hold_harms_no_answer(kind: str, size: int) -> None:
    world = World()
    world.node("n1", "10.0.0.1", meta={"huge": "x" * size, "small": "y"})
    world.node("n2", "10.0.0.2")
    for node in ("n1", "n2"):
        world.service(node, "web")

    for name in ("web.service.consul", "n1.node.consul"):
        for tcp in (False, True):
            assert world.ask(name, kind, tcp=tcp, edns=4096).rcode() == dns.rcode.NOERROR
