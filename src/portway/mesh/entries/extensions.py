"""Envoy extensions of services and proxies: their names."""

from __future__ import annotations

from collections.abc import Sequence

from portway.config import nearest
from portway.discovery.model.catalog import EnvoyExtension
from portway.mesh.entries.entry import EntryError

BUILT_IN = (
    "builtin/aws/lambda",
    "builtin/ext-authz",
    "builtin/lua",
    "builtin/otel-access-logging",
    "builtin/property-override",
    "builtin/proxy/validate",
    "builtin/wasm",
)


def check_extensions(extensions: Sequence[EnvoyExtension]) -> None:
    """Raise EntryError for an extension without a name, or that is not built in."""
    for index, extension in enumerate(extensions):
        if not extension.name:
            raise EntryError(f"invalid EnvoyExtensions[{index}]: Name is required")
        if extension.name not in BUILT_IN:
            hint = nearest(extension.name, BUILT_IN)
            raise EntryError(
                f"invalid EnvoyExtensions[{index}][{extension.name}]: "
                f'name "{extension.name}" is not a built-in extension{hint}'
            )
