"""A store of one value per key.

    store = state.key_value("totals", changelog="shop-totals-changelog", key=..., value=...)
    store.get(key)  store.get_or_default(key, list)  store.put(key, value)  store.delete(key)
    store.items(prefix="a", reverse=True, limit=10)

None can't be stored: putting it deletes.
"""

from collections.abc import Callable, Collection, Iterator
from itertools import islice
from typing import Final, Generic, TypeVar

from ..log.model import Headers
from .backend import Change, KeyRange
from .changelog import KEY_VALUE_1
from .entries import Entries, ObjectEntries, Shape
from .keys import successor
from .tracked import TrackedEntries
from .view import KeyValueView

K = TypeVar("K")
V = TypeVar("V")


class KeyValueStore(Generic[K, V]):
    """Values by key. Made by `TaskState.key_value`."""

    headers: Final[Headers] = (KEY_VALUE_1,)

    def __init__(self, shape: Shape[K, V], changelog: str, prefix: bytes) -> None:
        self.name = shape.store
        self.changelog = changelog
        self.prefix = prefix
        self._shape = shape
        self._entries = self._open()

    def get(self, key: K, default: V | None = None) -> V | None:
        """Return the value, or `default`."""
        return self._entries.get(key, default)

    def get_or_default(self, key: K, factory: Callable[[], V]) -> V:
        """Return the value, or what `factory` makes, which is stored only if it gets changed."""
        return self._entries.get_or_default(key, factory)

    def put(self, key: K, value: V) -> None:
        """Set the value; None deletes it."""
        self._entries.put(key, value)

    def delete(self, key: K) -> None:
        """Remove the value, if there is one."""
        self._entries.delete(key)

    def contains(self, key: K) -> bool:
        """Return whether there is a value."""
        return self._entries.get(key) is not None

    def prefetch(self, keys: Collection[K]) -> None:
        """Tell which keys a batch will ask for; loads them together if that has been paying."""
        self._entries.prefetch(keys)

    def items(
        self,
        lo: K | None = None,
        hi: K | None = None,
        *,
        prefix: K | None = None,
        reverse: bool = False,
        limit: int | None = None,
    ) -> Iterator[tuple[K, V]]:
        """Yield the entries with lo ≤ key < hi, or whose key begins with `prefix`, in order.

        The order is that of the encoded keys: of text as UTF-8, of bytes as they are; of others it
        depends on their codec. The changes made so far are included; of entries that are changed
        while this runs, either state may be seen.
        """
        low, high = encoded_bounds(self._shape, lo, hi, prefix)
        return self._entries.items(low, high, reverse=reverse, limit=limit)

    def count_up_to(self, limit: int = 10_000) -> int:
        """Return how many entries there are, at most `limit`: it counts by reading them."""
        return sum(1 for _ in islice(self._entries.items(), limit))

    def view(self) -> KeyValueView[K, V]:
        """Return a reader of what is committed, for use outside the task."""
        return KeyValueView(self._shape, self.prefix)

    # What follows is for `TaskState`.

    @property
    def dirty_count(self) -> int:
        """Return how many keys the next drain looks at."""
        return self._entries.dirty_count

    @property
    def dirty_bytes(self) -> int:
        """Return an estimate of the memory that uncommitted entries take."""
        return self._entries.dirty_bytes

    def drain(self) -> tuple[list[Change], list[KeyRange]]:
        """Return what this commit changes, keys without the prefix, and the ranges it deletes."""
        return self._entries.drain(), []

    def applied(self) -> None:
        """Note that what was drained is in the backend."""
        self._entries.applied()

    def rollback(self) -> None:
        """Forget what is not committed."""
        self._entries.rollback()

    def reload(self, horizon: int | None = None) -> None:
        """Start afresh from a backend that was changed beneath."""
        self._entries.discard()
        self._entries = self._open()

    def close(self) -> None:
        """Free the cache."""
        self._entries.discard()

    def _open(self) -> Entries[K, V]:
        top = successor(self.prefix)
        assert top is not None
        stored = self._shape.backend.range(self.prefix, top, limit=1)
        return make_entries(self._shape, self.prefix, complete=next(stored, None) is None)


def make_entries(shape: Shape[K, V], prefix: bytes, *, complete: bool) -> Entries[K, V]:
    """Make entries of the kind that the values need."""
    kind: type[Entries[K, V]] = TrackedEntries if shape.value.mutable else ObjectEntries
    return kind(shape, prefix, complete=complete)


def encoded_bounds(
    shape: Shape[K, V], lo: K | None, hi: K | None, prefix: K | None
) -> tuple[bytes, bytes | None]:
    """Return the bounds of a range of keys in encoded form."""
    encode = shape.key.encode
    low = b"" if lo is None else encode(lo)
    high = None if hi is None else encode(hi)
    if prefix is not None:
        start = encode(prefix)
        end = successor(start)
        low = max(low, start)
        high = end if high is None else high if end is None else min(high, end)
    return low, high
