"""A broker and a real client, librdkafka: what goes in comes out, whatever it looks like."""

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import anyio
import pytest
from confluent_kafka import Consumer, Message, Producer, TopicPartition
from millpond.log.embedded import EmbeddedLog
from millpond.log.model import NewRecord, TopicSpec
from millpond.log.model import TopicPartition as Partition
from millpond.tests.twins.running_broker import RunningBroker

EVENING = 1_700_000_000_000
LARGE = bytes(range(256)) * 3500
RECORDS: Sequence[tuple[bytes | None, bytes | None, list[tuple[str, bytes | None]]]] = [
    (b"key", b"value", []),
    (None, b"no key", []),
    (b"no value", None, []),
    (b"", b"", []),
    (b"headers", b"v", [("a", b"1"), ("a", b"2"), ("empty", b""), ("null", None)]),
    (b"large", LARGE, []),
]


def connect_to(broker: RunningBroker, **settings: object) -> dict[str, object]:
    return {"bootstrap.servers": f"127.0.0.1:{broker.port}", **settings}


def read(broker: RunningBroker, topic: str, count: int) -> list[Message]:
    consumer = Consumer(
        connect_to(broker, **{"group.id": "readers", "auto.offset.reset": "earliest"})
    )
    consumer.assign([TopicPartition(topic, 0, 0)])
    messages: list[Message] = []
    try:
        while len(messages) < count:
            message = consumer.poll(10)
            assert message is not None, f"only {len(messages)} came"
            assert message.error() is None, message.error()
            messages.append(message)
    finally:
        consumer.close()
    return messages


@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_records_come_out_as_they_went_in(codec: str) -> None:
    with RunningBroker() as broker:
        producer = Producer(connect_to(broker, **{"compression.type": codec, "linger.ms": 50}))
        for key, value, headers in RECORDS:
            producer.produce(
                "orders", key=key, value=value, headers=headers, timestamp=EVENING, partition=0
            )
        assert producer.flush(10) == 0
        messages = read(broker, "orders", len(RECORDS))
    assert [(m.key(), m.value(), m.headers() or []) for m in messages] == list(RECORDS)
    assert [m.offset() for m in messages] == list(range(len(RECORDS)))
    assert {m.timestamp()[1] for m in messages} == {EVENING}


def test_idempotent_producers_and_committed_readers_agree() -> None:
    with RunningBroker() as broker:
        producer = Producer(connect_to(broker, **{"transactional.id": "t", "linger.ms": 0}))
        producer.init_transactions(10)
        for number in range(4):
            producer.begin_transaction()
            producer.produce("orders", b"%d" % number, partition=0)
            if number % 2:
                producer.abort_transaction(10)
            else:
                producer.commit_transaction(10)
        assert [m.value() for m in read(broker, "orders", 2)] == [b"0", b"2"]


async def write_embedded(directory: Path) -> None:
    async with EmbeddedLog.open(directory) as log:
        await log.create_topics([TopicSpec("orders", 1)])
        producer = await log.producer()
        records = [NewRecord(b"%d" % n, b"embedded %d" % n, EVENING) for n in range(3)]
        await producer.append({Partition("orders", 0): records})


def test_what_an_embedded_log_wrote_is_served_as_it_is(tmp_path: Path) -> None:
    anyio.run(write_embedded, tmp_path)
    with RunningBroker(tmp_path) as broker:
        messages = read(broker, "orders", 3)
    assert [m.value() for m in messages] == [b"embedded 0", b"embedded 1", b"embedded 2"]


@pytest.mark.skipif(shutil.which("kcat") is None, reason="kcat is not installed")
def test_kcat_reads_what_an_embedded_log_wrote(tmp_path: Path) -> None:
    anyio.run(write_embedded, tmp_path)
    with RunningBroker(tmp_path) as broker:
        address = f"127.0.0.1:{broker.port}"
        shown = subprocess.run(
            [
                "kcat",
                "-b",
                address,
                "-C",
                "-t",
                "orders",
                "-o",
                "1",
                "-e",
                "-q",
                "-f",
                "%o %k %s\n",
            ],
            capture_output=True,
            timeout=30,
            check=True,
        )
    assert shown.stdout.splitlines() == [b"1 1 embedded 1", b"2 2 embedded 2"]
