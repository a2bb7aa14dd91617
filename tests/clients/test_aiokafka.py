"""aiokafka: asyncio, classic groups, transactions of the first version."""

import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from importlib.metadata import version
from typing import Any

import anyio
import pytest
from aiokafka import (
    AIOKafkaConsumer,
    AIOKafkaProducer,
    ConsumerRebalanceListener,
    ConsumerRecord,
    OffsetAndMetadata,
    TopicPartition,
)
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import (
    InvalidConfigurationError,
    InvalidPartitionsError,
    InvalidTopicError,
    KafkaError,
    MessageSizeTooLargeError,
    OffsetOutOfRangeError,
    ProducerFenced,
    TopicAlreadyExistsError,
    UnknownTopicOrPartitionError,
    for_code,
)
from millpond.tests.clients.faulty_network import FaultyNetwork
from millpond.tests.clients.features import feature
from millpond.tests.clients.waiting import eventually_async

CLIENT = "aiokafka"
VERSION = version("aiokafka")
NO_KIP_848 = "has only the classic protocol"
MISSING = {
    "classic: cooperative": "has only eager assignors",
    "KIP-848: join and leave": NO_KIP_848,
    "KIP-848: crash": NO_KIP_848,
    "KIP-848: static member": NO_KIP_848,
    "KIP-848: commit and resume": NO_KIP_848,
    "fenced member": "commits without its instance id, so it is told only to join again",
    "delete groups": "has no such call",
    "group offsets": "can list them, not set them",
    "describe transactions": "has no such call",
    "wrong leader epoch": "sends no leader epochs",
}

pytestmark = pytest.mark.anyio

COMPRESSIONS = [
    pytest.param(None, marks=feature("no compression")),
    *(pytest.param(name, marks=feature(name)) for name in ("gzip", "snappy", "lz4", "zstd")),
]
GROUP = {"session_timeout_ms": 2000, "heartbeat_interval_ms": 300}

Make = Callable[..., Awaitable[Any]]
Read = Callable[..., Awaitable[list[ConsumerRecord]]]


@pytest.fixture
async def producer_of(bootstrap: str) -> AsyncIterator[Make]:
    """Make producers that are stopped at the end."""
    producers: list[AIOKafkaProducer] = []

    async def make(**config: Any) -> AIOKafkaProducer:
        producer = AIOKafkaProducer(**{"bootstrap_servers": bootstrap, **config})
        await producer.start()
        producers.append(producer)
        return producer

    yield make
    for producer in producers:
        await stop(producer)


@pytest.fixture
async def consumer_of(bootstrap: str) -> AsyncIterator[Make]:
    """Make consumers that are stopped at the end."""
    consumers: list[AIOKafkaConsumer] = []

    async def make(*topics: str, **config: Any) -> AIOKafkaConsumer:
        settings = {
            "bootstrap_servers": bootstrap,
            "auto_offset_reset": "earliest",
            "enable_auto_commit": False,
            "fetch_max_wait_ms": 100,
        }
        consumer = AIOKafkaConsumer(*topics, **settings | config)
        await consumer.start()
        consumers.append(consumer)
        return consumer

    yield make
    for consumer in consumers:
        await stop(consumer)


async def stop(client: AIOKafkaProducer | AIOKafkaConsumer) -> None:
    """Stop a client, also one whose network is gone or that has been fenced."""
    with anyio.move_on_after(5):
        with contextlib.suppress(KafkaError):
            await client.stop()


@pytest.fixture
def read(consumer_of: Make) -> Read:
    """Read so many records of partition 0."""

    async def read(topic: str, count: int, start: int = 0, **config: Any) -> list[ConsumerRecord]:
        consumer = await consumer_of(**config)
        consumer.assign([TopicPartition(topic, 0)])
        consumer.seek(TopicPartition(topic, 0), start)
        return await take(consumer, count)

    return read


async def take(consumer: AIOKafkaConsumer, count: int) -> list[ConsumerRecord]:
    with anyio.fail_after(20):
        return [await consumer.getone() for _ in range(count)]


def values(records: list[ConsumerRecord]) -> list[bytes | None]:
    return [record.value for record in records]


