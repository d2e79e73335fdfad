"""Names that others choose do not forge lines of the log, nor command a terminal."""

from __future__ import annotations

import pytest

from portway.agent.logs import render

FIELDS = {"@timestamp": 0.0, "@level": "WARN", "@module": "agent"}
EVIL = 'web"\n2026-01-01T00:00:00.000Z [INFO]  agent: all is well\r\x1b[2J\x9b31m\u2028'


@pytest.mark.parametrize(
    "fields",
    [{"@message": EVIL}, {"@message": "m", "check": EVIL}, {"@message": "m", "check": "\r"}],
)
@pytest.mark.parametrize("as_json", [False, True])
def test_what_others_choose_stays_in_its_line(fields: dict[str, str], as_json: bool) -> None:
    line = render(FIELDS | fields, as_json)
    assert line.isprintable()
    assert len(line.splitlines()) == 1
