"""The agent's log: Consul's line format, and subscribers such as ``/v1/agent/monitor``."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from datetime import UTC, datetime
from typing import Any

import structlog

LEVELS = {"TRACE": 0, "DEBUG": 1, "INFO": 2, "WARN": 3, "ERROR": 4}
"""Levels by severity, under the names the configuration uses."""
_NAMES = {"debug": "DEBUG", "info": "INFO", "warning": "WARN", "error": "ERROR"}
_NAMES |= {"exception": "ERROR", "critical": "ERROR", "trace": "TRACE"}

_OWN = "portway."  # modules that name themselves
Sink = Callable[[int, dict[str, Any]], None]
"""Takes a line: its severity, and its fields (``@level``, ``@module``, ``@message`` and others)."""


class Log:
    """Where lines go. ``level`` may change while the agent runs.

    ``sublevels`` are levels of modules and what is below them (``agent.dns`` → 1); of others
    ``level`` holds.
    """

    def __init__(
        self, level: str = "INFO", as_json: bool = False, sublevels: Mapping[str, str] | None = None
    ) -> None:
        self.level = LEVELS[level]
        self.as_json = as_json
        self.sinks: list[Sink] = []
        self._sublevels = {name: LEVELS[of.upper()] for name, of in (sublevels or {}).items()}

    def install(self) -> None:
        """Become the process's structlog configuration."""
        structlog.configure(
            processors=[structlog.processors.format_exc_info, self._emit],
            wrapper_class=structlog.BoundLogger,
            logger_factory=_logger,
            cache_logger_on_first_use=False,
        )

    def to_stdout(self) -> None:
        """Write lines to standard output, where Consul's go."""
        stream = sys.stdout

        def write(severity: int, fields: dict[str, Any]) -> None:
            if self.shows(severity, fields["@module"]):
                stream.write(render(fields, self.as_json) + "\n")
                stream.flush()

        self.sinks.append(write)

    def shows(self, severity: int, module: str) -> bool:
        """Whether lines of a module of such a severity are written."""
        if not self._sublevels:
            return severity >= self.level
        while module:
            if module in self._sublevels:
                return severity >= self._sublevels[module]
            module = module.rpartition(".")[0]
        return severity >= self.level

    def _emit(self, logger: Any, method: str, event: MutableMapping[str, Any]) -> str:
        level = _NAMES.get(method, "INFO")
        fields = dict(event)
        fields["@timestamp"] = time.time()
        fields["@level"] = level
        fields["@module"] = module_of(getattr(logger, "name", "agent"))
        fields["@message"] = fields.pop("event", "")
        for sink in list(self.sinks):
            # A full disk, or a reader that is gone, must not stop what is only being told of.
            with contextlib.suppress(OSError, ValueError):
                sink(LEVELS[level], fields)
        raise structlog.DropEvent


def module_of(name: str) -> str:
    """The module that the log names: below ``agent``, as Consul's are.

    ``portway.discovery.dns.answers`` is ``agent.dns``.
    """
    if name.startswith(_OWN):
        name = name.removeprefix(_OWN).removeprefix("discovery.").partition(".")[0]
    return name if name == "agent" or name.startswith("agent.") else f"agent.{name}"


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
    line = f"{stamp} {level:<7} {fields['@module']}: {_printable(str(fields['@message']))}"
    exception = extra.pop("exception", None)
    if extra:
        line += ": " + " ".join(_pairs(extra))
    return line + (f"\n{exception}" if exception else "")


def _pairs(extra: dict[str, Any]) -> Iterable[str]:
    for name, value in extra.items():
        text = str(value)
        plain = text.isprintable() and not any(c in text for c in ' "=')
        yield f"{name}={text if text and plain else json.dumps(text)}"


def _printable(text: str) -> str:
    """The text, with escapes for what could forge a line or command the terminal that shows it."""
    return text if text.isprintable() else json.dumps(text)[1:-1]
