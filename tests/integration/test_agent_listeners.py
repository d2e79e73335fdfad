"""Where an agent listens, over what, to whom, and how much it takes from one client."""

from __future__ import annotations

import http.client
import os
import socket
import ssl
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.agent_rig import Home, Reply, UnixConnection, ask, home, secure
from tests.integration.checks_rig import Authority
from tests.integration.cli_consul_rig import eventually
from tests.patience import PATIENCE
from tests.ports import free_ports


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Home]:
    with home(tmp_path) as made:
        yield made


class Trust:
    """Authorities, and what they signed, in the files of a home."""

    def __init__(self, place: Home) -> None:
        self.place = place
        self.block: dict[str, object] = {}
        self.folder = place.directory / "tls"
        self.folder.mkdir()
        (self.port,) = free_ports(1)
        place.config["ports"] = {"https": self.port}

    def authority(self, name: str) -> Authority:
        """An authority with files of its own."""
        folder = self.folder / name
        folder.mkdir()
        return Authority(folder)

    def use(self, server: Authority, clients: Authority | None = None, **more: object) -> None:
        """Write the configuration: a certificate of ``server``, clients must have one of theirs."""
        cert, key = server.issue("127.0.0.1")
        block: dict[str, object] = {"cert_file": str(cert), "key_file": str(key), **more}
        if clients is not None:
            block |= {"ca_file": str(clients.file), "verify_incoming": True}
        self.block = block
        self.place.write("tls.json", {"tls": {"https": block}})

    def context(self, server: Authority, client: Authority | None = None) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(server.file))
        if client is not None:
            context.load_cert_chain(*client.issue("client"))
        return context

    def ask(self, context: ssl.SSLContext) -> Reply:
        return ask(secure(self.port, context), "GET", "/v1/status/leader")


def test_https_takes_other_certificates_over_without_a_restart(place: Home) -> None:
    trust = Trust(place)
    old, new = trust.authority("old"), trust.authority("new")
    trust.use(old)
    agent = place.start()
    assert trust.ask(trust.context(old)).status == 200
    kept = secure(trust.port, trust.context(old))
    kept.request("GET", "/v1/status/leader")
    kept.getresponse().read()
    trust.use(new)
    agent.done("agent/reload")
    assert trust.ask(trust.context(new)).status == 200
    with pytest.raises(ssl.SSLCertVerificationError):
        trust.ask(trust.context(old))
    kept.request("GET", "/v1/status/leader")  # a connection that is open goes on
    assert kept.getresponse().status == 200
    kept.close()


def test_clients_show_certificates_where_that_is_asked_for(place: Home) -> None:
    trust = Trust(place)
    server, mine, others = (trust.authority(name) for name in ("server", "mine", "others"))
    trust.use(server, clients=mine)
    agent = place.start()
    assert trust.ask(trust.context(server, mine)).status == 200
    for stranger in (trust.context(server), trust.context(server, others)):
        with pytest.raises((ssl.SSLError, ConnectionError)):
            trust.ask(stranger)
    # An authority that is replaced is trusted no more; nor is one needed where nobody asks.
    trust.use(server, clients=others)
    agent.done("agent/reload")
    assert trust.ask(trust.context(server, others)).status == 200
    with pytest.raises((ssl.SSLError, ConnectionError)):
        trust.ask(trust.context(server, mine))
    trust.use(server)
    agent.done("agent/reload")
    assert trust.ask(trust.context(server)).status == 200


def test_files_that_do_not_fit_leave_tls_as_it_was(place: Home) -> None:
    trust = Trust(place)
    server = trust.authority("server")
    trust.use(server)
    agent = place.start()
    _, key = trust.authority("other").issue("127.0.0.1")
    block = trust.block | {"key_file": str(key)}
    place.write("tls.json", {"tls": {"https": block}})
    reply = agent.put("agent/reload")
    assert (reply.status, "is not the key of the certificate" in reply.text) == (500, True)
    assert trust.ask(trust.context(server)).status == 200


