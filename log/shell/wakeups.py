"""Wakes readers when there may be something for them, and only those concerned."""

from collections.abc import Callable, Collection, Iterable, Iterator
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

    @property
    def somebody_waits(self) -> bool:
        """Whether there is anybody to wake."""
        return bool(self._waiting)

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


class Timer(Protocol):
    """Something that was to be called later."""

    def cancel(self) -> None: ...


class Watch:
    """Waits for a change in some partitions, but not for ever; then calls back, once."""

    __slots__ = ("_call", "_partitions", "_timer", "_wakeups")

    def __init__(
        self,
        wakeups: Wakeups,
        partitions: Collection[TopicPartition],
        call: Callable[[bool], None],
        begin_timer: Callable[[Callable[[], None]], Timer],
    ) -> None:
        """Begin to watch.

        Args:
            wakeups: tells of changes.
            partitions: where something may change.
            call: is told whether something has changed. It must not act on that at once.
            begin_timer: has what it is given called when time is up.
        """
        self._wakeups = wakeups
        self._partitions = partitions
        self._call = call
        self._timer = begin_timer(self.end)
        wakeups.watch(partitions, self)

    def set(self) -> None:
        """There is a change."""
        self.stop()
        self._call(True)

    def end(self) -> None:
        """There was none."""
        self.stop()
        self._call(False)

    def stop(self) -> None:
        """Watch no longer."""
        self._timer.cancel()
        self._wakeups.forget(self._partitions, self)
