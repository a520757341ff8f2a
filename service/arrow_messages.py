"""The frames of an Arrow IPC stream, told before anything in them is decoded.

A stream is a row of messages, each a length, a flatbuffer that describes it and a body. What a
hostile stream could make the decoder allocate is known from the descriptions alone: how many rows,
and whether buffers are compressed and so larger than what was sent. They are read here by hand,
as far as that takes.

References
----------
Apache Arrow, "Columnar format", sections "Encapsulated message format" and "IPC streaming format";
its flatbuffer schemas Message.fbs and Schema.fbs.
"""

import struct
from collections.abc import Iterator
from typing import NamedTuple

SCHEMA, DICTIONARY, RECORDS = 1, 2, 3
_CONTINUATION = 0xFFFFFFFF
_MOST_DESCRIPTION_BYTES = 1 << 20


class BadStream(Exception):
    """The bytes are no Arrow IPC stream: cut short, or not one at all."""


class Message(NamedTuple):
    """What one message says of itself; `rows` is the length of its columns."""

    kind: int
    rows: int
    is_compressed: bool


def messages(stream: bytes) -> Iterator[Message]:
    """Every message of a stream, the schema first.

    Raises
    ------
    BadStream
        The stream is cut short, has no end, or holds what no stream does.
    """
    at = 0
    try:
        while True:
            continuation, size = struct.unpack_from("<II", stream, at)
            if continuation != _CONTINUATION:
                raise BadStream
            at += 8
            if size == 0:
                if at != len(stream):
                    raise BadStream
                return
            if size > _MOST_DESCRIPTION_BYTES or at + size > len(stream):
                raise BadStream
            message, body = _described(stream[at : at + size])
            at += size + body
            if body < 0 or at > len(stream):
                raise BadStream
            yield message
    except (struct.error, IndexError):
        raise BadStream from None


def _described(buffer: bytes) -> tuple[Message, int]:
    """A message from its flatbuffer, and the length of its body in bytes."""
    message = _Table(buffer, _unsigned(buffer, 0))
    kind_at = message.field(1)
    header_at = message.field(2)
    length_at = message.field(3)
    kind = buffer[kind_at] if kind_at else 0
    body = struct.unpack_from("<q", buffer, length_at)[0] if length_at else 0
    if kind == SCHEMA:
        return Message(kind, 0, False), body
    if kind not in (DICTIONARY, RECORDS) or not header_at:
        raise BadStream
    header = _Table(buffer, header_at + _unsigned(buffer, header_at))
    if kind == DICTIONARY:
        data_at = header.field(1)
        if not data_at:
            raise BadStream
        header = _Table(buffer, data_at + _unsigned(buffer, data_at))
    rows_at = header.field(0)
    rows = struct.unpack_from("<q", buffer, rows_at)[0] if rows_at else 0
    if rows < 0:
        raise BadStream
    return Message(kind, rows, header.field(3) != 0), body


class _Table:
    """A flatbuffer table: where its fields lie, by number."""

    def __init__(self, buffer: bytes, at: int) -> None:
        self._buffer = buffer
        self._at = at
        self._fields = at - struct.unpack_from("<i", buffer, at)[0]
        if self._fields < 0:
            raise BadStream
        self._size = struct.unpack_from("<H", buffer, self._fields)[0]

    def field(self, number: int) -> int:
        """Where a field begins, or 0 if it is not there."""
        entry = 4 + 2 * number
        if entry + 2 > self._size:
            return 0
        offset: int = struct.unpack_from("<H", self._buffer, self._fields + entry)[0]
        return self._at + offset if offset else 0


def _unsigned(buffer: bytes, at: int) -> int:
    number: int = struct.unpack_from("<I", buffer, at)[0]
    return number
