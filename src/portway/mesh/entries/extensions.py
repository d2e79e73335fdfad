"""Envoy extensions of services and proxies: their names."""

from __future__ import annotations

from collections.abc import Sequence

from portway.discovery.model.catalog import EnvoyExtension
from portway.mesh.entries.entry import EntryError, listed

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
    if problems := extension_problems(extensions):
        raise EntryError(listed(problems))


def extension_problems(extensions: Sequence[EnvoyExtension]) -> list[str]:
    """The extensions without a name, and those that are not built in."""
    problems = []
    for index, extension in enumerate(extensions):
        if not extension.name:
            problems.append(f"invalid EnvoyExtensions[{index}]: Name is required")
        elif extension.name not in BUILT_IN:
            problems.append(
                f"invalid EnvoyExtensions[{index}][{extension.name}]: "
                f'name "{extension.name}" is not a built-in extension'
            )
    return problems
