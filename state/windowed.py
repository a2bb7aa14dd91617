"""A store of one value per window and key.

    store = state.windowed("minutes", changelog=..., key=..., value=..., window="tumbling 60000")
    store.get(start, key)  store.put(start, key, value)
    store.close_before(start_limit)      final values, each once; the windows are gone afterwards

Windows are named by their start; what a start means, and which window is late, is the caller's affair.
Keys are ordered by time first, so closing a window is one range deletion, and its cost depends on
that window alone (in RocksDB, one of 100k keys among many: 20 ms, key first 306 ms; decoding its
values takes longer than that).

The starts of all open windows are kept in memory, each with its `Entries`. So a window that is not
known is known to be empty, and a new one never asks the backend.
"""

from collections.abc import Callable, Collection, Iterator
from typing import Final, Generic, TypeVar

from ..log.model import Headers
from .backend import Change, KeyRange
from .changelog import WINDOWED_1
from .entries import Entries, ObjectEntries
from .keys import START_MIN, encode_start
from .shape import Shape
from .tracked import TrackedEntries
from .view import WindowView, stored_starts

K = TypeVar("K")
V = TypeVar("V")


class WindowStore(Generic[K, V]):
    """Values by window start and key. Made by `TaskState.windowed`.

    Attributes:
        windows: the entries of each open window, by start; only to look up what is there.
    """

    headers: Final[Headers] = (WINDOWED_1,)

    def __init__(self, shape: Shape[K, V], changelog: str, prefix: bytes) -> None:
        self.name = shape.store
        self.changelog = changelog
        self.prefix = prefix
        self._shape = shape
        self.windows: dict[int, Entries[K, V]] = {}
        self._earliest: int | None = None
        # Starts of windows that the backend does not have yet.
        self._new: set[int] = set()
        # Closed since the last drain; closed by the commit under way.
        self._closed: dict[int, Entries[K, V]] = {}
        self._closing: dict[int, Entries[K, V]] = {}
        # All windows that start before the horizon have been closed.
        self._horizon = self._closing_horizon = self._committed_horizon = START_MIN
        self.reload()

    def get(self, start: int, key: K, default: V | None = None) -> V | None:
        """Return the value of `key` in the window that starts at `start`, or `default`."""
        entries = self.windows.get(start)
        return default if entries is None else entries.get(key, default)

    def get_or_default(self, start: int, key: K, factory: Callable[[], V]) -> V:
        """Return the value, or what `factory` makes, which is stored only if it gets changed."""
        entries = self.windows.get(start)
        if entries is None:
            if start < self._horizon:
                return factory()
            entries = self._open(start)
        return entries.get_or_default(key, factory)

    def put(self, start: int, key: K, value: V) -> None:
        """Set the value; None deletes it."""
        entries = self.windows.get(start)
        if entries is None:
            entries = self._open(start)
        entries.put(key, value)

    def delete(self, start: int, key: K) -> None:
        """Remove the value, if there is one."""
        entries = self.windows.get(start)
        if entries is not None:
            entries.delete(key)

    def contains(self, start: int, key: K) -> bool:
        """Return whether there is a value."""
        return self.get(start, key) is not None

    def prefetch(self, start: int, keys: Collection[K]) -> None:
        """Tell which keys of a window a batch will ask for; see `KeyValueStore.prefetch`."""
        entries = self.windows.get(start)
        if entries is not None:
            entries.prefetch(keys)

    def starts(self) -> list[int]:
        """Return the starts of the open windows, in order. One may turn out to be empty."""
        return sorted(self.windows)

    def fetch(
        self, key: K, lo: int | None = None, hi: int | None = None
    ) -> Iterator[tuple[int, V]]:
        """Yield (start, value) of the key's windows with lo ≤ start < hi, in order."""
        for start in self.starts():
            if (lo is None or start >= lo) and (hi is None or start < hi):
                value = self.get(start, key)
                if value is not None:
                    yield start, value

    def items(
        self, start: int, *, reverse: bool = False, limit: int | None = None
    ) -> Iterator[tuple[K, V]]:
        """Yield the entries of one window in the order of their encoded keys.

        See `KeyValueStore.items` for what happens when they are changed meanwhile.
        """
        entries = self.windows.get(start)
        return iter(()) if entries is None else entries.scan(reverse=reverse, limit=limit)

    def close_before(self, start_limit: int) -> list[tuple[int, K, V]]:
        """Close all windows with start < `start_limit`, and return (start, key, value) of each entry.

        Ordered by start, then by encoded key. The windows are gone with the commit that this is part
        of; a rollback brings them back. None of them may be written again.
        """
        self._horizon = max(self._horizon, start_limit)
        if self._earliest is None or start_limit <= self._earliest:
            return []
        finals: list[tuple[int, K, V]] = []
        for start in sorted(start for start in self.windows if start < start_limit):
            entries = self.windows.pop(start)
            self._closed[start] = entries
            finals += [(start, key, value) for key, value in entries.remains()]
        self._earliest = min(self.windows, default=None)
        return finals

    def drop_before(self, start: int) -> None:
        """Delete windows that a restore brought back although they had been closed. Not undone."""
        self._shape.backend.write((), [(self.prefix, self.prefix + encode_start(start))])
        self.reload(start)

    def view(self) -> WindowView[K, V]:
        """Return a reader of what is committed, for use outside the task."""
        return WindowView(self._shape, self.prefix)

    # What follows is for `TaskState`.

    @property
    def dirty_count(self) -> int:
        """Return how many keys the next drain looks at."""
        return sum([entries.dirty_count for entries in self.windows.values()])

    @property
    def dirty_bytes(self) -> int:
        """Return an estimate of the memory that uncommitted entries take."""
        return sum([entries.dirty_bytes for entries in self.windows.values()])

    def drain(self) -> list[Change]:
        """Return what this commit changes, keys without the prefix.

        What was changed in a window that has been closed since is not worth a changelog record.
        """
        changes: list[Change] = []
        for start, entries in self.windows.items():
            changes += entries.drain(encode_start(start))
        self._closing, self._closed = self._closed, {}
        self._closing_horizon = self._horizon
        return changes

    def deletes(self) -> list[KeyRange]:
        """Return the ranges that the drained commit deletes from the backend."""
        return [
            (self.prefix + encode_start(start), self.prefix + encode_start(start + 1))
            for start in self._closing
            if start not in self._new
        ]

    def applied(self) -> None:
        """Note that what was drained is in the backend."""
        for windows in (self.windows, self._closed):
            for start, entries in windows.items():
                if entries.has_pending:
                    entries.applied()
                    self._new.discard(start)
        for start, entries in self._closing.items():
            entries.close()
            self._new.discard(start)
        self._closing = {}
        self._committed_horizon = self._closing_horizon
        self._forget_new(lambda entries: not entries.dirty_count)

    def rollback(self) -> None:
        """Forget what is not committed: windows that were closed are open again."""
        self.windows |= self._closing | self._closed
        self._closing, self._closed = {}, {}
        self._horizon = self._closing_horizon = self._committed_horizon
        for entries in self.windows.values():
            entries.rollback()
        self._forget_new(lambda entries: True)
        self._earliest = min(self.windows, default=None)

    def reload(self, horizon: int | None = None) -> None:
        """Start afresh from a backend that was changed beneath."""
        self.close()
        if horizon is not None:
            self._horizon = self._closing_horizon = self._committed_horizon = horizon
        self.windows = {
            start: self._entries(start, complete=False)
            for start in stored_starts(self._shape, self.prefix)
        }
        self._new = set()
        self._earliest = min(self.windows, default=None)

    def close(self) -> None:
        """Free the cache."""
        for windows in (self.windows, self._closed, self._closing):
            for entries in windows.values():
                entries.close()
            windows.clear()

    def _open(self, start: int) -> Entries[K, V]:
        assert start >= self._horizon, f"window {start} of store {self.name!r} has been closed"
        entries = self.windows[start] = self._entries(start, complete=True)
        self._new.add(start)
        if self._earliest is None or start < self._earliest:
            self._earliest = start
        return entries

    def _entries(self, start: int, *, complete: bool) -> Entries[K, V]:
        prefix = self.prefix + encode_start(start)
        if self._shape.value.mutable:
            return TrackedEntries(self._shape, prefix, complete=complete)
        return ObjectEntries(self._shape, prefix, complete=complete)

    def _forget_new(self, unused: Callable[[Entries[K, V]], bool]) -> None:
        """Forget windows that were opened and never got to have an entry."""
        for start in [start for start in self._new if start in self.windows]:
            if unused(self.windows[start]):
                self.windows.pop(start).close()
                self._new.discard(start)
                self._earliest = None
        if self._earliest is None:
            self._earliest = min(self.windows, default=None)
