"""``lock``: run a command while holding a lock."""

from __future__ import annotations

import os
import posixpath
import queue
import signal
import subprocess
import threading
from contextlib import suppress
from types import FrameType
from typing import NamedTuple

import click

from portway.cli import child
from portway.cli.client import ApiError, Client
from portway.cli.command import DURATION, INT, Wrong, command, failing, flag
from portway.cli.lock.holding import Deadline, InUseError, Lock, LockError
from portway.cli.lock.mutex import Mutex
from portway.cli.lock.semaphore import Semaphore
from portway.cli.session import Session

_GRACE = 5.0  # seconds between SIGTERM and SIGKILL
_CHILD_FAILED = 2  # the exit code, with -child-exit-code
_GIVEN_UP = "Shutdown triggered or timeout during lock acquisition"
_STOP = (signal.SIGINT, signal.SIGTERM)
_PASSED_ON = (signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)

Events = queue.SimpleQueue[str]


class Child(NamedTuple):
    """What to run while the lock is held."""

    argv: list[str]
    stdin: int | None

    def start(self) -> subprocess.Popen[bytes]:
        """Start it, in a group of its own unless it reads our terminal. Raises OSError."""
        environ = {**os.environ, "CONSUL_LOCK_HELD": "true"}
        group = None if self.stdin is None else 0
        return subprocess.Popen(self.argv, stdin=self.stdin, env=environ, process_group=group)


@command("lock", "PREFIX CHILD...", server=True)
@flag("child-exit-code", bool, "Exit with 2 if the child failed; otherwise that is no failure.")
@flag("monitor-retry", INT, "Failures in a row, one a second, after which it is lost.", default=3)
@flag("n", INT, "How many may hold the lock at once; all must say the same.", default=1)
@flag("name", str, "Name of the session; without it one that tells prefix and child.")
@flag("pass-stdin", bool, "Let the child read our standard input.")
@flag("shell", bool, "Run the child by a shell.", default=True)
@flag("timeout", DURATION, "How long to wait for the lock; 0 is for ever.")
@flag("try", DURATION, "An older name of -timeout.")
@flag("verbose", bool, "Tell each step.")
def lock(
    client: Client,
    args: tuple[str, ...],
    child_exit_code: bool,
    monitor_retry: int,
    n: int,
    name: str,
    pass_stdin: bool,
    shell: bool,
    timeout: float,
    verbose: bool,
    **older: float,
) -> int:
    """Run a command while holding a lock below PREFIX, and give the lock up when it ends.

    If the lock is lost, or we are asked to stop, the command gets SIGTERM, and SIGKILL five
    seconds later. It can tell by CONSUL_LOCK_HELD that the lock is held.
    """
    if n <= 0:
        raise Wrong("Lock holder limit must be positive")
    if len(args) < 2:
        raise Wrong("Key prefix and child command must be specified")
    if timeout < 0 or older["try"] < 0:
        raise Wrong("Timeout must be positive")
    if monitor_retry < 0:
        raise Wrong("Number for 'monitor-retry' must be >= 0")
    prefix = args[0].removeprefix("/")
    to_run = child.command_line(args[1:], shell)
    name = name or f"Consul lock for '{' '.join(args[1:])}' at '{prefix}'"
    say = _Voice(verbose)
    events: Events = queue.SimpleQueue()
    with failing("Error querying Consul agent"):
        client.get("agent/self")
    program = Child(to_run, None if pass_stdin else subprocess.DEVNULL)
    deadline = Deadline(timeout or older["try"])
    stop = _Stop(events)
    with child.handling(stop, _STOP):
        try:
            # The keys of contenders for a semaphore go with their sessions.
            fields = {"Behavior": "delete"} if n > 1 else None
            with failing("Lock acquisition failed"):
                session = Session(client, name, fields=fields, lost=lambda: events.put("lost"))
        except KeyboardInterrupt:
            click.echo(_GIVEN_UP, err=True)
            return 1
        try:
            holder: Lock
            if n == 1:
                key = posixpath.join(prefix, ".lock")
                say(f"Setting up lock at path: {key}")
                holder = Mutex(client, key, session.id)
            else:
                say(f"Setting up semaphore (limit {n}) at prefix: {prefix}")
                holder = Semaphore(client, prefix, n, session.id)
            if not _acquire(holder, deadline, stop, say):
                return 1
            code = _hold(client, holder, program, monitor_retry, events, say)
            if not _release(holder, say):
                return 1
        except KeyboardInterrupt:
            click.echo(_GIVEN_UP, err=True)
            return 1
        finally:
            session.destroy()
    return 1 if code == 1 else _CHILD_FAILED * (code != 0 and child_exit_code)


