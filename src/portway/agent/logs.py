"""The agent's log: Consul's line format, and subscribers such as ``/v1/agent/monitor``."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable, MutableMapping
from datetime import UTC, datetime
from typing import Any, TextIO

import structlog

LEVELS = {"TRACE": 0, "DEBUG": 1, "INFO": 2, "WARN": 3, "ERROR": 4}
"""Levels by severity, under the names the configuration uses."""
_NAMES = {"debug": "DEBUG", "info": "INFO", "warning": "WARN", "error": "ERROR"}
_NAMES |= {"exception": "ERROR", "critical": "ERROR", "trace": "TRACE"}

Sink = Callable[[int, dict[str, Any]], None]


class Log:
    """Where lines go. ``level`` may change while the agent runs."""

    def __init__(self, level: str = "INFO", as_json: bool = False) -> None:
        self.level = LEVELS[level]
        self.as_json = as_json
        self.sinks: list[Sink] = []

    def install(self) -> None:
        """Become the process's structlog configuration."""
        structlog.configure(
            processors=[structlog.processors.format_exc_info, self._emit],
            wrapper_class=structlog.BoundLogger,
            logger_factory=_logger,
            cache_logger_on_first_use=False,
        )

    def to_stream(self, stream: TextIO) -> None:
        """Write lines of the log's level to a stream."""

        def write(severity: int, fields: dict[str, Any]) -> None:
            if severity >= self.level:
                stream.write(render(fields, self.as_json) + "\n")
                stream.flush()

        self.sinks.append(write)

    def _emit(self, logger: Any, method: str, event: MutableMapping[str, Any]) -> str:
        level = _NAMES.get(method, "INFO")
        fields = dict(event)
        fields["@timestamp"] = time.time()
        fields["@level"] = level
        fields["@module"] = fields.pop("logger_name", None) or getattr(logger, "name", "agent")
        fields["@message"] = fields.pop("event", "")
        for sink in list(self.sinks):
            sink(LEVELS[level], fields)
        raise structlog.DropEvent


class _Named:
    """The logger at the end of structlog's chain: only its name matters."""

    def __init__(self, name: str) -> None:
        self.name = name

    def msg(self, message: str) -> None:
        """Nothing is left to do: the sinks have the line."""

    log = debug = info = warning = warn = error = critical = exception = msg


def _logger(*names: Any) -> _Named:
    return _Named(str(names[0]) if names else "agent")


def render(fields: dict[str, Any], as_json: bool = False) -> str:
    """A line: ``2025-11-22T20:07:18.000Z [INFO]  agent: message: key=value``."""
    at = datetime.fromtimestamp(fields["@timestamp"], UTC)
    stamp = at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03d}Z"
    extra = {name: value for name, value in fields.items() if not name.startswith("@")}
    if as_json:
        row = {"@level": fields["@level"].lower(), "@message": fields["@message"]}
        row |= {"@module": fields["@module"], "@timestamp": stamp}
        return json.dumps(row | extra, default=str)
    level = f"[{fields['@level']}]"
    line = f"{stamp} {level:<7} {fields['@module']}: {fields['@message']}"
    exception = extra.pop("exception", None)
    if extra:
        line += ": " + " ".join(_pairs(extra))
    return line + (f"\n{exception}" if exception else "")


def _pairs(extra: dict[str, Any]) -> Iterable[str]:
    for name, value in extra.items():
        text = str(value)
        quoted = json.dumps(text) if not text or any(c in text for c in ' "=\n') else text
        yield f"{name}={quoted}"


def to_stdout(log: Log) -> None:
    """Write the log to standard output, where Consul's goes."""
    log.to_stream(sys.stdout)