async def send(producer: AIOKafkaProducer, topic: str, *sent: bytes, partition: int = 0) -> None:
    waiting = [await producer.send(topic, value, partition=partition) for value in sent]
    for each in waiting:
        await each


@pytest.fixture
async def producer(producer_of: Make) -> AIOKafkaProducer:
    return await producer_of(acks="all")


@pytest.fixture
async def administrator(bootstrap: str) -> AsyncIterator[AIOKafkaAdminClient]:
    client = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await client.start()
    yield client
    await client.close()


# Produce


@pytest.mark.parametrize("compression", COMPRESSIONS)
async def test_what_is_sent_in_any_compression_is_read(
    producer_of: Make, topic: str, read: Read, compression: str | None
) -> None:
    sent = []
    for acks in (0, 1, "all"):
        producer = await producer_of(acks=acks, compression_type=compression, linger_ms=20)
        batch = [f"{acks} {i} ".encode() * 50 for i in range(100)]
        await send(producer, topic, *batch)
        sent += batch
    assert sorted(values(await read(topic, 300))) == sorted(
        sent
    )  # nobody waits for those of acks 0


@feature("headers")
async def test_headers_keep_order_repetition_and_null(
    producer: AIOKafkaProducer, topic: str, read: Read
) -> None:
    headers = [("trace", b"1"), ("trace", b"2"), ("empty", b""), ("nothing", None)]
    await producer.send_and_wait(topic, b"x", headers=headers)
    assert (await read(topic, 1))[0].headers == tuple(headers)


@feature("null keys and values")
async def test_null_is_not_empty(producer: AIOKafkaProducer, topic: str, read: Read) -> None:
    pairs = [(None, b"v"), (b"", b"v"), (b"k", None), (b"k", b"")]
    for key, value in pairs:
        await producer.send_and_wait(topic, value, key)
    assert [(r.key, r.value) for r in await read(topic, len(pairs))] == pairs


@feature("large records")
async def test_a_record_of_almost_a_megabyte(
    producer: AIOKafkaProducer, topic: str, read: Read
) -> None:
    large = bytes(range(256)) * 3900
    await send(producer, topic, b"before", large, b"behind")
    assert values(await read(topic, 3)) == [b"before", large, b"behind"]


@feature("timestamps")
async def test_timestamps_are_the_producers_or_the_brokers(
    producer: AIOKafkaProducer, make_topic: Callable[..., str], read: Read
) -> None:
    theirs, ours = make_topic(), make_topic(message_timestamp_type="LogAppendTime")
    before = time.time() * 1000 - 1
    for topic in (theirs, ours):
        await producer.send_and_wait(topic, b"x", timestamp_ms=1_234_567_890_123)
    (created,), (appended,) = await read(theirs, 1), await read(ours, 1)
    assert (created.timestamp_type, created.timestamp) == (0, 1_234_567_890_123)
    assert appended.timestamp_type == 1
    assert before <= appended.timestamp <= time.time() * 1000 + 1


@feature("automatic topics")
async def test_a_topic_is_made_when_somebody_writes_to_it(
    producer: AIOKafkaProducer, unique: Callable[[str], str], read: Read
) -> None:
    topic = unique("automatic")
    await producer.send_and_wait(topic, b"first", partition=0)
    assert values(await read(topic, 1)) == [b"first"]


# Consume


@feature("from the beginning")
async def test_reading_from_the_beginning(
    producer: AIOKafkaProducer, topic: str, consumer_of: Make
) -> None:
    await send(producer, topic, *(b"%d" % i for i in range(1000)))
    consumer = await consumer_of(topic)
    await consumer.seek_to_beginning()
    assert [r.offset for r in await take(consumer, 1000)] == list(range(1000))


@feature("from the end")
async def test_reading_from_the_end_sees_what_comes_later(
    producer: AIOKafkaProducer, topic: str, consumer_of: Make
) -> None:
    await send(producer, topic, b"before")
    consumer = await consumer_of(topic, auto_offset_reset="latest")
    assert await consumer.position(TopicPartition(topic, 0)) == 1
    await send(producer, topic, b"later")
    assert values(await take(consumer, 1)) == [b"later"]


