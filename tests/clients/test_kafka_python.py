"""kafka-python 3: pure Python, idempotent by default, the widest administration of the Python clients."""

import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from kafka import (
    ConsumerRebalanceListener,
    KafkaAdminClient,
    KafkaConsumer,
    KafkaProducer,
    OffsetAndMetadata,
    TopicPartition,
)
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.admin._partitions import OffsetSpec
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.errors import (
    FencedInstanceIdError,
    FencedLeaderEpochError,
    InvalidConfigurationError,
    InvalidPartitionsError,
    InvalidTopicError,
    KafkaError,
    MessageSizeTooLargeError,
    NoError,
    OffsetOutOfRangeError,
    TopicAlreadyExistsError,
    UnknownLeaderEpochError,
    UnknownTopicOrPartitionError,
    for_code,
)
from kafka.protocol.consumer import ListOffsetsRequest
from millpond.tests.clients.faulty_network import FaultyNetwork
from millpond.tests.clients.features import feature
from millpond.tests.clients.waiting import eventually

CLIENT = "kafka-python"
VERSION = version("kafka-python")
NO_KIP_848 = "has only the classic protocol"
MISSING = {
    "KIP-848: join and leave": NO_KIP_848,
    "KIP-848: crash": NO_KIP_848,
    "KIP-848: static member": NO_KIP_848,
    "KIP-848: commit and resume": NO_KIP_848,
}

COMPRESSIONS = [
    pytest.param(None, marks=feature("no compression")),
    *(pytest.param(name, marks=feature(name)) for name in ("gzip", "snappy", "lz4", "zstd")),
]
GROUP = {"session_timeout_ms": 2000, "heartbeat_interval_ms": 300, "max_poll_interval_ms": 10_000}

Make = Callable[..., Any]
Read = Callable[..., list[Any]]


@pytest.fixture
def producer_of(bootstrap: str) -> Iterator[Make]:
    """Make producers that are closed at the end."""
    producers: list[KafkaProducer] = []

    def make(**config: Any) -> KafkaProducer:
        producers.append(KafkaProducer(**{"bootstrap_servers": bootstrap, **config}))
        return producers[-1]

    yield make
    for producer in producers:
        producer.close(timeout=1)


@pytest.fixture
def consumer_of(bootstrap: str) -> Iterator[Make]:
    """Make consumers that are closed at the end."""
    consumers: list[KafkaConsumer] = []

    def make(*topics: str, **config: Any) -> KafkaConsumer:
        settings = {
            "bootstrap_servers": bootstrap,
            "auto_offset_reset": "earliest",
            "enable_auto_commit": False,
            "fetch_max_wait_ms": 100,
        }
        consumers.append(KafkaConsumer(*topics, **settings | config))
        return consumers[-1]

    yield make
    for consumer in consumers:
        consumer.close(timeout_ms=1000)


@pytest.fixture
def read(consumer_of: Make) -> Read:
    """Read so many records of partition 0."""

    def read(topic: str, count: int, start: int = 0, **config: Any) -> list[Any]:
        consumer = consumer_of(**config)
        consumer.assign([TopicPartition(topic, 0)])
        consumer.seek(TopicPartition(topic, 0), start)
        return take(consumer, count)

    return read


def take(consumer: KafkaConsumer, count: int) -> list[Any]:
    """Take so many records; fail if they don't come."""
    records: list[Any] = []
    deadline = time.monotonic() + 20
    while len(records) < count and time.monotonic() < deadline:
        for some in consumer.poll(1000, max_records=count - len(records)).values():
            records += some
    assert len(records) == count, f"{len(records)} of {count} records came"
    return records


def values(records: list[Any]) -> list[bytes | None]:
    return [record.value for record in records]


def send(producer: KafkaProducer, topic: str, *sent: bytes, partition: int = 0) -> None:
    for waiting in [producer.send(topic, value, partition=partition) for value in sent]:
        waiting.get(20)


@pytest.fixture
def producer(producer_of: Make) -> KafkaProducer:
    return producer_of()


@pytest.fixture
def administrator(bootstrap: str) -> Iterator[KafkaAdminClient]:
    client = KafkaAdminClient(bootstrap_servers=bootstrap)
    yield client
    client.close()


