"""The layout of keys: one ordered space of bytes for all that a task stores.

    store(2) | tag(1) | …

    key-value   store | K | key
    windowed    store | W | start(8) | key      time first, so that closing a window is one range
    meta        0     | F                       format version and partition count
                0     | S | name                a store's id and what it was made for
                0     | P | changelog           how far the store has followed its changelog

Times are big-endian with the sign bit flipped, so that bytes sort as the numbers do. The variable
part always comes last, so that nothing needs to be escaped. What follows the tag is also the key of
the store's changelog records: a rebuild only puts the prefix back.
"""

from typing import Final

META: Final = b"\x00\x00"
META_FORMAT: Final = META + b"F"
META_STORE: Final = META + b"S"
META_POSITION: Final = META + b"P"

KEY_VALUE: Final = b"K"
WINDOWED: Final = b"W"

STORE_ID_MAX: Final = 0xFFFF
START_BYTES: Final = 8
START_MIN: Final = -(1 << 63)
_SIGN: Final = 1 << 63


def store_range(store_id: int) -> tuple[bytes, bytes]:
    """Return the half-open range of keys that belongs to one store."""
    lo = store_id.to_bytes(2, "big")
    hi = successor(lo)
    assert hi is not None
    return lo, hi


def store_prefix(store_id: int, tag: bytes) -> bytes:
    """Return what all keys of one store begin with."""
    assert 0 < store_id < STORE_ID_MAX
    return store_id.to_bytes(2, "big") + tag


def encode_start(start: int) -> bytes:
    """Return a window's start as bytes that sort as the numbers do."""
    return (start + _SIGN).to_bytes(START_BYTES, "big")


def decode_start(data: bytes) -> int:
    """Return the start that `data` begins with."""
    return int.from_bytes(data[:START_BYTES], "big") - _SIGN


def successor(prefix: bytes) -> bytes | None:
    """Return the first key after all that begin with `prefix`; None if there is none."""
    stripped = prefix.rstrip(b"\xff")
    if not stripped:
        return None
    return stripped[:-1] + bytes([stripped[-1] + 1])