@feature("from an offset")
async def test_reading_from_an_offset(producer: AIOKafkaProducer, topic: str, read: Read) -> None:
    await send(producer, topic, *(b"%d" % i for i in range(20)))
    assert values(await read(topic, 3, start=7)) == [b"7", b"8", b"9"]


@feature("from a time", "list offsets")
async def test_reading_from_a_time(
    producer: AIOKafkaProducer, topic: str, consumer_of: Make, read: Read
) -> None:
    for i in range(10):
        await producer.send_and_wait(topic, b"%d" % i, timestamp_ms=1_000_000 + i * 1000)
    consumer, partition = await consumer_of(), TopicPartition(topic, 0)

    async def found(time_ms: int) -> int | None:
        at = (await consumer.offsets_for_times({partition: time_ms}))[partition]
        return at and at.offset

    assert [await found(ms) for ms in (0, 1_003_500, 1_009_000, 2_000_000)] == [0, 4, 9, None]
    assert values(await read(topic, 1, start=4)) == [b"4"]
    assert await consumer.beginning_offsets([partition]) == {partition: 0}
    assert await consumer.end_offsets([partition]) == {partition: 10}


# Groups


def shared_out(*consumers: AIOKafkaConsumer, count: int = 4) -> list[set[int]] | None:
    """Return who has which partitions, once every partition has one owner and everybody has some."""
    owned = [{each.partition for each in consumer.assignment()} for consumer in consumers]
    complete = sorted(p for each in owned for p in each) == list(range(count))
    return owned if complete and all(owned) else None


@feature("classic: join and leave")
async def test_members_share_partitions_and_take_over_from_who_leaves(
    consumer_of: Make, make_topic: Callable[..., str], group: str
) -> None:
    topic = make_topic(4)
    first = await consumer_of(topic, group_id=group, **GROUP)
    await eventually_async(lambda: shared_out(first))
    second = await consumer_of(topic, group_id=group, **GROUP)
    await eventually_async(lambda: shared_out(first, second))
    await second.stop()
    await eventually_async(lambda: shared_out(first))


@feature("classic: crash")
async def test_partitions_of_a_crashed_member_move(
    consumer_of: Make,
    make_topic: Callable[..., str],
    network: Callable[..., FaultyNetwork],
    group: str,
) -> None:
    topic, wire = make_topic(4), network()
    survivor = await consumer_of(topic, group_id=group, **GROUP)
    doomed = await consumer_of(topic, group_id=group, bootstrap_servers=wire.address, **GROUP)
    await eventually_async(lambda: shared_out(survivor, doomed))
    wire.break_for_good()
    await eventually_async(lambda: shared_out(survivor))


class Revocations(ConsumerRebalanceListener):
    """Counts how often partitions are taken away."""

    def __init__(self) -> None:
        self.partitions: list[int] = []

    def on_partitions_revoked(self, revoked: list[TopicPartition]) -> None:
        self.partitions += [each.partition for each in revoked]

    def on_partitions_assigned(self, assigned: list[TopicPartition]) -> None:
        pass


@feature("classic: static member")
async def test_a_static_member_comes_back_to_its_partitions(
    consumer_of: Make, make_topic: Callable[..., str], group: str
) -> None:
    topic, revocations = make_topic(4), Revocations()
    settings = {"group_id": group, **GROUP}
    stays = await consumer_of(group_instance_id="stays", **settings)
    stays.subscribe([topic], listener=revocations)
    leaves = await consumer_of(topic, group_instance_id="leaves", **settings)
    before = await eventually_async(lambda: shared_out(stays, leaves))
    revocations.partitions.clear()
    await leaves.stop()
    returned = await consumer_of(topic, group_instance_id="leaves", **settings)
    assert await eventually_async(lambda: shared_out(stays, returned)) == before
    assert revocations.partitions == []


@feature("classic: commit and resume")
async def test_the_next_member_goes_on_from_the_commit(
    producer: AIOKafkaProducer, consumer_of: Make, topic: str, group: str
) -> None:
    await send(producer, topic, *(b"%d" % i for i in range(10)))
    first = await consumer_of(topic, group_id=group)
    last = (await take(first, 6))[-1]
    await first.commit({TopicPartition(topic, 0): OffsetAndMetadata(last.offset + 1, "note")})
    await first.stop()
    second = await consumer_of(topic, group_id=group)
    assert values(await take(second, 4)) == [b"6", b"7", b"8", b"9"]
    assert await second.committed(TopicPartition(topic, 0)) == 6


