"""Consumer groups of KIP-848 with librdkafka, unmodified, against a running broker."""

import socket
import time
from collections.abc import Callable, Iterator

import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka import TopicPartition as Named
from millpond.log.shell.listeners import Listener
from millpond.log.shell.memory_disk import MemoryDisk
from millpond.log.wire.messages.create_partitions import (
    CREATE_PARTITIONS,
    CreatePartitionsRequest,
    CreatePartitionsTopic,
)
from millpond.log.wire.messages.create_topics import (
    CREATE_TOPICS,
    CreatableTopic,
    CreateTopicsRequest,
)
from millpond.tests.twins.running_broker import RunningBroker

SETTINGS = {
    "group.consumer.session.timeout.ms": "5000",
    "group.consumer.heartbeat.interval.ms": "100",
}
PATIENCE_SECONDS = 20


class Member:
    """A consumer, what it was assigned and what it has read."""

    def __init__(self, port: int, topics: list[str]) -> None:
        self.moves = 0
        self.read: list[bytes] = []
        self.consumer = Consumer(
            {
                "bootstrap.servers": f"127.0.0.1:{port}",
                "group.id": "readers",
                "group.protocol": "consumer",
                "auto.offset.reset": "earliest",
                "enable.auto.commit": False,
                "reconnect.backoff.max.ms": 200,
                "topic.metadata.refresh.interval.ms": 500,
                "log_level": 0,
            }
        )
        self.consumer.subscribe(topics, on_assign=self._moved, on_revoke=self._moved)

    def poll(self) -> None:
        message = self.consumer.poll(0.02)
        if message is not None and message.error() is None:
            value = message.value()
            assert value is not None
            self.read.append(value)

    @property
    def has(self) -> set[tuple[str, int]]:
        return {(each.topic, each.partition) for each in self.consumer.assignment()}

    def _moved(self, consumer: Consumer, partitions: list[Named]) -> None:
        self.moves += 1


def until(holds: Callable[[], bool], *members: Member) -> None:
    """Poll until something is so."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < end, [member.has for member in members]
        for member in members:
            member.poll()


def create(broker: RunningBroker, name: str, partitions: int) -> None:
    topic = CreatableTopic(
        name=name, num_partitions=partitions, replication_factor=1, assignments=[], configs=[]
    )
    with broker.client() as client:
        answer = client.ask(CREATE_TOPICS, 7, CreateTopicsRequest(topics=[topic]))
    assert answer.topics[0].error_code == 0


def grow(broker: RunningBroker, name: str, count: int) -> None:
    topic = CreatePartitionsTopic(name=name, count=count, assignments=None)
    request = CreatePartitionsRequest(topics=[topic], timeout_ms=1000, validate_only=False)
    with broker.client() as client:
        assert client.ask(CREATE_PARTITIONS, 3, request).results[0].error_code == 0


@pytest.fixture
def members() -> Iterator[Callable[..., Member]]:
    made: list[Member] = []

    def make(port: int, *topics: str) -> Member:
        made.append(Member(port, list(topics)))
        return made[-1]

    yield make
    for member in made:
        member.consumer.close()


def test_members_share_what_an_expression_means_as_topics_and_members_come_and_go(
    members: Callable[..., Member],
) -> None:
    with RunningBroker(settings=SETTINGS) as broker:
        create(broker, "sales.eu", 2)
        create(broker, "other", 1)
        first = members(broker.port, r"^sales\..*")
        until(lambda: first.has == {("sales.eu", 0), ("sales.eu", 1)}, first)
        create(broker, "sales.us", 2)
        until(lambda: len(first.has) == 4, first)
        second = members(broker.port, r"^sales\..*")
        until(lambda: len(first.has) == len(second.has) == 2, first, second)
        assert not first.has & second.has
        grow(broker, "sales.eu", 4)
        until(lambda: len(first.has) == len(second.has) == 3, first, second)
        assert not first.has & second.has
        second.consumer.unsubscribe()
        until(lambda: len(first.has) == 6, first)
        for member in (first, second):
            member.consumer.close()


def test_members_go_on_when_the_broker_comes_back(members: Callable[..., Member]) -> None:
    disk = MemoryDisk()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    listeners = [Listener(f"127.0.0.1:{port}")]
    with RunningBroker(disk=disk, settings=SETTINGS, listeners=listeners) as broker:
        create(broker, "orders", 4)
        produce(port, range(100))
        both = [members(port, "orders"), members(port, "orders")]
        until(lambda: [len(member.has) for member in both] == [2, 2], *both)
        until(lambda: sum(len(member.read) for member in both) >= 100, *both)
        for member in both:
            member.consumer.commit(asynchronous=False)
        moves = [member.moves for member in both]
        had = [member.has for member in both]
    with RunningBroker(disk=disk, settings=SETTINGS, listeners=listeners):
        produce(port, range(100, 200))
        until(lambda: sum(len(member.read) for member in both) >= 200, *both)
        for member in both:
            member.consumer.commit(asynchronous=False)
        assert [member.moves for member in both] == moves
        assert [member.has for member in both] == had
        values = sorted(int(value) for member in both for value in member.read)
        assert values == list(range(200))
        for member in both:
            member.consumer.close()


def produce(port: int, numbers: range) -> None:
    producer = Producer({"bootstrap.servers": f"127.0.0.1:{port}", "linger.ms": 0})
    for number in numbers:
        producer.produce("orders", str(number).encode(), partition=number % 4)
    assert producer.flush(PATIENCE_SECONDS) == 0
