"""Wakes readers when there may be something for them, and only those concerned."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import anyio

from ..model import TopicPartition


class Wakeups:
    """Who waits for which partition."""

    def __init__(self) -> None:
        self._waiting: dict[TopicPartition, set[anyio.Event]] = {}

    @contextmanager
    def watching(self, partitions: Iterable[TopicPartition], event: anyio.Event) -> Iterator[None]:
        """Set the event as soon as something changes in one of the partitions."""
        watched = list(partitions)
        for partition in watched:
            self._waiting.setdefault(partition, set()).add(event)
        try:
            yield
        finally:
            for partition in watched:
                waiting = self._waiting[partition]
                waiting.discard(event)
                if not waiting:
                    del self._waiting[partition]

    def wake(self, partitions: Iterable[TopicPartition]) -> None:
        """Something has changed in these partitions."""
        if self._waiting:
            for partition in partitions:
                for event in self._waiting.get(partition, ()):
                    event.set()

    def wake_all(self) -> None:
        """Something has changed that concerns everybody."""
        self.wake(list(self._waiting))
