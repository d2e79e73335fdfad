"""Definitions of checks: which are valid, of which type, and what is raised to a floor."""

from __future__ import annotations

import pytest

from portway.config import Duration
from portway.discovery.checks import (
    CheckError,
    CheckRefusedError,
    Settings,
    adjust,
    check_type,
    permit,
    validate,
)
from portway.discovery.model import CheckDefinition

TEN = Duration(10)
NO_INTERVAL = "Interval must be > 0 for Script, HTTP, H2PING, TCP, UDP or OSService checks"

VALID = [
    CheckDefinition(http="http://x/", interval=TEN),
    CheckDefinition(tcp="x:1", interval=TEN),
    CheckDefinition(udp="x:1", interval=TEN),
    CheckDefinition(grpc="x:1/s", interval=TEN),
    CheckDefinition(h2ping="x:1", interval=TEN),
    CheckDefinition(script_args=["true"], interval=TEN),
    CheckDefinition(script_args=["true"], docker_container_id="c", interval=TEN),
    CheckDefinition(os_service="spooler", interval=TEN),
    CheckDefinition(ttl=TEN),
    CheckDefinition(alias_service="web"),
    CheckDefinition(alias_node="n2"),
    CheckDefinition(alias_node="n2", alias_service="web", interval=TEN),
    CheckDefinition(ttl=TEN, failures_before_warning=2, failures_before_critical=2),
]
TYPES = "http tcp udp grpc h2ping script docker os_service ttl alias alias alias ttl".split()

INVALID = [
    (
        CheckDefinition(http="http://x/", interval=TEN, ttl=TEN),
        "Interval and TTL cannot both be specified",
    ),
    (CheckDefinition(http="http://x/"), NO_INTERVAL),
    (CheckDefinition(tcp="x:1"), NO_INTERVAL),
    (CheckDefinition(udp="x:1"), NO_INTERVAL),
    (CheckDefinition(grpc="x:1"), NO_INTERVAL),
    (CheckDefinition(h2ping="x:1"), NO_INTERVAL),
    (CheckDefinition(script_args=["true"]), NO_INTERVAL),
    (CheckDefinition(os_service="x"), NO_INTERVAL),
    (CheckDefinition(http="http://x/", interval=Duration(-1)), NO_INTERVAL),
    (CheckDefinition(http="http://x/", ttl=TEN), NO_INTERVAL),
    (CheckDefinition(), "TTL must be > 0 for TTL checks"),
    (CheckDefinition(interval=TEN), "TTL must be > 0 for TTL checks"),
    (CheckDefinition(docker_container_id="c", interval=TEN), "TTL must be > 0 for TTL checks"),
    (CheckDefinition(ttl=Duration(-1)), "TTL must be > 0 for TTL checks"),
    (
        CheckDefinition(http="http://x/", interval=TEN, alias_service="web"),
        "Interval cannot be set for Alias checks",
    ),
    (CheckDefinition(alias_service="web", ttl=TEN), "TTL must be not be set for Alias checks"),
    (CheckDefinition(ttl=TEN, output_max_size=-1), "MaxOutputMaxSize must be positive"),
    (
        CheckDefinition(ttl=TEN, failures_before_warning=3, failures_before_critical=2),
        "FailuresBeforeWarning can't be higher than FailuresBeforeCritical",
    ),
    (
        CheckDefinition(ttl=TEN, failures_before_warning=1),
        "FailuresBeforeWarning can't be higher than FailuresBeforeCritical",
    ),
    (
        CheckDefinition(tcp="x:1", interval=TEN, expect_body="up"),
        "ExpectStatus and ExpectBody are for HTTP checks only",
    ),
    (
        CheckDefinition(http="http://x/", interval=TEN, expect_status=[200, 99]),
        "ExpectStatus must be between 200 and 599, not 99",
    ),
    (
        CheckDefinition(http="http://x/", interval=TEN, expect_body="(up"),
        'ExpectBody is no regular expression: "(up": missing ): (up',
    ),
]


@pytest.mark.parametrize(("definition", "kind"), list(zip(VALID, TYPES, strict=True)))
def test_valid_definitions(definition: CheckDefinition, kind: str) -> None:
    validate(definition)
    assert check_type(definition) == kind


@pytest.mark.parametrize(("definition", "text"), INVALID)
def test_invalid_definitions(definition: CheckDefinition, text: str) -> None:
    with pytest.raises(CheckError) as error:
        validate(definition)
    assert str(error.value) == text


