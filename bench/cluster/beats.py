"""What tasks told of when they ran (`stateful_app.py`), and what that says of a rebalance.

A task has moved if another process tells of it after the rebalance than before. Of those that have not, the
longest time between two beats counts: ideally it is the time between two beats anyway.
"""

import statistics
import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, NamedTuple

from confluent_kafka import Consumer, Producer, TopicPartition

from .stateful_app import BEAT, BEATS, EVENTS

QUIET: Final = {"log_level": 0}
FLUSH_S: Final = 30
READ_S: Final = 60


class Beat(NamedTuple):
    """That a task ran, by the wall clock, in a process."""

    at: float
    process: int


@dataclass(frozen=True, slots=True)
class Rebalance:
    """What tasks did when a worker came or went, in seconds.

    Attributes:
        tasks: how many there are.
        moved: how many of them run in another process now.
        longest_gap_s: the longest pause of any task that stayed where it was.
        usual_gap_s: the longest pause of those before anything happened.
        first_s: from what happened until the first of the moved tasks ran again.
        last_s: the same of the last.
        pause_s: of a moved task, in the middle of all: from its last beat there to its first one here.
        longest_pause_s: the longest of these.
    """

    tasks: int
    moved: int
    longest_gap_s: float
    usual_gap_s: float
    first_s: float
    last_s: float
    pause_s: float
    longest_pause_s: float


class Heart(threading.Thread):
    """Sends a record to each partition, again and again."""

    def __init__(self, address: str, partitions: int, interval_s: float) -> None:
        super().__init__(name="heart", daemon=True)
        self._partitions = partitions
        self._interval_s = interval_s
        self._ending = threading.Event()
        self._producer = Producer({"bootstrap.servers": address, "linger.ms": 1, **QUIET})

    @contextmanager
    def beating(self) -> Iterator[None]:
        self.start()
        try:
            yield
        finally:
            self._ending.set()
            self.join()
            self._producer.flush(FLUSH_S)

    def run(self) -> None:
        while not self._ending.wait(self._interval_s):
            for partition in range(self._partitions):
                self._producer.produce(EVENTS, b"", BEAT.encode(), partition)
            self._producer.poll(0)


class Listener:
    """Reads the beats as they are committed."""

    def __init__(self, address: str, partitions: int) -> None:
        settings = {"bootstrap.servers": address, "group.id": "listener", **QUIET}
        settings |= {"isolation.level": "read_committed", "enable.auto.commit": False}
        self._consumer = Consumer(settings)
        self._consumer.assign([TopicPartition(BEATS, number, 0) for number in range(partitions)])
        self.beats: dict[int, list[Beat]] = defaultdict(list)

    def listen(self, seconds: float) -> None:
        """Note what comes."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            for message in self._consumer.consume(10_000, min(left, 0.2)):
                partition, value = message.partition(), message.value()
                if message.error() is None and partition is not None and value is not None:
                    at, process = value.split()
                    self.beats[partition].append(Beat(float(at), int(process)))

    def close(self) -> None:
        self._consumer.close()


def rebalance_of(beats: Mapping[int, Sequence[Beat]], happened_at: float) -> Rebalance:
    """Say what tasks did around a moment."""
    gaps: list[float] = []
    usual: list[float] = []
    again: list[float] = []
    pauses: list[float] = []
    for of_task in beats.values():
        before = [beat for beat in of_task if beat.at <= happened_at]
        owner, now = before[-1].process, of_task[-1].process
        usual += gaps_of(before)
        if owner == now:
            gaps += gaps_of([before[-1], *of_task[len(before) :]])
            continue
        first = next(beat for beat in of_task if beat.process == now and beat.at > happened_at)
        last = max(beat.at for beat in of_task if beat.process == owner)
        again.append(first.at - happened_at)
        pauses.append(first.at - last)
    return Rebalance(
        tasks=len(beats),
        moved=len(again),
        longest_gap_s=max(gaps, default=0.0),
        usual_gap_s=max(usual, default=0.0),
        first_s=min(again, default=0.0),
        last_s=max(again, default=0.0),
        pause_s=statistics.median(pauses) if pauses else 0.0,
        longest_pause_s=max(pauses, default=0.0),
    )


def gaps_of(beats: Iterable[Beat]) -> list[float]:
    """Return the times between beats."""
    times = [beat.at for beat in beats]
    return [after - before for before, after in pairwise(times)]
