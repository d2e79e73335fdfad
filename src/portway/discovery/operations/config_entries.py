"""Writes of config entries: each is right in itself, and all are right together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING, TypeVar, cast

import msgspec
from msgspec.structs import replace

from portway.discovery.acl import Authorizer
from portway.discovery.state import ConfigEntries, Draft, entry_key
from portway.mesh.entries import (
    Entry,
    EntryError,
    IngressGateway,
    ServiceIntentions,
    Source,
    check_graph,
    kind_name,
    kind_of,
)

if TYPE_CHECKING:
    from portway.discovery.server import Server

TURN = "config"
"""Writes of config entries go one after the other: each looks at all that lead to it."""

E = TypeVar("E", bound=Entry)
_encoder = msgspec.msgpack.Encoder(order="deterministic")


def put(
    server: Server,
    draft: Draft,
    entry: Entry,
    authorizer: Authorizer,
    cas: int | None = None,
) -> bool:
    """Write an entry; with ``cas`` only if its ModifyIndex is that, 0 for one that is new.

    An equal entry changes nothing. Raises EntryError, PermissionDeniedError.
    """
    entry.check()
    permit(entry, authorizer)
    if isinstance(entry, ServiceIntentions):
        entry = _without_ids(entry)
    old = draft.get(server.state.config.table, entry_key(type(entry), entry.name))
    if old is not None and old.hash == content_hash(entry):
        return True
    if cas is not None and cas != (0 if old is None else old.modify_index):
        return False
    store(server, draft, entry)
    return True


def store(server: Server, draft: Draft, entry: Entry) -> None:
    """Write an entry that may be written. Raises EntryError."""
    entries = server.state.config
    entry.check()
    if not entry.name:
        raise EntryError("serviceName is required")
    if len(entry.name) > _LONGEST_NAME:
        raise EntryError(f"Name exceeds maximum length {_LONGEST_NAME}")
    key = entry_key(type(entry), entry.name)
    new = replace(entry, hash=content_hash(entry), create_index=0, modify_index=0)
    old = draft.get(entries.table, key)
    if old is not None and old.hash == new.hash:
        return
    draft.guard(entries.table)
    draft.put(entries.table, key, new)
    check_graph(_Drafted(entries, draft), type(new), new.name)


_LONGEST_NAME = 512


def delete(
    server: Server,
    draft: Draft,
    kind: type[Entry],
    name: str,
    authorizer: Authorizer,
    cas: int | None = None,
) -> bool:
    """Delete an entry; one that does not exist is as good as deleted.

    Raises EntryError when others cannot be without it, PermissionDeniedError.
    """
    kind.require_write(name, authorizer)
    entries = server.state.config
    key = entry_key(kind, name)
    old = draft.get(entries.table, key)
    if old is None:
        return True
    if cas is not None and cas != old.modify_index:
        return False
    remove(server, draft, old)
    return True


def remove(server: Server, draft: Draft, entry: Entry) -> None:
    """Delete an entry that may be deleted. Raises EntryError."""
    entries = server.state.config
    draft.guard(entries.table)
    draft.delete(entries.table, entry_key(type(entry), entry.name))
    check_graph(_Drafted(entries, draft), type(entry), entry.name)


def bootstrap(server: Server, draft: Draft, entries: Sequence[Entry]) -> None:
    """Write those entries of the agent's configuration that do not exist yet.

    Raises EntryError, naming the entry.
    """
    for entry in entries:
        if draft.get(server.state.config.table, entry_key(type(entry), entry.name)) is not None:
            continue
        try:
            store(server, draft, entry)
        except EntryError as error:
            raise EntryError(
                f'Failed to apply configuration entry "{entry.kind}" / "{entry.name}": {error}'
            ) from None


def permit(entry: Entry, authorizer: Authorizer) -> None:
    """Raise PermissionDeniedError unless the entry may be written.

    Sending a service's traffic elsewhere needs to read where it goes.
    """
    kind = type(entry)
    kind.require_write(entry.name, authorizer)
    if kind.write_access == "service":
        for service in entry.reaches():
            authorizer.require("service", "read", service)


def content_hash(entry: Entry) -> int:
    """A 64-bit hash of what an entry says."""
    plain = _encoder.encode(replace(entry, hash=0, create_index=0, modify_index=0))
    return int.from_bytes(blake2b(plain, digest_size=8).digest(), "big")


def _without_ids(new: ServiceIntentions) -> ServiceIntentions:
    """Without the fields that only the deprecated API by ID writes. Raises EntryError."""
    sources: list[Source] = []
    for index, source in enumerate(new.sources or ()):
        if source.legacy_meta:
            raise EntryError(f"Sources[{index}].LegacyMeta must be omitted")
        sources.append(
            replace(source, legacy_id="", legacy_create_time=None, legacy_update_time=None)
        )
    return replace(new, sources=sources or None)


class _Drafted:
    """The entries as a draft has them."""

    def __init__(self, entries: ConfigEntries, draft: Draft) -> None:
        self._entries = entries
        self._written = draft.written(entries.table)

    def get(self, kind: type[E], name: str) -> E | None:
        key = entry_key(kind, name)
        if key in self._written:
            return cast("E | None", self._written[key])
        return self._entries.get(kind, name)

    def all(self, kind: type[E]) -> Iterable[E]:
        prefix = f"{kind_name(kind)}/"
        names = set(self._entries.names(kind))
        names.update(key[len(prefix) :] for key in self._written if key.startswith(prefix))
        found = (self.get(kind, name) for name in sorted(names))
        return [entry for entry in found if entry is not None]

    def reaching(self, service: str) -> Iterable[str]:
        keys = {key for key in self._entries.leading(service) if key not in self._written}
        keys.update(
            key
            for key, entry in self._written.items()
            if entry is not None and service in entry.reaches()
        )
        split = (key.partition("/") for key in keys)
        return {name for kind, _, name in split if kind_of(kind) is not IngressGateway}