# Exactly once


@feature("idempotence")
async def test_broken_connections_neither_lose_nor_double_nor_reorder(
    producer_of: Make, network: Callable[..., FaultyNetwork], topic: str, read: Read
) -> None:
    wire = network(seed=12, cuts_max=20, bytes_between_cuts=30_000)
    producer = await producer_of(
        bootstrap_servers=wire.address,
        enable_idempotence=True,
        max_batch_size=2000,
        retry_backoff_ms=20,
    )
    sent = [b"%d " % i * 20 for i in range(5000)]
    await send(producer, topic, *sent)
    assert wire.cuts > 5
    assert values(await read(topic, len(sent))) == sent


@pytest.fixture
def transactional(producer_of: Make, unique: Callable[[str], str]) -> Make:
    """Make producers of one transactional id."""
    transactional_id = unique("id")

    async def make(**config: Any) -> AIOKafkaProducer:
        return await producer_of(transactional_id=transactional_id, **config)

    return make


@feature("commit")
async def test_a_committed_transaction_is_seen_by_all(
    transactional: Make, topic: str, read: Read
) -> None:
    producer = await transactional()
    for batch in ([b"1", b"2"], [b"3"]):
        async with producer.transaction():
            await send(producer, topic, *batch)
    for isolation in ("read_committed", "read_uncommitted"):
        assert values(await read(topic, 3, isolation_level=isolation)) == [b"1", b"2", b"3"]


@feature("abort")
async def test_an_aborted_transaction_is_seen_only_uncommitted(
    transactional: Make, topic: str, read: Read
) -> None:
    producer = await transactional()
    for value, end in [
        (b"kept", producer.commit_transaction),
        (b"dropped", producer.abort_transaction),
        (b"kept too", producer.commit_transaction),
    ]:
        await producer.begin_transaction()
        await send(producer, topic, value)
        await end()
    committed = await read(topic, 2, isolation_level="read_committed")
    assert values(committed) == [b"kept", b"kept too"]
    uncommitted = await read(topic, 3, isolation_level="read_uncommitted")
    assert values(uncommitted) == [b"kept", b"dropped", b"kept too"]


@feature("open transaction")
async def test_an_open_transaction_holds_back_what_comes_behind_it(
    transactional: Make, producer: AIOKafkaProducer, topic: str, consumer_of: Make, read: Read
) -> None:
    opened = await transactional()
    await opened.begin_transaction()
    await send(opened, topic, b"open")
    await send(producer, topic, b"behind")
    assert values(await read(topic, 2)) == [b"open", b"behind"]
    committed = await consumer_of(topic, isolation_level="read_committed")
    assert await committed.getmany(timeout_ms=500) == {}
    await opened.commit_transaction()
    assert values(await take(committed, 2)) == [b"open", b"behind"]


@feature("fencing")
async def test_a_second_producer_of_the_id_aborts_what_the_first_left_open(
    transactional: Make, topic: str, read: Read
) -> None:
    first = await transactional()
    await first.begin_transaction()
    await send(first, topic, b"left open")
    second = await transactional()
    async with second.transaction():
        await send(second, topic, b"by the second")
    assert values(await read(topic, 1, isolation_level="read_committed")) == [b"by the second"]


@feature("zombie")
@pytest.mark.parametrize("attempt", ["commit", "write"])
async def test_the_first_producer_of_an_id_can_do_no_more(
    transactional: Make, topic: str, read: Read, attempt: str
) -> None:
    zombie = await transactional()
    await zombie.begin_transaction()
    await send(zombie, topic, b"left open")
    second = await transactional()
    write = send(zombie, topic, b"from the grave") if attempt == "write" else None
    with pytest.raises(ProducerFenced):
        await (write or zombie.commit_transaction())
    async with second.transaction():
        await send(second, topic, b"by the second")
    assert values(await read(topic, 1, isolation_level="read_committed")) == [b"by the second"]
    assert values(await read(topic, 2)) == [b"left open", b"by the second"]


