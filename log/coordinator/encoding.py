"""How coordinators write their records: the parts that Kafka's record formats share, and placement.

Coordinator records are Kafka messages before flexible versions: big-endian integers, strings with a
16-bit length. Kafka's tools read our internal topics, and we read what they wrote.
"""

import struct
from typing import Final

from ..errors import LogError

_INT16: Final = struct.Struct(">h")
_INT32: Final = struct.Struct(">i")


def string(text: str) -> bytes:
    """Encode as a length-prefixed string."""
    data = text.encode()
    return _INT16.pack(len(data)) + data


class Fields:
    """Takes the fields of one record from its bytes, in order."""

    __slots__ = ("_data", "_position")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0

    def take(self, layout: struct.Struct) -> tuple[int, ...]:
        """Return the next integers.

        Raises:
            LogError: the record ends too early.
        """
        try:
            values = layout.unpack_from(self._data, self._position)
        except struct.error as error:
            raise LogError(f"a coordinator's record is cut short: {self._data!r}") from error
        self._position += layout.size
        return values

    def int16(self) -> int:
        return self.take(_INT16)[0]

    def int32(self) -> int:
        return self.take(_INT32)[0]

    def string(self) -> str:
        length = self.int16()
        start, self._position = self._position, self._position + length
        if length < 0 or self._position > len(self._data):
            raise LogError(f"a coordinator's record is cut short: {self._data!r}")
        return self._data[start : self._position].decode()


def coordinator_partition(identity: str, partitions: int) -> int:
    """Return the partition of the internal topic that keeps this group or transactional id.

    Java's `String.hashCode` over UTF-16 units, its sign bit dropped, as Kafka's clients and tools
    expect.
    """
    units = identity.encode("utf-16-be")
    code = 0
    for high, low in zip(units[::2], units[1::2], strict=True):
        code = (31 * code + (high << 8 | low)) & 0xFFFFFFFF
    return (code & 0x7FFFFFFF) % partitions