def test_versions_of_tls(place: Home) -> None:
    trust = Trust(place)
    server = trust.authority("server")
    trust.use(server, tls_min_version="TLSv1_3")
    agent = place.start()
    context = trust.context(server)
    assert trust.ask(context).status == 200
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(ssl.SSLError):
        trust.ask(context)
    trust.use(server, tls_min_version="TLSv1_2")
    agent.done("agent/reload")
    assert trust.ask(context).status == 200


def said_to(port: int, bytes_: bytes) -> bytes:
    """All that a listener answers until it closes."""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection:
        connection.sendall(bytes_)
        with connection.makefile("rb") as answer:
            return answer.read()


def test_whom_tls_refuses_it_tells_why(place: Home) -> None:
    trust = Trust(place)
    server, mine = trust.authority("server"), trust.authority("mine")
    trust.use(server, clients=mine, tls_min_version="TLSv1_3")
    agent = place.start()
    plain = said_to(trust.port, b"GET /v1/status/leader HTTP/1.1\r\nHost: a\r\n\r\n")
    assert plain.startswith(b"HTTP/1.0 400 Bad Request\r\n")
    assert plain.endswith(b"Client sent an HTTP request to an HTTPS server.\n")
    alert = 21  # the type of a TLS record, RFC 8446 section 5.1
    assert said_to(trust.port, b"\x16\x03\x01\x00\x04\xff\xff\xff\xff")[0] == alert
    old = trust.context(server, mine)
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(ssl.SSLError, match="ALERT_PROTOCOL_VERSION"):
        trust.ask(old)
    eventually(lambda: agent.log.read_text().count("TLS handshake error") == 3, "three lines")
    assert "address=127.0.0.1:" in agent.log.read_text()
    assert trust.ask(trust.context(server, mine)).status == 200


def test_unix_sockets(place: Home) -> None:
    path = place.directory / "agent.sock"
    place.config |= {
        "addresses": {"http": f"127.0.0.1 unix://{path}"},
        "unix_sockets": {"mode": "0660", "group": str(os.getgid())},
    }
    agent = place.start()
    made = path.stat()
    assert stat.S_ISSOCK(made.st_mode)
    assert (stat.S_IMODE(made.st_mode), made.st_gid) == (0o660, os.getgid())
    over_tcp = agent.get("agent/self").json["Config"]
    assert ask(UnixConnection(str(path)), "GET", "/v1/agent/self").json["Config"] == over_tcp
    agent.stop()
    assert not path.exists()
    # What a killed agent leaves behind is in nobody's way.
    agent = place.start()
    agent.process.kill()
    agent.ended()
    assert path.exists()
    del place.config["unix_sockets"]
    place.start()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert ask(UnixConnection(str(path)), "GET", "/v1/status/leader").status == 200
    with home(place.directory / "second") as second:
        second.config["addresses"] = {"http": f"unix://{path}"}
        late = second.launch()
        assert late.ended() == 1
        assert f"listen unix://{path}: Address already in use" in late.log.read_text()
    assert ask(UnixConnection(str(path)), "GET", "/v1/status/leader").status == 200


def test_several_addresses(place: Home) -> None:
    place.config["client_addr"] = "127.0.0.1 127.0.0.2 ::1"
    place.start()
    for host in ("127.0.0.1", "127.0.0.2", "::1"):
        connection = http.client.HTTPConnection(host, place.ports["http"], timeout=PATIENCE)
        assert ask(connection, "GET", "/v1/status/leader").status == 200


def opened(port: int, host: str = "127.0.0.1") -> http.client.HTTPConnection:
    connection = http.client.HTTPConnection(
        "127.0.0.1", port, timeout=PATIENCE, source_address=(host, 0)
    )
    connection.connect()
    return connection


