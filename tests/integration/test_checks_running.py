"""Checks as an agent runs them: each type goes from passing to critical and back."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from portway.config import Duration
from portway.discovery.checks import (
    AliasedCheck,
    AliasTarget,
    CheckError,
    Checks,
    Settings,
    TTLState,
    reaper,
)
from portway.discovery.model import CheckDefinition, CheckStatus
from tests.patience import until

from .checks_rig import (
    HttpTarget,
    Reports,
    event_loop_policy,  # noqa: F401
    http_target,
    on_both_loops,
    refused_port,
    reply,
)
from .test_checks_network import Echo, grpc_target, needs_nghttpd, nghttpd

pytestmark = on_both_loops

SECOND = Duration(1)


class Targets:
    """What alias checks watch."""

    def __init__(self) -> None:
        self.watching: dict[tuple[str, str], Callable[[AliasTarget], None]] = {}

    def watch(
        self, check_id: str, node: str, service_id: str, changed: Callable[[AliasTarget], None]
    ) -> Callable[[], None]:
        self.watching[node, service_id] = changed
        return lambda: self.watching.__delitem__((node, service_id))

    def tell(self, status: CheckStatus, node: str = "", service: str = "web") -> None:
        checks = [AliasedCheck("of web", "web alive", status, "so it is", service)]
        self.watching[node, service](AliasTarget(node, checks))


class Store(dict[str, TTLState]):
    """Saved states of TTL checks."""

    def load(self, check_id: str) -> TTLState | None:
        return self.get(check_id)

    def save(self, check_id: str, state: TTLState) -> None:
        self[check_id] = state

    def remove(self, check_id: str) -> None:
        self.pop(check_id, None)


class Rig:
    """Running checks and what they said."""

    def __init__(self, settings: Settings | None = None, store: Store | None = None) -> None:
        self.reports = Reports()
        self.targets = Targets()
        self.overdue: list[str] = []
        self.store = Store() if store is None else store
        self.checks = Checks(
            settings or Settings(),
            self.reports,
            self.targets.watch,
            on_overdue=self.overdue.append,
            ttl_store=self.store,
        )


@contextlib.asynccontextmanager
async def running(
    settings: Settings | None = None, store: Store | None = None
) -> AsyncIterator[Rig]:
    rig = Rig(settings, store)
    try:
        yield rig
    finally:
        await rig.checks.close()


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with running() as one:
        yield one


@pytest.fixture
async def target() -> AsyncIterator[HttpTarget]:
    async with http_target() as one:
        yield one


def http_check(target: HttpTarget, **options: object) -> CheckDefinition:
    return CheckDefinition(
        http=f"http://127.0.0.1:{target.port}/",
        interval=SECOND,
        timeout=Duration(20),
        **options,  # type: ignore[arg-type]
    )


async def test_http(rig: Rig, target: HttpTarget) -> None:
    rig.checks.add("c", http_check(target))
    await rig.reports.reach("c", "passing", "200 OK Output: fine")
    target.answer = reply("429 Too Many Requests")
    await rig.reports.reach("c", "warning")
    target.answer = reply("500 Internal Server Error")
    await rig.reports.reach("c", "critical")
    target.answer = reply("204 No Content")
    await rig.reports.reach("c", "passing")
    assert [status for status, _ in rig.reports.of("c")] == [
        "passing",
        "warning",
        "critical",
        "passing",
    ]


async def test_tcp(rig: Rig) -> None:
    with refused_port() as port:
        pass
    rig.checks.add("c", CheckDefinition(tcp=f"127.0.0.1:{port}", interval=SECOND))
    await rig.reports.reach("c", "critical", "connection refused")
    async with http_target(port=port):
        await rig.reports.reach("c", "passing")
    await rig.reports.reach("c", "critical", "connection refused")


async def test_udp(rig: Rig) -> None:
    with refused_port(socket.SOCK_DGRAM) as port:
        pass
    rig.checks.add("c", CheckDefinition(udp=f"127.0.0.1:{port}", interval=SECOND))
    await rig.reports.reach("c", "critical", "connection refused")
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: Echo(b"pong"), local_addr=("127.0.0.1", port)
    )
    await rig.reports.reach("c", "passing")
    transport.close()
    await rig.reports.reach("c", "critical", "connection refused")


async def test_grpc(rig: Rig) -> None:
    with grpc_target() as health:
        health.statuses["shop.Cart"] = 1
        where = f"127.0.0.1:{health.port}/shop.Cart"
        rig.checks.add("c", CheckDefinition(grpc=where, interval=SECOND))
        await rig.reports.reach("c", "passing")
        health.statuses["shop.Cart"] = 2
        await rig.reports.reach("c", "critical", "NOT_SERVING")
        health.statuses["shop.Cart"] = 1
        await rig.reports.reach("c", "passing")
        del health.statuses["shop.Cart"]
        await rig.reports.reach("c", "critical", "code = NotFound")
        health.statuses["shop.Cart"] = 1
        await rig.reports.reach("c", "passing")
    await rig.reports.reach("c", "critical", "connection refused")


@needs_nghttpd
async def test_h2ping(rig: Rig) -> None:
    async with nghttpd("--no-tls") as where:
        rig.checks.add("c", CheckDefinition(h2ping=where, h2ping_use_tls=False, interval=SECOND))
        await rig.reports.reach("c", "passing")
    await rig.reports.reach("c", "critical", "connection refused")


async def test_script(rig: Rig, tmp_path: Path) -> None:
    answer = tmp_path / "answer"
    answer.write_text("0")
    command = ["/bin/sh", "-c", f"read code < {answer}; echo it says $code; exit $code"]
    rig.checks.add("c", CheckDefinition(script_args=command, interval=SECOND))
    for code, status in (("0", "passing"), ("1", "warning"), ("2", "critical"), ("0", "passing")):
        _replace(answer, code + "\n")
        await rig.reports.reach("c", status, f"it says {code}")


# Only what differs is told


async def test_the_same_result_is_told_once(rig: Rig, target: HttpTarget) -> None:
    rig.checks.add("c", http_check(target))
    await until(lambda: len(target.requests) >= 3, "it runs every second")
    assert len(rig.reports.of("c")) == 1
    target.answer = reply("200 OK", "other words")
    await rig.reports.reach("c", "passing", "other words")


async def test_what_is_known_is_not_told(rig: Rig, target: HttpTarget) -> None:
    output = f"HTTP GET http://127.0.0.1:{target.port}/: 200 OK Output: fine\n"
    rig.checks.add("c", http_check(target), "passing", output)
    await until(lambda: len(target.requests) >= 2, "it runs")
    assert rig.reports.log == []


async def test_discarded_output() -> None:
    async with http_target() as target, running(Settings(discard_output=True)) as rig:
        rig.checks.add("c", http_check(target))
        await rig.reports.reach("c", "passing")
        assert rig.reports.of("c") == [("passing", "")]
        rig.checks.reconfigure(Settings())
        await rig.reports.reach("c", "passing", "fine")


async def test_thresholds(rig: Rig, target: HttpTarget) -> None:
    rig.checks.add(
        "c",
        http_check(
            target,
            failures_before_warning=2,
            failures_before_critical=3,
            success_before_passing=2,
        ),
    )
    await rig.reports.reach("c", "passing")
    target.answer = reply("500 Internal Server Error")
    target.requests.clear()
    await rig.reports.reach("c", "critical")
    assert [status for status, _ in rig.reports.of("c")] == ["passing", "warning", "critical"]
    assert len(target.requests) >= 3
    target.answer = reply("200 OK", "back")
    target.requests.clear()
    await rig.reports.reach("c", "passing", "back")
    assert len(target.requests) >= 2


# Coming, changing and going


async def test_an_invalid_definition_is_refused_and_changes_nothing(rig: Rig) -> None:
    with pytest.raises(CheckError, match="Interval must be > 0"):
        rig.checks.add("c", CheckDefinition(tcp="127.0.0.1:1"))
    assert "c" not in rig.checks
    assert rig.checks.add("c", CheckDefinition(tcp="127.0.0.1:1", interval=Duration(0.1))) == [
        'check "c" has interval below minimum: 100ms is raised to 1s'
    ]
    with pytest.raises(CheckError):
        rig.checks.add("c", CheckDefinition(tcp="127.0.0.1:1"))
    assert "c" in rig.checks
    assert len(rig.checks) == 1


async def test_a_replaced_check_keeps_its_status(rig: Rig, target: HttpTarget) -> None:
    rig.checks.add("c", http_check(target))
    await rig.reports.reach("c", "passing")
    rig.checks.add("c", http_check(target, method="HEAD"))
    await rig.reports.reach("c", "passing", "HTTP HEAD")
    assert len(rig.reports.of("c")) == 2, "never critical in between"
    assert len(rig.checks) == 1


async def test_the_same_definition_again_does_not_disturb(rig: Rig, target: HttpTarget) -> None:
    definition = CheckDefinition(
        http=f"http://127.0.0.1:{target.port}/", interval=Duration(3), timeout=Duration(20)
    )
    rig.checks.add("c", definition)
    # Each replacement would start it anew, after a random part of three seconds.
    again = 0
    while not rig.reports.log:
        rig.checks.add("c", definition)
        again += 1
        await asyncio.sleep(0.02)
        assert again < 3000


async def test_what_is_shown_when_it_is_added_again_is_compared_with(
    rig: Rig, target: HttpTarget
) -> None:
    """A registration may set a status; the next result must not be taken for old news."""
    target.answer = reply("500 Internal Server Error")
    rig.checks.add("c", http_check(target))
    await rig.reports.reach("c", "critical")
    rig.checks.add("c", http_check(target), "passing", "said in the registration")
    await until(lambda: len(rig.reports.of("c")) == 2, "it is told again")
    assert rig.reports.last("c")[0] == "critical"


async def test_adding_a_ttl_check_again_renews_it(rig: Rig) -> None:
    definition = CheckDefinition(ttl=Duration(2))
    rig.checks.add("c", definition)
    expiry = rig.checks._running["c"].expiry
    assert expiry is not None
    first = expiry._end
    await asyncio.sleep(0.05)
    rig.checks.add("c", definition, "passing", "still here")
    assert rig.checks._running["c"].expiry is expiry
    assert expiry._end > first


async def test_an_alias_that_is_added_again_looks_again(rig: Rig) -> None:
    rig.checks.add("c", CheckDefinition(alias_service="web"))
    rig.targets.tell("warning")
    await rig.reports.reach("c", "warning")
    rig.checks.add("c", CheckDefinition(alias_service="web"), "passing", "")
    rig.targets.tell("warning")
    await until(lambda: len(rig.reports.of("c")) == 2, "it is told again")


async def test_a_removed_check_is_silent(rig: Rig, target: HttpTarget) -> None:
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def wait(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        await go_on.wait()
        await reply("200 OK")(head, reader, writer)

    target.answer = wait
    rig.checks.add("c", http_check(target))
    await asked.wait()
    rig.checks.remove("c")
    rig.checks.remove("c")
    go_on.set()
    await until(lambda: target.open == 0, "the run is over")
    assert rig.reports.log == []
    assert "c" not in rig.checks


# TTL


async def test_ttl(rig: Rig) -> None:
    rig.checks.add("c", CheckDefinition(ttl=Duration(0.2)))
    await rig.reports.reach("c", "critical", "TTL expired")
    assert rig.reports.last("c") == ("critical", "TTL expired")
    rig.checks.update_ttl("c", "passing", "alive")
    assert rig.reports.last("c") == ("passing", "alive")
    rig.checks.update_ttl("c", "warning", "hm")
    assert rig.reports.last("c") == ("warning", "hm")
    await rig.reports.reach("c", "critical")
    assert rig.reports.last("c") == (
        "critical",
        "TTL expired (last output before timeout follows): hm",
    )
    rig.checks.update_ttl("c", "passing", "back")
    assert rig.reports.last("c") == ("passing", "back")


async def test_ttl_that_is_renewed_does_not_expire(rig: Rig) -> None:
    rig.checks.add("c", CheckDefinition(ttl=Duration(20)))
    for number in range(5):
        rig.checks.update_ttl("c", "passing", f"{number}")
    rig.checks.update_ttl("c", "passing", "4")
    assert [output for _, output in rig.reports.of("c")] == ["0", "1", "2", "3", "4"]


async def test_ttl_output_is_bounded(rig: Rig) -> None:
    rig.checks.add("c", CheckDefinition(ttl=Duration(20), output_max_size=10))
    rig.checks.update_ttl("c", "passing", "x" * 50)
    assert rig.reports.last("c")[1] == "x" * 10 + " ... (captured 10 of 50 bytes)"


async def test_only_ttl_checks_are_updated(rig: Rig) -> None:
    rig.checks.add("c", CheckDefinition(tcp="127.0.0.1:1", interval=Duration(60)))
    for check_id in ("c", "none"):
        with pytest.raises(CheckError) as error:
            rig.checks.update_ttl(check_id, "passing", "")
        assert str(error.value) == f'CheckID "{check_id}" does not have associated TTL'


async def test_ttl_survives_a_restart() -> None:
    store = Store()
    definition = CheckDefinition(ttl=Duration(60))
    async with running(store=store) as rig:
        rig.checks.add("c", definition)
        rig.checks.update_ttl("c", "warning", "hm")
    assert store["c"].status == "warning"
    assert 0 < store["c"].expires - time.time() <= 60
    async with running(store=store) as rig:
        rig.checks.add("c", definition)
        assert rig.reports.of("c") == [("warning", "hm")]
        rig.checks.remove("c")
    assert store == {}


async def test_ttl_that_expired_while_the_agent_was_away() -> None:
    store = Store(c=TTLState("passing", "fine", time.time() - 1))
    async with running(store=store) as rig:
        rig.checks.add("c", CheckDefinition(ttl=Duration(60)))
        assert rig.reports.of("c") == []
    assert store == {}


# Alias


async def test_alias(rig: Rig) -> None:
    rig.checks.add("local", CheckDefinition(alias_service="web"))
    rig.checks.add("remote", CheckDefinition(alias_node="n2", alias_service="web"))
    for node, check_id in (("", "local"), ("n2", "remote")):
        rig.targets.tell("passing", node)
        await rig.reports.reach(check_id, "passing", "All checks passing.")
        rig.targets.tell("warning", node)
        await rig.reports.reach(check_id, "warning", 'Aliased check "web alive" failing: so it is')
        rig.targets.tell("critical", node)
        await rig.reports.reach(check_id, "critical", 'Aliased check "web alive" failing')
        rig.targets.watching[node, "web"](AliasTarget(node, [], exists=False))
        await rig.reports.reach(check_id, "critical", "Service web could not be found on node")
        rig.targets.tell("passing", node)
        await rig.reports.reach(check_id, "passing")
    rig.checks.remove("local")
    assert list(rig.targets.watching) == [("n2", "web")]
    rig.targets.tell("critical", "n2")
    await rig.checks.close()
    assert rig.targets.watching == {}


async def test_aliases_of_each_other_come_to_rest(rig: Rig) -> None:
    """A follows b and b follows a: outputs quote each other, up to the limit."""
    services = {"a": "b", "b": "a"}
    for service, other in services.items():
        rig.checks.add(f"of {service}", CheckDefinition(alias_service=other), "critical", "?")

    reported = 0

    def tell() -> None:
        for service in services:
            status, output = rig.reports.last(f"of {service}") if reported else ("critical", "?")
            check = AliasedCheck(f"of {service}", "x", "critical", output, service)
            assert status in ("critical", "")
            rig.targets.watching["", service](AliasTarget("", [check]))

    tell()
    for _ in range(3000):
        await asyncio.sleep(0)
        if reported == len(rig.reports.log):
            break
        reported = len(rig.reports.log)
        tell()
    else:
        pytest.fail("they never rest")
    assert max(len(output) for *_, output in rig.reports.log) == 4096


# The reaper


async def test_services_that_stay_critical(
    target: HttpTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reaper, "SWEEP_INTERVAL", 0.05)
    async with running() as rig:
        minute = Duration(60)
        for check_id, after in (("dying", minute), ("patient", Duration(0))):
            rig.checks.add(check_id, http_check(target, deregister_critical_service_after=after))
        target.answer = reply("500 Internal Server Error")
        await rig.reports.reach("dying", "critical")
        await rig.reports.reach("patient", "critical")
        assert rig.overdue == []
        since = rig.checks._running["dying"].critical_since
        assert since is not None
        rig.checks._running["dying"].critical_since = since - 61
        rig.checks._running["patient"].critical_since = since - 61
        await until(lambda: len(rig.overdue) >= 2, "it is told with every sweep")
        assert set(rig.overdue) == {"dying"}
        target.answer = reply("200 OK")
        await rig.reports.reach("dying", "passing")
        rig.overdue.clear()
        target.answer = reply("500 Internal Server Error")
        await rig.reports.reach("dying", "critical")
        assert rig.overdue == []


def _replace(path: Path, text: str) -> None:
    other = path.with_suffix(".new")
    other.write_text(text)
    shutil.move(other, path)
