"""Bounded output: what a check may say is limited, whatever the target sends."""

from __future__ import annotations

from portway.discovery.model import CheckDefinition

DEFAULT_LIMIT = 4096
"""Bytes of output a check keeps (``check_output_max_size``)."""


def limit_of(definition: CheckDefinition, limit: int) -> int:
    """Bytes a check may keep: its OutputMaxSize can only lower the agent's limit."""
    limit = limit if limit > 0 else DEFAULT_LIMIT
    return min(limit, definition.output_max_size) if definition.output_max_size > 0 else limit


def decoded(data: bytes | bytearray) -> str:
    """Bytes as text; what is not UTF-8 is replaced, a character cut at the end is dropped."""
    end = len(data)
    for back in range(1, min(4, end) + 1):
        byte = data[-back]
        if byte & 0xC0 == 0x80:  # inside a character: look for its first byte
            continue
        length = 4 if byte >= 0xF0 else 3 if byte >= 0xE0 else 2 if byte >= 0xC0 else 1
        if length > back:
            end -= back
        break
    return data[:end].decode(errors="replace")


def shortened(text: str, limit: int) -> str:
    """Text of at most a number of bytes, cut at its end."""
    if len(text) * 4 <= limit:
        return text
    data = text.encode(errors="replace")
    return text if len(data) <= limit else decoded(data[:limit])


class TailBuffer:
    """Keeps the last bytes of a stream, and counts all of them."""

    __slots__ = ("_data", "_limit", "total")

    def __init__(self, limit: int) -> None:
        self._data = bytearray()
        self._limit = limit
        self.total = 0

    def write(self, data: bytes) -> None:
        """Take more of the stream."""
        self.total += len(data)
        self._data += data[-self._limit :]
        if len(self._data) >= 2 * self._limit:
            del self._data[: -self._limit]

    def text(self) -> str:
        """What was kept, with a first line that says so when some of it is gone."""
        kept = self._data[-self._limit :]
        if self.total <= self._limit:
            return kept.decode(errors="replace")
        start = 0
        while (
            start < min(3, len(kept)) and kept[start] & 0xC0 == 0x80
        ):  # a character cut at the start
            start += 1
        tail = kept[start:].decode(errors="replace")
        return f"Captured {self._limit} of {self.total} bytes\n...\n{tail}"
