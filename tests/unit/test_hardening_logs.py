"""Names that others choose do not forge lines of the log, nor command a terminal."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

import pytest
import structlog

from portway.agent.log_sinks import LogFile, to_file
from portway.agent.logs import Log, render

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


def test_a_log_that_cannot_be_written_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files on a full disk, a reader that is gone, an encoding that lacks a letter."""
    log, lines = Log(), []
    log.install()
    with open("/dev/full", "w") as full, io.TextIOWrapper(io.BytesIO(), "ascii") as plain:  # noqa: PTH123
        for stream in (full, plain):
            monkeypatch.setattr("sys.stdout", stream)
            log.to_stdout()
        file = LogFile(f"{tmp_path}/agent.log")
        log.sinks.append(to_file(file, log))
        log.sinks.append(lambda severity, fields: lines.append(fields["@message"]))
        structlog.get_logger("agent").info("first é")
        monkeypatch.setattr(file, "_file", open("/dev/full", "ab", buffering=0))  # noqa: SIM115, PTH123
        for _ in range(5):
            structlog.get_logger("agent").info("full é")
        file.close()
        with contextlib.suppress(OSError):
            full.close()
    structlog.reset_defaults()
    assert lines == ["first é"] + ["full é"] * 5
    (written,) = tmp_path.iterdir()  # no file for each line that was not taken
    assert written.read_text().count("\n") == 1