# Produce


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_what_is_sent_in_any_compression_is_read(
    producer_of: Make, topic: str, read: Read, compression: str | None
) -> None:
    sent = []
    for acks in (0, 1, "all"):
        settings = {"acks": acks, "enable_idempotence": acks == "all", "linger_ms": 20}
        producer = producer_of(compression_type=compression, **settings)
        batch = [f"{acks} {i} ".encode() * 50 for i in range(100)]
        send(producer, topic, *batch)
        sent += batch
    assert sorted(values(read(topic, 300))) == sorted(sent)  # nobody waits for those of acks 0


@feature("headers")
def test_headers_keep_order_and_repetition(producer: KafkaProducer, topic: str, read: Read) -> None:
    headers = [("trace", b"1"), ("trace", b"2"), ("empty", b"")]
    producer.send(topic, b"x", headers=headers).get(20)
    assert list(read(topic, 1)[0].headers) == headers


@feature("null keys and values")
def test_null_is_not_empty(producer: KafkaProducer, topic: str, read: Read) -> None:
    pairs = [(None, b"v"), (b"", b"v"), (b"k", None), (b"k", b"")]
    for key, value in pairs:
        producer.send(topic, value, key).get(20)
    assert [(r.key, r.value) for r in read(topic, len(pairs))] == pairs


@feature("large records")
def test_a_record_of_almost_a_megabyte(producer: KafkaProducer, topic: str, read: Read) -> None:
    large = bytes(range(256)) * 3900
    send(producer, topic, b"before", large, b"behind")
    assert values(read(topic, 3)) == [b"before", large, b"behind"]


@feature("timestamps")
def test_timestamps_are_the_producers_or_the_brokers(
    producer: KafkaProducer, make_topic: Callable[..., str], read: Read
) -> None:
    theirs, ours = make_topic(), make_topic(message_timestamp_type="LogAppendTime")
    before = time.time() * 1000 - 1
    for topic in (theirs, ours):
        producer.send(topic, b"x", timestamp_ms=1_234_567_890_123).get(20)
    (created,), (appended,) = read(theirs, 1), read(ours, 1)
    assert (created.timestamp_type, created.timestamp) == (0, 1_234_567_890_123)
    assert appended.timestamp_type == 1
    assert before <= appended.timestamp <= time.time() * 1000 + 1


@feature("automatic topics")
def test_a_topic_is_made_when_somebody_writes_to_it(
    producer: KafkaProducer, unique: Callable[[str], str], read: Read
) -> None:
    topic = unique("automatic")
    send(producer, topic, b"first")
    assert values(read(topic, 1)) == [b"first"]


# Consume


@feature("from the beginning")
def test_reading_from_the_beginning(producer: KafkaProducer, topic: str, consumer_of: Make) -> None:
    send(producer, topic, *(b"%d" % i for i in range(1000)))
    consumer = consumer_of()
    consumer.assign([TopicPartition(topic, 0)])
    consumer.seek_to_beginning()
    assert [r.offset for r in take(consumer, 1000)] == list(range(1000))


@feature("from the end")
def test_reading_from_the_end_sees_what_comes_later(
    producer: KafkaProducer, topic: str, consumer_of: Make
) -> None:
    send(producer, topic, b"before")
    consumer, partition = consumer_of(), TopicPartition(topic, 0)
    consumer.assign([partition])
    consumer.seek_to_end()
    assert consumer.position(partition) == 1
    send(producer, topic, b"later")
    assert values(take(consumer, 1)) == [b"later"]


@feature("from an offset")
def test_reading_from_an_offset(producer: KafkaProducer, topic: str, read: Read) -> None:
    send(producer, topic, *(b"%d" % i for i in range(20)))
    assert values(read(topic, 3, start=7)) == [b"7", b"8", b"9"]