def test_one_client_has_so_many_connections(place: Home) -> None:
    place.config["limits"] = {"http_max_conns_per_client": 3}
    agent = place.start()
    port = place.ports["http"]
    held = [opened(port) for _ in range(3)]
    for one in held:
        one.request("GET", "/v1/status/leader")
        assert one.getresponse().read()
    refused = ask(opened(port), "GET", "/v1/status/leader")
    assert refused.status == 429
    assert "Your IP is issuing too many concurrent connections" in refused.text
    other = ask(opened(port, "127.0.0.9"), "GET", "/v1/status/leader")
    assert other.status == 200, "others are not concerned"
    held.pop().close()

    def again() -> bool:
        return ask(opened(port), "GET", "/v1/status/leader").status == 200

    eventually(again, "a connection that is free again")
    for one in held:
        one.close()
    place.config["limits"] = {"http_max_conns_per_client": 100}
    place.write("limits.json", {"limits": {"http_max_conns_per_client": 100}})
    agent.done("agent/reload")
    held = [opened(port) for _ in range(50)]
    assert ask(opened(port), "GET", "/v1/status/leader").status == 200
    for one in held:
        one.close()


def test_rates_of_requests(place: Home) -> None:
    limits = {"mode": "enforcing", "read_rate": 0.01, "write_rate": 0.01}
    place.config["limits"] = {"request_limits": limits}
    agent = place.start()
    assert [agent.get("catalog/nodes").status for _ in range(2)] == [200, 429]
    assert [agent.put("kv/k", b"v").status for _ in range(2)] == [200, 503]
    refused = agent.put("kv/k", b"v")
    assert refused.headers["retry-after"] == "1"
    assert "can only be performed by the leader" in refused.text
    assert agent.get("agent/self").status == 200
    agent.done("agent/service/register", {"Name": "web"})
    prometheus = agent.get("agent/metrics?format=prometheus").text
    assert 'consul_rpc_rate_limit_exceeded{limit_type="global/read"' in prometheus
    agent.wait_for_log("exceeded allowed rate limit")
    place.write("limits.json", {"limits": {"request_limits": {"mode": "permissive"}}})
    agent.done("agent/reload")
    assert {agent.get("catalog/nodes").status for _ in range(5)} == {200}


def test_what_is_blocked_and_added(place: Home) -> None:
    place.config["http_config"] = {
        "block_endpoints": ["/v1/agent/monitor", "/v1/kv/secret"],
        "response_headers": {"Access-Control-Allow-Origin": "*", "X-Mine": "yes"},
        "allow_write_http_from": ["127.0.0.8/30"],
    }
    agent = place.start()
    reply = agent.get("agent/monitor")
    assert (reply.status, reply.text) == (403, "Endpoint is blocked by agent configuration")
    assert reply.headers["access-control-allow-origin"] == "*"
    assert agent.get("kv/secret/of/mine").status == 403
    assert agent.get("agent/self").headers["x-mine"] == "yes"
    refused = agent.put("kv/k", b"v")
    assert (refused.status, refused.text) == (403, "Access is restricted")
    port = place.ports["http"]
    assert ask(opened(port, "127.0.0.10"), "PUT", "/v1/kv/k", b"v").status == 200
    assert agent.get("kv/k?raw").body == b"v"
    assert agent.call("OPTIONS", "kv/k").status == 200


def test_the_size_of_heads(place: Home) -> None:
    place.config["http_config"] = {"max_header_bytes": 4096}
    agent = place.start()
    # With what Go's server, and so Consul's, takes above that: 4096 more.
    assert agent.get("status/leader", X_Large="x" * 7000).status == 200
    assert agent.get("status/leader", X_Large="x" * 9000).status == 431
    assert agent.get("status/leader").status == 200


def test_handshakes_take_so_long(place: Home) -> None:
    trust = Trust(place)
    trust.use(trust.authority("server"))
    place.config["limits"] = {"https_handshake_timeout": "200ms"}
    place.start()
    with socket.create_connection(("127.0.0.1", trust.port), timeout=PATIENCE) as silent:
        assert silent.recv(1) == b"", "who says nothing is let go"


def test_an_https_port_without_certificates_is_told(place: Home) -> None:
    place.config["ports"] = {"https": free_ports(1)[0]}
    agent = place.start()
    assert "no HTTPS listener is opened" in agent.log.read_text()
