"""What of the configuration may be shown."""

from __future__ import annotations

import json

from portway.agent.config import load
from portway.agent.sanitized import HIDDEN, sanitized

SECRETS = """
encrypt = "pUqJrVyVRj5jsiYEkM/tFQYfWyJIv4s3XkvDwy7Cu5s="
acl { tokens { default = "SECRET-1", agent = "SECRET-2", initial_management = "SECRET-3" } }
services = [{ name = "web", token = "SECRET-4", meta = { team = "a" } }]
checks = [{
  name = "c", http = "http://127.0.0.1/", interval = "10s"
  header = { Authorization = ["SECRET-5"], X-Vault-Token = ["SECRET-6"], Accept = ["text/plain"] }
}]
watches = [{ type = "key", key = "k", token = "SECRET-7", args = ["true"] }]
connect { ca_config { token = "SECRET-8", private_key = "SECRET-9", leaf_cert_ttl = "72h" } }
telemetry { circonus_api_token = "SECRET-10" }
ui_config { metrics_proxy {
  base_url = "http://127.0.0.1/"
  add_headers = [{ name = "Authorization", value = "SECRET-11" }]
} }
"""


def test_secrets_are_hidden() -> None:
    shown = sanitized(load(["-dev", "-hcl", SECRETS]).config)
    text = json.dumps(shown)
    assert "SECRET" not in text
    assert "pUqJrVyVRj5" not in text
    assert shown["ACL"]["Tokens"] == HIDDEN
    assert shown["Services"][0]["Token"] == HIDDEN
    header = shown["Checks"][0]["Header"]
    assert header == {"Authorization": HIDDEN, "X-Vault-Token": HIDDEN, "Accept": ["text/plain"]}


def test_everything_else_is_shown() -> None:
    fine = """
    node_meta { rack_name = "r1" }
    dns_config { node_ttl = "7s", service_ttl = { web = "3s" } }
    acl { token_ttl = "30s", enable_token_persistence = true }
    """
    shown = sanitized(load(["-dev", "-hcl", fine]).config)
    assert shown["NodeMeta"] == {"rack_name": "r1"}
    assert (shown["DNSConfig"]["NodeTTL"], shown["DNSConfig"]["ServiceTTL"]) == (
        "7s",
        {"web": "3s"},
    )
    assert shown["ACL"]["TokenTTL"] == "30s"
    assert shown["ACL"]["EnableTokenPersistence"] is True
    assert (shown["GRPCPort"], shown["ServerMode"], shown["DevMode"]) == (8502, True, True)
    assert json.loads(json.dumps(shown)) == shown