@feature("transaction timeout")
async def test_the_broker_aborts_what_nobody_ends(
    transactional: Make, producer: AIOKafkaProducer, topic: str, read: Read
) -> None:
    forgetful = await transactional(transaction_timeout_ms=1000)
    await forgetful.begin_transaction()
    await send(forgetful, topic, b"forgotten")
    await send(producer, topic, b"behind")
    assert values(await read(topic, 1, isolation_level="read_committed")) == [b"behind"]
    with pytest.raises(KafkaError):
        await forgetful.commit_transaction()


@feature("offsets in a transaction")
async def test_offsets_count_only_if_their_transaction_commits(
    transactional: Make, producer: AIOKafkaProducer, topic: str, group: str, consumer_of: Make
) -> None:
    await send(producer, topic, b"0", b"1", b"2")
    atomic = await transactional()
    consumer, partition = await consumer_of(group_id=group), TopicPartition(topic, 0)
    consumer.assign([partition])

    async def offset_after(offset: int, end: Callable[[], Awaitable[None]], expected: int) -> None:
        await atomic.begin_transaction()
        await atomic.send_offsets_to_transaction({partition: offset}, group)
        await end()

        async def is_committed() -> bool:
            return await consumer.committed(partition) == expected

        await eventually_async(is_committed)  # markers are written after the answer

    await offset_after(1, atomic.commit_transaction, expected=1)
    await offset_after(2, atomic.abort_transaction, expected=1)
    await offset_after(3, atomic.commit_transaction, expected=3)


# Administration


def refuse(response: Any) -> None:
    """Raise what a response of topic errors says."""
    for _, code, *_ in response.topic_errors:
        if code:
            raise for_code(code)


@feature("create topics", "describe topics", "list topics")
async def test_created_topics_are_described_and_listed(
    administrator: AIOKafkaAdminClient, unique: Callable[[str], str]
) -> None:
    topic = unique("created")
    new = NewTopic(topic, 3, 1, topic_configs={"retention.ms": "12345"})
    refuse(await administrator.create_topics([new]))
    await eventually_async(lambda: _is_there(administrator, topic))
    (described,) = await administrator.describe_topics([topic])
    assert described["topic"] == topic
    assert sorted(p["partition"] for p in described["partitions"]) == [0, 1, 2]
    assert (await configs_of(administrator, topic))["retention.ms"][1] == "12345"


@feature("delete topics")
async def test_a_deleted_topic_can_be_made_anew(
    administrator: AIOKafkaAdminClient, producer_of: Make, topic: str, read: Read
) -> None:
    await send(await producer_of(), topic, b"old")
    await administrator.delete_topics([topic])
    await eventually_async(lambda: _is_gone(administrator, topic))
    refuse(await administrator.create_topics([NewTopic(topic, 1, 1)]))
    await send(await producer_of(), topic, b"new")
    assert values(await read(topic, 1)) == [b"new"]


async def _is_there(administrator: AIOKafkaAdminClient, topic: str) -> bool:
    return topic in await administrator.list_topics()


async def _is_gone(administrator: AIOKafkaAdminClient, topic: str) -> bool:
    return not await _is_there(administrator, topic)


@feature("add partitions")
async def test_partitions_are_added(
    administrator: AIOKafkaAdminClient, producer_of: Make, topic: str, read: Read
) -> None:
    await send(await producer_of(), topic, b"kept")
    refuse(await administrator.create_partitions({topic: NewPartitions(3)}))

    async def has_three() -> bool:
        (described,) = await administrator.describe_topics([topic])
        return len(described["partitions"]) == 3

    await eventually_async(has_three)
    await send(await producer_of(), topic, b"new", partition=2)
    assert values(await read(topic, 1)) == [b"kept"]
    with pytest.raises(InvalidPartitionsError):
        refuse(await administrator.create_partitions({topic: NewPartitions(2)}))


async def configs_of(administrator: AIOKafkaAdminClient, topic: str) -> dict[str, tuple[Any, ...]]:
    resource = ConfigResource(ConfigResourceType.TOPIC, topic)
    (response,) = await administrator.describe_configs([resource])
    ((code, _message, _type, _name, entries),) = response.resources
    assert code == 0
    return {entry[0]: entry for entry in entries}


