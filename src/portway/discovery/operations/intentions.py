"""Intentions as a view of ``service-intentions`` entries: reading, deciding, writing them.

Those made with the deprecated API have an ID, times and metadata of their own; an entry holds
only such intentions, or only others.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from datetime import datetime
from hashlib import blake2b
from typing import TYPE_CHECKING, Literal, NamedTuple

from msgspec.structs import replace

from portway.discovery.acl import Authorizer, PermissionDeniedError
from portway.discovery.model.intentions import DEFAULT, Intention, IntentionRequest
from portway.discovery.operations.config_entries import remove, store
from portway.discovery.state import ConfigEntries, Draft, Reading, entry_key
from portway.mesh.entries import WILDCARD, EntryError, ServiceIntentions, Source
from portway.mesh.entries.entry import listed, meta_problems
from portway.mesh.entries.service_intentions import LONGEST_DESCRIPTION

if TYPE_CHECKING:
    from portway.discovery.server import Server

Side = Literal["source", "destination"]


class Name(NamedTuple):
    """A service as intentions name it; a peer's service may be a source."""

    service: str
    peer: str = ""


def shown(entry: ServiceIntentions, source: Source) -> Intention:
    """One intention."""
    intention = Intention(
        id=source.legacy_id,
        description=source.description,
        source_ns=DEFAULT,
        source_name=source.name,
        source_peer=source.peer,
        destination_ns=DEFAULT,
        destination_name=entry.name,
        source_type=source.type,
        action=source.action,
        permissions=source.permissions,
        jwt=entry.jwt,
        meta=source.legacy_meta if source.by_id else entry.meta,
        precedence=source.precedence,
        created_at=source.legacy_create_time,
        updated_at=source.legacy_update_time,
        create_index=entry.create_index,
        modify_index=entry.modify_index,
    )
    if not source.by_id:
        return intention
    return replace(intention, hash=_hash(intention))


def _hash(intention: Intention) -> bytes:
    """The documented hash of an intention's content."""
    texts = (
        *(intention.id, intention.description, intention.source_ns, intention.source_name),
        *(intention.destination_ns, intention.destination_name, intention.source_type),
        intention.action,
    )
    meta = "".join(f"{key}{intention.meta[key]}" for key in sorted(intention.meta))
    plain = "".join(texts).encode() + intention.precedence.to_bytes(8, "little") + meta.encode()
    return blake2b(plain, digest_size=32).digest()


def of_entries(entries: Iterable[ServiceIntentions]) -> list[Intention]:
    """The intentions of some entries, by precedence, then by source and destination."""
    found = [shown(entry, source) for entry in entries for source in entry.sources or ()]
    found.sort(key=lambda one: (-one.precedence, one.source_name, one.destination_name))
    return found


def may_read(intention: Intention, authorizer: Authorizer) -> bool:
    """Whether an intention may be seen: who may read those of one side sees why it is as it is."""
    sides = [intention.destination_name]
    sides += [] if intention.source_peer else [intention.source_name]
    return any(authorizer.allows("intention", "read", side) for side in sides)


def exact(entry: ServiceIntentions | None, source: Name) -> Intention | None:
    """The intention of an entry with exactly this source."""
    for one in () if entry is None or entry.sources is None else entry.sources:
        if (one.name, one.peer) == source:
            return shown(entry, one) if entry is not None else None
    return None


def read_match(entries: ConfigEntries, by: Side, name: str) -> Reading[list[Intention]]:
    """The intentions that concern a service on one side, those with ``*`` included."""
    names = (name, WILDCARD)
    if by == "destination":
        readings = [entries.read(ServiceIntentions, one) for one in dict.fromkeys(names)]
        found = of_entries(one.value for one in readings if one.value is not None)
        topics = tuple(topic for one in readings for topic in one.topics)
    else:
        destinations = set().union(*(entries.destinations(one) for one in names))
        sources = (entries.get(ServiceIntentions, one) for one in sorted(destinations))
        every = of_entries(entry for entry in sources if entry is not None)
        found = [one for one in every if one.source_name in names and not one.source_peer]
        topics = (entries.kinds[ServiceIntentions],)
    return Reading(found, entries.kinds[ServiceIntentions].index, topics)


