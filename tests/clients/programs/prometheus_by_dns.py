"""Debian's Prometheus finds the instances of a service by SRV and A records of Portway.

``python -m tests.clients.programs.prometheus_by_dns DIRECTORY``, in a network of its own whose
resolver is 127.0.0.1.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import yaml

from tests.clients.servers import put, request, running, until, web_server
from tests.integration.cli_consul_rig import agent_running, eventually

_PROMETHEUS = "127.0.0.1:9090"


def main(directory: Path) -> None:
    """Follow a registration, an instance that fails, and a deregistration."""
    often = {"refresh_interval": "1s"}
    by_srv = {"names": ["web.service.consul"]} | often
    by_a = {"names": ["blue.web.service.consul"], "type": "A", "port": 81} | often
    jobs = [
        {"job_name": name, "scrape_interval": "1s", "dns_sd_configs": [job]}
        for name, job in (("srv", by_srv), ("a", by_a))
    ]
    config = directory / "prometheus.yml"
    config.write_text(yaml.safe_dump({"scrape_configs": jobs}))
    command = ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={directory / 'tsdb'}"]
    with (
        agent_running(directory, "-dns-port=53") as agent,
        running(command, directory / "prometheus.log", f"http://{_PROMETHEUS}/-/ready"),
        web_server("requests_total 7\n") as port,
    ):
        api = f"http://{agent.address}/v1/agent"
        web = {"Name": "web", "Address": "127.0.0.1", "Port": port}
        check = {"Check": {"TTL": "1h", "Status": "passing"}}
        put(f"{api}/service/register", web | {"ID": "web-1"})
        other = {"ID": "web-2", "Address": "127.0.0.2", "Port": 80, "Tags": ["blue"]}
        put(f"{api}/service/register", web | other | check)
        first, second = f"7f000001.addr.dc1.consul:{port}", "7f000002.addr.dc1.consul:80"
        until(lambda: _found("srv"), sorted([first, second]))
        until(lambda: _found("a"), ["127.0.0.2:81"])
        query = f"http://{_PROMETHEUS}/api/v1/query?query=requests_total"
        eventually(lambda: json.loads(request(query)[1])["data"]["result"], "a scrape")
        put(f"{api}/check/fail/service:web-2", "")
        until(lambda: _found("srv"), [first])
        until(lambda: _found("a"), [])
        put(f"{api}/service/deregister/web-1", "")
        until(lambda: _found("srv"), [])


def _found(job: str) -> list[str]:
    status, body = request(f"http://{_PROMETHEUS}/api/v1/targets?state=active")
    if status != 200:
        return [f"status {status}"]
    active = json.loads(body)["data"]["activeTargets"]
    targets = (target for target in active if target["scrapePool"] == job)
    return sorted(target["discoveredLabels"]["__address__"] for target in targets)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
