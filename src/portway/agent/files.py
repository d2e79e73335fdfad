"""What the agent keeps in its data directory: API registrations, TTL states, its tokens.

The layout is Consul's: ``services/<sha256 of the ID>``, ``checks/<sha256>``,
``checks/state/<sha256>``, ``acl-tokens.json``. Files are written whole, by renaming, and readable
by the owner only. What was registered is on the disk before the client is told so.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec
import structlog

from portway.config import Duration
from portway.discovery.checks.ttl import TTLState
from portway.discovery.model import CheckDefinition, ServiceDefinition

log = structlog.get_logger("agent")
T = TypeVar("T")
_SERVICES, _CHECKS = "services", "checks"
_TOKENS = "acl-tokens.json"
_PARTIAL = ".tmp"


class StoredService(msgspec.Struct, kw_only=True):
    """A service registered through the API, without its checks; ``parent`` has it as sidecar."""

    definition: ServiceDefinition
    token: str = ""
    parent: str = ""


class StoredCheck(msgspec.Struct, kw_only=True):
    """A check registered through the API, alone or with its service."""

    check_id: str
    definition: CheckDefinition
    token: str = ""
    with_service: bool = False


Stored = StoredService | StoredCheck


class Files:
    """The files of one agent; without a data directory (``-dev``) nothing is kept."""

    def __init__(self, data_dir: str) -> None:
        self._root = Path(data_dir) if data_dir else None

    async def save(self, stored: Sequence[Stored]) -> None:
        """Keep registrations, all or none of them. Raises OSError."""
        if self._root is not None:
            files = {self._root / _place(one): one for one in stored}
            await asyncio.to_thread(_write, files)

    def forget_service(self, service_id: str) -> None:
        """Forget a service."""
        self._remove(_SERVICES, service_id)

    async def services(self) -> list[StoredService]:
        """The services kept; files that cannot be read are logged and left out."""
        return await asyncio.to_thread(self._read, _SERVICES, StoredService)

    def forget_check(self, check_id: str) -> None:
        """Forget a check."""
        self._remove(_CHECKS, check_id)

    async def checks(self) -> list[StoredCheck]:
        """The checks kept; files that cannot be read are logged and left out."""
        return await asyncio.to_thread(self._read, _CHECKS, StoredCheck)

    async def save_tokens(self, tokens: dict[str, str]) -> None:
        """Keep the agent's own tokens. Raises OSError."""
        if self._root is not None:
            await asyncio.to_thread(_write, {self._root / _TOKENS: tokens})

    def tokens(self) -> dict[str, str]:
        """The agent's own tokens as last set through the API."""
        if self._root is None or not (self._root / _TOKENS).exists():
            return {}
        return _load(self._root / _TOKENS, dict[str, str]) or {}

    def _remove(self, folder: str, name: str) -> None:
        if self._root is not None:
            _unlink(self._root / folder / _name(name))

    def _read(self, folder: str, kind: type[T]) -> list[T]:
        if self._root is None or not (self._root / folder).is_dir():
            return []
        paths = sorted((self._root / folder).iterdir())
        files = [path for path in paths if path.is_file() and path.suffix != _PARTIAL]
        return [kept for path in files if (kept := _load(path, kind)) is not None]


class TTLStates:
    """The last states of TTL checks (``ttl.TTLStore``): worth keeping, not worth waiting for."""

    def __init__(self, data_dir: str) -> None:
        self._folder = Path(data_dir) / _CHECKS / "state" if data_dir else None

    def load(self, check_id: str) -> TTLState | None:
        """The state last saved."""
        path = None if self._folder is None else self._folder / _name(check_id)
        return _load(path, TTLState) if path is not None and path.exists() else None

    def save(self, check_id: str, state: TTLState) -> None:
        """Keep a state; a disk that refuses is logged, as the check itself goes on."""
        if self._folder is not None:
            try:
                _write({self._folder / _name(check_id): state}, durable=False)
            except OSError as error:
                log.error("The state of a TTL check was not kept", check=check_id, error=str(error))

    def remove(self, check_id: str) -> None:
        """Forget a state."""
        if self._folder is not None:
            _unlink(self._folder / _name(check_id))


def _place(stored: Stored) -> str:
    if isinstance(stored, StoredService):
        return f"{_SERVICES}/{_name(stored.definition.id)}"
    return f"{_CHECKS}/{_name(stored.check_id)}"


def _name(identifier: str) -> str:
    return hashlib.sha256(identifier.encode()).hexdigest()


def _write(files: Mapping[Path, object], *, durable: bool = True) -> None:
    """Write all files, or none if the disk refuses one. Raises OSError."""
    partial = {path.with_name(path.name + _PARTIAL): path for path in files}
    try:
        for temporary, path in partial.items():
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(msgspec.json.encode(files[path], enc_hook=str))
                if durable:
                    file.flush()
                    os.fsync(file.fileno())
    except OSError:
        for temporary in partial:
            _unlink(temporary)
        raise
    for temporary, path in partial.items():
        temporary.replace(path)
    for folder in {path.parent for path in files} if durable else ():
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)  # the new names, too, outlast the loss of power
        finally:
            os.close(descriptor)


def _unlink(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        log.error("A file was not removed", file=str(path), error=str(error))


def _load(path: Path, kind: type[T]) -> T | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind, dec_hook=_hook)
    except (OSError, msgspec.DecodeError) as error:
        log.error("A file of the data directory cannot be used", file=str(path), error=str(error))
        return None


def _hook(kind: type, value: object) -> object:
    if kind is Duration and isinstance(value, str):
        return Duration.parse(value)
    raise NotImplementedError(kind)
