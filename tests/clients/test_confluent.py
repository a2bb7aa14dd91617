"""librdkafka of today, through confluent-kafka."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import confluent_kafka
import pytest
from confluent_kafka import (
    OFFSET_BEGINNING,
    OFFSET_END,
    TIMESTAMP_CREATE_TIME,
    TIMESTAMP_LOG_APPEND_TIME,
    Consumer,
    ConsumerGroupTopicPartitions,
    IsolationLevel,
    KafkaError,
    KafkaException,
    Message,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    OffsetSpec,
)
from millpond.tests.clients.faulty_network import FaultyNetwork
from millpond.tests.clients.features import feature
from millpond.tests.clients.waiting import eventually

CLIENT = "confluent-kafka"
VERSION = f"{confluent_kafka.version()} (librdkafka {confluent_kafka.libversion()[0]})"
MISSING = {
    "wrong leader epoch": "takes the epoch from the broker's metadata, so it is never wrong for long",
    "describe transactions": "has no such call",
}

COMPRESSIONS = [
    pytest.param("none", marks=feature("no compression")),
    *(pytest.param(name, marks=feature(name)) for name in ("gzip", "snappy", "lz4", "zstd")),
]
CLASSIC = {
    "group.protocol": "classic",
    "session.timeout.ms": 2000,
    "heartbeat.interval.ms": 300,
}
KIP_848 = {"group.protocol": "consumer"}


def protocols(what: str) -> pytest.MarkDecorator:
    """Run a test with both group protocols."""
    return pytest.mark.parametrize(
        "protocol",
        [
            pytest.param(CLASSIC, id="classic", marks=feature(f"classic: {what}")),
            pytest.param(KIP_848, id="KIP-848", marks=feature(f"KIP-848: {what}")),
        ],
    )


@pytest.fixture
def producer(bootstrap: str) -> Producer:
    return Producer({"bootstrap.servers": bootstrap, "linger.ms": 0})


@pytest.fixture
def consumer_of(bootstrap: str) -> Iterator[Callable[..., Consumer]]:
    """Make consumers that are closed at the end."""
    consumers: list[Consumer] = []

    def make(group: str = "unused", **config: Any) -> Consumer:
        settings = {
            "bootstrap.servers": bootstrap,
            "group.id": group,
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "fetch.wait.max.ms": 100,
            "topic.metadata.refresh.interval.ms": 1000,
        }
        settings |= {name.replace("_", "."): value for name, value in config.items()}
        consumers.append(Consumer(settings))
        return consumers[-1]

    yield make
    for consumer in consumers:
        consumer.close()


@pytest.fixture
def read(consumer_of: Callable[..., Consumer]) -> Callable[..., list[Message]]:
    """Read so many records of partition 0."""

    def read(topic: str, count: int, start: int = OFFSET_BEGINNING, **config: Any) -> list[Message]:
        consumer = consumer_of(**config)
        consumer.assign([TopicPartition(topic, 0, start)])
        return take(consumer, count)

    return read


def take(consumer: Consumer, count: int) -> list[Message]:
    """Take so many records; fail if they don't come."""
    messages: list[Message] = []
    deadline = time.monotonic() + 20
    while len(messages) < count and time.monotonic() < deadline:
        for message in consumer.consume(count - len(messages), 0.1):
            assert message.error() is None, message.error()
            messages.append(message)
    assert len(messages) == count, f"{len(messages)} of {count} records came"
    return messages


def takes_nothing(consumer: Consumer, within_s: float = 0.5) -> bool:
    return consumer.consume(1, within_s) == []


def values(messages: list[Message]) -> list[bytes | None]:
    return [message.value() for message in messages]


def send(producer: Producer, topic: str, *sent: bytes, partition: int = 0) -> list[Message]:
    """Send values, and return them as they were acknowledged."""
    acknowledged: list[Message] = []

    def done(error: KafkaError | None, message: Message) -> None:
        assert error is None, error
        acknowledged.append(message)

    for value in sent:
        producer.produce(topic, value, partition=partition, on_delivery=done)
    assert producer.flush(20) == 0
    return acknowledged


