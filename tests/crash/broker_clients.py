"""Clients that write down every acknowledgement, while the broker beneath them dies and comes back.

Each runs in a thread of its own until it is told to stop, and then comes to an end in peace: what is
on its way is acknowledged, what is open is decided. What they have noted is held against what the log
says in the end (`test_broker_kill.py`).
"""

import asyncio
import contextlib
import logging
import random
import threading
import time

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError as AiokafkaError
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

PARTITIONS = 3
QUICK = {
    "reconnect.backoff.ms": 20,
    "reconnect.backoff.max.ms": 100,
    "retry.backoff.ms": 20,
    "socket.timeout.ms": 5000,
    # librdkafka 2.16 replaces its brokers when all of them are gone, and may wait for ever for one
    # that a transaction's request still refers to.
    "metadata.recovery.strategy": "none",
}
PATIENCE_S = 60


class Client(threading.Thread):
    """Something that a test lets run beside the killing."""

    def __init__(self, name: str, address: str) -> None:
        super().__init__(name=name, daemon=True)
        self.address = address
        self.stopping = threading.Event()
        self.failure: BaseException | None = None

    def run(self) -> None:
        try:
            self.work()
        except BaseException as error:  # noqa: BLE001 - told by the test
            self.failure = error

    def work(self) -> None:
        raise NotImplementedError

    def end(self) -> None:
        """Let it come to its end; raise what went wrong."""
        self.stopping.set()
        self.join(2 * PATIENCE_S)
        if self.failure is not None:
            raise self.failure
        assert not self.is_alive(), f"{self.name} does not come to an end"

    def settings(self, **more: object) -> dict[str, object]:
        return {"bootstrap.servers": self.address, **QUICK, **more}


def quiet() -> logging.Logger:
    """Return a logger that nobody hears: that the broker is gone is no news here."""
    logger = logging.getLogger("millpond.tests.rdkafka")
    logger.setLevel(logging.CRITICAL)
    return logger


class Idempotent(Client):
    """librdkafka's idempotent producer: numbers, over all partitions."""

    def __init__(self, address: str, topic: str) -> None:
        super().__init__("idempotent", address)
        self.topic = topic
        self.sent = 0
        self.acknowledged: dict[tuple[int, int], bytes] = {}
        self.refused: list[tuple[bytes, KafkaError]] = []

    def work(self) -> None:
        settings = self.settings(**{"enable.idempotence": True, "linger.ms": 2})
        producer = Producer(settings, logger=quiet())
        while not self.stopping.is_set():
            for _ in range(10):
                value = b"rd.%d" % self.sent
                partition = self.sent % PARTITIONS
                producer.produce(self.topic, value, partition=partition, on_delivery=self.note)
                self.sent += 1
            producer.poll(0.01)
        assert producer.flush(PATIENCE_S) == 0, "not everything was acknowledged in the end"

    def note(self, error: KafkaError | None, message: Message) -> None:
        value = message.value()
        if error is not None:
            self.refused.append((value, error))
        else:
            self.acknowledged[message.partition(), message.offset()] = value


class AiokafkaIdempotent(Client):
    """aiokafka's idempotent producer: numbers, over all partitions."""

    def __init__(self, address: str, topic: str) -> None:
        super().__init__("idempotent aiokafka", address)
        self.topic = topic
        self.acknowledged: dict[tuple[int, int], bytes] = {}

    def work(self) -> None:
        asyncio.run(self.send())

    async def send(self) -> None:
        producer = AIOKafkaProducer(
            bootstrap_servers=self.address, enable_idempotence=True, retry_backoff_ms=20
        )
        await begun(producer)
        number = 0
        try:
            while not self.stopping.is_set():
                futures = {}
                for _ in range(6):
                    value = b"aio.%d" % number
                    futures[value] = await producer.send(
                        self.topic, value, partition=number % PARTITIONS
                    )
                    number += 1
                for value, future in futures.items():
                    done = await asyncio.wait_for(future, PATIENCE_S)
                    self.acknowledged[done.partition, done.offset] = value
        finally:
            await producer.stop()


async def begun(producer: AIOKafkaProducer) -> None:
    """Start a producer, however long the broker takes to be there."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            return await asyncio.wait_for(producer.start(), PATIENCE_S)
        except AiokafkaError:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)


class Reader(Client):
    """A group of one that reads what is committed, commits how far it is, and begins anew at times."""

    def __init__(self, address: str, topic: str, seed: int) -> None:
        super().__init__("reader", address)
        self.topic = topic
        self.chance = random.Random(seed)
        self.seen: dict[tuple[int, int], bytes] = {}
        self.acknowledged: dict[int, int] = {}
        self.attempted: dict[int, int] = {}
        self.resumed: list[tuple[int, int, int, int]] = []
        """Partition, first offset read, and the offsets acknowledged and attempted before."""

    def work(self) -> None:
        while not self.stopping.is_set():
            consumer = Consumer(
                self.settings(
                    **{
                        "group.id": "readers",
                        "auto.offset.reset": "earliest",
                        "enable.auto.commit": False,
                        "isolation.level": "read_committed",
                        # short, for the member of an instance that is gone holds up the next one
                        "session.timeout.ms": 500,
                        "heartbeat.interval.ms": 100,
                    }
                ),
                logger=quiet(),
            )
            consumer.subscribe([self.topic])
            try:
                self.read(consumer, rounds=self.chance.randint(2, 30))
            finally:
                consumer.close()

    def read(self, consumer: Consumer, rounds: int) -> None:
        expected: dict[int, tuple[int, int]] = {}
        known = (dict(self.acknowledged), dict(self.attempted))
        while rounds and not self.stopping.is_set():
            position: dict[int, int] = {}
            for message in consumer.consume(50, 0.2):
                if message.error() is not None:
                    continue
                partition, offset = message.partition(), message.offset()
                if partition not in expected:
                    expected[partition] = (known[0].get(partition, 0), known[1].get(partition, 0))
                    self.resumed.append((partition, offset, *expected[partition]))
                before = self.seen.setdefault((partition, offset), message.value())
                assert before == message.value(), "another record is in its place"
                position[partition] = offset + 1
            if position:
                rounds -= 1
                self.commit(consumer, position)

    def commit(self, consumer: Consumer, position: dict[int, int]) -> None:
        for partition, offset in position.items():
            self.attempted[partition] = max(offset, self.attempted.get(partition, 0))
        offsets = [TopicPartition(self.topic, *each) for each in position.items()]
        with contextlib.suppress(KafkaException):
            for done in consumer.commit(offsets=offsets, asynchronous=False):
                if done.error is None:
                    self.acknowledged[done.partition] = done.offset
