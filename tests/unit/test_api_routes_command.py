"""``portway routes``: the API's answers as a table, and what it says when there are none."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from click.testing import CliRunner, Result

from portway.cli.routes import routes

RAW: dict[str, Any] = {
    "routers": {
        "low@file": {
            "entryPoints": ["web"],
            "using": ["web"],
            "service": "s",
            "rule": "PathPrefix(`/`)",
            "priority": 1,
            "status": "enabled",
        },
        "high@docker": {
            "using": ["web"],
            "service": "s@file",
            "rule": "Host(`a.test`)",
            "middlewares": ["auth@docker", "strip@docker"],
            "priority": 14,
            "status": "warning",
            "error": ['entryPoint "nope" doesn\'t exist'],
        },
        "api@internal": {
            "using": ["admin"],
            "service": "api@internal",
            "rule": "PathPrefix(`/api`)",
            "priority": 9223372036854775806,
            "status": "enabled",
        },
    },
    "services": {
        "s@file": {
            "loadBalancer": {"servers": [{"url": "http://10.0.0.1"}, {"url": "http://10.0.0.2"}]},
            "serverStatus": {"http://10.0.0.1": "UP", "http://10.0.0.2": "DOWN"},
            "error": ["sticky is not supported yet"],
        }
    },
}


@contextmanager
def api(answers: dict[str, Any]) -> Iterator[str]:
    """A server of these answers by path; anything else is not there."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer = answers.get(self.path)
            self.send_response(404 if answer is None else 200)
            self.end_headers()
            self.wfile.write(answer if isinstance(answer, bytes) else json.dumps(answer).encode())

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def run(*arguments: str, **variables: str) -> Result:
    return CliRunner().invoke(routes, arguments, env=variables)


def test_routers_are_listed_by_entry_point_and_order_of_trial() -> None:
    with api({"/api/rawdata": RAW, "/api/problems": {"docker": ["unreachable"]}}) as url:
        result = run("--api", url)
    assert result.exit_code == 0
    lines = [line.split() for line in result.stdout.splitlines() if line.strip()]
    listed = [line[0] for line in lines if line[0] in RAW["routers"]]
    assert listed == ["api@internal", "high@docker", "low@file"]
    assert lines[-1] == ["docker:", "unreachable"]
    (high,) = (line for line in lines if line[0] == "high@docker")
    assert high == [
        *("high@docker", "web", "Host(`a.test`)", "auth@docker"),
        *("s@file", "1/2", "warning", "14", "docker"),
    ]
    assert "strip@docker" in result.stdout
    assert 'entryPoint "nope" doesn\'t exist' in result.stdout
    assert "sticky is not supported yet" in result.stdout


def test_only_routers_with_errors() -> None:
    with api({"/api/rawdata": RAW}) as url:
        result = run("--errors", "--api", url)
    assert "high@docker" in result.stdout
    assert "low@file" in result.stdout, "its service has an error"
    assert "api@internal" not in result.stdout


def test_json() -> None:
    with api({"/base/api/rawdata": RAW}) as url:
        result = run("--json", PORTWAY_URL=url + "/base/")
    tree = json.loads(result.stdout)
    assert tree["problems"] == {}
    assert tree["routers"][2] == {
        "name": "low@file",
        "provider": "file",
        "entryPoints": ["web"],
        "rule": "PathPrefix(`/`)",
        "middlewares": [],
        "service": "s",
        "serversUp": 1,
        "servers": 2,
        "status": "enabled",
        "priority": 1,
        "errors": ["sticky is not supported yet"],
    }


def test_nothing_there() -> None:
    with api({"/api/rawdata": {}}) as url:
        assert run("--api", url).stdout == "No routers.\n"


def test_names_cannot_drive_the_terminal() -> None:
    raw = {"routers": {"a\x1b[2J@docker": {"rule": "Host(`\x07`)", "error": ["[red]x[/red]\x9b"]}}}
    with api({"/api/rawdata": raw}) as url:
        result = run("--api", url)
    assert not {"\x1b", "\x07", "\x9b"} & set(result.stdout)
    assert "[red]x[/red]" in result.stdout


@pytest.mark.parametrize(
    ("answers", "suffix", "says"),
    [
        ({}, "", "answered 404 Not Found: check that --api names the entry point and base path"),
        ({"/api/rawdata": b"<html>"}, "", "did not answer with JSON"),
    ],
)
def test_something_else_answers(answers: dict[str, Any], suffix: str, says: str) -> None:
    with api(answers) as url:
        result = run("--api", url + suffix)
    assert result.exit_code == 1
    assert says in result.stderr
    assert result.stderr.count("\n") == 1


def test_nobody_answers() -> None:
    with api({}) as url:
        pass
    result = run("--api", url)
    assert result.exit_code == 1
    assert result.stderr == (
        f"Error: cannot reach the API at {url} (Connection refused): start Portway with"
        " --api.insecure=true, or say where it is with --api URL or PORTWAY_URL\n"
    )


def test_what_is_not_a_url() -> None:
    result = run("--api", "localhost:8080")
    assert result.exit_code == 1
    assert "write it as http://127.0.0.1:8080" in result.stderr