@feature("from a time")
def test_reading_from_a_time(
    producer: KafkaProducer, topic: str, consumer_of: Make, read: Read
) -> None:
    for i in range(10):
        producer.send(topic, b"%d" % i, timestamp_ms=1_000_000 + i * 1000).get(20)
    consumer, partition = consumer_of(), TopicPartition(topic, 0)

    def found(time_ms: int) -> int | None:
        at = consumer.offsets_for_times({partition: time_ms})[partition]
        return at and int(at.offset)

    assert [found(ms) for ms in (0, 1_003_500, 1_009_000, 2_000_000)] == [0, 4, 9, None]
    assert values(read(topic, 1, start=4)) == [b"4"]


# Groups


def shared_out(*consumers: KafkaConsumer, count: int = 4) -> list[set[int]] | None:
    """Return who has which partitions, once every partition has one owner and everybody has some."""
    for consumer in consumers:
        consumer.poll(500)
    owned = [{each.partition for each in consumer.assignment()} for consumer in consumers]
    complete = sorted(p for each in owned for p in each) == list(range(count))
    return owned if complete and all(owned) else None


@feature("classic: join and leave")
def test_members_share_partitions_and_take_over_from_who_leaves(
    consumer_of: Make, make_topic: Callable[..., str], group: str
) -> None:
    topic = make_topic(4)
    first = consumer_of(topic, group_id=group, **GROUP)
    eventually(lambda: shared_out(first))
    second = consumer_of(topic, group_id=group, **GROUP)
    eventually(lambda: shared_out(first, second))
    second.close()
    eventually(lambda: shared_out(first))


@feature("classic: crash")
def test_partitions_of_a_crashed_member_move(
    consumer_of: Make,
    make_topic: Callable[..., str],
    network: Callable[..., FaultyNetwork],
    group: str,
) -> None:
    topic, wire = make_topic(4), network()
    survivor = consumer_of(topic, group_id=group, **GROUP)
    doomed = consumer_of(topic, group_id=group, bootstrap_servers=wire.address, **GROUP)
    eventually(lambda: shared_out(survivor, doomed))
    wire.break_for_good()
    eventually(lambda: shared_out(survivor))


class Revocations(ConsumerRebalanceListener):
    """Counts which partitions are taken away."""

    def __init__(self) -> None:
        self.partitions: list[int] = []

    def on_partitions_revoked(self, revoked: list[TopicPartition]) -> None:
        self.partitions += [each.partition for each in revoked]

    def on_partitions_assigned(self, assigned: list[TopicPartition]) -> None:
        pass


@feature("classic: static member")
def test_a_static_member_comes_back_to_its_partitions(
    consumer_of: Make, make_topic: Callable[..., str], group: str
) -> None:
    topic, revocations = make_topic(4), Revocations()
    settings = {"group_id": group, **GROUP}
    stays = consumer_of(group_instance_id="stays", **settings)
    stays.subscribe([topic], listener=revocations)
    leaves = consumer_of(topic, group_instance_id="leaves", **settings)
    before = eventually(lambda: shared_out(stays, leaves))
    revocations.partitions.clear()
    leaves.close()
    returned = consumer_of(topic, group_instance_id="leaves", **settings)
    assert eventually(lambda: shared_out(stays, returned)) == before
    assert revocations.partitions == []


@feature("classic: cooperative")
def test_cooperative_members_keep_what_need_not_move(
    consumer_of: Make, make_topic: Callable[..., str], group: str
) -> None:
    topic, revocations = make_topic(4), Revocations()
    cooperative = [CooperativeStickyAssignor]
    settings = {"group_id": group, "partition_assignment_strategy": cooperative, **GROUP}
    first = consumer_of(**settings)
    first.subscribe([topic], listener=revocations)
    eventually(lambda: shared_out(first))
    second = consumer_of(topic, **settings)
    kept, moved = eventually(lambda: shared_out(first, second))
    assert len(kept) == len(moved) == 2
    assert set(revocations.partitions) == moved


@feature("classic: commit and resume")
def test_the_next_member_goes_on_from_the_commit(
    producer: KafkaProducer, consumer_of: Make, topic: str, group: str
) -> None:
    send(producer, topic, *(b"%d" % i for i in range(10)))
    first, partition = consumer_of(topic, group_id=group), TopicPartition(topic, 0)
    last = take(first, 6)[-1]
    first.commit({partition: OffsetAndMetadata(last.offset + 1, "note", -1)})
    first.close()
    second = consumer_of(topic, group_id=group)
    assert values(take(second, 4)) == [b"6", b"7", b"8", b"9"]
    committed = second.committed(partition, metadata=True)
    assert (committed.offset, committed.metadata) == (6, "note")


