"""A log on a cluster: what only a network, librdkafka and other clients can do to it."""

import random
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path

import anyio
import pytest
from confluent_kafka import Consumer, KafkaException, Producer
from confluent_kafka import TopicPartition as ClientPartition
from millpond.log.cluster.address import parse_address
from millpond.log.cluster.cluster_log import ClusterLog
from millpond.log.errors import (
    ConfigError,
    GroupActive,
    InvalidRecord,
    OffsetOutOfRange,
    UnknownTopic,
    Unreachable,
)
from millpond.log.model import CommittedOffset, Isolation
from millpond.log.wire.messages.offset_commit import (
    OFFSET_COMMIT,
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
)
from millpond.tests.conformance.helpers import (
    ORDERS,
    OTHER,
    make_topic,
    new,
    read_values,
    some,
    values,
)
from millpond.tests.twins.broker_process import BrokerProcess
from millpond.tests.twins.running_broker import RunningBroker

pytestmark = pytest.mark.anyio

TLS = Path(__file__).parent / "tls"


@pytest.fixture
def broker() -> Iterator[RunningBroker]:
    with RunningBroker(settings={"log.retention.ms": "-1"}) as broker:  # records are of 2023
        yield broker


@pytest.fixture
async def log(broker: RunningBroker) -> AsyncIterator[ClusterLog]:
    async with ClusterLog.open(f"kafka://127.0.0.1:{broker.port}", timeout_s=10) as log:
        yield log


async def test_nobody_answers() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(Unreachable, match=f"{address} within 0.2 s.*refused"):
            async with ClusterLog.open(f"kafka://{address}", connect_timeout_s=0.2):
                raise AssertionError("there is nothing to open")


async def test_what_librdkafka_would_not_have_is_the_users_mistake() -> None:
    with pytest.raises(ConfigError, match="securty"):
        async with ClusterLog.open("kafka://h", settings={"securty.protocol": "ssl"}):
            raise AssertionError("there is nothing to open")


@pytest.mark.parametrize(
    ("url", "servers"),
    [
        ("kafka://a", ("a:9092",)),
        ("kafka://a:1,b:2", ("a:1", "b:2")),
        ("kafka://[::1]:9093/", ("[::1]:9093",)),
    ],
)
async def test_addresses(url: str, servers: tuple[str, ...]) -> None:
    assert parse_address(url, {}, 1).servers == servers