def refusal(action: Callable[[], Any]) -> int:
    """Return the code of the error that an action ends in."""
    with pytest.raises(KafkaException) as refused:
        action()
    error: KafkaError = refused.value.args[0]
    return int(error.code())


# Produce


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_what_is_sent_in_any_compression_is_read(
    bootstrap: str, topic: str, read: Callable[..., list[Message]], compression: str
) -> None:
    sent = []
    for acks in ("0", "1", "all"):
        settings = {"bootstrap.servers": bootstrap, "compression.type": compression, "acks": acks}
        batch = [f"{acks} {i} ".encode() * 50 for i in range(100)]
        send(Producer(settings | {"linger.ms": 20}), topic, *batch)
        sent += batch
    assert sorted(values(read(topic, 300))) == sorted(sent)  # nobody waits for those of acks 0


@feature("headers")
def test_headers_keep_order_repetition_and_null(
    producer: Producer, topic: str, read: Callable[..., list[Message]]
) -> None:
    headers = [("trace", b"1"), ("trace", b"2"), ("empty", b""), ("nothing", None)]
    producer.produce(topic, b"x", headers=headers)
    producer.flush(20)
    assert read(topic, 1)[0].headers() == headers


@feature("null keys and values")
def test_null_is_not_empty(
    producer: Producer, topic: str, read: Callable[..., list[Message]]
) -> None:
    pairs = [(None, b"v"), (b"", b"v"), (b"k", None), (b"k", b""), (None, None)]
    for key, value in pairs:
        producer.produce(topic, value, key, partition=0)
    producer.flush(20)
    assert [(m.key(), m.value()) for m in read(topic, len(pairs))] == pairs


@feature("large records")
def test_a_record_of_almost_a_megabyte(
    producer: Producer, topic: str, read: Callable[..., list[Message]]
) -> None:
    large = bytes(range(256)) * 3900
    send(producer, topic, b"before", large, b"behind")
    assert values(read(topic, 3)) == [b"before", large, b"behind"]


@feature("timestamps")
def test_timestamps_are_the_producers_or_the_brokers(
    producer: Producer, make_topic: Callable[..., str], read: Callable[..., list[Message]]
) -> None:
    theirs, ours = make_topic(), make_topic(message_timestamp_type="LogAppendTime")
    before = time.time() * 1000 - 1
    for topic in (theirs, ours):
        producer.produce(topic, b"x", timestamp=1_234_567_890_123)
    producer.flush(20)
    assert read(theirs, 1)[0].timestamp() == (TIMESTAMP_CREATE_TIME, 1_234_567_890_123)
    kind, appended = read(ours, 1)[0].timestamp()
    assert kind == TIMESTAMP_LOG_APPEND_TIME
    assert before <= appended <= time.time() * 1000 + 1


@feature("automatic topics")
def test_a_topic_is_made_when_somebody_writes_to_it(
    producer: Producer, unique: Callable[[str], str], read: Callable[..., list[Message]]
) -> None:
    topic = unique("automatic")
    send(producer, topic, b"first")
    assert values(read(topic, 1)) == [b"first"]


# Consume


@feature("from the beginning")
def test_reading_from_the_beginning(
    producer: Producer, topic: str, read: Callable[..., list[Message]]
) -> None:
    send(producer, topic, *(b"%d" % i for i in range(1000)))
    assert [m.offset() for m in read(topic, 1000)] == list(range(1000))


@feature("from the end")
def test_reading_from_the_end_sees_what_comes_later(
    producer: Producer, topic: str, consumer_of: Callable[..., Consumer]
) -> None:
    send(producer, topic, b"before")
    consumer = consumer_of()
    consumer.assign([TopicPartition(topic, 0, OFFSET_END)])
    partition = TopicPartition(topic, 0)
    eventually(
        lambda: consumer.poll(0.1) or consumer.get_watermark_offsets(partition, cached=True)[1] == 1
    )
    send(producer, topic, b"later")
    assert values(take(consumer, 1)) == [b"later"]


@feature("from an offset")
def test_reading_from_an_offset(
    producer: Producer, topic: str, read: Callable[..., list[Message]]
) -> None:
    send(producer, topic, *(b"%d" % i for i in range(20)))
    assert values(read(topic, 3, start=7)) == [b"7", b"8", b"9"]


