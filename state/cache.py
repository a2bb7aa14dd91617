"""How much memory the caches of all stores may use together, and which entries go first.

Every store keeps its recently used entries in two dicts, young and old. New and used entries are in
the young one. When all young dicts together have filled half of the budget, every store forgets its
old dict and its young one becomes the old: so what was not used for a whole generation is gone.
That approximates a least-recently-used order at the cost of a plain dict lookup (measured: 926k
counted events/s against 813k with an ordered dict), and it is fair among stores without sharing
out the memory beforehand.
"""

from typing import Protocol


class Cached(Protocol):
    """Something that holds two generations of entries."""

    def age(self) -> None:
        """Forget the old generation; the young one becomes old."""


class CacheBudget:
    """The bytes that all caches of a process may use. Made once, and given to every task's state."""

    def __init__(self, bytes_max: int = 64 << 20) -> None:
        self.bytes_max = bytes_max
        self.young_bytes = 0
        self.generation = 0
        self._members: set[Cached] = set()

    def join(self, member: Cached) -> None:
        """Let `member` age with the others."""
        self._members.add(member)

    def leave(self, member: Cached) -> None:
        """Forget `member`, which no longer holds anything."""
        self._members.discard(member)

    @property
    def member_count(self) -> int:
        """Return how many caches share the budget."""
        return len(self._members)

    def charge(self, count: int) -> None:
        """Note `count` bytes more in some young generation; start the next one when it is full."""
        self.young_bytes += count
        if self.young_bytes > self.bytes_max >> 1:
            self.young_bytes = 0
            self.generation += 1
            # A copy, since a task's state is closed in another thread.
            for member in list(self._members):
                member.age()
