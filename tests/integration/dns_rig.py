"""The DNS interface on free ports, dig, and dnsmasq as another server."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from portway.discovery.dns import Answers, DnsSettings, Listener, serve_dns
from tests.integration.discovery_rig import Discovery
from tests.patience import PATIENCE


@asynccontextmanager
async def answering(
    discovery: Discovery, host: str = "127.0.0.1", **settings: Any
) -> AsyncIterator[Listener]:
    """The DNS interface of a discovery."""
    answers = Answers(discovery.server.state, discovery.context.tokens, DnsSettings(**settings))
    listener = await serve_dns([(host, 0)], answers)
    try:
        yield listener
    finally:
        await listener.stop()


async def dig(listener: Listener, *words: str, host: str = "127.0.0.1") -> str:
    """What dig prints."""
    if shutil.which("dig") is None:
        pytest.skip("dig is not installed")
    process = await asyncio.create_subprocess_exec(
        "dig",
        f"@{host}",
        "-p",
        str(listener.ports[0]),
        "+time=10",
        "+tries=1",
        *words,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "HOME": "/nonexistent"},
    )
    output, _ = await process.communicate()
    return output.decode()


async def short(listener: Listener, *words: str) -> list[str]:
    """The data of dig's answer, sorted."""
    return sorted((await dig(listener, *words, "+short")).splitlines())


@asynccontextmanager
async def dnsmasq(*options: str) -> AsyncIterator[int]:
    """Another DNS server, which knows what its options say; yields its port."""
    program = shutil.which("dnsmasq", path=os.environ.get("PATH", "") + ":/usr/sbin")
    if program is None:
        pytest.skip("dnsmasq is not installed")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    process = await asyncio.create_subprocess_exec(
        program,
        "--no-daemon",
        "--conf-file=/dev/null",
        "--no-resolv",
        "--no-hosts",
        f"--port={port}",
        "--listen-address=127.0.0.1",
        "--bind-interfaces",
        *options,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        await _listens(process, port)
        yield port
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def _listens(process: asyncio.subprocess.Process, port: int) -> None:
    async with asyncio.timeout(PATIENCE):
        while True:
            assert process.returncode is None, "dnsmasq ended"
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.02)
                continue
            writer.close()
            return