@feature("from a time")
def test_reading_from_a_time(
    producer: Producer,
    topic: str,
    consumer_of: Callable[..., Consumer],
    read: Callable[..., list[Message]],
) -> None:
    for i in range(10):
        producer.produce(topic, b"%d" % i, timestamp=1_000_000 + i * 1000)
        producer.flush(20)
    asked = [TopicPartition(topic, 0, time_ms) for time_ms in (0, 1_003_500, 1_009_000, 2_000_000)]
    found = [consumer_of().offsets_for_times([each], 10)[0].offset for each in asked]
    assert found == [0, 4, 9, OFFSET_END]
    assert values(read(topic, 1, start=found[1])) == [b"4"]


# Groups


def partitions_of(consumer: Consumer) -> set[int]:
    consumer.poll(0.05)
    return {each.partition for each in consumer.assignment()}


def shared_out(*consumers: Consumer, count: int = 4) -> list[set[int]] | None:
    """Return who has which partitions, once every partition has one owner and everybody has some."""
    owned = [partitions_of(consumer) for consumer in consumers]
    complete = sorted(p for each in owned for p in each) == list(range(count))
    return owned if complete and all(owned) else None


@protocols("join and leave")
def test_members_share_partitions_and_take_over_from_who_leaves(
    consumer_of: Callable[..., Consumer],
    make_topic: Callable[..., str],
    group: str,
    protocol: dict[str, Any],
) -> None:
    topic = make_topic(4)
    first, second = consumer_of(group, **protocol), consumer_of(group, **protocol)
    first.subscribe([topic])
    eventually(lambda: shared_out(first))
    second.subscribe([topic])
    eventually(lambda: shared_out(first, second))
    second.close()
    eventually(lambda: shared_out(first))


@protocols("crash")
def test_partitions_of_a_crashed_member_move(
    consumer_of: Callable[..., Consumer],
    make_topic: Callable[..., str],
    network: Callable[..., FaultyNetwork],
    group: str,
    protocol: dict[str, Any],
) -> None:
    topic, wire = make_topic(4), network()
    survivor = consumer_of(group, **protocol)
    doomed = consumer_of(group, **protocol, bootstrap_servers=wire.address)
    for consumer in (survivor, doomed):
        consumer.subscribe([topic])
    eventually(lambda: shared_out(survivor, doomed))
    wire.break_for_good()
    eventually(lambda: shared_out(survivor))


@protocols("static member")
def test_a_static_member_comes_back_to_its_partitions(
    consumer_of: Callable[..., Consumer],
    make_topic: Callable[..., str],
    group: str,
    protocol: dict[str, Any],
) -> None:
    topic = make_topic(4)
    revoked: list[TopicPartition] = []

    def member(name: str) -> Consumer:
        return consumer_of(group, **protocol, group_instance_id=name)

    stays, leaves = member("stays"), member("leaves")
    stays.subscribe([topic], on_revoke=lambda _, partitions: revoked.extend(partitions))
    leaves.subscribe([topic])
    before = eventually(lambda: shared_out(stays, leaves))
    revoked.clear()
    leaves.close()
    returned = member("leaves")
    returned.subscribe([topic])
    assert eventually(lambda: shared_out(stays, returned)) == before
    assert revoked == []


@feature("classic: cooperative")
def test_cooperative_members_keep_what_need_not_move(
    consumer_of: Callable[..., Consumer], make_topic: Callable[..., str], group: str
) -> None:
    topic = make_topic(4)
    settings = CLASSIC | {"partition.assignment.strategy": "cooperative-sticky"}
    revoked: list[int] = []
    first, second = consumer_of(group, **settings), consumer_of(group, **settings)
    first.subscribe([topic], on_revoke=lambda _, moved: revoked.extend(p.partition for p in moved))
    eventually(lambda: shared_out(first))
    second.subscribe([topic])
    kept, moved = eventually(lambda: shared_out(first, second))
    assert len(kept) == len(moved) == 2
    assert set(revoked) == moved