def decision(entries: ConfigEntries, source: str, destination: str) -> Intention | None:
    """The intention that decides whether a service may call another; ``None`` without one."""
    for intention in read_match(entries, "destination", destination).value:
        if intention.source_name in (source, WILDCARD) and not intention.source_peer:
            return intention
    return None


def allows(intention: Intention | None, default: bool) -> bool:
    """Whether a connection may be made: with permissions it may not, as it has no requests."""
    return default if intention is None else intention.action == "allow"


def put(
    server: Server, draft: Draft, wanted: IntentionRequest, source: Name, authorizer: Authorizer
) -> None:
    """Write the intention from ``source`` to ``wanted``'s destination.

    Raises EntryError, PermissionDeniedError.
    """
    destination = wanted.destination_name
    authorizer.require("intention", "write", destination)
    if wanted.id:
        raise EntryError("ID must not be specified")
    old = _entry(server, draft, destination)
    if wanted.meta and old is None:
        raise EntryError("Meta must not be specified")
    if old is not None and wanted.meta and wanted.meta != _meta(old, source):
        raise EntryError("Meta must not be specified, or should be unchanged during an update.")
    if old is not None and any(one.by_id for one in old.sources or ()):
        # From now on its intentions are those of an ordinary entry.
        kept = [_without_id(one) for one in old.sources or ()]
        old = replace(old, sources=kept)
    entry = old or ServiceIntentions(name=destination, sources=None)
    new = _source(wanted, source)
    others = [one for one in entry.sources or () if (one.name, one.peer) != source]
    store(server, draft, replace(entry, sources=[*others, new]).normalized())


def delete(
    server: Server, draft: Draft, destination: str, source: Name, authorizer: Authorizer
) -> None:
    """Delete an intention; one that does not exist is as good as deleted.

    Raises PermissionDeniedError.
    """
    authorizer.require("intention", "write", destination)
    entry = _entry(server, draft, destination)
    if entry is not None:
        kept = [one for one in entry.sources or () if (one.name, one.peer) != source]
        if len(kept) < len(entry.sources or ()):
            _keep(server, draft, entry, kept)


def by_id(entries: ConfigEntries, intention_id: str) -> Intention | None:
    """The intention that the deprecated API made under an ID."""
    destination = entries.destination_of(intention_id)
    entry = entries.get(ServiceIntentions, destination) if destination is not None else None
    for source in () if entry is None or entry.sources is None else entry.sources:
        if source.legacy_id == intention_id and entry is not None:
            return shown(entry, source)
    return None


def create(
    server: Server, draft: Draft, wanted: IntentionRequest, authorizer: Authorizer, now: datetime
) -> str:
    """Make an intention with an ID, and return that. Raises as ``put``."""
    destination = wanted.destination_name
    if not destination:
        raise PermissionDeniedError  # nobody may write what has no name
    authorizer.require("intention", "write", destination)
    if wanted.id:
        raise EntryError("ID must be empty when creating a new intention")
    _check_by_id(wanted)
    entry = _editable(server, draft, destination)
    source = Name(wanted.source_name)
    intention_id = str(uuid.uuid4())
    new = replace(
        _source(wanted, source),
        legacy_id=intention_id,
        legacy_meta=wanted.meta,
        legacy_create_time=now,
        legacy_update_time=now,
    )
    store(server, draft, replace(entry, sources=[*(entry.sources or ()), new]).normalized())
    return intention_id


def update(
    server: Server,
    draft: Draft,
    intention_id: str,
    wanted: IntentionRequest,
    authorizer: Authorizer,
    now: datetime,
) -> None:
    """Change the intention with an ID; its destination stays. Raises as ``put``."""
    entry, old = _by_id(server, draft, intention_id, authorizer, "modify")
    if wanted.destination_name != entry.name:
        raise EntryError(
            "Cannot modify Destination partition/namespace/name for an intention once it exists."
        )
    _check_by_id(wanted)
    name = Name(wanted.source_name)
    new = replace(
        _source(wanted, name),
        legacy_id=intention_id,
        legacy_meta=wanted.meta,
        legacy_create_time=old.legacy_create_time,
        legacy_update_time=now,
    )
    others = [one for one in entry.sources or () if one.legacy_id != intention_id]
    store(server, draft, replace(entry, sources=[*others, new]).normalized())