class _Voice:
    """Tells steps, if somebody wants to hear them."""

    def __init__(self, verbose: bool) -> None:
        self._verbose = verbose

    def __call__(self, text: str) -> None:
        if self._verbose:
            click.echo(text)


class _Stop:
    """Handles signals: they interrupt the wait for the lock, and are an event afterwards."""

    def __init__(self, events: Events) -> None:
        self._events = events
        self.waiting = True

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if self.waiting:
            self.waiting = False
            raise KeyboardInterrupt
        self._events.put("stop")


def _acquire(holder: Lock, deadline: Deadline, stop: _Stop, say: _Voice) -> bool:
    """Wait for the lock; whether it is held."""
    say("Attempting lock acquisition")
    try:
        acquired = holder.acquire(deadline)
        stop.waiting = False
        if acquired:
            return True
    except KeyboardInterrupt:
        with suppress(ApiError, LockError):
            holder.release()  # it may be held since a moment
    except (LockError, ApiError) as error:
        stop.waiting = False
        click.echo(f"Lock acquisition failed: {error}", err=True)
        return False
    click.echo(_GIVEN_UP, err=True)
    return False


def _hold(
    client: Client, holder: Lock, program: Child, retries: int, events: Events, say: _Voice
) -> int:
    """Run the child until it ends or must; 0, 1 for a lost lock, 2 for a child that failed."""
    watcher = client.copy()

    def watch_lock() -> None:
        holder.monitor(watcher, retries)
        events.put("lost")

    try:
        process = program.start()
    except OSError as error:
        click.echo(f"Error starting handler: {child.not_started(error)}", err=True)
        return 2

    def pass_on(number: int, frame: FrameType | None) -> None:
        with suppress(ProcessLookupError):
            process.send_signal(number)

    def watch_child() -> None:
        process.wait()
        events.put("ended")

    say("Starting handler")
    threads = [threading.Thread(target=target, daemon=True) for target in (watch_lock, watch_child)]
    for thread in threads:
        thread.start()
    with child.handling(pass_on, _PASSED_ON):
        event = events.get()
        if event == "ended":
            say("Child terminated, releasing lock")
            code = 2 if process.returncode else 0
            if code:
                ended = child.ending(process.returncode)
                click.echo(f"Error running handler: {ended}", err=True)
        else:
            lost = event == "lost"
            what = "Lock lost" if lost else "Shutdown triggered"
            click.echo(f"{what}, killing child", err=True)
            _kill(process, group=program.stdin is not None, say=say)
            code = 1 if lost else 0
    watcher.abort()
    return code


def _kill(process: subprocess.Popen[bytes], *, group: bool, say: _Voice) -> None:
    def send(number: int) -> None:
        with suppress(ProcessLookupError):
            if group:
                os.killpg(process.pid, number)
            else:
                process.send_signal(number)

    say(f"Terminating child pid {process.pid}")
    send(signal.SIGTERM)
    try:
        process.wait(timeout=_GRACE)
        say("Child terminated")
    except subprocess.TimeoutExpired:
        say(f"Child did not exit after grace period of {_GRACE:.0f}s, killing child")
        send(signal.SIGKILL)
        process.wait()


def _release(holder: Lock, say: _Voice) -> bool:
    try:
        holder.release()
    except (ApiError, LockError) as error:
        click.echo(f"Lock release failed: {error}", err=True)
        return False
    try:
        holder.destroy()
    except InUseError:
        say("Cleanup aborted, lock in use")
    except (ApiError, LockError) as error:
        click.echo(f"Lock cleanup failed: {error}", err=True)
        return False
    else:
        say("Cleanup succeeded")
    return True
