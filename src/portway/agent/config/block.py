"""The base of every block of the agent's configuration."""

from __future__ import annotations

from typing import dataclass_transform

import msgspec

from portway.config import Duration


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(msgspec.field,))
class Block(msgspec.Struct, frozen=True, kw_only=True):
    """A block: immutable, its fields named as the keys of a file, with Consul's defaults.

    Durations are in seconds. None means that nothing was said and the default depends on
    something else, which the field's comment names.
    """


def seconds(number: float) -> Duration:
    """A default of a duration."""
    return Duration(number)
