"""A filter's value as the type of the field it is compared with, by the rules of Go's strconv."""

from __future__ import annotations

import re

_FALSE = frozenset(("0", "f", "F", "false", "FALSE", "False"))
_TRUE = frozenset(("1", "t", "T", "true", "TRUE", "True"))
_INTEGER = re.compile(
    r"[+-]?(?:0[xX](?:_?[0-9a-fA-F])+|0[bB](?:_?[01])+|0[oO](?:_?[0-7])+"
    r"|0(?:_?[0-7])*|[1-9](?:_?[0-9])*)",
    re.ASCII,
)
_FLOAT = re.compile(
    r"[+-]?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|inf(?:inity)?|nan)",
    re.ASCII | re.IGNORECASE,
)
_MAX = 2**63


def to_bool(value: str) -> bool:
    """Raises ValueError with Go's words."""
    if value in _TRUE:
        return True
    if value in _FALSE:
        return False
    raise ValueError(f'strconv.ParseBool: parsing "{value}": invalid syntax')


def to_int(value: str) -> int:
    """Decimal, or 0x, 0o, 0 (octal) and 0b. Raises ValueError with Go's words."""
    if not _INTEGER.fullmatch(value):
        raise ValueError(f'strconv.ParseInt: parsing "{value}": invalid syntax')
    digits = value.replace("_", "")
    octal = digits.lstrip("+-").isdigit() and digits.lstrip("+-").startswith("0")
    number = int(digits, 8 if octal else 0)
    if not -_MAX <= number < _MAX:
        raise ValueError(f'strconv.ParseInt: parsing "{value}": value out of range')
    return number


def to_float(value: str) -> float:
    """Raises ValueError with Go's words."""
    if not _FLOAT.fullmatch(value):
        raise ValueError(f'strconv.ParseFloat: parsing "{value}": invalid syntax')
    return float(value)