@feature("fenced member")
def test_who_takes_over_an_instance_id_fences_its_owner(
    producer: KafkaProducer, consumer_of: Make, topic: str, group: str
) -> None:
    send(producer, topic, b"0")
    settings = {"group_id": group, "group_instance_id": "the-one", **GROUP}
    first = consumer_of(topic, **settings)
    take(first, 1)
    second = consumer_of(topic, **settings)
    take(second, 1)
    position = {TopicPartition(topic, 0): OffsetAndMetadata(1, "", -1)}
    with pytest.raises(FencedInstanceIdError):
        first.commit(position)
    second.commit(position)


# Exactly once


@feature("idempotence")
def test_broken_connections_neither_lose_nor_double_nor_reorder(
    producer_of: Make, network: Callable[..., FaultyNetwork], topic: str, read: Read
) -> None:
    wire = network(seed=13, cuts_max=20, bytes_between_cuts=30_000)
    producer = producer_of(
        bootstrap_servers=wire.address,
        batch_size=2000,
        reconnect_backoff_ms=10,
        reconnect_backoff_max_ms=50,
        retry_backoff_ms=20,
    )
    sent = [b"%d " % i * 20 for i in range(3000)]
    send(producer, topic, *sent)
    assert wire.cuts > 5
    assert values(read(topic, len(sent))) == sent


@pytest.fixture
def transactional_id(unique: Callable[[str], str]) -> str:
    return unique("id")


@pytest.fixture
def transactional(producer_of: Make, transactional_id: str) -> Make:
    """Make producers of one transactional id, ready to begin."""

    def make(**config: Any) -> KafkaProducer:
        producer = producer_of(transactional_id=transactional_id, **config)
        producer.init_transactions()
        return producer

    return make


@feature("commit")
def test_a_committed_transaction_is_seen_by_all(
    transactional: Make, topic: str, read: Read
) -> None:
    producer = transactional()
    for batch in ([b"1", b"2"], [b"3"]):
        producer.begin_transaction()
        send(producer, topic, *batch)
        producer.commit_transaction()
    for isolation in ("read_committed", "read_uncommitted"):
        assert values(read(topic, 3, isolation_level=isolation)) == [b"1", b"2", b"3"]


@feature("abort")
def test_an_aborted_transaction_is_seen_only_uncommitted(
    transactional: Make, topic: str, read: Read
) -> None:
    producer = transactional()
    for value, end in [
        (b"kept", producer.commit_transaction),
        (b"dropped", producer.abort_transaction),
        (b"kept too", producer.commit_transaction),
    ]:
        producer.begin_transaction()
        send(producer, topic, value)
        end()
    committed = read(topic, 2, isolation_level="read_committed")
    assert values(committed) == [b"kept", b"kept too"]
    uncommitted = read(topic, 3, isolation_level="read_uncommitted")
    assert values(uncommitted) == [b"kept", b"dropped", b"kept too"]


@feature("open transaction")
def test_an_open_transaction_holds_back_what_comes_behind_it(
    transactional: Make, producer: KafkaProducer, topic: str, consumer_of: Make, read: Read
) -> None:
    opened = transactional()
    opened.begin_transaction()
    send(opened, topic, b"open")
    send(producer, topic, b"behind")
    assert values(read(topic, 2)) == [b"open", b"behind"]
    committed = consumer_of(topic, isolation_level="read_committed")
    assert committed.poll(500) == {}
    opened.commit_transaction()
    assert values(take(committed, 2)) == [b"open", b"behind"]


@feature("fencing")
def test_a_second_producer_of_the_id_aborts_what_the_first_left_open(
    transactional: Make, topic: str, read: Read
) -> None:
    first = transactional()
    first.begin_transaction()
    send(first, topic, b"left open")
    second = transactional()
    second.begin_transaction()
    send(second, topic, b"by the second")
    second.commit_transaction()
    assert values(read(topic, 1, isolation_level="read_committed")) == [b"by the second"]


