"""Imports that leave out what the agent does not use, for a quick start."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without(package: str) -> Iterator[None]:
    """Imports inside find a package not to be installed, unless it has been imported before."""
    if package in sys.modules:
        yield
        return
    sys.modules[package] = None  # type: ignore[assignment]  # the documented way
    try:
        yield
    finally:
        del sys.modules[package]
