"""The records of a changelog, which rebuild a store: one per key and commit, the last one counts.

    header    "mp" = kind and version of this layout: "k1" or "w1"
    key       key-value: the encoded key        windowed: start(8), then the encoded key
    value     the encoded value; null deletes

The key is the store's own key in the backend without its prefix (`keys.py`), so that a rebuild
decodes nothing. Closing a window writes no records: topic retention deletes them, and until then a
rebuild skips windows that had been closed. The version is in every record, because records of
several versions may lie side by side in one compacted topic.
"""

from collections.abc import Iterable, Iterator
from typing import Final, Generic, NamedTuple, TypeAlias, TypeVar

from ..log.model import Headers, Record, Timestamp
from .codec import Codec
from .errors import UnknownFormat
from .keys import START_BYTES, decode_start

K = TypeVar("K")
V = TypeVar("V")

HEADER: Final = "mp"
KEY_VALUE_1: Final = (HEADER, b"k1")
WINDOWED_1: Final = (HEADER, b"w1")

ChangelogRecord: TypeAlias = tuple[bytes, bytes | None, Timestamp, Headers]
"""The fields of a `NewRecord`, as a plain tuple, which is cheaper to make."""


class ChangelogEntry(NamedTuple, Generic[K, V]):
    """What one changelog record says; `start` is None in a key-value store."""

    key: K
    start: int | None
    value: V | None
    offset: int
    timestamp: Timestamp


def decode_changelog(
    records: Iterable[Record], key: Codec[K], value: Codec[V]
) -> Iterator[ChangelogEntry[K, V]]:
    """Yield what the records say, for people to read.

    Raises:
        UnknownFormat: a record is of another version, or was not written by a store.
        ValueError: the bytes do not fit the codecs.
    """
    for record in records:
        headers = tuple(record.headers)
        encoded, start = record.key or b"", None
        if headers == (WINDOWED_1,):
            start = decode_start(encoded)
            encoded = encoded[START_BYTES:]
        elif headers != (KEY_VALUE_1,):
            raise unknown_version(f"changelog record at offset {record.offset}", headers)
        decoded = None if record.value is None else value.decode(record.value)
        yield ChangelogEntry(key.decode(encoded), start, decoded, record.offset, record.timestamp)


def unknown_version(where: str, headers: Headers) -> UnknownFormat:
    """Return the error for a record with these headers."""
    found = next((value for name, value in headers if name == HEADER), None)
    return UnknownFormat(where, found, [KEY_VALUE_1[1], WINDOWED_1[1]])