@feature("zombie")
@pytest.mark.parametrize("attempt", ["commit", "write"])
def test_the_first_producer_of_an_id_can_do_no_more(
    transactional: Make, topic: str, read: Read, attempt: str
) -> None:
    zombie = transactional()
    zombie.begin_transaction()
    send(zombie, topic, b"left open")
    second = transactional()
    attempts = {
        "write": lambda: send(zombie, topic, b"from the grave"),
        "commit": zombie.commit_transaction,
    }
    with pytest.raises(KafkaError):
        attempts[attempt]()
    second.begin_transaction()
    send(second, topic, b"by the second")
    second.commit_transaction()
    assert values(read(topic, 1, isolation_level="read_committed")) == [b"by the second"]
    assert values(read(topic, 2)) == [b"left open", b"by the second"]


@feature("transaction timeout")
def test_the_broker_aborts_what_nobody_ends(
    transactional: Make, producer: KafkaProducer, topic: str, read: Read
) -> None:
    forgetful = transactional(transaction_timeout_ms=1000)
    forgetful.begin_transaction()
    send(forgetful, topic, b"forgotten")
    send(producer, topic, b"behind")
    assert values(read(topic, 1, isolation_level="read_committed")) == [b"behind"]
    with pytest.raises(KafkaError):
        forgetful.commit_transaction()


@feature("offsets in a transaction")
def test_offsets_count_only_if_their_transaction_commits(
    transactional: Make, producer: KafkaProducer, topic: str, group: str, consumer_of: Make
) -> None:
    send(producer, topic, b"0", b"1", b"2")
    consumer, partition = consumer_of(topic, group_id=group), TopicPartition(topic, 0)
    take(consumer, 3)
    atomic = transactional()

    def commit_at(offset: int, end: Callable[[], None]) -> int:
        atomic.begin_transaction()
        position = {partition: OffsetAndMetadata(offset, "", -1)}
        atomic.send_offsets_to_transaction(position, consumer.group_metadata())
        end()
        return int(consumer.committed(partition))

    assert commit_at(2, atomic.commit_transaction) == 2
    assert commit_at(3, atomic.abort_transaction) == 2


# Administration


@feature("create topics", "describe topics", "list topics")
def test_created_topics_are_described_and_listed(
    administrator: KafkaAdminClient, unique: Callable[[str], str]
) -> None:
    topic = unique("created")
    new = {"num_partitions": 3, "replication_factor": 1, "configs": {"retention.ms": "12345"}}
    administrator.create_topics({topic: new})
    eventually(lambda: topic in administrator.list_topics())
    (described,) = administrator.describe_topics([topic])
    assert sorted(p["partition_index"] for p in described["partitions"]) == [0, 1, 2]
    assert set(described["topic_id"]) - set("0-")
    assert configs_of(administrator, topic)["retention.ms"]["value"] == "12345"


@feature("delete topics")
def test_a_deleted_topic_can_be_made_anew(
    administrator: KafkaAdminClient, producer_of: Make, topic: str, read: Read
) -> None:
    send(producer_of(), topic, b"old")
    administrator.delete_topics([topic])
    eventually(lambda: topic not in administrator.list_topics())
    administrator.create_topics({topic: {"num_partitions": 1}})
    send(producer_of(), topic, b"new")
    assert values(read(topic, 1)) == [b"new"]


@feature("add partitions")
def test_partitions_are_added(
    administrator: KafkaAdminClient, producer_of: Make, topic: str, read: Read
) -> None:
    send(producer_of(), topic, b"kept")
    administrator.create_partitions({topic: 3})
    eventually(lambda: len(administrator.describe_topics([topic])[0]["partitions"]) == 3)
    send(producer_of(), topic, b"new", partition=2)
    assert values(read(topic, 1)) == [b"kept"]
    with pytest.raises(InvalidPartitionsError):
        administrator.create_partitions({topic: 2})


def configs_of(administrator: KafkaAdminClient, topic: str) -> dict[str, dict[str, Any]]:
    resource = ConfigResource(ConfigResourceType.TOPIC, topic)
    return dict(administrator.describe_configs([resource], config_filter="all")["topic"][topic])


