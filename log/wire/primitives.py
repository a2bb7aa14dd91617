"""What compiled readers and writers call: varints, checked lengths, and the errors they raise.

Source: the Kafka protocol guide; KIP-482 for compact lengths and tagged fields.
"""

import struct
from functools import lru_cache
from typing import Final
from uuid import UUID

from .errors import MalformedMessage, UnwritableMessage

ELEMENTS_MAX: Final = 1_000_000
"""How many elements all arrays of one message may have together."""

STRING_BYTES_MAX: Final = 2**15 - 1
"""In every version, though a compact length could say more: so does Kafka."""

SMALL: Final = [bytes([value]) for value in range(0x80)]
"""The varints of one byte."""


def read_uvarint(buffer: memoryview, position: int) -> tuple[int, int]:
    """Read an unsigned varint of at most 32 bits; return it and the position after it."""
    value = shift = 0
    while True:
        byte = buffer[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            break
        shift += 7
        if shift > 28:
            raise MalformedMessage(f"a varint of more than five bytes at {position - 5}")
    if value >> 32:
        raise MalformedMessage(f"a varint of more than 32 bits before {position}")
    return value, position


def read_length(buffer: memoryview, position: int) -> tuple[int, int]:
    """Read a compact length, which is sent as one more than it is: so that 0 can stand for null."""
    value, position = read_uvarint(buffer, position)
    return value - 1, position


def read_string_length(buffer: memoryview, position: int) -> tuple[int, int]:
    """Read the compact length of a string."""
    length, position = read_length(buffer, position)
    if length > STRING_BYTES_MAX:
        raise MalformedMessage(f"a string of {length} bytes: {STRING_BYTES_MAX} are allowed")
    return length, position


def skip_tags(buffer: memoryview, position: int) -> int:
    """Read past tagged fields that nobody here knows."""
    count, position = read_uvarint(buffer, position)
    for _ in range(count):
        tag, position = read_uvarint(buffer, position)
        size, position = read_uvarint(buffer, position)
        position += size
        if position > len(buffer):
            raise refused(f"tagged field {tag}", size, 1, len(buffer) - position + size)
    return position


def refused(field: str, length: int, least_bytes: int, left: int) -> MalformedMessage:
    """Make the error of a value or an array that can't be what it says."""
    if length < 0:
        return MalformedMessage(f"{field} has the length {length}: it may not be null")
    if length * least_bytes > left:
        unit = "bytes" if least_bytes == 1 else f"elements of at least {least_bytes} bytes"
        return MalformedMessage(f"{field} has {length} {unit}, but {left} bytes are left")
    return MalformedMessage(f"with {field}, more than {ELEMENTS_MAX} elements in one message")


def uvarint(value: int) -> bytes:
    """Encode an unsigned varint."""
    if value < 0x80:
        return SMALL[value]
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def too_long(field: str, length: int) -> UnwritableMessage:
    """Make the error of a string that no version can hold."""
    return UnwritableMessage(f"{field} has {length} bytes: {STRING_BYTES_MAX} are allowed")


@lru_cache(maxsize=1024)
def integers(count: int, layout: str) -> struct.Struct:
    """Return what packs and unpacks so many integers at once."""
    return struct.Struct(f">{count}{layout}")


@lru_cache(maxsize=4096)
def uuid_of(data: bytes) -> UUID:
    """Return the UUID: the same few are asked for again and again."""
    return UUID(bytes=data)
