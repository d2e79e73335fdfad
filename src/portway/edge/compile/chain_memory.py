"""The filter chains Envoy was last given, remembered across a restart of the control process.

Routes in Envoy outlive the control process and name chains. A successor whose configuration no
longer has such a chain must still offer it until Envoy has its new routes: a chain that is
missing while a route names it would let requests pass its filters.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec
from envoy.config.core.v3.extension_pb2 import TypedExtensionConfig

from portway.edge.pipeline import Chain

_Stored = dict[str, dict[str, list[bytes]]]  # slot -> chain -> serialised filters
_NAME = "chains"


def save(directory: Path, chains: Mapping[str, Mapping[str, Chain]]) -> None:
    """Write the chains of all slots, in whole or not at all."""
    stored: _Stored = {
        slot: {name: [f.SerializeToString() for f in chain] for name, chain in named.items()}
        for slot, named in chains.items()
    }
    unfinished = directory / f".{_NAME}"
    unfinished.touch(0o600)
    unfinished.write_bytes(msgspec.msgpack.encode(stored))
    unfinished.rename(directory / _NAME)


def load(directory: Path) -> dict[str, dict[str, Chain]]:
    """What a predecessor saved; nothing if there was none, or one of another version."""
    try:
        stored = msgspec.msgpack.decode((directory / _NAME).read_bytes(), type=_Stored)
    except (FileNotFoundError, msgspec.DecodeError):
        return {}
    return {
        slot: {
            name: tuple(TypedExtensionConfig.FromString(body) for body in chain)
            for name, chain in named.items()
        }
        for slot, named in stored.items()
    }