def test_of_several_types_the_first_of_the_documented_order_is_taken() -> None:
    fields: list[tuple[str, dict[str, object]]] = [
        ("grpc", {"grpc": "x:1"}),
        ("http", {"http": "http://x/"}),
        ("ttl", {"ttl": TEN}),
        ("tcp", {"tcp": "x:1"}),
        ("udp", {"udp": "x:1"}),
        ("alias", {"alias_node": "n"}),
        ("docker", {"script_args": ["x"], "docker_container_id": "c"}),
        ("script", {"script_args": ["x"]}),
        ("h2ping", {"h2ping": "x:1"}),
        ("os_service", {"os_service": "x"}),
    ]
    for index, (kind, _) in enumerate(fields):
        given = {key: value for _, part in reversed(fields[index:]) for key, value in part.items()}
        if kind == "script":
            given.pop("docker_container_id", None)
        assert check_type(CheckDefinition(**given)) == kind  # type: ignore[arg-type]
    assert check_type(CheckDefinition()) == ""


def test_floors_are_raised_with_a_warning() -> None:
    definition = CheckDefinition(
        http="http://x/",
        interval=Duration.parse("200ms"),
        deregister_critical_service_after=Duration(5),
    )
    adjusted, warnings = adjust("service:web", definition)
    assert adjusted.interval == Duration(1)
    assert adjusted.deregister_critical_service_after == Duration(60)
    assert adjusted.http == definition.http
    assert warnings == [
        'check "service:web" has interval below minimum: 200ms is raised to 1s',
        'check "service:web" has deregister interval below minimum: 5s is raised to 1m0s',
    ]


def test_what_is_not_below_a_floor_stays_as_it_is() -> None:
    definition = CheckDefinition(
        http="http://x/", interval=Duration(1), deregister_critical_service_after=Duration(60)
    )
    assert adjust("c", definition) == (definition, [])
    assert adjust("c", CheckDefinition(ttl=Duration(0.5))) == (
        CheckDefinition(ttl=Duration(0.5)),
        [],
    )


@pytest.mark.parametrize(
    ("definition", "warning"),
    [
        (CheckDefinition(alias_service="web", interval=TEN), "is an alias and follows"),
        (CheckDefinition(script_args=["true"], shell="/bin/sh", interval=TEN), "has a shell"),
        (
            CheckDefinition(
                script_args=["a", "b"], docker_container_id="c", shell="/bin/sh", interval=TEN
            ),
            "has a shell that is not used",
        ),
    ],
)
def test_options_without_effect_are_told(definition: CheckDefinition, warning: str) -> None:
    _, warnings = adjust("c", definition)
    assert len(warnings) == 1
    assert warning in warnings[0]


LOCAL_ONLY = Settings(enable_local_script_checks=True)
ALL = Settings(enable_script_checks=True)
FROM_REMOTE = (
    "Scripts are disabled on this agent from remote calls;"
    " to enable, configure 'enable_script_checks' to true"
)
AT_ALL = (
    "Scripts are disabled on this agent; to enable, configure"
    " 'enable_script_checks' or 'enable_local_script_checks' to true"
)


@pytest.mark.parametrize("container", ["", "c"])
@pytest.mark.parametrize(
    ("settings", "remote", "text"),
    [
        (Settings(), False, AT_ALL),
        (Settings(), True, FROM_REMOTE),
        (LOCAL_ONLY, False, ""),
        (LOCAL_ONLY, True, FROM_REMOTE),
        (ALL, False, ""),
        (ALL, True, ""),
    ],
)
def test_scripts_run_only_where_enabled(
    settings: Settings, remote: bool, text: str, container: str
) -> None:
    definition = CheckDefinition(script_args=["true"], interval=TEN, docker_container_id=container)
    if not text:
        permit(definition, settings, remote=remote)
        return
    with pytest.raises(CheckRefusedError) as error:
        permit(definition, settings, remote=remote)
    assert str(error.value) == text


def test_windows_services_are_refused() -> None:
    with pytest.raises(CheckRefusedError, match='not implemented on this platform: "spooler"'):
        permit(CheckDefinition(os_service="spooler", interval=TEN), ALL, remote=False)


@pytest.mark.parametrize("definition", [d for d in VALID if not d.script_args and not d.os_service])
def test_other_checks_need_no_permission(definition: CheckDefinition) -> None:
    permit(definition, Settings(), remote=True)
