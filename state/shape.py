"""What a store is made for, and its keys and values to bytes and back with errors that say where.

Hot loops call the codecs themselves, and come here only to find out what went wrong.
"""

from dataclasses import dataclass
from typing import Generic, TypeVar

from .backend import Backend
from .cache import CacheBudget
from .codec import Codec
from .errors import ValueRefused, ValueUnreadable

K = TypeVar("K")
V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Shape(Generic[K, V]):
    """A store's name and codecs, and where its bytes are kept and cached."""

    store: str
    key: Codec[K]
    value: Codec[V]
    backend: Backend
    budget: CacheBudget

    def encode_key(self, key: K) -> bytes:
        """Return the key as bytes, or raise ValueRefused."""
        try:
            return self.key.encode(key)
        except (TypeError, ValueError) as error:
            raise ValueRefused(self.store, key, None, self.key.name, str(error)) from error

    def decode_key(self, encoded: bytes) -> K:
        """Return the key that these bytes are, or raise ValueUnreadable."""
        try:
            return self.key.decode(encoded)
        except (TypeError, ValueError) as error:
            raise ValueUnreadable(self.store, encoded, b"", self.key.name, str(error)) from error

    def encode_value(self, key: K, value: V) -> bytes:
        """Return the value as bytes, or raise ValueRefused."""
        try:
            return self.value.encode(value)
        except (TypeError, ValueError) as error:
            raise ValueRefused(self.store, key, value, self.value.name, str(error)) from error

    def decode_value(self, encoded: bytes, data: bytes) -> V:
        """Return the value that is stored under an encoded key, or raise ValueUnreadable."""
        try:
            return self.value.decode(data)
        except (TypeError, ValueError) as error:
            raise ValueUnreadable(self.store, encoded, data, self.value.name, str(error)) from error

    def decode_rows(self, rows: list[tuple[bytes, bytes]]) -> list[tuple[K, V]]:
        """Return the entries that encoded keys and values are, or raise ValueUnreadable."""
        decode_key, decode = self.key.decode, self.value.decode
        try:
            return [(decode_key(encoded), decode(data)) for encoded, data in rows]
        except (TypeError, ValueError):
            for encoded, data in rows:  # again, to say which
                self.decode_key(encoded)
                self.decode_value(encoded, data)
            raise