@protocols("commit and resume")
def test_the_next_member_goes_on_from_the_commit(
    producer: Producer,
    consumer_of: Callable[..., Consumer],
    topic: str,
    group: str,
    protocol: dict[str, Any],
) -> None:
    send(producer, topic, *(b"%d" % i for i in range(10)))
    first = consumer_of(group, **protocol)
    first.subscribe([topic])
    last = take(first, 6)[-1]
    first.commit(
        offsets=[TopicPartition(topic, 0, last.offset() + 1, metadata="note")], asynchronous=False
    )
    first.close()
    second = consumer_of(group, **protocol)
    second.subscribe([topic])
    assert values(take(second, 4)) == [b"6", b"7", b"8", b"9"]
    committed = second.committed([TopicPartition(topic, 0)], 10)[0]
    assert (committed.offset, committed.metadata) == (6, "note")


# Exactly once


@feature("idempotence")
def test_broken_connections_neither_lose_nor_double_nor_reorder(
    network: Callable[..., FaultyNetwork], topic: str, read: Callable[..., list[Message]]
) -> None:
    wire = network(seed=11, cuts_max=20, bytes_between_cuts=30_000)
    producer = Producer(
        {
            "bootstrap.servers": wire.address,
            "enable.idempotence": True,
            "reconnect.backoff.ms": 10,
            "reconnect.backoff.max.ms": 50,
            "retry.backoff.ms": 20,
            "batch.num.messages": 20,
            "linger.ms": 1,
        }
    )
    sent = [b"%d " % i * 20 for i in range(5000)]
    send(producer, topic, *sent)
    assert wire.cuts > 5
    assert values(read(topic, len(sent))) == sent


@pytest.fixture
def transactional(bootstrap: str, unique: Callable[[str], str]) -> Callable[..., Producer]:
    """Make producers of one transactional id, ready to begin."""
    transactional_id = unique("id")

    def make(**config: Any) -> Producer:
        settings = {"bootstrap.servers": bootstrap, "transactional.id": transactional_id}
        producer = Producer(settings | {k.replace("_", "."): v for k, v in config.items()})
        producer.init_transactions(20)
        return producer

    return make


@feature("commit")
def test_a_committed_transaction_is_seen_by_all(
    transactional: Callable[..., Producer], topic: str, read: Callable[..., list[Message]]
) -> None:
    producer = transactional()
    for batch in ([b"1", b"2"], [b"3"]):
        producer.begin_transaction()
        send(producer, topic, *batch)
        producer.commit_transaction(20)
    for isolation in ("read_committed", "read_uncommitted"):
        assert values(read(topic, 3, isolation_level=isolation)) == [b"1", b"2", b"3"]


@feature("abort")
def test_an_aborted_transaction_is_seen_only_uncommitted(
    transactional: Callable[..., Producer], topic: str, read: Callable[..., list[Message]]
) -> None:
    producer = transactional()
    for value, end in [
        (b"kept", producer.commit_transaction),
        (b"dropped", producer.abort_transaction),
        (b"kept too", producer.commit_transaction),
    ]:
        producer.begin_transaction()
        send(producer, topic, value)
        end(20)
    committed = read(topic, 2, isolation_level="read_committed")
    assert values(committed) == [b"kept", b"kept too"]
    uncommitted = read(topic, 3, isolation_level="read_uncommitted")
    assert values(uncommitted) == [b"kept", b"dropped", b"kept too"]


@feature("open transaction")
def test_an_open_transaction_holds_back_what_comes_behind_it(
    transactional: Callable[..., Producer],
    producer: Producer,
    topic: str,
    consumer_of: Callable[..., Consumer],
    read: Callable[..., list[Message]],
) -> None:
    opened = transactional()
    opened.begin_transaction()
    send(opened, topic, b"open")
    send(producer, topic, b"behind")
    assert values(read(topic, 2, isolation_level="read_uncommitted")) == [b"open", b"behind"]
    committed = consumer_of(isolation_level="read_committed")
    committed.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])
    assert takes_nothing(committed)
    opened.commit_transaction(20)
    assert values(take(committed, 2)) == [b"open", b"behind"]


@feature("fencing")
def test_a_second_producer_of_the_id_aborts_what_the_first_left_open(
    transactional: Callable[..., Producer], topic: str, read: Callable[..., list[Message]]
) -> None:
    first = transactional()
    first.begin_transaction()
    send(first, topic, b"left open")
    second = transactional()
    second.begin_transaction()
    send(second, topic, b"by the second")
    second.commit_transaction(20)
    assert values(read(topic, 1, isolation_level="read_committed")) == [b"by the second"]


