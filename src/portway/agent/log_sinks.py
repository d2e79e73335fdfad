"""Where the log goes beside standard output: a file that rotates, and syslog."""

from __future__ import annotations

import os
import syslog
import time
from collections.abc import Callable
from io import FileIO
from pathlib import Path
from typing import Any

from portway.agent.logs import Log, Sink, render

_DAY = 24 * 3600.0
_DEFAULT_NAME = "consul"
_PRIORITIES = {
    "TRACE": syslog.LOG_DEBUG,
    "DEBUG": syslog.LOG_DEBUG,
    "INFO": syslog.LOG_INFO,
    "WARN": syslog.LOG_WARNING,
    "ERROR": syslog.LOG_ERR,
}


class LogFile:
    """A file that is closed and begun anew by size or age.

    ``path`` is a directory (ending in ``/``) or the name of a file, whose stem the time of
    its beginning follows: ``consul-1763841600000000000.log``, as Consul names them. ``most_bytes``
    0 does not bound; ``keep`` is how many closed files stay: 0 is all, below 0 none.
    """

    def __init__(
        self,
        path: str,
        *,
        most_bytes: int = 0,
        seconds: float = 0.0,
        keep: int = 0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        file = Path(path)
        self._folder = file if path.endswith("/") else file.parent
        name = _DEFAULT_NAME if path.endswith("/") else file.name
        self._stem, self._suffix = Path(name).stem, Path(name).suffix or ".log"
        self._most_bytes = most_bytes
        self._seconds = seconds or _DAY
        self._keep = keep
        self._clock = clock
        self._file: FileIO | None = None
        self._size = 0
        self._began = 0.0

    def write(self, line: str) -> None:
        """Append a line. Raises OSError."""
        now = self._clock()
        full = self._most_bytes and self._size and self._size + len(line) > self._most_bytes
        if self._file is None or full or now - self._began >= self._seconds:
            self.begin()
        assert self._file is not None
        self._size += self._file.write(line.encode(errors="replace"))

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def begin(self) -> None:
        """Close the file and begin another. Raises OSError."""
        self.close()
        now = self._clock()
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"{self._stem}-{int(now * 1e9)}{self._suffix}"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        # Unbuffered: what a full disk did not take would make closing fail as well.
        self._file = os.fdopen(descriptor, "ab", buffering=0)
        self._size, self._began = 0, now
        if self._keep:
            self._prune(path)

    def _prune(self, current: Path) -> None:
        pattern = f"{self._stem}-*{self._suffix}"
        closed = sorted(one for one in self._folder.glob(pattern) if one != current)
        for old in closed[: len(closed) - max(self._keep, 0)]:
            old.unlink(missing_ok=True)


def to_file(file: LogFile, log: Log) -> Sink:
    """A sink that writes to a file."""

    def write(severity: int, fields: dict[str, Any]) -> None:
        if log.shows(severity, fields["@module"]):
            file.write(render(fields, log.as_json) + "\n")

    return write


def to_syslog(facility: str, log: Log) -> Sink:
    """A sink that writes to the system's syslog. Raises ValueError for a facility it has not."""
    number = getattr(syslog, f"LOG_{facility.upper()}", None)
    if number is None:
        raise ValueError(f"syslog_facility: this system has no {facility}")
    syslog.openlog("consul", 0, number)

    def write(severity: int, fields: dict[str, Any]) -> None:
        if log.shows(severity, fields["@module"]):
            syslog.syslog(_PRIORITIES[fields["@level"]], render(fields))

    return write
