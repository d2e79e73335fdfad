"""Messages Envoy 1.40 understands and xds-protos does not know yet.

Each is declared at run time with Envoy's own field names and numbers, in a package of our
own, and packed under Envoy's type URL; the wire format knows no package names. The numbers
are those in the descriptors that the Envoy binary itself carries.

All packing is deterministic, so that equal content has an equal version.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from envoy.config.core.v3 import extension_pb2
from envoy.extensions.filters.http.composite.v3 import composite_pb2
from google.protobuf import any_pb2, descriptor_pb2, descriptor_pool, message, message_factory
from xds.core.v3 import extension_pb2 as xds_extension_pb2
from xds.type.matcher.v3 import matcher_pb2

_TYPE = "type.googleapis.com/"
_COMPOSITE = _TYPE + "envoy.extensions.filters.http.composite.v3."
COMPOSITE: Final = _COMPOSITE + "Composite"
COMPOSITE_PER_ROUTE: Final = _COMPOSITE + "CompositePerRoute"
EXECUTE_FILTER_ACTION: Final = _COMPOSITE + "ExecuteFilterAction"

_Field = descriptor_pb2.FieldDescriptorProto
_PACKAGE = "portway.envoy.composite"


def _declare() -> descriptor_pb2.FileDescriptorProto:
    """Twins of ``envoy/extensions/filters/http/composite/v3/composite.proto``."""
    chain = "." + composite_pb2.FilterChainConfiguration.DESCRIPTOR.full_name
    matcher = "." + matcher_pb2.Matcher.DESCRIPTOR.full_name
    file = descriptor_pb2.FileDescriptorProto(
        name="portway/envoy/composite.proto",
        package=_PACKAGE,
        syntax="proto3",
        dependency=[
            composite_pb2.DESCRIPTOR.name,
            matcher_pb2.DESCRIPTOR.name,
        ],
    )
    composite_type = file.message_type.add(name="Composite")
    composite_type.field.add(
        name="named_filter_chains",
        number=1,
        label=_Field.LABEL_REPEATED,
        type=_Field.TYPE_MESSAGE,
        type_name=f".{_PACKAGE}.Composite.NamedFilterChainsEntry",
    )
    entry = composite_type.nested_type.add(name="NamedFilterChainsEntry")
    entry.options.map_entry = True
    entry.field.add(name="key", number=1, label=_Field.LABEL_OPTIONAL, type=_Field.TYPE_STRING)
    entry.field.add(
        name="value",
        number=2,
        label=_Field.LABEL_OPTIONAL,
        type=_Field.TYPE_MESSAGE,
        type_name=chain,
    )
    file.message_type.add(name="CompositePerRoute").field.add(
        name="matcher",
        number=1,
        label=_Field.LABEL_OPTIONAL,
        type=_Field.TYPE_MESSAGE,
        type_name=matcher,
    )
    file.message_type.add(name="ExecuteFilterAction").field.add(
        name="filter_chain_name", number=5, label=_Field.LABEL_OPTIONAL, type=_Field.TYPE_STRING
    )
    return file


descriptor_pool.Default().Add(_declare())


def _class(name: str) -> Any:
    found = descriptor_pool.Default().FindMessageTypeByName(f"{_PACKAGE}.{name}")
    return message_factory.GetMessageClass(found)


_Composite = _class("Composite")
_CompositePerRoute = _class("CompositePerRoute")
_ExecuteFilterAction = _class("ExecuteFilterAction")


def pack(content: message.Message, type_url: str | None = None) -> any_pb2.Any:
    """Wrap a message, under its own type URL or the one given, equal content to equal bytes."""
    return any_pb2.Any(
        type_url=type_url or _TYPE + content.DESCRIPTOR.full_name,
        value=content.SerializeToString(deterministic=True),
    )


def composite(
    chains: Mapping[str, Sequence[extension_pb2.TypedExtensionConfig]],
) -> any_pb2.Any:
    """The composite HTTP filter with these named filter chains, each in the order given."""
    body = _Composite()
    for name, filters in chains.items():
        body.named_filter_chains[name].typed_config.extend(filters)
    return pack(body, COMPOSITE)


def composite_extension(
    name: str, chains: Mapping[str, Sequence[extension_pb2.TypedExtensionConfig]]
) -> bytes:
    """The same as an ECDS resource: the body of a ``resource.FILTER`` called ``name``."""
    body = extension_pb2.TypedExtensionConfig(name=name, typed_config=composite(chains))
    return bytes(body.SerializeToString(deterministic=True))


def run_chain(name: str) -> any_pb2.Any:
    """The per-route configuration of a composite filter that runs the named chain."""
    action = xds_extension_pb2.TypedExtensionConfig(
        name="composite-action",
        typed_config=pack(_ExecuteFilterAction(filter_chain_name=name), EXECUTE_FILTER_ACTION),
    )
    body = _CompositePerRoute(
        matcher=matcher_pb2.Matcher(on_no_match=matcher_pb2.Matcher.OnMatch(action=action))
    )
    return pack(body, COMPOSITE_PER_ROUTE)
