"""Wakes readers when there may be something for them, and only those concerned."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Protocol

from ..model import TopicPartition


class Settable(Protocol):
    """An event, or something like it: what is set goes on soon, but not at once."""

    def set(self) -> None: ...


class Wakeups:
    """Who waits for which partition."""

    def __init__(self) -> None:
        self._waiting: dict[TopicPartition, set[Settable]] = {}

    @contextmanager
    def watching(self, partitions: Iterable[TopicPartition], event: Settable) -> Iterator[None]:
        """Set the event as soon as something changes in one of the partitions."""
        watched = list(partitions)
        self.watch(watched, event)
        try:
            yield
        finally:
            self.forget(watched, event)

    def watch(self, partitions: Iterable[TopicPartition], event: Settable) -> None:
        """Set the event when something changes in one of the partitions, until it is forgotten."""
        for partition in partitions:
            self._waiting.setdefault(partition, set()).add(event)

    def forget(self, partitions: Iterable[TopicPartition], event: Settable) -> None:
        """End what `watch` began, with the same partitions."""
        for partition in partitions:
            waiting = self._waiting.get(partition)
            if waiting is not None:
                waiting.discard(event)
                if not waiting:
                    del self._waiting[partition]

    def wake(self, partitions: Iterable[TopicPartition]) -> None:
        """Something has changed in these partitions."""
        if self._waiting:
            for partition in partitions:
                for event in tuple(self._waiting.get(partition, ())):
                    event.set()

    def wake_all(self) -> None:
        """Something has changed that concerns everybody."""
        self.wake(list(self._waiting))
