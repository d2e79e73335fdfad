"""Answers: a status, headers and a body."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import msgspec

JSON = "application/json"
TEXT = "text/plain; charset=utf-8"


class Answer(msgspec.Struct):
    """What a handler returns. A body that is iterated asynchronously is sent as it comes."""

    body: bytes | AsyncIterator[bytes] = b""
    status: int = 200
    content_type: str = ""
    headers: dict[str, str] = {}


EMPTY = Answer(content_type=JSON)


def _plain(value: Any) -> Any:
    if isinstance(value, float):  # Duration
        return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


_encoder = msgspec.json.Encoder(enc_hook=_plain, order="deterministic")


def encode(value: Any) -> bytes:
    """JSON as Go writes it: map keys sorted; ``<``, ``>`` and ``&`` escaped."""
    return escape(_encoder.encode(value))


def escape(body: bytes) -> bytes:
    """Escape what Go's encoder escapes in strings; nowhere else do these characters occur."""
    if b"<" in body:
        body = body.replace(b"<", b"\\u003c")
    if b">" in body:
        body = body.replace(b">", b"\\u003e")
    if b"&" in body:
        body = body.replace(b"&", b"\\u0026")
    if b"\xe2\x80" in body:
        body = body.replace(b"\xe2\x80\xa8", b"\\u2028").replace(b"\xe2\x80\xa9", b"\\u2029")
    return body


def json_answer(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Answer:
    """An answer with a JSON body."""
    return Answer(encode(value), status, JSON, headers or {})


def raw_json(body: bytes, headers: dict[str, str] | None = None) -> Answer:
    """An answer whose body is JSON already."""
    return Answer(body, 200, JSON, headers or {})


def text_answer(text: str, status: int = 200, headers: dict[str, str] | None = None) -> Answer:
    """An answer in plain text."""
    return Answer(text.encode(), status, TEXT, headers or {})
