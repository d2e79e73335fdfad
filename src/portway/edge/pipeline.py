"""The filter pipeline: how the steps of a route become Envoy's HTTP filters. Pure.

Every connection manager has the same filters, ``native0 lua0 … native3 lua3 fault``, all
off. A route switches on what it needs: ``native<k>`` runs one named chain of native filters,
``lua<k>`` runs a list of steps of the shared script. Chains arrive by ECDS, one resource per
slot, and are named by content, so that equal chains are one. A change of middlewares thus
touches routes and ECDS only, never a listener, and drains no connection.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Final, NamedTuple

import msgspec
from envoy.config.core.v3.base_pb2 import DataSource
from envoy.config.core.v3.config_source_pb2 import ConfigSource, ExtensionConfigSource
from envoy.config.core.v3.extension_pb2 import TypedExtensionConfig
from envoy.extensions.filters.common.fault.v3.fault_pb2 import FaultDelay
from envoy.extensions.filters.http.fault.v3.fault_pb2 import FaultAbort, HTTPFault
from envoy.extensions.filters.http.lua.v3.lua_pb2 import Lua as LuaFilter
from envoy.extensions.filters.http.lua.v3.lua_pb2 import LuaPerRoute
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2 as hcm,
)
from envoy.type.v3.percent_pb2 import FractionalPercent
from google.protobuf.any_pb2 import Any
from google.protobuf.json_format import ParseDict
from google.protobuf.struct_pb2 import Struct

from portway.edge.middlewares import registry
from portway.edge.middlewares.prelude import DELAY_HEADER
from portway.edge.middlewares.step import Lua, Native, Step
from portway.envoy.messages import COMPOSITE, composite_extension, pack, run_chain
from portway.envoy.resource import FILTER, Resource

PAIRS: Final = 4
PRIVATE_HEADERS: Final = (DELAY_HEADER, DELAY_HEADER + "-percentage")
"""Request headers between our own filters. The script removes what clients send of them;
routes remove them from what goes upstream (``request_headers_to_remove``)."""

_SCRIPT, _REQUEST_SCRIPT = "steps", "requests"
# Lua.shared_vm_id (field 9, not in xds-protos): all slots of all listeners share one Lua state
# per worker, and with it the decoded steps and whatever steps keep.
_SHARED_VM = b"\x4a\x07portway"
_FAULT = "fault"

Chain = Sequence[TypedExtensionConfig]


class TooManySteps(ValueError):  # noqa: N818
    """The middlewares alternate between native filters and Lua more often than there are slots."""


class Arrangement(NamedTuple):
    """The filters of one route: what it says under ``typed_per_filter_config``, and the named
    chains it relies on, by slot."""

    per_filter_config: Mapping[str, Any]
    chains: Mapping[str, Mapping[str, Chain]]


def http_filters(ecds: ConfigSource) -> list[hcm.HttpFilter]:
    """The filters every connection manager has in front of its router filter.

    Chains are discovered from ``ecds``. Until they have arrived a route that needs one
    answers 503, as an empty default would let requests pass the missing filters.
    """
    filters = []
    absent = pack(HTTPFault(abort=FaultAbort(http_status=503, percentage=_ALWAYS)))
    scripts = _lua_filter()
    for index in range(PAIRS):
        source = ExtensionConfigSource(
            config_source=ecds, default_config=absent, type_urls=[COMPOSITE, absent.type_url]
        )
        filters.append(hcm.HttpFilter(name=_native(index), config_discovery=source, disabled=True))
        filters.append(hcm.HttpFilter(name=_lua(index), typed_config=scripts, disabled=True))
    filters.append(hcm.HttpFilter(name=_FAULT, typed_config=pack(HTTPFault()), disabled=True))
    return filters


def arrange(steps: Sequence[Step]) -> Arrangement:
    """Fit steps into the slots, in order.

    Raises :class:`TooManySteps` when they need more than :data:`PAIRS` pairs.
    """
    steps = _joined(steps)
    per_filter: dict[str, Any] = {}
    chains: dict[str, dict[str, Chain]] = {}
    index, lua_used = 0, False
    may_stop = cleaned = False
    in_paths = [n for n, step in enumerate(steps) if isinstance(step, Lua) and step.paths]
    last_path = in_paths[-1] if in_paths else -1
    done = 0
    for kind, group in groupby(steps, type):
        members = list(group)
        first, done = done, done + len(members)
        if lua_used:
            index, lua_used = index + 1, False
        if index >= PAIRS:
            raise TooManySteps(_too_many(steps))
        if kind is Native:
            slot = _native(index)
            name, chain = _chain([s for s in members if isinstance(s, Native)])
            chains[slot] = {name: chain}
            per_filter[slot] = run_chain(name)
            may_stop = True
            continue
        lua_used = True
        run = [s for s in members if isinstance(s, Lua)]
        may_stop = may_stop or any(s.rejects for s in run)
        delays = any(s.delays for s in run)
        flags = {
            "always": not may_stop,
            "clean": delays and not cleaned,
            "tidy": len(in_paths) > 1 and first <= last_path < done,
        }
        entries = [_entry(step, n < last_path) for n, step in enumerate(run, first)]
        name = _SCRIPT if any(step.responds for step in run) else _REQUEST_SCRIPT
        per_filter[_lua(index)] = _steps_config(name, _lua(index), entries, flags)
        cleaned = cleaned or delays
    if cleaned:
        per_filter[_FAULT] = _DELAY
    return Arrangement(per_filter, chains)


def chain_resources(chains: Mapping[str, Mapping[str, Chain]]) -> list[Resource]:
    """The ECDS resources of all slots, each with every chain in use; a slot without chains
    has an empty one, as Envoy waits for all it knows of."""
    return [
        Resource.of(FILTER, slot, composite_extension(slot, chains.get(slot, {})))
        for slot in map(_native, range(PAIRS))
    ]


def native_filter(step: Native) -> TypedExtensionConfig:
    """A native step as a member of its chain."""
    return TypedExtensionConfig(name=step.name, typed_config=step.config)


def _joined(steps: Sequence[Step]) -> Sequence[Step]:
    """The steps with natives between Lua steps in their Lua form, where they have one."""
    lua = [index for index, step in enumerate(steps) if isinstance(step, Lua)]
    if not lua:
        return steps
    return [
        step.alternative
        if isinstance(step, Native) and step.alternative and lua[0] < index < lua[-1]
        else step
        for index, step in enumerate(steps)
    ]


def _native(index: int) -> str:
    return f"native{index}"


def _lua(index: int) -> str:
    return f"lua{index}"


_ALWAYS = FractionalPercent(numerator=100)
_DELAY = pack(
    HTTPFault(delay=FaultDelay(header_delay=FaultDelay.HeaderDelay(), percentage=_ALWAYS))
)


def _lua_filter() -> Any:
    message = LuaFilter()
    for name, responses in ((_SCRIPT, True), (_REQUEST_SCRIPT, False)):
        text = registry.script(responses=responses)
        message.source_codes[name].CopyFrom(DataSource(inline_string=text))
    message.clear_route_cache.value = False
    message.MergeFromString(_SHARED_VM)
    return pack(message)


def _chain(steps: Sequence[Native]) -> tuple[str, Chain]:
    chain = [native_filter(step) for step in steps]
    digest = hashlib.blake2b(digest_size=12)
    for one in chain:
        body = one.SerializeToString(deterministic=True)
        digest.update(len(body).to_bytes(4, "big") + body)
    return digest.hexdigest(), chain


def _entry(step: Lua, followed: bool) -> dict[str, object]:
    entry = {"f": step.function, "p": msgspec.to_builtins(dict(step.params))}
    if step.rejects:
        entry["r"] = True
    if step.paths and followed:
        entry["o"] = True
    return entry


def _steps_config(
    script: str, slot: str, entries: Sequence[Mapping[str, object]], flags: Mapping[str, bool]
) -> Any:
    context = {
        "slot": slot,
        "steps": entries,
        **{name: True for name, on in flags.items() if on},
    }
    digest = hashlib.blake2b(msgspec.json.encode(context, order="sorted"), digest_size=12)
    context["id"] = digest.hexdigest()
    return pack(LuaPerRoute(name=script, filter_context=ParseDict(context, Struct())))


def _too_many(steps: Sequence[Step]) -> str:
    order = " ".join("native" if isinstance(s, Native) else "Lua" for s in steps)
    return (
        f"the middlewares need more than {PAIRS} pairs of native filters and Lua ({order});"
        " use fewer middlewares with regular expressions on this router"
    )