@feature("describe configs", "alter configs")
async def test_configs_are_described_and_set(
    administrator: AIOKafkaAdminClient, topic: str
) -> None:
    assert (await configs_of(administrator, topic))["cleanup.policy"][1] == "delete"
    for configs, expected in [({"retention.ms": "60000"}, "60000"), ({}, "604800000")]:
        resource = ConfigResource(ConfigResourceType.TOPIC, topic, configs)
        (response,) = await administrator.alter_configs([resource])
        assert [each[0] for each in response.resources] == [0]

        async def is_set(expected: str = expected) -> bool:
            return (await configs_of(administrator, topic))["retention.ms"][1] == expected

        await eventually_async(is_set)


@feature("list groups", "describe groups")
async def test_groups_are_listed_and_described(
    administrator: AIOKafkaAdminClient, consumer_of: Make, topic: str, group: str
) -> None:
    consumer = await consumer_of(topic, group_id=group)
    await eventually_async(lambda: shared_out(consumer, count=1))
    assert (group, "consumer") in await administrator.list_consumer_groups()
    (response,) = await administrator.describe_consumer_groups([group])
    ((code, name, state, kind, _assignor, members, *_),) = response.groups
    assert (code, name, state, kind, len(members)) == (0, group, "Stable", "consumer", 1)


@feature("delete records")
async def test_records_are_deleted_up_to_an_offset(
    administrator: AIOKafkaAdminClient, producer: AIOKafkaProducer, topic: str, consumer_of: Make
) -> None:
    await send(producer, topic, *(b"%d" % i for i in range(10)))
    partition = TopicPartition(topic, 0)
    deleted = await administrator.delete_records({partition: RecordsToDelete(4)})
    assert deleted == {partition: 4}
    assert (await take(await consumer_of(topic), 1))[0].offset == 4


@feature("describe cluster")
async def test_the_cluster_is_described(administrator: AIOKafkaAdminClient, bootstrap: str) -> None:
    cluster = await administrator.describe_cluster()
    (node,) = cluster["brokers"]
    assert f"{node['host']}:{node['port']}" == bootstrap
    assert cluster["controller_id"] == node["node_id"]
    assert cluster["cluster_id"]


# Errors


@feature("unknown topic")
async def test_a_topic_that_is_unknown(
    administrator: AIOKafkaAdminClient, unique: Callable[[str], str]
) -> None:
    response = await administrator.delete_topics([unique("unknown")])
    ((_, code),) = response.topic_error_codes
    assert for_code(code) is UnknownTopicOrPartitionError


@feature("too large")
async def test_a_record_that_is_too_large(
    producer: AIOKafkaProducer, make_topic: Callable[..., str]
) -> None:
    with pytest.raises(MessageSizeTooLargeError):
        await producer.send_and_wait(make_topic(max_message_bytes="2000"), bytes(3000))


@feature("out of range")
async def test_an_offset_that_does_not_exist(
    producer: AIOKafkaProducer, topic: str, read: Read
) -> None:
    await send(producer, topic, b"0")
    with pytest.raises(OffsetOutOfRangeError):
        await read(topic, 1, start=17, auto_offset_reset="none")


@feature("invalid topic name")
async def test_a_topic_name_that_is_invalid(administrator: AIOKafkaAdminClient) -> None:
    for name in ("with space", "a" * 250, ".", "sl/ash"):
        with pytest.raises(InvalidTopicError):
            refuse(await administrator.create_topics([NewTopic(name, 1, 1)]))


@feature("invalid config")
async def test_a_config_that_is_invalid(
    administrator: AIOKafkaAdminClient, unique: Callable[[str], str]
) -> None:
    new = NewTopic(unique("topic"), 1, 1, topic_configs={"retention.ms": "soon"})
    with pytest.raises(InvalidConfigurationError):
        refuse(await administrator.create_topics([new]))


@feature("topic exists")
async def test_a_topic_that_exists(administrator: AIOKafkaAdminClient, topic: str) -> None:
    with pytest.raises(TopicAlreadyExistsError):
        refuse(await administrator.create_topics([NewTopic(topic, 1, 1)]))
