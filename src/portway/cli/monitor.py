"""``monitor``: the log of a running agent, as it is written."""

from __future__ import annotations

import http.client
import sys

from portway.cli.client import Client
from portway.cli.command import Failed, command, failing, flag, no_arguments

_BLOCK = 65536  # bytes read at most at once


@command("monitor")
@flag("log-json", bool, "Show the log as JSON.")
@flag(
    "log-level", str, "Lowest `level` to show: trace, debug, info, warn or error.", default="INFO"
)
def monitor(client: Client, args: tuple[str, ...], log_json: bool, log_level: str) -> int:
    """Show the log of a running agent as it is written, at a level of one's own.

    It ends when it is interrupted; when the agent ends it, the exit code is 1.
    """
    no_arguments(args)
    params = {"loglevel": log_level or None, "logjson": "true" if log_json else None}
    try:
        with (
            failing(f"Error starting {'JSON ' if log_json else ''}monitor"),
            client.stream("GET", "agent/monitor", params, timeout=None) as response,
        ):
            while block := _read(response):
                sys.stdout.buffer.write(block)
                sys.stdout.buffer.flush()
    except KeyboardInterrupt:
        return 0
    raise Failed(
        "Remote side ended the monitor! This usually means that the remote side has exited or"
        " crashed."
    )


def _read(response: http.client.HTTPResponse) -> bytes:
    """What has come; empty at the end, however it came about."""
    try:
        return response.read1(_BLOCK)
    except (OSError, http.client.HTTPException):
        return b""
