"""Watches: what a file says of one, and one that is checked and ready to run."""

from __future__ import annotations

from typing import Any

from portway.agent.config.block import Block, seconds
from portway.config import Duration


class HttpHandler(Block):
    """Where a watch sends what it sees."""

    path: str = ""  # a URL
    method: str = "POST"
    timeout: Duration = seconds(10)
    header: dict[str, list[str]] = {}
    tls_skip_verify: bool = False


class Watch(Block):
    """One watch. ``parameters`` are those of its type: ``key``, ``service``, ``tag``, …"""

    type: str
    datacenter: str = ""
    token: str = ""
    handler_type: str = "script"  # or http
    args: list[str] = []  # the program of a script handler
    handler: str = ""  # a shell command, the old form of ``args``
    http_handler_config: HttpHandler = HttpHandler()
    parameters: dict[str, Any] = {}
