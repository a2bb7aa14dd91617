"""What goes into the app of `counting_app.py` while chaos reigns, and what is there at its end."""

import contextlib
import random
import threading
import time
from collections.abc import Iterator
from typing import Final

from confluent_kafka import Consumer, IsolationLevel, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic, OffsetSpec
from millpond.tests.twins.counting_app import CHANGELOG, COUNTED, NUMBERS

PARTITIONS: Final = 8
KEYS: Final = 40
PER_BURST: Final = 20
BURST_S: Final = 0.05
PATIENCE_S: Final = 90
QUIET: Final = {"log_level": 0, "error_cb": lambda _error: None}


class Input(threading.Thread):
    """Sends numbers until it is told to end; each goes to the broker once, whatever happens to that."""

    def __init__(self, address: str, seed: int) -> None:
        super().__init__(name="input", daemon=True)
        self._chance = random.Random(seed)
        self._ending = threading.Event()
        self.sent = 0
        self._producer = Producer(
            {
                "bootstrap.servers": address,
                "enable.idempotence": True,
                "linger.ms": 5,
                "message.timeout.ms": 0,
                "partitioner": "murmur2_random",
                **QUIET,
            }
        )

    def run(self) -> None:
        while not self._ending.wait(BURST_S):
            for _ in range(PER_BURST):
                key = f"key-{self._chance.randrange(KEYS)}"
                self._producer.produce(NUMBERS, str(self.sent).encode(), key.encode())
                self.sent += 1
            self._producer.poll(0)

    @contextlib.contextmanager
    def coming(self) -> Iterator[None]:
        """Send meanwhile; at the end wait until all is there."""
        self.start()
        try:
            yield
        finally:
            self._ending.set()
            self.join()
        assert self._producer.flush(PATIENCE_S) == 0


def make_topics(address: str) -> None:
    """Create what comes in and what goes out."""
    admin = AdminClient({"bootstrap.servers": address, **QUIET})
    topics = [NewTopic(name, PARTITIONS, 1) for name in (NUMBERS, COUNTED)]
    for made in admin.create_topics(topics).values():
        made.result(PATIENCE_S)


def read_topic(address: str, topic: str) -> list[list[tuple[bytes, bytes]]]:
    """Return key and value of all that is committed, of each partition."""
    _wait_until_decided(address, topic)
    settings = {
        "bootstrap.servers": address,
        "group.id": "historian",
        "isolation.level": "read_committed",
        "enable.partition.eof": True,
        "enable.auto.commit": False,
        **QUIET,
    }
    consumer = Consumer(settings)
    consumer.assign([TopicPartition(topic, number, 0) for number in range(PARTITIONS)])
    found: list[list[tuple[bytes, bytes]]] = [[] for _ in range(PARTITIONS)]
    at_end: set[int] = set()
    deadline = time.monotonic() + PATIENCE_S
    while len(at_end) < PARTITIONS:
        assert time.monotonic() < deadline, f"{topic}: not read to its end"
        for message in consumer.consume(1000, 0.5):
            if message.error() is not None:
                at_end.add(message.partition())
            else:
                found[message.partition()].append((message.key(), message.value()))
    consumer.close()
    return found


def read_table(address: str) -> dict[bytes, bytes]:
    """Return what the changelog says of each key."""
    return {key: value for partition in read_topic(address, CHANGELOG) for key, value in partition}


def _wait_until_decided(address: str, topic: str) -> None:
    """Wait until no transaction is open: what the killed have left open ends by its timeout."""
    admin = AdminClient({"bootstrap.servers": address, **QUIET})
    asked = {TopicPartition(topic, number): OffsetSpec.latest() for number in range(PARTITIONS)}
    deadline = time.monotonic() + PATIENCE_S
    while True:
        seen = [
            [future.result(PATIENCE_S).offset for future in listed.values()]
            for isolation in IsolationLevel
            if (listed := admin.list_offsets(asked, isolation_level=isolation))
        ]
        if seen[0] == seen[1]:
            return
        assert time.monotonic() < deadline, f"{topic}: a transaction hangs: {seen}"
        time.sleep(0.1)