@feature("zombie")
@pytest.mark.parametrize("attempt", ["commit", "write"])
def test_the_first_producer_of_an_id_can_do_no_more(
    transactional: Callable[..., Producer],
    topic: str,
    read: Callable[..., list[Message]],
    attempt: str,
) -> None:
    zombie = transactional()
    zombie.begin_transaction()
    send(zombie, topic, b"left open")
    second = transactional()
    if attempt == "write":
        zombie.produce(topic, b"from the grave")
    with pytest.raises(KafkaException) as fenced:
        zombie.commit_transaction(20)
    assert fenced.value.args[0].code() == KafkaError._FENCED
    second.begin_transaction()
    send(second, topic, b"by the second")
    second.commit_transaction(20)
    assert values(read(topic, 1, isolation_level="read_committed")) == [b"by the second"]
    uncommitted = values(read(topic, 2, isolation_level="read_uncommitted"))
    assert uncommitted == [b"left open", b"by the second"]


@feature("transaction timeout")
def test_the_broker_aborts_what_nobody_ends(
    transactional: Callable[..., Producer],
    producer: Producer,
    topic: str,
    read: Callable[..., list[Message]],
) -> None:
    forgetful = transactional(transaction_timeout_ms=1000)
    forgetful.begin_transaction()
    send(forgetful, topic, b"forgotten")
    send(producer, topic, b"behind")
    assert values(read(topic, 1, isolation_level="read_committed")) == [b"behind"]
    with pytest.raises(KafkaException):
        forgetful.commit_transaction(20)


@feature("offsets in a transaction")
def test_offsets_count_only_if_their_transaction_commits(
    transactional: Callable[..., Producer],
    producer: Producer,
    topic: str,
    group: str,
    consumer_of: Callable[..., Consumer],
) -> None:
    send(producer, topic, b"0", b"1", b"2")
    consumer = consumer_of(group)
    consumer.subscribe([topic])
    take(consumer, 3)
    atomic = transactional()

    def commit_at(offset: int, end: Callable[[float], None]) -> int:
        atomic.begin_transaction()
        position = [TopicPartition(topic, 0, offset)]
        atomic.send_offsets_to_transaction(position, consumer.consumer_group_metadata(), 20)
        end(20)
        return int(consumer.committed([TopicPartition(topic, 0)], 10)[0].offset)

    assert commit_at(2, atomic.commit_transaction) == 2
    assert commit_at(3, atomic.abort_transaction) == 2


# Administration


@feature("create topics", "describe topics", "list topics")
def test_created_topics_are_described_and_listed(
    admin: AdminClient, unique: Callable[[str], str]
) -> None:
    topic = unique("created")
    new = NewTopic(topic, 3, 1, config={"retention.ms": "12345"})
    admin.create_topics([new])[topic].result(10)
    eventually(lambda: topic in admin.list_topics(timeout=10).topics)
    described = admin.describe_topics(confluent_kafka.TopicCollection([topic]))[topic].result(10)
    assert [p.id for p in described.partitions] == [0, 1, 2]
    assert {p.leader.id for p in described.partitions} == {
        p.isr[0].id for p in described.partitions
    }
    assert str(described.topic_id) != "AAAAAAAAAAAAAAAAAAAAAA"
    assert config_of(admin, topic)["retention.ms"].value == "12345"


@feature("delete topics")
def test_a_deleted_topic_can_be_made_anew(
    admin: AdminClient, producer: Producer, topic: str, read: Callable[..., list[Message]]
) -> None:
    send(producer, topic, b"old")
    admin.delete_topics([topic])[topic].result(10)
    eventually(lambda: topic not in admin.list_topics(timeout=10).topics)
    admin.create_topics([NewTopic(topic, 1)])[topic].result(10)
    send(Producer({"bootstrap.servers": bootstrap_of(admin)}), topic, b"new")
    assert values(read(topic, 1)) == [b"new"]


