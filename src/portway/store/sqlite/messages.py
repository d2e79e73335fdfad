"""What is said between a store and its writer, which are two processes for a store on disk.

A frame is four bytes of length, little-endian, and a list of messages as MessagePack.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Generic, TypeVar

import msgspec

from portway.store import LeaseNotFoundError, StoreError, StoreFullError

_LENGTH = 4
_ERRORS: dict[str, type[StoreError]] = {
    "": StoreError,
    "full": StoreFullError,
    "lease": LeaseNotFoundError,
}


class Commit(msgspec.Struct, array_like=True, tag=1, gc=False):
    """Judge and apply; answered by Applied."""

    number: int
    compares: list[tuple[str, int]]
    unchanged: list[tuple[str, int]]
    writes: list[tuple[str, bytes | None, int]]
    """Key, value (None deletes) and lease; no key twice."""


class Grant(msgspec.Struct, array_like=True, tag=2, gc=False):
    """Make a lease; answered by Done."""

    number: int
    lease: int
    ttl: float


class Revoke(msgspec.Struct, array_like=True, tag=3, gc=False):
    """End a lease and delete its keys; answered by Revoked."""

    number: int
    lease: int


class Compact(msgspec.Struct, array_like=True, tag=4, gc=False):
    """Compact up to a revision that exists, one step; answered by Done."""

    number: int
    revision: int


Request = Commit | Grant | Revoke | Compact


class Applied(msgspec.Struct, array_like=True, tag=11, gc=False):
    """The outcome of a commit at a revision.

    For each write of a successful one ``effects`` has the create revision and the version of the
    key: version 0 if it was deleted, -1 if nothing was there to delete.
    """

    number: int
    succeeded: bool
    revision: int
    effects: list[tuple[int, int]]


class Revoked(msgspec.Struct, array_like=True, tag=12, gc=False):
    """A lease has ended; at the revision the keys were deleted."""

    number: int
    revision: int
    keys: list[str]


class Done(msgspec.Struct, array_like=True, tag=13, gc=False):
    """A request was carried out; ``complete`` is false if it has to be asked again."""

    number: int
    complete: bool = True


class Failed(msgspec.Struct, array_like=True, tag=14, gc=False):
    """A request was not carried out, and nothing was changed."""

    number: int
    kind: str
    text: str


class Opened(msgspec.Struct, array_like=True, tag=15, gc=False):
    """The first message of a writer process."""

    revision: int
    leases: dict[int, float]


class Stopped(msgspec.Struct, array_like=True, tag=16, gc=False):
    """The last message of a writer process that could not be opened, or cannot go on."""

    kind: str
    text: str


Reply = Applied | Revoked | Done | Failed
Message = Reply | Opened | Stopped

_encoder = msgspec.msgpack.Encoder()
M = TypeVar("M")


def encode(messages: Sequence[Request] | Sequence[Message]) -> bytearray:
    """One frame."""
    frame = bytearray(_LENGTH)
    _encoder.encode_into(messages, frame, _LENGTH)
    frame[:_LENGTH] = (len(frame) - _LENGTH).to_bytes(_LENGTH, "little")
    return frame


class Frames(Generic[M]):
    """Takes frames apart as their bytes arrive."""

    def __init__(self, decoder: msgspec.msgpack.Decoder[list[M]]) -> None:
        self._decoder = decoder
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[list[M]]:
        """Add bytes, and yield what the frames hold that are complete."""
        buffer = self._buffer
        buffer += data
        begin = 0
        while len(buffer) - begin >= _LENGTH:
            end = begin + _LENGTH + int.from_bytes(buffer[begin : begin + _LENGTH], "little")
            if end > len(buffer):
                break
            with memoryview(buffer) as whole, whole[begin + _LENGTH : end] as frame:
                messages = self._decoder.decode(frame)
            begin = end
            yield messages
        del buffer[:begin]


def requests() -> Frames[Request]:
    """What a writer receives."""
    return Frames(msgspec.msgpack.Decoder(list[Request]))


def replies() -> Frames[Message]:
    """What a store receives from its writer."""
    return Frames(msgspec.msgpack.Decoder(list[Message]))


def error_kind(error: StoreError) -> str:
    """How an error's class is called in messages."""
    return next((kind for kind, known in _ERRORS.items() if type(error) is known), "")


def failure(message: Failed | Stopped) -> StoreError:
    """The error a message stands for."""
    return _ERRORS[message.kind](message.text)
