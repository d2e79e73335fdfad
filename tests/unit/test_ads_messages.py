"""Messages that xds-protos lacks, checked against their wire format."""

from __future__ import annotations

from envoy.config.core.v3 import extension_pb2
from envoy.extensions.filters.http.composite.v3 import composite_pb2
from envoy.extensions.filters.http.router.v3 import router_pb2
from google.protobuf import any_pb2
from xds.type.matcher.v3 import matcher_pb2

from portway.envoy.messages import composite, composite_extension, pack, run_chain


def a_filter(name: str) -> extension_pb2.TypedExtensionConfig:
    return extension_pb2.TypedExtensionConfig(name=name, typed_config=pack(router_pb2.Router()))


def field(number: int, content: bytes) -> bytes:
    """A length-delimited protobuf field."""
    length, size = bytearray(), len(content)
    while size > 0x7F:
        length.append(size & 0x7F | 0x80)
        size >>= 7
    return bytes([number << 3 | 2, *length, size]) + content


def test_named_chains_are_a_map_in_field_1() -> None:
    filters = [a_filter("f"), a_filter("g")]
    chain = composite_pb2.FilterChainConfiguration(typed_config=filters).SerializeToString()
    packed = composite({"one": filters})
    assert packed.type_url.endswith("/envoy.extensions.filters.http.composite.v3.Composite")
    assert packed.value == field(1, field(1, b"one") + field(2, chain))


def test_a_route_names_its_chain_in_field_5_of_the_action() -> None:
    packed = run_chain("one")
    assert packed.type_url.endswith("/envoy.extensions.filters.http.composite.v3.CompositePerRoute")
    assert packed.value[0] == 1 << 3 | 2
    matcher = matcher_pb2.Matcher.FromString(_payload(packed))
    action = matcher.on_no_match.action.typed_config
    assert action.type_url.endswith(
        "/envoy.extensions.filters.http.composite.v3.ExecuteFilterAction"
    )
    assert action.value == field(5, b"one")


def _payload(packed: any_pb2.Any) -> bytes:
    """The single field of a message, read with a message type that keeps it as bytes."""
    return bytes(any_pb2.Any.FromString(bytes([2 << 3 | 2]) + packed.value[1:]).value)


def test_equal_chains_have_equal_bytes_in_any_order() -> None:
    names = [f"chain{i}" for i in range(20)]
    forward = composite_extension("native0", {name: [a_filter(name)] for name in names})
    backward = composite_extension("native0", {name: [a_filter(name)] for name in reversed(names)})
    assert forward == backward