@feature("describe configs", "alter configs")
@pytest.mark.parametrize("incremental", [True, False])
def test_configs_are_described_set_and_reset(
    administrator: KafkaAdminClient, topic: str, incremental: bool
) -> None:
    def value() -> str:
        return str(configs_of(administrator, topic)["retention.ms"]["value"])

    resource = ConfigResource(ConfigResourceType.TOPIC, topic, {"retention.ms": "60000"})
    assert configs_of(administrator, topic)["cleanup.policy"]["value"] == "delete"
    administrator.alter_configs([resource], incremental=incremental)
    eventually(lambda: value() == "60000")
    administrator.reset_configs([resource], incremental=incremental)
    eventually(lambda: value() == "604800000")


@feature("list groups", "describe groups", "delete groups")
def test_groups_are_listed_described_and_deleted(
    administrator: KafkaAdminClient, consumer_of: Make, topic: str, group: str
) -> None:
    consumer = consumer_of(topic, group_id=group)
    eventually(lambda: shared_out(consumer, count=1))

    def listed() -> dict[str, str]:
        return {each["group_id"]: each["group_state"] for each in administrator.list_groups()}

    assert listed()[group] == "Stable"
    described = administrator.describe_groups([group])[group]
    (member,) = described["members"]
    assert (described["group_state"], member["client_host"]) == ("Stable", "/127.0.0.1")
    assert administrator.delete_groups([group]) == {group: "NonEmptyGroupError"}
    consumer.close()
    eventually(lambda: listed()[group] == "Empty")
    assert administrator.delete_groups([group]) == {group: "OK"}
    assert group not in listed()


@feature("list offsets")
def test_offsets_are_listed(
    administrator: KafkaAdminClient, producer: KafkaProducer, topic: str
) -> None:
    for i in range(5):
        producer.send(topic, b"x", timestamp_ms=1000 + i).get(20)
    partition = TopicPartition(topic, 0)

    def listed(spec: Any) -> int:
        return int(administrator.list_partition_offsets({partition: spec})[partition].offset)

    specs = [OffsetSpec.EARLIEST, OffsetSpec.LATEST, 1003, OffsetSpec.MAX_TIMESTAMP]
    assert [listed(spec) for spec in specs] == [0, 5, 3, 4]


@feature("group offsets")
def test_offsets_of_a_group_are_set_listed_and_deleted(
    administrator: KafkaAdminClient, producer: KafkaProducer, topic: str, group: str
) -> None:
    send(producer, topic, b"0", b"1", b"2")
    partition = TopicPartition(topic, 0)
    altered = administrator.alter_group_offsets(group, {partition: OffsetAndMetadata(2, "", -1)})
    assert altered == {partition: NoError}
    listed = administrator.list_group_offsets(group)[group]
    assert {each: at.offset for each, at in listed.items()} == {partition: 2}
    assert administrator.delete_group_offsets(group, [partition]) == {partition: NoError}
    assert partition not in administrator.list_group_offsets(group)[group]


@feature("delete records")
def test_records_are_deleted_up_to_an_offset(
    administrator: KafkaAdminClient, producer: KafkaProducer, topic: str, consumer_of: Make
) -> None:
    send(producer, topic, *(b"%d" % i for i in range(10)))
    partition = TopicPartition(topic, 0)
    assert administrator.delete_records({partition: 4})[partition]["low_watermark"] == 4
    assert take(consumer_of(topic), 1)[0].offset == 4


@feature("describe cluster")
def test_the_cluster_is_described(administrator: KafkaAdminClient, bootstrap: str) -> None:
    cluster = administrator.describe_cluster()
    (node,) = cluster["brokers"]
    assert f"{node['host']}:{node['port']}" == bootstrap
    assert cluster["controller_id"] == node["broker_id"]
    assert cluster["cluster_id"]


