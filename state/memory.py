"""A backend in memory: for tests of applications, and the twin that the one on disk is checked with.

A dict and a list of its keys, sorted when a range is asked for. It forgets like the one on disk
does: `crash` loses what was written since the last flush.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence

from .backend import Change, KeyRange
from .errors import StoreClosed

PAGE = 1000


class MemoryBackend:
    """Ordered bytes in a dict."""

    def __init__(self, path: str = "memory") -> None:
        self.path = path
        self._data: dict[bytes, bytes] = {}
        self._flushed: dict[bytes, bytes] = {}
        self._sorted: list[bytes] = []
        self._added: set[bytes] = set()
        self._removed = False
        self._closed = False

    def get(self, key: bytes) -> bytes | None:
        self._check_open()
        return self._data.get(key)

    def get_many(self, keys: Sequence[bytes]) -> Sequence[bytes | None]:
        self._check_open()
        return [self._data.get(key) for key in keys]

    def range(
        self, lo: bytes, hi: bytes, *, reverse: bool = False, limit: int | None = None
    ) -> Iterator[tuple[bytes, bytes]]:
        self._check_open()
        while limit is None or limit > 0:
            count = PAGE if limit is None else min(limit, PAGE)
            page = self._page(lo, hi, reverse, count)
            yield from page
            if len(page) < count:
                return
            if limit is not None:
                limit -= count
            if reverse:
                hi = page[-1][0]
            else:
                lo = page[-1][0] + b"\x00"
            self._check_open()

    def write(self, changes: Iterable[Change], delete_ranges: Iterable[KeyRange] = ()) -> None:
        self._check_open()
        data = self._data
        for lo, hi in delete_ranges:
            for key in self._keys_between(lo, hi):
                del data[key]
                self._removed = True
        for key, value in changes:
            if value is None:
                if data.pop(key, None) is not None:
                    self._added.discard(key)
                    self._removed = True
            else:
                if key not in data:
                    self._added.add(key)
                data[key] = value

    def flush(self) -> None:
        self._check_open()
        self._flushed = dict(self._data)

    def close(self) -> None:
        if not self._closed:
            self.flush()
            self._closed = True

    def crash(self) -> None:
        """Lose what was written since the last flush, and be open again as after a restart."""
        self._data = dict(self._flushed)
        self._sorted = sorted(self._data)
        self._added.clear()
        self._removed = False
        self._closed = False

    def reopen(self) -> None:
        """Be open again after `close`."""
        self._closed = False

    @property
    def size(self) -> int:
        return sum(len(key) + len(value) for key, value in self._data.items())

    @property
    def key_count(self) -> int:
        return len(self._data)

    def _page(self, lo: bytes, hi: bytes, reverse: bool, count: int) -> list[tuple[bytes, bytes]]:
        keys = self._keys_between(lo, hi)
        data = self._data
        return [(key, data[key]) for key in (keys[: -count - 1 : -1] if reverse else keys[:count])]

    def _keys_between(self, lo: bytes, hi: bytes) -> list[bytes]:
        self._sort()
        keys = self._sorted
        return keys[bisect_left(keys, lo) : bisect_left(keys, hi)]

    def _sort(self) -> None:
        added = self._added
        if self._removed:
            data = self._data
            self._sorted = [key for key in self._sorted if key in data and key not in added]
            self._removed = False
        if added:
            self._sorted += added
            self._sorted.sort()
            self._added = set()

    def _check_open(self) -> None:
        if self._closed:
            raise StoreClosed(self.path)
