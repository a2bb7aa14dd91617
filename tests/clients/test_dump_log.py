"""Kafka's `kafka-dump-log` reads every kind of file that the broker writes.

The files are those of the running broker, so the tail of an active index may be empty space that Kafka leaves there too.
"""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from millpond.tests.clients import java_runtime
from millpond.tests.clients.brokers import Broker
from millpond.tests.clients.java_runtime import Tools
from millpond.tests.clients.waiting import eventually

pytestmark = [pytest.mark.clients, java_runtime.needs_jars()]

Dump = Callable[..., str]


@pytest.fixture(scope="module")
def tools() -> Iterator[Tools]:
    with Tools() as tools:
        yield tools


@pytest.fixture
def dump(tools: Tools) -> Dump:
    """Dump files, and return what was printed once there is nothing to complain about."""

    def dump(files: list[Path], *options: str) -> str:
        names = ",".join(map(str, sorted(files)))
        printed = tools.run("kafka.tools.DumpLogSegments", "--files", names, *options)
        for complaint in ("Found", "isValid: false", "ERROR", "xception", "not a multiple"):
            assert complaint not in printed, printed
        return printed

    return dump


@pytest.fixture
def directory_of(broker: Broker) -> Callable[[str], Path]:
    """Return where a partition is."""
    if broker.log_directory is None:
        pytest.skip("a broker that runs elsewhere keeps its files there")
    directory = broker.log_directory
    return lambda partition: directory / partition


@pytest.fixture
def producer(bootstrap: str) -> Producer:
    return Producer({"bootstrap.servers": bootstrap, "enable.idempotence": True})


def offsets_of(printed: str) -> list[int]:
    return [int(offset) for offset in re.findall(r"^\| offset: (\d+)", printed, re.MULTILINE)]


@pytest.mark.parametrize("compression", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_batches_and_their_records(
    bootstrap: str, topic: str, dump: Dump, directory_of: Callable[[str], Path], compression: str
) -> None:
    producer = Producer({"bootstrap.servers": bootstrap, "compression.type": compression})
    for i in range(100):
        producer.produce(topic, b"value %d" % i, b"key %d" % i, headers=[("h", b"1")])
    producer.flush(20)
    printed = dump([directory_of(f"{topic}-0") / f"{0:020}.log"], "--print-data-log")
    assert offsets_of(printed) == list(range(100))
    assert f"compresscodec: {compression}" in printed
    assert "key: key 99 payload: value 99" in printed


def test_rolled_segments_with_their_indexes(
    producer: Producer,
    make_topic: Callable[..., str],
    dump: Dump,
    directory_of: Callable[[str], Path],
) -> None:
    topic = make_topic(segment_bytes=str(1024 * 1024), index_interval_bytes="1024")
    for i in range(3500):
        producer.produce(topic, bytes(1000), timestamp=1_700_000_000_000 + i)
        producer.poll(0)
        if i % 10 == 0:
            producer.flush(20)
    producer.flush(20)
    directory = directory_of(f"{topic}-0")
    logs = sorted(directory.glob("*.log"))
    assert len(logs) >= 3
    assert offsets_of(dump(logs, "--deep-iteration")) == list(range(3500))
    rolled = logs[:-1]
    indexes = [log.with_suffix(".index") for log in rolled]
    assert "passed sanity check" in dump(indexes, "--index-sanity-check")
    entries = re.findall(r"offset: (\d+) position: (\d+)", dump(indexes))
    assert len(entries) > 50
    times = dump([log.with_suffix(".timeindex") for log in rolled])
    assert len(re.findall(r"timestamp: 17000\d+ offset: \d+", times)) > 10
    snapshots = dump(list(directory.glob("*.snapshot")))
    assert "producerId: " in snapshots


def test_transactions_their_index_and_their_log(
    bootstrap: str,
    make_topic: Callable[..., str],
    unique: Callable[[str], str],
    group: str,
    dump: Dump,
    directory_of: Callable[[str], Path],
) -> None:
    topic = make_topic(segment_bytes=str(1024 * 1024))
    transactional_id = unique("id")
    atomic = Producer({"bootstrap.servers": bootstrap, "transactional.id": transactional_id})
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": group})
    atomic.init_transactions(20)
    for end in (atomic.abort_transaction, atomic.commit_transaction):
        atomic.begin_transaction()
        for _ in range(12):
            atomic.produce(topic, bytes(100_000))
        position = [TopicPartition(topic, 0, 7)]
        atomic.send_offsets_to_transaction(position, consumer.consumer_group_metadata(), 20)
        atomic.flush(20)
        end(20)
    directory = directory_of(f"{topic}-0")

    def printed() -> str:
        return dump(list(directory.glob("*.log")), "--print-data-log")

    eventually(lambda: "endTxnMarker: COMMIT" in printed())
    assert "endTxnMarker: ABORT" in printed()
    indexes = [each for each in directory.glob("*.txnindex") if each.stat().st_size]
    assert "lastOffset: 12" in dump(indexes)
    root = directory.parent
    of_offsets = dump(list(root.glob("__consumer_offsets-*/*.log")), "--offsets-decoder")
    assert f'"group":"{group}","topic":"{topic}","partition":0' in of_offsets
    states = dump(list(root.glob("__transaction_state-*/*.log")), "--transaction-log-decoder")
    assert f'"transactionalId":"{transactional_id}"' in states
    consumer.close()


def test_groups_of_both_protocols(
    bootstrap: str,
    producer: Producer,
    topic: str,
    unique: Callable[[str], str],
    dump: Dump,
    directory_of: Callable[[str], Path],
) -> None:
    groups = {protocol: unique(protocol) for protocol in ("classic", "consumer")}
    for protocol, group in groups.items():
        settings = {"bootstrap.servers": bootstrap, "group.id": group, "group.protocol": protocol}
        consumer = Consumer(settings)
        consumer.subscribe([topic])
        eventually(lambda consumer=consumer: consumer.poll(0.05) or consumer.assignment())
        consumer.commit(offsets=[TopicPartition(topic, 0, 0)], asynchronous=False)
        consumer.close()
    root = directory_of(f"{topic}-0").parent
    printed = dump(list(root.glob("__consumer_offsets-*/*.log")), "--offsets-decoder")
    for group in groups.values():
        assert f'"group":"{group}","topic":"{topic}","partition":0' in printed
    kinds = {
        int(kind)
        for group in groups.values()
        for kind in re.findall(rf'key: {{"type":"(\d+)","data":{{"group(?:Id)?":"{group}"', printed)
    }
    assert kinds >= {1, 2, 3, 5, 6, 7, 8}
