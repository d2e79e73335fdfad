"""What the agent keeps in its data directory: API registrations and the state of TTL checks.

The layout is Consul's: ``services/<sha256 of the ID>``, ``checks/<sha256>``,
``checks/state/<sha256>``. Files are written whole, by renaming, and readable by the owner only.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import msgspec
import structlog

from portway.config import Duration
from portway.discovery.checks.ttl import TTLState
from portway.discovery.model import CheckDefinition, ServiceDefinition

log = structlog.get_logger("agent")
T = TypeVar("T")
_STATES = "checks/state"
_TOKENS = "acl-tokens.json"


class StoredService(msgspec.Struct, kw_only=True):
    """A service registered through the API."""

    definition: ServiceDefinition
    token: str = ""


class StoredCheck(msgspec.Struct, kw_only=True):
    """A check registered through the API on its own."""

    check_id: str
    definition: CheckDefinition
    token: str = ""


class Files:
    """The files of one agent; without a data directory (``-dev``) nothing is kept."""

    def __init__(self, data_dir: str) -> None:
        self._root = Path(data_dir) if data_dir else None

    def save_service(self, stored: StoredService) -> None:
        """Keep a service. Raises OSError."""
        self._write("services", stored.definition.id or stored.definition.name, stored)

    def forget_service(self, service_id: str) -> None:
        """Forget a service. Raises OSError."""
        self._remove("services", service_id)

    def services(self) -> Iterator[StoredService]:
        """The services kept."""
        return self._read("services", StoredService)

    def save_check(self, stored: StoredCheck) -> None:
        """Keep a check. Raises OSError."""
        self._write("checks", stored.check_id, stored)

    def forget_check(self, check_id: str) -> None:
        """Forget a check. Raises OSError."""
        self._remove("checks", check_id)

    def checks(self) -> Iterator[StoredCheck]:
        """The checks kept."""
        return self._read("checks", StoredCheck)

    def save_tokens(self, tokens: dict[str, str]) -> None:
        """Keep the agent's own tokens. Raises OSError."""
        if self._root is not None:
            _write(self._root / _TOKENS, tokens)

    def tokens(self) -> dict[str, str]:
        """The agent's own tokens as last set through the API."""
        path = None if self._root is None else self._root / _TOKENS
        kept = _load(path, dict[str, str]) if path is not None and path.exists() else None
        return kept or {}

    # The states of TTL checks (``ttl.TTLStore``)

    def load(self, check_id: str) -> TTLState | None:
        """The state last saved."""
        if self._root is None:
            return None
        path = self._root / _STATES / _name(check_id)
        return _load(path, TTLState) if path.exists() else None

    def save(self, check_id: str, state: TTLState) -> None:
        """Keep a state; a disk that refuses is logged, as the check itself goes on."""
        try:
            self._write(_STATES, check_id, state)
        except OSError as error:
            log.error("The state of a TTL check was not kept", check=check_id, error=str(error))

    def remove(self, check_id: str) -> None:
        """Forget a state."""
        self._remove(_STATES, check_id)

    def _write(self, folder: str, name: str, value: object) -> None:
        if self._root is not None:
            _write(self._root / folder / _name(name), value)

    def _remove(self, folder: str, name: str) -> None:
        if self._root is not None:
            (self._root / folder / _name(name)).unlink(missing_ok=True)

    def _read(self, folder: str, kind: type[T]) -> Iterator[T]:
        if self._root is None or not (self._root / folder).is_dir():
            return
        for path in sorted((self._root / folder).iterdir()):
            if path.is_file() and path.suffix != ".tmp":
                stored = _load(path, kind)
                if stored is not None:
                    yield stored


def _write(path: Path, value: object) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    partial = path.with_suffix(".tmp")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(msgspec.json.encode(value, enc_hook=str))
    partial.replace(path)


def _name(identifier: str) -> str:
    return hashlib.sha256(identifier.encode()).hexdigest()


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
