"""``portway healthcheck``: ask a running edge router's /ping, for container health checks."""

from __future__ import annotations

import http.client
import os

import click

from portway.cli import RawCommand, fail

_TIMEOUT = 5.0  # seconds


@click.command("healthcheck", cls=RawCommand)
def healthcheck(argv: tuple[str, ...]) -> int:
    """Call /ping of a running edge router; ping must be enabled.

    It reads the same configuration as the router it asks: give it the same options.
    """
    from portway.edge.static import load

    loaded = load(argv, os.environ)
    if loaded.problems:
        return fail([str(problem) for problem in loaded.problems])
    static = loaded.static
    if static.ping is None:
        return _error("please enable `ping` to use health check")
    point = static.entry_points.get(static.ping.entry_point)
    if point is None:
        return _error(f"ping: missing {static.ping.entry_point} entry point")
    address = point.listen
    url = f"http://{address}/ping"
    try:
        status, reason = _head("127.0.0.1" if address.host == "" else address.host, address.port)
    except (OSError, http.client.HTTPException) as error:
        return _error(f'Head "{url}": {_reason(error)}')
    if status != http.client.OK:
        click.echo(f"Bad healthcheck status: {status} {reason}")
        return 1
    click.echo(f"OK: {url}")
    return 0


def _reason(error: Exception) -> str:
    text = error.strerror if isinstance(error, OSError) else None
    return (text or str(error) or type(error).__name__).lower()


def _error(message: str) -> int:
    click.echo(f"Error calling healthcheck: {message}")
    return 1


def _head(host: str, port: int) -> tuple[int, str]:
    """The status of ``HEAD /ping``. Raises OSError or HTTPException when there is none."""
    local = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  unspecified: any of ours
    connection = http.client.HTTPConnection(local.get(host, host), port, timeout=_TIMEOUT)
    try:
        connection.request("HEAD", "/ping")
        response = connection.getresponse()
        return response.status, response.reason
    finally:
        connection.close()
