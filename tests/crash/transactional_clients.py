"""Clients with transactional ids, which write down how each of their transactions has ended."""

import asyncio
import contextlib
import random
import time
from collections import defaultdict
from dataclasses import dataclass, field

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError as AiokafkaError
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

from tests.crash.broker_clients import PARTITIONS, PATIENCE_S, Client, begun, quiet


@dataclass
class Attempt:
    """A transaction: what it wrote, and how it ended; None: its producer was not told."""

    number: int
    written: list[tuple[int, bytes]] = field(default_factory=list)
    committed: bool | None = None
    complete: bool = False
    """Whether all was written that is meant: else it can't have been committed."""


class Transactional(Client):
    """librdkafka's transactional producer: commits and aborts, a new producer where one is lost."""

    def __init__(self, address: str, topic: str, name: str, seed: int) -> None:
        super().__init__(f"transactional {name}", address)
        self.topic = topic
        self.chance = random.Random(seed)
        self.attempts: list[Attempt] = []

    def work(self) -> None:
        while not self.stopping.is_set():
            producer = self.producer()
            with contextlib.suppress(KafkaException):
                insist(producer.init_transactions)
                while not self.stopping.is_set():
                    self.transaction(producer)
        insist(self.producer().init_transactions)  # which ends what is open

    def producer(self) -> Producer:
        return Producer(
            self.settings(
                **{"transactional.id": self.name, "transaction.timeout.ms": 8000, "linger.ms": 0}
            ),
            logger=quiet(),
        )

    def transaction(self, producer: Producer) -> None:
        attempt = Attempt(len(self.attempts))
        self.attempts.append(attempt)
        producer.begin_transaction()
        for number in range(self.chance.randint(1, 6)):
            partition = self.chance.randrange(PARTITIONS)
            value = b"%s.%d.%d" % (self.name.encode(), attempt.number, number)
            producer.produce(self.topic, value, partition=partition)
            attempt.written.append((partition, value))
        attempt.complete = True
        end_transaction(producer, attempt, commit=self.chance.random() < 0.7)


def end_transaction(producer: Producer, attempt: Attempt, *, commit: bool) -> None:
    """Commit or abort, as often as it takes; note how it has ended.

    Raises:
        KafkaException: this producer can't go on, and nobody knows.
    """
    if commit:
        try:
            insist(producer.commit_transaction)
        except KafkaException as error:
            if not error.args[0].txn_requires_abort():
                raise
        else:
            attempt.committed = True
            return
    insist(producer.abort_transaction)
    attempt.committed = False


def insist(call: object) -> None:
    """Call something of a transactional producer again for as long as it says that one may."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            return call(5)  # type: ignore[operator]
        except KafkaException as error:
            if not error.args[0].retriable() or time.monotonic() > deadline:
                raise


class AiokafkaTransactional(Client):
    """aiokafka's transactional producer."""

    def __init__(self, address: str, topic: str, seed: int) -> None:
        super().__init__("transactional aiokafka", address)
        self.topic = topic
        self.chance = random.Random(seed)
        self.attempts: list[Attempt] = []

    def work(self) -> None:
        asyncio.run(self.send())

    async def send(self) -> None:
        while not self.stopping.is_set():
            producer = await self.producer()
            try:
                while not self.stopping.is_set():
                    await asyncio.wait_for(self.transaction(producer), PATIENCE_S)
            except (AiokafkaError, TimeoutError):
                pass  # nobody knows how that one ended
            finally:
                with contextlib.suppress(AiokafkaError, TimeoutError):
                    await asyncio.wait_for(producer.stop(), PATIENCE_S)
        producer = await self.producer()  # which ends what is open
        await producer.stop()

    async def producer(self) -> AIOKafkaProducer:
        producer = AIOKafkaProducer(
            bootstrap_servers=self.address,
            transactional_id=self.name,
            transaction_timeout_ms=8000,
            retry_backoff_ms=20,
        )
        await begun(producer)
        return producer

    async def transaction(self, producer: AIOKafkaProducer) -> None:
        attempt = Attempt(len(self.attempts))
        self.attempts.append(attempt)
        commit = self.chance.random() < 0.7
        await producer.begin_transaction()
        for number in range(self.chance.randint(1, 6)):
            partition = self.chance.randrange(PARTITIONS)
            value = b"%s.%d.%d" % (self.name.encode(), attempt.number, number)
            future = await producer.send(self.topic, value, partition=partition)
            future.add_done_callback(take_note)
            attempt.written.append((partition, value))
        attempt.complete = True
        if commit:
            await producer.commit_transaction()
        else:
            await producer.abort_transaction()
        attempt.committed = commit


def take_note(future: asyncio.Future[object]) -> None:
    """Look at a failure, else asyncio complains; the transaction's own tells enough."""
    if not future.cancelled():
        future.exception()


class Copier(Client):
    """Reads, writes and commits its offsets in one transaction: each record is copied exactly once."""

    def __init__(self, address: str, source: str, target: str) -> None:
        super().__init__("copier", address)
        self.source, self.target = source, target
        self.ends: dict[int, int] | None = None
        """Up to where it must have copied before it ends; None: nobody has said yet."""

    def work(self) -> None:
        while not self._is_done():
            producer = Producer(self.settings(**{"transactional.id": self.name}), logger=quiet())
            consumer = Consumer(
                self.settings(
                    **{
                        "group.id": "copiers",
                        "enable.auto.commit": False,
                        "auto.offset.reset": "earliest",
                        "isolation.level": "read_committed",
                    }
                ),
                logger=quiet(),
            )
            with contextlib.suppress(KafkaException):
                insist(producer.init_transactions)
                self.copy(producer, consumer)
            consumer.close()

    def copy(self, producer: Producer, consumer: Consumer) -> None:
        asked = [TopicPartition(self.source, number) for number in range(PARTITIONS)]
        at: dict[int, int] = defaultdict(int)
        for known in consumer.committed(asked, timeout=5):
            at[known.partition] = max(known.offset, 0)
        consumer.assign([TopicPartition(self.source, n, at[n]) for n in range(PARTITIONS)])
        while not self._is_done(at):
            messages = [each for each in consumer.consume(500, 0.05) if each.error() is None]
            if not messages:
                continue
            producer.begin_transaction()
            for message in messages:
                producer.produce(self.target, message.value(), partition=message.partition())
                at[message.partition()] = message.offset() + 1
            offsets = [TopicPartition(self.source, *each) for each in at.items()]
            insist(
                lambda timeout_s, offsets=offsets: producer.send_offsets_to_transaction(
                    offsets, consumer.consumer_group_metadata(), timeout_s
                )
            )
            insist(producer.commit_transaction)

    def _is_done(self, at: dict[int, int] | None = None) -> bool:
        if self.ends is None:
            return False
        if at is None:
            return self._finished
        self._finished = all(at[partition] >= end for partition, end in self.ends.items())
        return self._finished

    _finished = False