@feature("describe transactions")
def test_transactions_and_producers_are_described(
    administrator: KafkaAdminClient, transactional: Make, transactional_id: str, topic: str
) -> None:
    producer, partition = transactional(), TopicPartition(topic, 0)
    producer.begin_transaction()
    send(producer, topic, b"open")
    described = administrator.describe_transactions([transactional_id])[transactional_id]
    assert (described.state, described.topic_partitions) == ("Ongoing", {partition})
    (listed,) = (
        each
        for some in administrator.list_transactions(state_filters=["Ongoing"]).values()
        for each in some
        if each.transactional_id == transactional_id
    )
    assert listed.producer_id == described.producer_id
    (writing,) = administrator.describe_producers([partition])[partition].active_producers
    assert writing.producer_id == described.producer_id
    assert writing.current_transaction_start_offset == 0
    producer.commit_transaction()


# Errors


@feature("unknown topic")
def test_a_topic_that_is_unknown(
    administrator: KafkaAdminClient, unique: Callable[[str], str]
) -> None:
    unknown = unique("unknown")
    with pytest.raises(UnknownTopicOrPartitionError):
        administrator.delete_topics([unknown])
    (described,) = administrator.describe_topics([unknown])
    assert for_code(described["error_code"]) is UnknownTopicOrPartitionError


@feature("too large")
def test_a_record_that_is_too_large(
    producer: KafkaProducer, make_topic: Callable[..., str]
) -> None:
    with pytest.raises(MessageSizeTooLargeError):
        producer.send(make_topic(max_message_bytes="2000"), bytes(3000)).get(20)


@feature("out of range")
def test_an_offset_that_does_not_exist(producer: KafkaProducer, topic: str, read: Read) -> None:
    send(producer, topic, b"0")
    with pytest.raises(OffsetOutOfRangeError):
        read(topic, 1, start=17, auto_offset_reset="none")


@feature("wrong leader epoch")
def test_a_leader_epoch_that_is_not_the_leaders(
    start_broker: Callable[..., Any], tmp_path: Path
) -> None:
    for _ in range(2):  # each start of a broker begins an epoch
        with start_broker(tmp_path / "data") as broker:
            administrator = KafkaAdminClient(bootstrap_servers=broker.address)
            if "topic" not in administrator.list_topics():
                administrator.create_topics(["topic"])
            eventually(lambda: leader_epoch_told(administrator) is not None)  # noqa: B023
            current = leader_epoch_told(administrator)
            errors = [error_with(administrator, current + more) for more in (-1, 0, 1)]
            administrator.close()
    assert current > 0
    assert errors == [FencedLeaderEpochError, NoError, UnknownLeaderEpochError]


def leader_epoch_told(administrator: KafkaAdminClient) -> int | None:
    (described,) = administrator.describe_topics(["topic"])
    partitions = described["partitions"]
    return partitions[0]["leader_epoch"] if partitions and partitions[0]["leader_id"] == 1 else None


def error_with(administrator: KafkaAdminClient, leader_epoch: int) -> type[KafkaError]:
    """Ask for an offset with a leader epoch that the client would not use by itself."""
    kinds = ListOffsetsRequest.ListOffsetsTopic
    partition = kinds.ListOffsetsPartition(
        partition_index=0, current_leader_epoch=leader_epoch, timestamp=-1
    )
    request = ListOffsetsRequest(
        replica_id=-1,
        isolation_level=0,
        topics=[kinds(name="topic", partitions=[partition])],
        min_version=4,
        max_version=6,
    )
    response = administrator._manager.run(_ask, administrator, request, 1)
    return for_code(response.topics[0].partitions[0].error_code)


async def _ask(administrator: KafkaAdminClient, request: Any, node_id: int) -> Any:
    return await administrator._manager.send(request, node_id=node_id)


@feature("invalid topic name")
def test_a_topic_name_that_is_invalid(administrator: KafkaAdminClient) -> None:
    for name in ("with space", "a" * 250, ".", "sl/ash"):
        with pytest.raises(InvalidTopicError):
            administrator.create_topics([name])


@feature("invalid config")
def test_a_config_that_is_invalid(
    administrator: KafkaAdminClient, unique: Callable[[str], str]
) -> None:
    with pytest.raises(InvalidConfigurationError):
        administrator.create_topics({unique("topic"): {"configs": {"retention.ms": "soon"}}})


@feature("topic exists")
def test_a_topic_that_exists(administrator: KafkaAdminClient, topic: str) -> None:
    with pytest.raises(TopicAlreadyExistsError):
        administrator.create_topics([topic])
