"""The pure parts of the other types: addresses, aliases, TTL, gRPC messages, the reaper."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portway.discovery.checks import alias, docker, grpc, reaper, script, ttl
from portway.discovery.checks.alias import AliasedCheck, AliasTarget
from portway.discovery.checks.dial import Address, DialError, split_address
from portway.discovery.model import CheckStatus

# addresses


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("10.0.0.1:80", Address("10.0.0.1", "80")),
        ("host:http", Address("host", "http")),
        ("[::1]:80", Address("::1", "80")),
        (":80", Address("", "80")),
    ],
)
def test_addresses(text: str, address: Address) -> None:
    assert split_address(text) == address
    assert str(address) == text


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("host", "dial tcp: address host: missing port in address"),
        ("::1", "dial tcp: address ::1: too many colons in address"),
        ("::1:80", "dial tcp: address ::1:80: too many colons in address"),
        ("[::1]", "dial tcp: address [::1]: missing port in address"),
        ("[::1", "dial tcp: address [::1: missing ']' in address"),
    ],
)
def test_wrong_addresses(text: str, error: str) -> None:
    with pytest.raises(DialError) as raised:
        split_address(text)
    assert str(raised.value) == error


# alias


def check(status: CheckStatus, service: str = "web", name: str = "") -> AliasedCheck:
    name = name or f"{service} {status}"
    return AliasedCheck(f"id of {name}", name, status, "why", service)


PASSES, WARNS, FAILS = check("passing"), check("warning"), check("critical")


@pytest.mark.parametrize(
    ("checks", "status", "output"),
    [
        ([], "passing", "No checks found."),
        ([PASSES], "passing", "All checks passing."),
        ([PASSES, WARNS], "warning", 'Aliased check "web warning" failing: why'),
        ([WARNS, PASSES], "warning", 'Aliased check "web warning" failing: why'),
        ([WARNS, FAILS, PASSES], "critical", 'Aliased check "web critical" failing: why'),
        ([PASSES, check("critical", "")], "critical", 'Aliased check " critical" failing: why'),
        ([PASSES, check("critical", "other")], "passing", "All checks passing."),
        ([check("critical", "other")], "passing", "No checks found."),
    ],
)
def test_alias_of_a_service(checks: list[AliasedCheck], status: CheckStatus, output: str) -> None:
    assert alias.judged("me", "web", AliasTarget("n1", checks)) == (status, output)


def test_alias_of_a_node_has_the_checks_of_the_node() -> None:
    checks = [check("critical", "web"), check("passing", "")]
    assert alias.judged("me", "", AliasTarget("n2", checks)).status == "passing"
    checks.append(check("warning", "", "disk"))
    assert alias.judged("me", "", AliasTarget("n2", checks)) == (
        "warning",
        'Aliased check "disk" failing: why',
    )


def test_an_alias_does_not_look_at_itself() -> None:
    itself = AliasedCheck("me", "me", "critical", "", "web")
    assert alias.judged("me", "web", AliasTarget("n1", [itself, PASSES])).status == "passing"


def test_alias_of_nothing() -> None:
    nothing = AliasTarget("n1", [check("passing", "")], exists=False)
    assert alias.judged("me", "web", nothing) == (
        "critical",
        "Service web could not be found on node n1",
    )
    assert alias.judged("me", "", nothing) == ("critical", "No node n1")
    unknown = AliasTarget("n1", [], error="No cluster leader")
    assert alias.judged("me", "web", unknown) == (
        "critical",
        "Failure checking aliased node or service: No cluster leader",
    )


# ttl


def test_ttl_outputs() -> None:
    assert ttl.expired("") == "TTL expired"
    assert ttl.expired("all fine") == ("TTL expired (last output before timeout follows): all fine")
    assert ttl.cut("x" * 4096, 4096) == "x" * 4096
    assert ttl.cut("x" * 5000, 4096) == "x" * 4096 + " ... (captured 4096 of 5000 bytes)"
    assert ttl.cut("ää", 3) == "ä ... (captured 3 of 4 bytes)"


class Clock:
    """One timer, by hand."""

    def __init__(self) -> None:
        self.now = 0.0
        self.call: tuple[float, Callable[[], None]] | None = None
        self.armed = 0

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, callback: Callable[[], None], /) -> Clock:
        assert self.call is None, "one timer at a time"
        self.call = (when, callback)
        self.armed += 1
        return self

    def cancel(self) -> None:
        self.call = None

    def go(self, to: float) -> None:
        while self.call is not None and self.call[0] <= to:
            (self.now, callback), self.call = self.call, None
            callback()
        self.now = to


def test_expiry() -> None:
    clock, expiries = Clock(), []
    expiry = ttl.Expiry(10, clock, lambda: expiries.append(clock.now))
    clock.go(9)
    expiry.renew()
    clock.go(18.9)
    assert expiries == []
    clock.go(40)
    assert expiries == [19], "once, until it is heard of again"
    expiry.renew()
    clock.go(60)
    assert expiries == [19, 50]
    expiry.renew()
    expiry.stop()
    clock.go(100)
    assert expiries == [19, 50]


def test_renewals_set_no_timers() -> None:
    clock = Clock()
    expiry = ttl.Expiry(10, clock, lambda: None)
    for moment in range(1000):
        clock.go(moment / 100)
        expiry.renew()
    assert clock.armed == 1


# scripts and containers


@pytest.mark.parametrize(
    ("code", "status"), [(0, "passing"), (1, "warning"), (2, "critical"), (-9, "critical")]
)
def test_exit_codes(code: int, status: CheckStatus) -> None:
    assert script.judged(code, "out") == (status, "out")


def test_the_text_of_a_timeout() -> None:
    assert script.timed_out(30, "") == ("critical", "Timed out (30s) running check")
    assert script.timed_out(0.5, "so far").output == "Timed out (500ms) running check\n\nso far"


@pytest.mark.parametrize(
    ("arguments", "shell", "command"),
    [
        (["/check", "-x"], "", ["/check", "-x"]),
        (["/check", "-x"], "/bin/bash", ["/check", "-x"]),
        (["/check"], "", ["/check"]),
        (["/check"], "/bin/bash", ["/bin/bash", "-c", "/check"]),
        (["test -e /x || exit 2"], "/bin/bash", ["/bin/bash", "-c", "test -e /x || exit 2"]),
        (["test -e /x || exit 2"], "", ["/of/the/agent", "-c", "test -e /x || exit 2"]),
    ],
)
def test_commands_in_containers(
    arguments: list[str], shell: str, command: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHELL", "/of/the/agent")
    assert docker.command_of(arguments, shell) == command


# gRPC


def test_grpc_request() -> None:
    assert grpc.request_message("") == b"\0\0\0\0\0"
    assert grpc.request_message("a.B") == b"\0\0\0\0\5\x0a\3a.B"
    assert grpc.request_message("x" * 200)[:8] == b"\0\0\0\0\xcb\x0a\xc8\1"


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"\0\0\0\0\2\x08\1", "SERVING"),
        (b"\0\0\0\0\2\x08\2", "NOT_SERVING"),
        (b"\0\0\0\0\2\x08\3", "SERVICE_UNKNOWN"),
        (b"\0\0\0\0\0", "UNKNOWN"),
        (b"\0\0\0\0\2\x08\x09", "9"),
        (b"\0\0\0\0\x0a\x12\2hi\x18\5\x08\1\x10\0", "SERVING"),  # unknown fields
    ],
)
def test_grpc_answers(data: bytes, status: str) -> None:
    assert grpc.serving_status(data) == status


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0\0\0",
        b"\1\0\0\0\2\x08\1",
        b"\0\0\0\0\5\x08\1",
        b"\0\0\0\0\1\x0b",
        b"\0\0\0\0\2\x12\7",
    ],
)
def test_grpc_answers_that_are_none(data: bytes) -> None:
    with pytest.raises(ValueError):
        grpc.serving_status(data)


@given(st.binary(max_size=40))
def test_any_grpc_answer_is_read_or_refused(message: bytes) -> None:
    with contextlib.suppress(ValueError):
        grpc.serving_status(b"\0" + len(message).to_bytes(4, "big") + message)


# the reaper


def test_what_is_overdue() -> None:
    checks = [
        reaper.Critical("never", None, 60),
        reaper.Critical("for ever", 0, 0),
        reaper.Critical("not yet", 40, 60),
        reaper.Critical("just not", 40.0, 60),
        reaper.Critical("now", 39.9, 60),
        reaper.Critical("long ago", 0, 60),
    ]
    assert reaper.overdue(checks, 100.0) == ["now", "long ago"]
