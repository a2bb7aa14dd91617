"""What real clients have sent, changed at random: almost proper requests are the worst ones."""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from confluent_kafka import (
    Consumer,
    KafkaException,
    Producer,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, ConfigResource, OffsetSpec
from millpond.log.wire.messages.create_partitions import CREATE_PARTITIONS
from millpond.log.wire.messages.create_topics import CREATE_TOPICS

from ..twins.hostile import Arena
from ..twins.recorder import Recorder

SEED = 20
EXTREMES = (0, 1, -1, 127, -128, 2**15 - 1, -(2**15), 2**31 - 1, -(2**31), 2**63 - 1, -(2**63))
CREATE = {CREATE_TOPICS.key, CREATE_PARTITIONS.key}
"""What mutated ones of these ask for may be proper, and much."""


@contextmanager
def recorded(data: Path, *uses: Callable[[str], None]) -> Iterator[tuple[Arena, list[bytes]]]:
    """Let clients use the broker of an arena; give that, and what they have sent."""
    with Recorder() as recorder:
        options = ("--advertise", recorder.address, "--set", "group.initial.rebalance.delay.ms=0")
        with Arena(data, *options) as arena:
            recorder.broker_port = arena.broker.port
            for use in uses:
                use(recorder.address)
            yield arena, recorder.frames()


def use_a_client(address: str) -> None:
    """Produce and consume, as a member of a group, with librdkafka."""
    producer = Producer({"bootstrap.servers": address, "enable.idempotence": True})
    for number in range(20):
        producer.produce("captured", b"value %d" % number, b"key", headers={"a": b"b"})
        producer.flush(10)
    consumer = Consumer(
        {
            "bootstrap.servers": address,
            "group.id": "captured",
            "auto.offset.reset": "earliest",
            "fetch.wait.max.ms": 50,
        }
    )
    consumer.subscribe(["captured"])
    deadline, seen = time.monotonic() + 20, 0
    while seen < 20 and time.monotonic() < deadline:
        message = consumer.poll(0.1)
        seen += message is not None and message.error() is None
    assert seen == 20
    consumer.commit(asynchronous=False)
    consumer.close()


def use_transactions(address: str) -> None:
    """Write in transactions, and read as a member of a group of KIP-848, with librdkafka."""
    producer = Producer({"bootstrap.servers": address, "transactional.id": "captured"})
    producer.init_transactions(10)
    for number in range(6):
        producer.begin_transaction()
        producer.produce("captured", b"in a transaction", b"key")
        if number % 3:
            producer.commit_transaction(10)
        else:
            producer.abort_transaction(10)
    consumer = Consumer(
        {
            "bootstrap.servers": address,
            "group.id": "captured anew",
            "group.protocol": "consumer",
            "auto.offset.reset": "earliest",
        }
    )
    consumer.subscribe(["captured"])
    deadline = time.monotonic() + 20
    while consumer.poll(0.1) is None and time.monotonic() < deadline:
        pass
    consumer.commit(asynchronous=False)
    consumer.close()


def use_administration(address: str) -> None:
    """Look at everything, and change some of it, with librdkafka."""
    admin = AdminClient({"bootstrap.servers": address})
    resource = ConfigResource(ConfigResource.Type.TOPIC, "captured")
    latest = {TopicPartition("captured", 0): OffsetSpec.latest()}
    for asked in (
        admin.describe_configs([resource]).values(),
        admin.describe_topics(TopicCollection(["captured"])).values(),
        admin.list_offsets(latest).values(),
        [admin.list_consumer_groups(), admin.describe_cluster()],
        admin.describe_consumer_groups(["captured"]).values(),
        admin.delete_consumer_groups(["no such group"]).values(),
        admin.delete_topics(["no such topic"]).values(),
    ):
        for future in asked:
            with suppress(KafkaException):
                future.result(10)


def key_of(frame: bytes) -> int:
    return int.from_bytes(frame[4:6])


def flip(frame: bytearray, chance: random.Random) -> bytearray:
    for _ in range(chance.choice((1, 1, 2, 8))):
        position = chance.randrange(len(frame))
        frame[position] ^= 1 << chance.randrange(8)
    return frame


def put_extreme(frame: bytearray, chance: random.Random) -> bytearray:
    size = chance.choice((1, 2, 4, 8))
    position = chance.randrange(max(len(frame) - size, 1))
    value = chance.choice(EXTREMES) % 2 ** (8 * size)
    frame[position : position + size] = value.to_bytes(size)
    return frame


def cut(frame: bytearray, chance: random.Random) -> bytearray:
    begin, end = sorted(chance.choices(range(len(frame) + 1), k=2))
    del frame[begin:end]
    return frame


def repeat(frame: bytearray, chance: random.Random) -> bytearray:
    begin, end = sorted(chance.choices(range(len(frame) + 1), k=2))
    frame[begin:begin] = frame[begin:end] * chance.choice((1, 2, 100))
    return frame


def insert(frame: bytearray, chance: random.Random) -> bytearray:
    position = chance.randrange(len(frame) + 1)
    frame[position:position] = chance.randbytes(chance.choice((1, 2, 4, 30)))
    return frame


def change_kind(frame: bytearray, chance: random.Random) -> bytearray:
    frame[0:4] = chance.randrange(80).to_bytes(2) + chance.randrange(18).to_bytes(2)
    return frame


MUTATIONS: tuple[Callable[[bytearray, random.Random], bytearray], ...]
MUTATIONS = (flip, flip, put_extreme, put_extreme, cut, repeat, insert, change_kind)


def mutated(frames: list[bytes], chance: random.Random) -> bytes:
    """Return a request, changed, behind its length, which is right unless it was changed too."""
    body = bytearray(chance.choice(frames)[4:])
    for _ in range(chance.choice((1, 1, 2, 3))):
        body = chance.choice(MUTATIONS)(body, chance)
        if len(body) < 8:
            body += bytes(8)
    if int.from_bytes(body[0:2]) in CREATE:
        body[0:2] = b"\0\3"
    frame = bytearray(len(body).to_bytes(4)) + body
    return bytes(flip(frame, chance) if chance.random() < 0.02 else frame)


def attack(arena: Arena, frames: list[bytes], chance: random.Random, count: int) -> None:
    for _ in range(count):
        requests = [mutated(frames, chance)]
        if chance.random() < 0.3:
            requests.insert(chance.randrange(2), chance.choice(frames))
        with arena.socket() as connected:
            connected.sendall(b"".join(requests))
            if chance.random() < 0.1:
                connected.settimeout(0.05)
                with suppress(TimeoutError):
                    connected.recv(100)


def test_almost_proper_requests(tmp_path: Path) -> None:
    with recorded(tmp_path, use_a_client) as (arena, frames):
        assert {0, 1, 3, 8, 11, 14, 18, 22} <= {key_of(frame) for frame in frames}
        attack(arena, frames, random.Random(SEED), 1500)
        arena.check()


@pytest.mark.long
def test_many_almost_proper_requests(tmp_path: Path) -> None:
    uses = (use_a_client, use_transactions, use_administration)
    with recorded(tmp_path, *uses) as (arena, frames):
        assert len({key_of(frame) for frame in frames}) >= 20
        for seed in range(60):
            attack(arena, frames, random.Random(seed), 1000)
            arena.check(rss_bytes_max=300 << 20)
