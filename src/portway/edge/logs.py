"""Logs: structlog to standard output or a file, in a readable or a JSON form."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import IO

import structlog

from portway.edge.static.options import Log

_LEVELS = {
    "TRACE": logging.DEBUG,
    "DEBUG": logging.DEBUG,
    "INFO": logging.INFO,
    "WARN": logging.WARNING,
    "ERROR": logging.ERROR,
    "FATAL": logging.CRITICAL,
    "PANIC": logging.CRITICAL,
}


class Target:
    """Where log lines go; :meth:`reopen` follows a rotated file."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._file: IO[str] = sys.stdout
        self.reopen()

    def reopen(self) -> None:
        if self._path:
            old, self._file = self._file, Path(self._path).open("a", buffering=1)  # noqa: SIM115
            if old is not sys.stdout:
                old.close()

    def write(self, text: str) -> int:
        return self._file.write(text)

    def flush(self) -> None:
        self._file.flush()


def configure(options: Log) -> Target:
    """Set logging up for this process. Raises OSError when the log file cannot be opened.

    Returns the target, whose ``reopen`` belongs to SIGUSR1.
    """
    target = Target(options.file_path)
    level = _LEVELS.get(options.level.upper(), logging.ERROR)
    colours = not options.no_color and not options.file_path and sys.stdout.isatty()
    render: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if options.format == "json"
        else structlog.dev.ConsoleRenderer(colors=colours)
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(target),  # type: ignore[arg-type]
    )
    return target
