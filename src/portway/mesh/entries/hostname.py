"""Names of hosts."""

from __future__ import annotations

_LONGEST = 253
_LONGEST_LABEL = 63


def is_hostname(text: str) -> bool:
    """Whether ``text`` can be a domain name (RFC 1035 sizes), wildcards included."""
    labels = text.removesuffix(".").split(".")
    return (
        len(text) <= _LONGEST
        and text.isascii()
        and text.isprintable()
        and not any(letter.isspace() for letter in text)
        and all(0 < len(label) <= _LONGEST_LABEL for label in labels)
    )
