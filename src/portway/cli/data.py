"""Arguments that hold data: a literal, ``@file``, or ``-`` for standard input."""

from __future__ import annotations

import sys
from pathlib import Path


def data(argument: str) -> bytes:
    """The bytes an argument stands for. Raises OSError, worded for the user."""
    if argument == "-":
        try:
            return sys.stdin.buffer.read()
        except OSError as error:
            raise OSError(f"Failed to read stdin: {error.strerror}") from None
    if argument.startswith("@"):
        return contents(argument[1:])
    return argument.encode(errors="surrogateescape")


def contents(path: str) -> bytes:
    """A file's bytes. Raises OSError, worded for the user."""
    try:
        return Path(path).read_bytes()
    except OSError as error:
        words = (error.strerror or "").lower()
        raise OSError(f"Failed to read file: open {path}: {words}") from None
