"""Listening sockets of the agent's HTTP interfaces."""

from __future__ import annotations

import errno
import grp
import os
import pwd
import socket
import stat
from pathlib import Path

from portway.agent.config.addresses import UnixSockets
from portway.agent.config.config import Bind

_BACKLOG = 4096


def listening(bind: Bind, unix: UnixSockets) -> socket.socket:
    """A listening socket. Raises OSError naming the address."""
    try:
        return _unix(bind.path, unix) if bind.path else _tcp(bind)
    except (OSError, KeyError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise OSError(f"listen {bind}: {reason}") from None


def _tcp(bind: Bind) -> socket.socket:
    family = socket.AF_INET6 if ":" in bind.host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6 and bind.host != "::":
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((bind.host, bind.port))
        sock.listen(_BACKLOG)
    except BaseException:
        sock.close()
        raise
    return sock


def _unix(path: str, unix: UnixSockets) -> socket.socket:
    file = Path(path)
    if file.exists() and stat.S_ISSOCK(file.stat().st_mode):
        if _answers(path):
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
        file.unlink()  # of an agent that is gone
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        mask = os.umask(0o177)
        try:
            sock.bind(path)
        finally:
            os.umask(mask)
        if unix.user or unix.group:
            os.chown(path, _number(unix.user, "user"), _number(unix.group, "group"))
        if unix.mode:
            file.chmod(int(unix.mode, 8))
        sock.listen(_BACKLOG)
    except BaseException:
        sock.close()
        raise
    return sock


def _answers(path: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except OSError:
            return False
    return True


def close(sock: socket.socket, bind: Bind) -> None:
    """Close what was listening; the file of a Unix socket goes."""
    sock.close()
    if bind.path:
        Path(bind.path).unlink(missing_ok=True)


def _number(name: str, kind: str) -> int:
    if not name:
        return -1
    if name.isdigit():
        return int(name)
    return pwd.getpwnam(name).pw_uid if kind == "user" else grp.getgrnam(name).gr_gid
