"""The pipelines as a bare loop over librdkafka: what one would write by hand, and the floor.

Consumes, decodes JSON, computes with a dict, produces; each second it flushes what it has produced, writes its
dict to a file and syncs that, and commits its offsets. A crash repeats up to a second, outputs and counts too.

``python bare.py PIPELINE ADDRESS INPUT OUTPUT GROUP DIRECTORY COUNT``; runs in Millpond's environment.
"""

import os
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
from confluent_kafka import Consumer, Producer, TopicPartition

WINDOW_MS, GRACE_MS, AMOUNT_MAX = 10_000, 2_000, 50
BATCH, CHECKPOINT_S, FULL_QUEUE_S = 10_000, 1.0, 0.05


class Event(msgspec.Struct):
    """What happened: a payment."""

    id: int
    user: str
    amount: int
    currency: str
    shop: str
    at: int


class Sum(msgspec.Struct):
    """The sum of a user's amounts in a window."""

    user: str
    start: int
    total: int


Step = Callable[[Sequence[Any]], None]
DECODE, ENCODE = msgspec.json.Decoder(Event).decode, msgspec.json.Encoder().encode


class Loop:
    """What the three pipelines share."""

    def __init__(self, address: str, source: str, sink: str, group: str, directory: str) -> None:
        self.sink = sink
        self.state: object = None
        self._checkpoint = Path(directory, "checkpoint")
        self._partition = TopicPartition(source, 0, 0)
        self._producer = Producer(
            {
                "bootstrap.servers": address,
                "enable.idempotence": True,
                "linger.ms": 20,
                "batch.num.messages": 10_000,
                "queue.buffering.max.messages": 500_000,
            }
        )
        self._consumer = Consumer(
            {
                "bootstrap.servers": address,
                "group.id": group,
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "fetch.queue.backoff.ms": 5,
            }
        )
        self._consumer.assign([self._partition])

    def run(self, step: Step, count: int) -> None:
        """Give all messages to a step, in batches, then wait to be ended."""
        done, due = 0, time.monotonic() + CHECKPOINT_S
        while done < count:
            messages = self._consumer.consume(BATCH, 0.1)
            if messages:
                step(messages)
                done += len(messages)
            if time.monotonic() >= due or done == count:
                self._save(done)
                due = time.monotonic() + CHECKPOINT_S
        while True:
            time.sleep(1)

    def send(self, key: bytes, value: bytes, timestamp: int) -> None:
        while True:
            try:
                self._producer.produce(self.sink, value, key, timestamp=timestamp)
            except BufferError:
                self._producer.poll(FULL_QUEUE_S)
            else:
                return

    def _save(self, done: int) -> None:
        self._producer.flush()
        if self.state is not None:
            with self._checkpoint.open("wb") as file:
                file.write(ENCODE(self.state))
                os.fdatasync(file.fileno())
        self._partition.offset = done
        self._consumer.commit(offsets=[self._partition], asynchronous=False)


def stateless(loop: Loop) -> Step:
    def step(messages: Sequence[Any]) -> None:
        for message in messages:
            event = DECODE(message.value())
            if event.amount < AMOUNT_MAX:
                loop.send(event.user.encode(), ENCODE(event), message.timestamp()[1])

    return step


def count(loop: Loop) -> Step:
    counts: defaultdict[str, int] = defaultdict(int)
    loop.state = counts

    def step(messages: Sequence[Any]) -> None:
        for message in messages:
            counts[DECODE(message.value()).user] += 1

    return step


def window_sum(loop: Loop) -> Step:
    windows: dict[int, defaultdict[str, int]] = {}
    loop.state = windows
    stream_time = 0

    def step(messages: Sequence[Any]) -> None:
        nonlocal stream_time
        for message in messages:
            event, at = DECODE(message.value()), message.timestamp()[1]
            stream_time = max(stream_time, at)
            start = at - at % WINDOW_MS
            if start + WINDOW_MS + GRACE_MS <= stream_time:
                continue
            if start not in windows:
                windows[start] = defaultdict(int)
            windows[start][event.user] += event.amount
        for start in [start for start in windows if start + WINDOW_MS + GRACE_MS <= stream_time]:
            for user, total in windows.pop(start).items():
                loop.send(user.encode(), ENCODE(Sum(user, start, total)), start)

    return step


def main(
    pipeline: str, address: str, source: str, sink: str, group: str, directory: str, count_: str
) -> None:
    loop = Loop(address, source, sink, group, directory)
    step = {"stateless": stateless, "count": count, "window-sum": window_sum}[pipeline](loop)
    loop.run(step, int(count_))


if __name__ == "__main__":
    main(*sys.argv[1:])
