"""``portway routes``: the live routing table in the terminal, with what is wrong in it."""

from __future__ import annotations

import http.client
import json
import re
import urllib.error
import urllib.request
from typing import Any, NamedTuple

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

DEFAULT_API = "http://127.0.0.1:8080"

_TIMEOUT = 10.0  # seconds
_LARGEST = 256 * 1024 * 1024  # bytes of an answer
_PIPE_WIDTH = 10_000  # columns where no terminal limits them
_ERROR_WIDTH = 72  # columns
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_UNDERSCORE = re.compile("_(.)")
_COLOURS = {"enabled": "green", "warning": "yellow", "disabled": "red"}


class Row(NamedTuple):
    """A router with what it leads to."""

    name: str
    provider: str
    entry_points: list[str]
    rule: str
    middlewares: list[str]
    service: str
    servers_up: int
    servers: int
    status: str
    priority: int
    errors: list[str]

    def tree(self) -> dict[str, Any]:
        """For ``--json``: the fields with names spelled as in the API."""
        return {_UNDERSCORE.sub(lambda m: m[1].upper(), k): v for k, v in self._asdict().items()}


class Unreachable(click.ClickException):
    """The API cannot be asked; shown as one line, exit code 1."""

    exit_code = 1


@click.command()
@click.option(
    "--api",
    "url",
    envvar="PORTWAY_URL",
    default=DEFAULT_API,
    show_default=True,
    metavar="URL",
    help="Where the API is, base path included (environment: PORTWAY_URL).",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
@click.option("--errors", "only_errors", is_flag=True, help="Only routers with errors.")
def routes(url: str, as_json: bool, only_errors: bool) -> None:
    """Print the live routing table."""
    url = url.rstrip("/")
    rows = table_rows(_ask(url, "/api/rawdata"))
    problems = _ask(url, "/api/problems", missing_is={})
    if only_errors:
        rows = [row for row in rows if row.errors]
    if as_json:
        tree = {"routers": [row.tree() for row in rows], "problems": problems}
        click.echo(json.dumps(tree, indent=2, ensure_ascii=False))
        return
    console = Console(highlight=False, soft_wrap=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=_PIPE_WIDTH)
    show(console, rows, problems)


def _ask(url: str, path: str, missing_is: Any = None) -> Any:
    """The JSON at an endpoint; ``missing_is`` stands in for one that does not exist."""
    if not url.startswith(("http://", "https://")):
        raise Unreachable(f"--api {url!r} is not a URL; write it as {DEFAULT_API}")
    # No proxy: what is asked for is a process of ours, and by default on this machine.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url + path, timeout=_TIMEOUT) as answer:
            return json.loads(answer.read(_LARGEST))
    except urllib.error.HTTPError as error:
        if error.code == 404 and missing_is is not None:
            return missing_is
        raise Unreachable(
            f"{url}{path} answered {error.code} {error.reason}: check that --api names the"
            " entry point and base path of the API"
        ) from error
    except (OSError, http.client.HTTPException) as error:
        cause = getattr(error, "reason", error)
        reason = getattr(cause, "strerror", None) or cause
        raise Unreachable(
            f"cannot reach the API at {url} ({reason}): start Portway with --api.insecure=true,"
            " or say where it is with --api URL or PORTWAY_URL"
        ) from error
    except ValueError as error:
        raise Unreachable(
            f"{url}{path} did not answer with JSON: check that --api names Portway's API"
        ) from error


def table_rows(raw: dict[str, Any]) -> list[Row]:
    """The routers of a ``rawdata`` answer: by entry point, and there in the order of trial."""
    services = raw.get("services", {})
    rows = []
    for name, router in raw.get("routers", {}).items():
        provider = name.rpartition("@")[2]
        service = router.get("service", "")
        found = services.get(service if "@" in service else f"{service}@{provider}", {})
        states = found.get("serverStatus", {})
        servers = found.get("loadBalancer", {}).get("servers", [])
        rows.append(
            Row(
                name=name,
                provider=provider,
                entry_points=router.get("using") or router.get("entryPoints") or [],
                rule=router.get("rule", ""),
                middlewares=router.get("middlewares", []),
                service=service,
                servers_up=sum(state == "UP" for state in states.values()),
                servers=max(len(states), len(servers)),
                status=router.get("status", ""),
                priority=router.get("priority", 0),
                errors=[*router.get("error", []), *_only_new(found, router)],
            )
        )
    return sorted(rows, key=lambda row: (row.entry_points, -row.priority, row.name))


def _only_new(service: dict[str, Any], router: dict[str, Any]) -> list[str]:
    """What is said of a service and not repeated on its router."""
    said = router.get("error", [])
    return [text for text in service.get("error", []) if text not in said]


def show(console: Console, rows: list[Row], problems: dict[str, list[str]]) -> None:
    """Print the table, the errors of each router below its rule, then providers' problems."""
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="bold")
    # Errors stand below the rule, and must not make its column wider than rules do.
    widths = {"Rule": max(_ERROR_WIDTH, *(len(row.rule) for row in rows), 0)}
    for title in ("Router", "Entry points", "Rule", "Middlewares", "Service"):
        table.add_column(title, overflow="fold", max_width=widths.get(title))
    table.add_column("Servers", justify="right", no_wrap=True)
    table.add_column("Status", no_wrap=True)
    table.add_column("Priority", justify="right", no_wrap=True)
    table.add_column("Provider", no_wrap=True)
    for row in rows:
        rule = _text(row.rule)
        for error in row.errors:
            rule.append("\n")
            rule.append_text(_text(error, _COLOURS.get(row.status, "red")))
        down = row.servers_up < row.servers
        table.add_row(
            _text(row.name),
            _text(", ".join(row.entry_points)),
            rule,
            _text("\n".join(row.middlewares)),
            _text(row.service),
            _text(f"{row.servers_up}/{row.servers}" if row.servers else "-", "red" * down),
            _text(row.status, _COLOURS.get(row.status, "")),
            _text(str(row.priority)),
            _text(row.provider),
        )
    if rows:
        console.print(table)
    else:
        console.print("No routers.")
    for provider, texts in sorted(problems.items()):
        for text in texts:
            console.print(_text(f"{provider}: {text}", "red"))


def _text(content: str, style: str = "") -> Text:
    """Text as it is, but for control characters, which could drive the terminal."""
    kept = "\n".join(_CONTROL.sub("\N{REPLACEMENT CHARACTER}", p) for p in content.split("\n"))
    return Text(kept, style=style)
