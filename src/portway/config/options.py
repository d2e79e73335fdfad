"""The building blocks every configuration object is made of."""

from __future__ import annotations

import re
from typing import Any, ClassVar, dataclass_transform

import msgspec

_UNITS = {
    "ns": 1e-9,
    "us": 1e-6,
    "µs": 1e-6,
    "μs": 1e-6,
    "ms": 1e-3,
    "s": 1.0,
    "m": 60.0,
    "h": 3600.0,
}
_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)")

LABEL_ONLY = "label-only"  # metadata of a field that exists in labels and not in files
FILE_ONLY = "file-only"  # metadata of a field that exists everywhere but in labels


class Doc(str):
    """Metadata of a field: its one-line description, shown by ``--help``."""

    __slots__ = ()


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(msgspec.field,))
class Options(msgspec.Struct, rename="camel", frozen=True, kw_only=True, omit_defaults=True):
    """Base of every configuration object: immutable, spelled in camelCase outside.

    ``allow_empty`` marks objects that a bare ``key=true`` (label, flag) or an empty
    mapping (file) switches on with all defaults; Traefik tags them ``allowEmpty``.
    """

    allow_empty: ClassVar[bool] = False


class Unsupported(msgspec.Struct, frozen=True):
    """The raw value of an option Traefik knows and Portway does not honour yet.

    A field of this type is accepted by the decoder, kept as written, and must be
    reported by whoever reads the object: it is never silently ignored.
    """

    value: Any


class Duration(float):
    """Seconds, written in configuration as Go durations (``1m30s``) or bare seconds."""

    @classmethod
    def parse(cls, text: str | float) -> Duration:
        """Read ``500ms``, ``1m30s``, ``-1s`` or a bare number of seconds.

        Raises ValueError with a message that says what would be valid.
        """
        if isinstance(text, int | float):
            return cls(text)
        body = text.strip()
        sign = -1.0 if body.startswith("-") else 1.0
        body = body.removeprefix("-").removeprefix("+")
        if body.isdigit():
            return cls(sign * int(body))
        total, end = 0.0, 0
        for part in _PART.finditer(body):
            if part.start() != end:
                break
            total += float(part[1]) * _UNITS[part[2]]
            end = part.end()
        if not body or end != len(body):
            raise ValueError(
                f"{text!r} is not a duration; write seconds (30) or units (1m30s, 500ms)"
            )
        return cls(sign * total)

    def __str__(self) -> str:
        """The form Go prints: ``1m0s``, ``500ms``, ``0s``."""
        nanos = round(abs(self) * 1e9)
        sign = "-" if self < 0 else ""
        if nanos == 0:
            return "0s"
        for unit, size in (("ns", 1), ("µs", 1_000), ("ms", 1_000_000)):
            if nanos < size * 1000 and size < 1_000_000_000:
                return f"{sign}{nanos / size:.9f}".rstrip("0").rstrip(".") + unit
        seconds = f"{nanos % 60_000_000_000 / 1e9:.9f}".rstrip("0").rstrip(".") + "s"
        minutes, hours = nanos // 60_000_000_000 % 60, nanos // 3_600_000_000_000
        if hours:
            return f"{sign}{hours}h{minutes}m{seconds}"
        return f"{sign}{minutes}m{seconds}" if minutes else sign + seconds
