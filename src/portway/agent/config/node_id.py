"""The ID of a node: kept in the data directory, and made when there is none."""

from __future__ import annotations

import hashlib
import os
import uuid
from pathlib import Path

from portway.agent.config.error import ConfigError

_FILE = "node-id"
_HOST_IDS = ("/sys/class/dmi/id/product_uuid", "/etc/machine-id", "/var/lib/dbus/machine-id")


def node_id(given: str, data_dir: str, *, from_host: bool, persist: bool) -> str:
    """The ID: the one given, else the one kept in ``data_dir``, else a new one.

    ``from_host`` makes a new one from the host's identity instead of at random. With
    ``persist`` the ID is written to ``data_dir`` ("" keeps nothing), readable by the owner
    only. Raises ConfigError.
    """
    path = Path(data_dir) / _FILE if data_dir else None
    kept = _kept(path) if path is not None and not given else ""
    chosen = given or kept or (_of_host() if from_host else "") or str(uuid.uuid4())
    if path is not None and persist and chosen != kept:
        _keep(path, chosen)
    return chosen


def _kept(path: Path) -> str:
    try:
        text = path.read_text("ascii").strip()
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"failed to read the node ID in {path}: {_reason(error)}") from None
    if not text:
        return ""
    try:
        return str(uuid.UUID(text))
    except ValueError:
        raise ConfigError(f"{path} holds {text[:60]!r}, which is not a UUID; remove it") from None


def _keep(path: Path, text: str) -> None:
    temporary = path.with_name(f".{_FILE}.{os.getpid()}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise ConfigError(f"failed to write the node ID to {path}: {_reason(error)}") from None


def _of_host() -> str:
    """An ID that stays the same on one host, and does not tell its identity."""
    for name in _HOST_IDS:
        try:
            text = Path(name).read_text("ascii").strip().lower()
        except (OSError, UnicodeDecodeError):
            continue
        if text:
            return str(uuid.UUID(bytes=hashlib.sha512(text.encode()).digest()[:16]))
    return ""


def _reason(error: Exception) -> str:
    return (getattr(error, "strerror", None) or str(error)).lower()