@feature("add partitions")
def test_partitions_are_added(
    admin: AdminClient, producer: Producer, topic: str, read: Callable[..., list[Message]]
) -> None:
    send(producer, topic, b"kept")
    admin.create_partitions([NewPartitions(topic, 3)])[topic].result(10)
    eventually(lambda: len(admin.list_topics(topic, 10).topics[topic].partitions) == 3)
    send(Producer({"bootstrap.servers": bootstrap_of(admin)}), topic, b"new", partition=2)
    assert values(read(topic, 1)) == [b"kept"]
    fewer = admin.create_partitions([NewPartitions(topic, 2)])[topic]
    assert refusal(lambda: fewer.result(10)) == KafkaError.INVALID_PARTITIONS


def config_of(admin: AdminClient, topic: str) -> dict[str, ConfigEntry]:
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
    return dict(admin.describe_configs([resource])[resource].result(10))


@feature("describe configs", "alter configs")
def test_configs_are_described_set_and_reset(admin: AdminClient, topic: str) -> None:
    def alter(operation: AlterConfigOpType, value: str | None) -> None:
        entry = ConfigEntry("retention.ms", value, incremental_operation=operation)
        resource = ConfigResource(ConfigResource.Type.TOPIC, topic, incremental_configs=[entry])
        admin.incremental_alter_configs([resource])[resource].result(10)

    policy = config_of(admin, topic)["cleanup.policy"]
    assert (policy.value, policy.is_default) == ("delete", True)
    alter(AlterConfigOpType.SET, "60000")
    changed = eventually(
        lambda: (c := config_of(admin, topic)["retention.ms"]).value == "60000" and c
    )
    assert not changed.is_default
    alter(AlterConfigOpType.DELETE, None)
    eventually(lambda: config_of(admin, topic)["retention.ms"].value == "604800000")


@feature("list groups", "describe groups", "delete groups")
def test_groups_are_listed_described_and_deleted(
    admin: AdminClient, consumer_of: Callable[..., Consumer], topic: str, group: str
) -> None:
    consumer = consumer_of(group)
    consumer.subscribe([topic])
    eventually(lambda: partitions_of(consumer) == {0})

    def listed() -> dict[str, str]:
        groups = admin.list_consumer_groups(request_timeout=10).result(10).valid
        return {each.group_id: each.state.name for each in groups}

    assert listed()[group] == "STABLE"
    described = admin.describe_consumer_groups([group])[group].result(10)
    (member,) = described.members
    assert member.assignment.topic_partitions == [TopicPartition(topic, 0)]
    deletion = admin.delete_consumer_groups([group])[group]
    assert refusal(lambda: deletion.result(10)) == KafkaError.NON_EMPTY_GROUP
    consumer.close()
    eventually(lambda: listed()[group] == "EMPTY")
    admin.delete_consumer_groups([group])[group].result(10)
    assert group not in listed()


@feature("list offsets")
def test_offsets_are_listed(admin: AdminClient, producer: Producer, topic: str) -> None:
    for i in range(5):
        producer.produce(topic, b"x", timestamp=1000 + i)
    producer.flush(20)
    partition = TopicPartition(topic, 0)

    def listed(spec: OffsetSpec) -> int:
        asked = admin.list_offsets({partition: spec}, isolation_level=IsolationLevel.READ_COMMITTED)
        return int(asked[partition].result(10).offset)

    specs = [OffsetSpec.earliest(), OffsetSpec.latest(), OffsetSpec.for_timestamp(1003)]
    assert [listed(spec) for spec in [*specs, OffsetSpec.max_timestamp()]] == [0, 5, 3, 4]


@feature("group offsets")
def test_offsets_of_a_group_are_set_and_listed(
    admin: AdminClient, producer: Producer, topic: str, group: str
) -> None:
    send(producer, topic, b"0", b"1", b"2")
    asked = ConsumerGroupTopicPartitions(group, [TopicPartition(topic, 0, 2)])
    admin.alter_consumer_group_offsets([asked])[group].result(10)
    listed = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)])[group]
    assert [(p.topic, p.offset) for p in listed.result(10).topic_partitions] == [(topic, 2)]


