"""Outputs are bounded, and what is cut stays text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portway.discovery.checks.output import TailBuffer, decoded, limit_of, shortened
from portway.discovery.model import CheckDefinition


@pytest.mark.parametrize(
    ("own", "agent", "limit"),
    [(0, 4096, 4096), (100, 4096, 100), (9999, 4096, 4096), (0, 0, 4096), (10, 0, 10)],
)
def test_a_check_can_only_lower_the_limit(own: int, agent: int, limit: int) -> None:
    assert limit_of(CheckDefinition(output_max_size=own), agent) == limit


def test_tail_buffer_keeps_the_end() -> None:
    buffer = TailBuffer(4)
    buffer.write(b"ab")
    assert buffer.text() == "ab"
    buffer.write(b"cd")
    assert buffer.text() == "abcd"
    buffer.write(b"e")
    assert buffer.text() == "Captured 4 of 5 bytes\n...\nbcde"
    buffer.write(b"0123456789")
    assert buffer.text() == "Captured 4 of 15 bytes\n...\n6789"


@given(st.integers(1, 20), st.lists(st.binary(max_size=30), max_size=20))
def test_tail_buffer_is_the_end_of_everything(limit: int, parts: list[bytes]) -> None:
    buffer = TailBuffer(limit)
    for part in parts:
        buffer.write(part)
    everything = b"".join(parts)
    assert buffer.total == len(everything)
    if len(everything) <= limit:
        assert buffer.text() == everything.decode(errors="replace")
    else:
        assert buffer.text().startswith(f"Captured {limit} of {len(everything)} bytes\n...\n")
        kept = buffer.text().split("\n...\n", 1)[1]
        assert everything.decode("latin1")[-limit:].isascii() is False or kept == (
            everything[-limit:].decode()
        )


@given(st.text(), st.integers(0, 40))
def test_cut_text_is_a_prefix(text: str, size: int) -> None:
    data = text.encode(errors="replace")[:size]
    assert text.encode(errors="replace").decode().startswith(decoded(data))
    assert len(data) - len(decoded(data).encode()) < 4


@given(st.binary(max_size=40))
def test_any_bytes_become_text(data: bytes) -> None:
    decoded(data).encode()


@given(st.text(max_size=50), st.integers(0, 60))
def test_shortened_fits(text: str, limit: int) -> None:
    short = shortened(text, limit)
    assert len(short.encode(errors="replace")) <= limit or short == text == ""
    if len(text.encode(errors="replace")) <= limit:
        assert short == text