@pytest.mark.parametrize(
    ("url", "settings", "why"),
    [
        ("localhost:9092", {}, "kafka://HOST:PORT"),
        ("kafka://", {}, "where a broker should be"),
        ("kafka://a:b", {}, "a:b"),
        ("kafka://me@a:1", {}, "me@a:1"),
        ("kafka://a", {"enable.idempotence": False}, "enable.idempotence"),
    ],
)
async def test_no_addresses(url: str, settings: dict[str, bool], why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        parse_address(url, settings, 1)


async def test_an_open_transaction_of_others_ends_what_is_seen(
    broker: RunningBroker, log: ClusterLog
) -> None:
    await make_topic(log)
    other = Producer({"bootstrap.servers": f"127.0.0.1:{broker.port}", "transactional.id": "other"})
    await anyio.to_thread.run_sync(other.init_transactions, 10)
    producer = await log.producer()
    await producer.append({ORDERS: some(2, "a")})
    other.begin_transaction()
    other.produce("orders", b"pending", partition=0)
    await anyio.to_thread.run_sync(other.flush, 10)
    await producer.append({ORDERS: some(2, "b")})

    reader = log.reader()
    reader.assign({ORDERS: 0})
    [fetched] = await reader.read(wait_max_s=5)
    assert [record.value for record in fetched.records] == [b"a0", b"a1"]
    assert (fetched.next_offset, fetched.end_offset) == (2, 2)
    assert await reader.read(wait_max_s=0.3) == []
    assert await log.end_offsets([ORDERS], Isolation.READ_UNCOMMITTED) == {ORDERS: 5}
    await anyio.to_thread.run_sync(other.abort_transaction, 10)
    assert await read_values(reader, 2) == [b"b0", b"b1"], "aborted records are passed over"


async def test_what_a_fenced_producer_left_open_is_aborted_at_once(
    broker: RunningBroker, log: ClusterLog
) -> None:
    """Its records would hide what follows, and its offsets would not be told, for ten minutes."""
    await make_topic(log)
    address = f"127.0.0.1:{broker.port}"
    settings = {"bootstrap.servers": address, "transactional.id": "dead"}
    dead = Producer({**settings, "transaction.timeout.ms": 600_000})
    await anyio.to_thread.run_sync(dead.init_transactions, 10)
    dead.begin_transaction()
    dead.produce("orders", b"pending", partition=0)
    place = Consumer({"bootstrap.servers": address, "group.id": "g"}).consumer_group_metadata()
    offsets = [ClientPartition(*ORDERS, 7)]
    await anyio.to_thread.run_sync(dead.send_offsets_to_transaction, offsets, place, 10)
    await log.fence("dead")
    assert await log.committed_offsets("g", [ORDERS]) == {}
    await (await log.producer()).append({ORDERS: some(2, "a")})
    assert await values(log) == [b"a0", b"a1"]
    with pytest.raises(KafkaException, match="FENCED"):
        await anyio.to_thread.run_sync(dead.commit_transaction, 10)


async def test_assigning_again_and_again_brings_neither_old_nor_lost_records(
    log: ClusterLog,
) -> None:
    await make_topic(log)
    producer = await log.producer()
    for first in range(0, 300, 10):
        numbered = [new(b"%d" % n) for n in range(first, first + 10)]
        await producer.append({ORDERS: numbered, OTHER: numbered})
    chance = random.Random(3)
    reader = log.reader()
    for _ in range(8):
        starts = {each: chance.randrange(300) for each in chance.sample([ORDERS, OTHER], k=2)}
        reader.assign(starts)
        positions = dict(starts)
        for _ in range(chance.randrange(1, 8)):
            for fetched in await reader.read(
                bytes_max=chance.choice([1, 100, 10_000]), wait_max_s=0.1
            ):
                expected = range(positions[fetched.partition], fetched.next_offset)
                assert [r.offset for r in fetched.records] == list(expected)
                assert [r.value for r in fetched.records] == [b"%d" % n for n in expected]
                positions[fetched.partition] = fetched.next_offset
            each = chance.choice([ORDERS, OTHER])
            chance.choice([reader.pause, reader.resume])([each])


async def test_records_that_are_deleted_under_a_reader_are_told(log: ClusterLog) -> None:
    await make_topic(log)
    producer = await log.producer()
    await producer.append({ORDERS: some(3)})
    reader = log.reader()
    reader.assign({ORDERS: 3})
    assert await reader.read(wait_max_s=0) == []
    reader.pause([ORDERS])
    await producer.append({ORDERS: some(3)})
    await log.delete_records({ORDERS: 6})
    reader.assign({ORDERS: 3})
    with pytest.raises(OffsetOutOfRange) as refused:
        await reader.read(wait_max_s=5)
    assert (refused.value.start, refused.value.end) == (6, 6)


async def test_a_topic_with_a_small_limit_gets_batches_that_fit(log: ClusterLog) -> None:
    await make_topic(log, max_message_bytes="1000")
    producer = await log.producer()
    many = [new(b"%d " % n + b"x" * (n % 700)) for n in range(40)]
    appended = await producer.append({ORDERS: many, OTHER: some(2)})
    assert (appended[ORDERS].base_offset, appended[ORDERS].next_offset) == (0, 40)
    transactional = await log.transactional_producer("t")
    await transactional.commit({OTHER: many}, group="g", offsets={})
    assert await values(log) == [record.value for record in many]
    assert (await values(log, OTHER))[2:] == [record.value for record in many]


async def test_a_broker_refuses_a_record_and_the_producer_goes_on(log: ClusterLog) -> None:
    await make_topic(log, cleanup_policy="compact")
    producer = await log.producer()
    with pytest.raises(InvalidRecord):
        await producer.append({ORDERS: [new(b"without a key")]})
    transactional = await log.transactional_producer("t")
    with pytest.raises(InvalidRecord):
        await transactional.commit({ORDERS: [new(b"without a key")]}, group="g", offsets={})
    await producer.append({ORDERS: [new(b"fine", b"key")]})
    await transactional.commit({ORDERS: [new(b"too", b"key")]}, group="g", offsets={})
    assert await values(log) == [b"fine", b"too"]


async def test_a_group_with_members_is_left_alone(broker: RunningBroker, log: ClusterLog) -> None:
    await make_topic(log)
    address = f"127.0.0.1:{broker.port}"
    member = Consumer({"bootstrap.servers": address, "group.id": "readers"})
    member.subscribe(["orders"])
    while not member.assignment():
        await anyio.to_thread.run_sync(member.poll, 0.1)
    with pytest.raises(GroupActive):
        await log.commit_offsets("readers", {ORDERS: CommittedOffset(1)})
    await anyio.to_thread.run_sync(member.close)
    await log.commit_offsets("readers", {ORDERS: CommittedOffset(1)})


async def test_a_topic_made_anew_is_another_one_to_its_reader(log: ClusterLog) -> None:
    await make_topic(log)
    producer = await log.producer()
    await producer.append({ORDERS: some(3)})
    reader = log.reader()
    reader.assign({ORDERS: 0})
    assert await read_values(reader, 3) == [b"v0", b"v1", b"v2"]
    await log.delete_topics(["orders"])
    await make_topic(log)
    with pytest.raises((UnknownTopic, OffsetOutOfRange)):
        await reader.read(wait_max_s=10)


async def test_sizes_and_epochs_are_asked_over_our_own_connection(log: ClusterLog) -> None:
    await make_topic(log)
    await (await log.producer()).append({ORDERS: some(100)})
    sizes = await log.sizes({"orders": 2})
    assert sizes[ORDERS] > 1000
    assert sizes[OTHER] == 0


async def test_a_broker_that_is_killed_and_comes_back_is_no_error(tmp_path: Path) -> None:
    """What was acknowledged is there once, what was under way arrives when the broker is back."""
    with ExitStack() as running:
        first = running.enter_context(
            BrokerProcess(tmp_path / "data", "--set", "log.retention.ms=-1")
        )
        again = BrokerProcess(tmp_path / "data", "--listen", f"127.0.0.1:{first.port}")
        async with ClusterLog.open(f"kafka://127.0.0.1:{first.port}") as log:
            await make_topic(log)
            producer = await log.producer()
            transactional = await log.transactional_producer("t")
            await producer.append({ORDERS: some(3, "before")})
            await transactional.commit({OTHER: some(3, "before")}, group="g", offsets={})
            reader = log.reader()
            reader.assign({ORDERS: 0})
            assert len(await read_values(reader, 3)) == 3

            first.process.kill()
            await anyio.to_thread.run_sync(first.wait)
            async with anyio.create_task_group() as tasks:
                for number in range(5):
                    tasks.start_soon(producer.append, {ORDERS: [new(b"%d" % number)]})
                await anyio.sleep(0.1)
                await anyio.to_thread.run_sync(running.enter_context, again)
            assert await read_values(reader, 5) == [b"%d" % number for number in range(5)]
            offsets = {ORDERS: CommittedOffset(8)}
            await transactional.commit({OTHER: some(3, "after")}, group="g", offsets=offsets)
            assert len(await values(log, OTHER)) == 6
            assert await log.committed_offsets("g") == offsets


async def test_everything_over_tls() -> None:
    """librdkafka's connections, and our own, take the same settings."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(TLS / "localhost.pem", TLS / "localhost.key")
    settings = {"security.protocol": "ssl", "ssl.ca.location": str(TLS / "localhost.pem")}
    with RunningBroker(tls=server, settings={"log.retention.ms": "-1"}) as broker:
        url = f"kafka://localhost:{broker.port}"
        async with ClusterLog.open(url, settings=settings) as log:
            await make_topic(log)
            appended = await (await log.producer()).append({ORDERS: some(3)})
            assert await values(log) == [b"v0", b"v1", b"v2"]
            assert await log.epoch_end_offset(ORDERS, appended[ORDERS].leader_epoch) == 3
        with pytest.raises(Unreachable):
            async with ClusterLog.open(url, connect_timeout_s=0.3):
                raise AssertionError("a listener of TLS answers nobody else")


async def test_metadata_that_others_have_committed_is_read_as_they_wrote_it(
    broker: RunningBroker, log: ClusterLog
) -> None:
    """librdkafka's Python client reads on into other memory where no zero byte follows."""
    await make_topic(log)
    written = {ORDERS: "", OTHER: "x" * 4096}
    with broker.client() as other:
        for length in range(40):
            metadata = "é" + "m" * length
            written[ORDERS] = metadata
            partitions = [
                OffsetCommitRequestTopic(
                    name=place.topic,
                    partitions=[
                        OffsetCommitRequestPartition(
                            partition_index=place.partition,
                            committed_offset=0,
                            committed_metadata=text,
                        )
                    ],
                )
                for place, text in written.items()
            ]
            other.ask(
                OFFSET_COMMIT, 8, OffsetCommitRequest(group_id="g", member_id="", topics=partitions)
            )
            found = await log.committed_offsets("g")
            assert {place: one.metadata for place, one in found.items()} == written
