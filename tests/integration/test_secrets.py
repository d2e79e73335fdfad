"""Secrets of tokens never appear where somebody else may read: logs, answers, process lists."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.cli_consul_rig import Agent, agent_running
from tests.patience import PATIENCE

MANAGEMENT, DEFAULT = str(uuid.uuid4()), str(uuid.uuid4())


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    config = tmp_path / "acl.json"
    config.write_text(
        json.dumps(
            {
                "log_level": "TRACE",
                "acl": {
                    "enabled": True,
                    "default_policy": "deny",
                    "tokens": {"initial_management": MANAGEMENT, "default": DEFAULT},
                },
                "http_config": {"response_headers": {"X-Test": "1"}},
            }
        )
    )
    with agent_running(tmp_path, f"-config-file={config}") as one:
        yield one


def call(agent: Agent, method: str, path: str, token: str, body: object = None) -> str:
    """The body of an answer, also of a refusal."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"http://{agent.address}/v1/{path}", data, method=method)
    request.add_header("X-Consul-Token", token)
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return str(answer.read().decode())
    except urllib.error.HTTPError as error:
        return error.read().decode()


def test_secrets_stay_secret(agent: Agent) -> None:
    made = json.loads(call(agent, "PUT", "acl/token", MANAGEMENT, {"Description": "test"}))
    secret, accessor = made["SecretID"], made["AccessorID"]
    unknown = str(uuid.uuid4())
    told = [
        call(agent, "GET", "agent/self", MANAGEMENT),
        call(agent, "GET", f"kv/a?token={secret}", MANAGEMENT),  # in the query: denied
        call(agent, "PUT", "kv/a", secret),
        call(agent, "GET", "agent/self", unknown),
        call(agent, "GET", "agent/metrics?format=prometheus", MANAGEMENT),
        call(agent, "PUT", "agent/token/agent", MANAGEMENT, {"Token": secret}),
        call(
            agent,
            "PUT",
            "agent/service/register",
            MANAGEMENT,
            {"Name": "web", "Token": secret, "Check": {"TTL": "10s"}},
        ),
        call(agent, "PUT", "agent/service/register", MANAGEMENT, {"Nam": "web", "Token": secret}),
        call(agent, "GET", "agent/services", MANAGEMENT),
        call(agent, "GET", "agent/checks", MANAGEMENT),
        call(agent, "GET", "health/service/web", MANAGEMENT),
    ]
    assert f"token with AccessorID '{accessor}' lacks permission 'key:read'" in told[1]
    log = agent.log.read_text()
    for name, text in (("an answer", "\n".join(told)), ("the log", log)):
        for one in (secret, MANAGEMENT, DEFAULT, unknown):
            assert one not in text, f"a secret is in {name}"
    command = Path(f"/proc/{agent.process.pid}/cmdline").read_text()
    assert MANAGEMENT not in command