def delete_by_id(server: Server, draft: Draft, intention_id: str, authorizer: Authorizer) -> None:
    """Delete the intention with an ID. Raises as ``put``."""
    entry, _ = _by_id(server, draft, intention_id, authorizer, "delete")
    kept = [one for one in entry.sources or () if one.legacy_id != intention_id]
    _keep(server, draft, entry, kept)


def _by_id(
    server: Server, draft: Draft, intention_id: str, authorizer: Authorizer, deed: str
) -> tuple[ServiceIntentions, Source]:
    destination = server.state.config.destination_of(intention_id)
    entry = _entry(server, draft, destination) if destination is not None else None
    for source in () if entry is None or entry.sources is None else entry.sources:
        if source.legacy_id == intention_id and entry is not None:
            authorizer.require("intention", "write", entry.name)
            return entry, source
    # Whoever asks may not learn of what others have, but of what exists nowhere.
    authorizer.require("intention", "write", WILDCARD)
    raise EntryError(f"Cannot {deed} non-existent intention: '{intention_id}'")


def _check_by_id(wanted: IntentionRequest) -> None:
    """Raise EntryError for what the deprecated API does not take."""
    sides = (("SourceName", wanted.source_name), ("DestinationName", wanted.destination_name))
    problems = [f"{what} must be set" for what, name in sides if not name]
    problems += [
        f"{what}: wildcard character '*' cannot be used with partial values"
        for what, name in sides
        if WILDCARD in name and name != WILDCARD
    ]
    if len(wanted.description) > LONGEST_DESCRIPTION:
        problems.append(f"Description exceeds maximum length {LONGEST_DESCRIPTION}")
    problems += meta_problems(wanted.meta)
    if wanted.action not in ("allow", "deny"):
        problems.append("Action must be set to 'allow' or 'deny'")
    if wanted.permissions:
        problems.append("Permissions must not be set when using the legacy APIs")
    if wanted.source_type not in ("", "consul"):
        problems.append("SourceType must be set to 'consul'")
    if problems:
        raise EntryError(listed(problems))


def _editable(server: Server, draft: Draft, destination: str) -> ServiceIntentions:
    entry = _entry(server, draft, destination)
    if entry is None:
        return ServiceIntentions(name=destination, sources=None)
    if not all(source.by_id for source in entry.sources or ()):
        raise EntryError(
            f"cannot use legacy intention API to edit intentions with a destination of "
            f'"{destination}" after editing them via a service-intentions config entry'
        )
    return entry


def _entry(server: Server, draft: Draft, destination: str) -> ServiceIntentions | None:
    entries = server.state.config
    found = draft.get(entries.table, entry_key(ServiceIntentions, destination))
    assert found is None or isinstance(found, ServiceIntentions)
    return found


def _keep(server: Server, draft: Draft, entry: ServiceIntentions, kept: list[Source]) -> None:
    """Leave an entry these sources; without any it goes."""
    if kept:
        store(server, draft, replace(entry, sources=kept))
    else:
        remove(server, draft, entry)


def _source(wanted: IntentionRequest, name: Name) -> Source:
    return Source(
        name=name.service,
        peer=name.peer,
        sameness_group=wanted.source_sameness_group,
        action=wanted.action,
        permissions=wanted.permissions,
        precedence=0,
        type=wanted.source_type,
        description=wanted.description,
    )


def _without_id(source: Source) -> Source:
    return replace(
        source,
        legacy_id="",
        legacy_meta={},
        legacy_create_time=None,
        legacy_update_time=None,
    )


def _meta(entry: ServiceIntentions, source: Name) -> dict[str, str]:
    found = exact(entry, source)
    return entry.meta if found is None else found.meta


def described(intention: Intention) -> str:
    """An intention in one line, as reasons name it."""
    what = f"Action: {intention.action.upper()}"
    if intention.permissions:
        what = f"Permissions: {len(intention.permissions)}"
    identity = f"ID: {intention.id}, " if intention.id else ""
    return (
        f"{DEFAULT}/{intention.source_name} => {DEFAULT}/{intention.destination_name} "
        f"({identity}Precedence: {intention.precedence}, {what})"
    )
