"""Read-only access to what is committed, for queries from outside the task.

A view knows neither overlay nor cache, so it can't see what may yet be rolled back, and can't disturb
the task. Iteration holds the interpreter lock, so a page has a limit. Use it on the thread that the
task runs on, the event loop's.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from .keys import START_BYTES, decode_start, encode_start, successor
from .shape import Shape

K = TypeVar("K")
V = TypeVar("V")

PAGE_MAX: Final = 1000


@dataclass(frozen=True, slots=True)
class Page(Generic[K, V]):
    """Some entries, and where to go on: None when there are no more."""

    items: list[tuple[K, V]]
    cursor: bytes | None


class KeyValueView(Generic[K, V]):
    """The committed entries of a key-value store."""

    def __init__(self, shape: Shape[K, V], prefix: bytes) -> None:
        self._shape = shape
        self._prefix = prefix

    def get(self, key: K) -> V | None:
        """Return the committed value."""
        encoded = self._shape.encode_key(key)
        data = self._shape.backend.get(self._prefix + encoded)
        return None if data is None else self._shape.decode_value(encoded, data)

    def page(
        self,
        lo: K | None = None,
        hi: K | None = None,
        *,
        prefix: K | None = None,
        after: bytes | None = None,
        reverse: bool = False,
        limit: int = PAGE_MAX,
    ) -> Page[K, V]:
        """Return up to `limit` (at most 1000) entries of a range, in the order of encoded keys.

        `after` is the cursor of the page before, with all else the same.
        """
        low, high = self._bounds(lo, hi, prefix)
        return _page(self._shape, low, high, self._prefix, after, reverse, limit)

    def _bounds(self, lo: K | None, hi: K | None, prefix: K | None) -> tuple[bytes, bytes]:
        encode = self._shape.encode_key
        start = self._prefix if prefix is None else self._prefix + encode(prefix)
        low, high = start, successor(start)
        assert high is not None
        if lo is not None:
            low = max(low, self._prefix + encode(lo))
        if hi is not None:
            high = min(high, self._prefix + encode(hi))
        return low, high


class WindowView(Generic[K, V]):
    """The committed entries of a windowed store: those of windows that are still open."""

    def __init__(self, shape: Shape[K, V], prefix: bytes) -> None:
        self._shape = shape
        self._prefix = prefix

    def starts(self) -> list[int]:
        """Return the starts of the windows that have committed entries."""
        return list(stored_starts(self._shape, self._prefix))

    def get(self, start: int, key: K) -> V | None:
        """Return the committed value of `key` in the window that starts at `start`."""
        encoded = encode_start(start) + self._shape.encode_key(key)
        data = self._shape.backend.get(self._prefix + encoded)
        return None if data is None else self._shape.decode_value(encoded, data)

    def windows_of(
        self, key: K, lo: int | None = None, hi: int | None = None, *, limit: int = PAGE_MAX
    ) -> list[tuple[int, V]]:
        """Return (start, value) of the key's windows with lo ≤ start < hi, at most 1000."""
        starts = [
            start
            for start in self.starts()
            if (lo is None or start >= lo) and (hi is None or start < hi)
        ]
        encoded = self._shape.encode_key(key)
        found = self._shape.backend.get_many(
            [self._prefix + encode_start(start) + encoded for start in starts]
        )
        values = [
            (start, self._shape.decode_value(encoded, data))
            for start, data in zip(starts, found, strict=True)
            if data is not None
        ]
        return values[: min(limit, PAGE_MAX)]

    def page(
        self,
        start: int,
        *,
        after: bytes | None = None,
        reverse: bool = False,
        limit: int = PAGE_MAX,
    ) -> Page[K, V]:
        """Return up to `limit` (at most 1000) entries of one window, in the order of encoded keys."""
        prefix = self._prefix + encode_start(start)
        low, high = prefix, successor(prefix)
        assert high is not None
        return _page(self._shape, low, high, prefix, after, reverse, limit)


def stored_starts(shape: Shape[K, V], prefix: bytes) -> Iterator[int]:
    """Yield the starts of the windows in the backend, by seeking from one to the next."""
    top = successor(prefix)
    assert top is not None
    low = prefix
    while True:
        row = next(shape.backend.range(low, top, limit=1), None)
        if row is None:
            return
        start = decode_start(row[0][len(prefix) : len(prefix) + START_BYTES])
        yield start
        low = prefix + encode_start(start + 1)


def _page(
    shape: Shape[K, V],
    low: bytes,
    high: bytes,
    prefix: bytes,
    after: bytes | None,
    reverse: bool,
    limit: int,
) -> Page[K, V]:
    """Read a page of low ≤ key < high. Cursors lack the prefix, which differs between workers."""
    if after is not None and reverse:
        high = min(high, prefix + after)
    elif after is not None:
        low = max(low, prefix + after + b"\x00")
    limit = min(limit, PAGE_MAX)
    cut = len(prefix)
    rows = list(shape.backend.range(low, high, reverse=reverse, limit=limit + 1))
    items = shape.decode_rows([(key[cut:], data) for key, data in rows[:limit]])
    return Page(items, rows[limit - 1][0][cut:] if len(rows) > limit else None)
