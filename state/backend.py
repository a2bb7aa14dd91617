"""What a task's stores ask of the thing that keeps their bytes.

One backend per task, shared by all its stores, so that one `write` is atomic for all of them. There
is no log of its own: what was written since the last `flush` may be lost in a crash, as a whole
suffix of writes, and comes back from the changelogs.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, Protocol, TypeAlias

Change: TypeAlias = tuple[bytes, bytes | None]
"""A key and its new value; None deletes it."""

KeyRange: TypeAlias = tuple[bytes, bytes]
"""All keys lo ≤ key < hi."""

CHANGES_MAX: Final = 10_000
"""A write holds the interpreter lock: split what need not be atomic into writes of this size."""


class Backend(Protocol):
    """Ordered bytes. All but `flush` and `close` are called from one thread, and never block long."""

    def get(self, key: bytes) -> bytes | None:
        """Return the value, or None."""

    def get_many(self, keys: Sequence[bytes]) -> Sequence[bytes | None]:
        """Return the values in the order of `keys`. Much faster when the keys are sorted."""

    def range(
        self, lo: bytes, hi: bytes, *, reverse: bool = False, limit: int | None = None
    ) -> Iterator[tuple[bytes, bytes]]:
        """Yield what has lo ≤ key < hi, in order, at most `limit`.

        Read a page at a time, and nothing is held in between: an iteration may be left, and writes
        made meanwhile may or may not be seen.
        """

    def write(self, changes: Iterable[Change], delete_ranges: Iterable[KeyRange] = ()) -> None:
        """Delete the ranges, then make the changes in their order: all of it or nothing."""

    def flush(self) -> None:
        """Make all that was written survive a crash. Slow: may be called from another thread."""

    def close(self) -> None:
        """Flush and release everything. Closing twice is harmless. May be called from a thread."""

    @property
    def size(self) -> int:
        """Roughly how many bytes are stored."""

    @property
    def key_count(self) -> int:
        """Roughly how many keys are stored."""
