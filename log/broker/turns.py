"""Lets those who work on the same thing go on in the order in which they came.

    with turns.of(producer_id) as earlier:
        if earlier is not None:
            yield earlier
        ...                     # nobody else is here

Requests of one connection begin in order; but one that waits for the disk may be overtaken by the next
one, which finds everything on disk already. Where the order is a promise, they take turns.
"""

from collections.abc import Hashable, Iterator
from contextlib import contextmanager

from .waits import Promise


class Turns:
    """Who is at work on what, and who comes last."""

    def __init__(self) -> None:
        self._last: dict[Hashable, Promise[None]] = {}

    @contextmanager
    def of(self, key: Hashable) -> Iterator[Promise[None] | None]:
        """Line up; give what is to be waited for before it is one's turn, which lasts to the end."""
        earlier = self._last.get(key)
        mine = self._last[key] = Promise[None]()
        try:
            yield earlier
        finally:
            mine.keep(None)
            if self._last.get(key) is mine:
                del self._last[key]