@feature("delete records")
def test_records_are_deleted_up_to_an_offset(
    admin: AdminClient, producer: Producer, topic: str, read: Callable[..., list[Message]]
) -> None:
    send(producer, topic, *(b"%d" % i for i in range(10)))
    partition = TopicPartition(topic, 0, 4)
    assert admin.delete_records([partition])[partition].result(10).low_watermark == 4
    assert read(topic, 1)[0].offset() == 4


@feature("describe cluster")
def test_the_cluster_is_described(admin: AdminClient) -> None:
    cluster = admin.describe_cluster().result(10)
    assert cluster.cluster_id
    (node,) = cluster.nodes
    assert f"{node.host}:{node.port}" == bootstrap_of(admin)
    assert cluster.controller.id == node.id


# Errors


@feature("unknown topic")
def test_a_topic_that_is_unknown(
    unique: Callable[[str], str], consumer_of: Callable[..., Consumer]
) -> None:
    consumer = consumer_of(allow_auto_create_topics=False)
    consumer.subscribe([unique("unknown")])
    message = eventually(lambda: consumer.poll(0.2))
    assert message.error().code() == KafkaError.UNKNOWN_TOPIC_OR_PART


@feature("too large")
def test_a_record_that_is_too_large(bootstrap: str, make_topic: Callable[..., str]) -> None:
    topic = make_topic(max_message_bytes="2000")
    errors: list[KafkaError] = []
    producer = Producer({"bootstrap.servers": bootstrap})
    producer.produce(topic, bytes(3000), on_delivery=lambda error, _: errors.append(error))
    producer.flush(20)
    assert [error.code() for error in errors] == [KafkaError.MSG_SIZE_TOO_LARGE]


@feature("out of range")
def test_an_offset_that_does_not_exist(
    producer: Producer, topic: str, consumer_of: Callable[..., Consumer]
) -> None:
    send(producer, topic, b"0")
    consumer = consumer_of(auto_offset_reset="error")
    consumer.assign([TopicPartition(topic, 0, 17)])
    message = eventually(lambda: consumer.poll(0.2))
    assert message.error().code() == KafkaError._AUTO_OFFSET_RESET
    assert "out of range" in message.error().str().lower()


@feature("fenced member")
def test_who_takes_over_an_instance_id_fences_its_owner(
    producer: Producer, topic: str, group: str, consumer_of: Callable[..., Consumer]
) -> None:
    send(producer, topic, b"0")
    settings = CLASSIC | {"group.instance.id": "the-one"}
    first, second = consumer_of(group, **settings), consumer_of(group, **settings)
    first.subscribe([topic])
    take(first, 1)
    second.subscribe([topic])
    take(second, 1)
    position = [TopicPartition(topic, 0, 1)]
    code = refusal(lambda: first.commit(offsets=position, asynchronous=False))
    assert code in (KafkaError.FENCED_INSTANCE_ID, KafkaError._FATAL)
    second.commit(offsets=position, asynchronous=False)


@feature("invalid topic name")
def test_a_topic_name_that_is_invalid(admin: AdminClient) -> None:
    for name in ("with space", "a" * 250, ".", "sl/ash"):
        created = admin.create_topics([NewTopic(name, 1)])[name]
        assert refusal(lambda created=created: created.result(10)) == KafkaError.TOPIC_EXCEPTION


@feature("invalid config")
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("retention.ms", "soon"),
        ("cleanup.policy", "burn"),
        ("segment.bytes", "-5"),
        ("no.such", "1"),
    ],
)
def test_a_config_that_is_invalid(
    admin: AdminClient, unique: Callable[[str], str], name: str, value: str
) -> None:
    topic = unique("topic")
    created = admin.create_topics([NewTopic(topic, 1, config={name: value})])[topic]
    assert refusal(lambda: created.result(10)) == KafkaError.INVALID_CONFIG


@feature("topic exists")
def test_a_topic_that_exists(admin: AdminClient, topic: str) -> None:
    created = admin.create_topics([NewTopic(topic, 1)])[topic]
    assert refusal(lambda: created.result(10)) == KafkaError.TOPIC_ALREADY_EXISTS


def bootstrap_of(admin: AdminClient) -> str:
    """Return the one broker's address."""
    (broker,) = admin.list_topics(timeout=10).brokers.values()
    return f"{broker.host}:{broker.port}"
