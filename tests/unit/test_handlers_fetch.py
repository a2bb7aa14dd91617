"""Fetch: how much, from where, for whom, and when there is nothing yet."""

from uuid import UUID

import pytest
from millpond.log.broker.waits import Disconnect
from millpond.log.model import NewRecord, TopicPartition
from millpond.log.records import batches_in, encode_batch
from millpond.log.storage.partition_log import PartitionLog
from millpond.log.wire.error_codes import ErrorCode
from millpond.log.wire.messages.fetch import (
    FETCH,
    FetchPartition,
    FetchRequest,
    FetchResponse,
    FetchTopic,
    PartitionData,
)
from millpond.tests.twins.node_world import Asked, NodeWorld

LAST = 17
COMMITTED = 1
MANY = 1 << 20
WAIT_MS = 500


def a_world(partitions: int = 1, **config: str) -> NodeWorld:
    world = NodeWorld()
    world.create("orders", partitions, **config)
    return world


def log_of(world: NodeWorld, partition: int = 0) -> PartitionLog:
    return world.node.broker.partition(TopicPartition("orders", partition))


def put(world: NodeWorld, value: bytes, partition: int = 0, **options: object) -> int:
    """Append one record, durably; return its offset."""
    batch = encode_batch([NewRecord(None, value, 0)], **options)  # type: ignore[arg-type]
    done = world.node.broker.append(TopicPartition("orders", partition), batch, world.node.now())
    log_of(world, partition).flush()
    world._settle()
    return done.base_offset


def end(world: NodeWorld, producer_id: int, *, commit: bool) -> None:
    log_of(world).append_marker(
        producer_id=producer_id,
        producer_epoch=0,
        commit=commit,
        coordinator_epoch=0,
        leader_epoch=log_of(world).leader_epoch,
        now=0,
    )


def send(
    world: NodeWorld,
    *offsets: int,
    version: int = LAST,
    partition_max_bytes: int = MANY,
    current_leader_epoch: int = -1,
    last_fetched_epoch: int = -1,
    topic: str = "orders",
    topic_id: UUID | None = None,
    **options: int,
) -> Asked[FetchResponse]:
    """Fetch from partition 0 on, from each of these offsets."""
    known = world.node.broker.metadata.topics.get(topic)
    asked = FetchTopic(
        topic=topic,
        topic_id=topic_id or (known.topic_id if known else UUID(int=99)),
        partitions=[
            FetchPartition(
                partition=number,
                fetch_offset=offset,
                partition_max_bytes=partition_max_bytes,
                current_leader_epoch=current_leader_epoch,
                last_fetched_epoch=last_fetched_epoch,
            )
            for number, offset in enumerate(offsets)
        ],
    )
    settings = {"max_wait_ms": 0, "min_bytes": 1} | options
    return world.send(FETCH, version, FetchRequest(topics=[asked], **settings))  # type: ignore[arg-type]


def fetch(world: NodeWorld, *offsets: int, **options: object) -> list[PartitionData]:
    asked = send(world, *offsets, **options)  # type: ignore[arg-type]
    assert asked.response is not None, "it waits"
    return asked.response.responses[0].partitions


def fetch_one(world: NodeWorld, offset: int = 0, **options: object) -> PartitionData:
    (partition,) = fetch(world, offset, **options)
    return partition


def offsets_in(partition: PartitionData) -> list[int]:
    return [header.base_offset for header, _batch in batches_in(partition.records or b"")]


# -- reading ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", range(4, LAST + 1))
def test_batches_are_read_in_every_version(version: int) -> None:
    world = a_world()
    for value in (b"a", b"b", b"c"):
        put(world, value)
    partition = fetch_one(world, 1, version=version)
    assert (partition.error_code, offsets_in(partition)) == (0, [1, 2])
    assert (partition.high_watermark, partition.last_stable_offset) == (3, 3)
    assert partition.aborted_transactions is None
    if version >= 5:
        assert partition.log_start_offset == 0


def test_a_fetch_for_nothing_is_answered_at_once() -> None:
    world = a_world()
    asked = world.send(FETCH, 12, FetchRequest(max_wait_ms=WAIT_MS, min_bytes=1, topics=[]))
    assert asked.response is not None
    assert asked.response.responses == []


def test_readers_see_nothing_that_a_power_cut_could_take_back() -> None:
    world = a_world()
    batch = encode_batch([NewRecord(None, b"a", 0)])
    world.node.broker.append(TopicPartition("orders", 0), batch, world.node.now())
    partition = fetch_one(world)
    assert (partition.high_watermark, partition.records) == (0, b"")
    log_of(world).flush()
    assert offsets_in(fetch_one(world)) == [0]


# -- limits ----------------------------------------------------------------------------------------


def test_a_partition_gives_as_many_batches_as_fit() -> None:
    world = a_world()
    for _ in range(5):
        put(world, b"x" * 100)
    size = log_of(world).size // 5
    assert offsets_in(fetch_one(world, partition_max_bytes=size * 3 + 1)) == [0, 1, 2]
    assert offsets_in(fetch_one(world, max_bytes=size * 2)) == [0, 1]


def test_a_batch_larger_than_all_limits_is_sent_or_its_reader_would_be_stuck() -> None:
    world = a_world()
    put(world, b"x" * 1000)
    put(world, b"y")
    assert offsets_in(fetch_one(world, partition_max_bytes=1, max_bytes=1)) == [0]
    assert offsets_in(fetch_one(world, partition_max_bytes=0)) == [0]


def test_only_the_first_batch_of_a_response_may_be_too_large() -> None:
    world = a_world(partitions=3)
    put(world, b"x" * 1000, 1)
    put(world, b"x" * 1000, 2)
    first, second, third = fetch(world, 0, 0, 0, max_bytes=500)
    assert [offsets_in(each) for each in (first, second, third)] == [[], [0], []]
    assert third.error_code == 0
    assert third.high_watermark == 1, "so the client sees that there is more"


def test_what_one_partition_took_is_not_left_for_the_next() -> None:
    world = a_world(partitions=2)
    for _ in range(4):
        put(world, b"x" * 100, 0)
        put(world, b"x" * 100, 1)
    size = log_of(world).size // 4
    first, second = fetch(world, 0, 0, max_bytes=size * 5)
    assert [offsets_in(first), offsets_in(second)] == [[0, 1, 2, 3], [0]]


def test_the_broker_has_a_limit_of_its_own() -> None:
    world = NodeWorld(settings={"fetch.max.bytes": "300"})
    world.create("orders")
    for _ in range(5):
        put(world, b"x" * 100)
    assert offsets_in(fetch_one(world)) == [0]


# -- waiting ---------------------------------------------------------------------------------------


def test_a_fetch_waits_until_there_is_something() -> None:
    world = a_world(partitions=2)
    asked = send(world, 0, 0, max_wait_ms=WAIT_MS)
    world.sleep(WAIT_MS - 1)
    assert asked.response is None
    put(world, b"late", 1)
    assert asked.response is not None
    first, second = asked.response.responses[0].partitions
    assert [offsets_in(first), offsets_in(second)] == [[], [0]]


def test_a_fetch_that_waits_in_vain_brings_nothing_but_the_ends() -> None:
    world = a_world()
    put(world, b"a")
    asked = send(world, 1, max_wait_ms=WAIT_MS)
    world.sleep(WAIT_MS)
    assert asked.response is not None
    (partition,) = asked.response.responses[0].partitions
    assert (partition.error_code, partition.records, partition.high_watermark) == (0, b"", 1)


def test_a_fetch_waits_for_as_many_bytes_as_it_wants() -> None:
    world = a_world(partitions=2)
    asked = send(world, 0, 0, max_wait_ms=WAIT_MS, min_bytes=600)
    for partition in (0, 1, 0):
        put(world, b"x" * 100, partition)
        assert asked.response is None
    put(world, b"x" * 100, 1)
    assert asked.response is not None
    first, second = asked.response.responses[0].partitions
    assert [offsets_in(first), offsets_in(second)] == [[0, 1], [0, 1]]


def test_a_fetch_that_wants_more_than_it_would_take_does_not_wait_for_it() -> None:
    world = a_world()
    put(world, b"x" * 1000)
    assert offsets_in(fetch_one(world, max_wait_ms=WAIT_MS, min_bytes=5000, max_bytes=1000)) == [0]


def test_when_the_time_is_up_what_there_is_must_do() -> None:
    world = a_world()
    put(world, b"a")
    asked = send(world, 0, max_wait_ms=WAIT_MS, min_bytes=5000)
    assert asked.response is None
    world.sleep(WAIT_MS)
    assert asked.response is not None
    assert offsets_in(asked.response.responses[0].partitions[0]) == [0]


def test_an_error_of_one_partition_is_told_at_once() -> None:
    world = a_world()
    first, second = fetch(world, 0, 0, max_wait_ms=WAIT_MS)
    assert (first.error_code, second.error_code) == (0, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)


@pytest.mark.parametrize(
    ("version", "expected"),
    [(12, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION), (13, ErrorCode.UNKNOWN_TOPIC_ID)],
)
def test_a_topic_that_is_removed_meanwhile_ends_the_wait(version: int, expected: int) -> None:
    world = a_world()
    asked = send(world, 0, max_wait_ms=WAIT_MS, version=version)
    world.remove("orders")
    world._settle()
    assert asked.response is not None
    assert asked.response.responses[0].partitions[0].error_code == expected


def test_records_that_are_deleted_meanwhile_end_the_wait() -> None:
    world = a_world()
    put(world, b"a")
    put(world, b"b")
    asked = send(world, 1, max_wait_ms=WAIT_MS, min_bytes=MANY)
    log_of(world).delete_before(2)
    world._settle()
    assert asked.response is not None
    (partition,) = asked.response.responses[0].partitions
    assert partition.error_code == ErrorCode.OFFSET_OUT_OF_RANGE


# -- where and what --------------------------------------------------------------------------------


def test_an_offset_out_of_range_comes_with_the_range() -> None:
    world = a_world()
    for value in (b"a", b"b", b"c"):
        put(world, value)
    log_of(world).delete_before(1)
    for offset in (0, 4, -1):
        partition = fetch_one(world, offset, max_wait_ms=WAIT_MS)
        assert partition.error_code == ErrorCode.OFFSET_OUT_OF_RANGE
        assert (partition.log_start_offset, partition.high_watermark) == (1, 3)
    assert fetch_one(world, 3).error_code == 0, "the end is where a reader waits"


def test_an_unknown_topic_or_id_is_told() -> None:
    world = a_world()
    unknown = fetch_one(world, topic="nowhere", version=12)
    assert unknown.error_code == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    unknown = fetch_one(world, topic="nowhere", version=13)
    assert unknown.error_code == ErrorCode.UNKNOWN_TOPIC_ID


def test_an_id_stands_for_one_topic_for_ever() -> None:
    world = a_world()
    before = world.node.broker.topic("orders").topic_id
    world.remove("orders")
    world.create("orders")
    assert fetch_one(world, topic_id=before).error_code == ErrorCode.UNKNOWN_TOPIC_ID
    assert fetch_one(world).error_code == 0


def test_a_client_with_another_leader_epoch_is_told_so() -> None:
    world = a_world()
    epoch = log_of(world).leader_epoch
    assert fetch_one(world, current_leader_epoch=epoch).error_code == 0
    ahead = fetch_one(world, current_leader_epoch=epoch + 1)
    assert ahead.error_code == ErrorCode.UNKNOWN_LEADER_EPOCH
    world.restart(crash=False)
    behind = fetch_one(world, current_leader_epoch=epoch)
    assert behind.error_code == ErrorCode.FENCED_LEADER_EPOCH


def test_a_reader_of_another_history_is_told_where_it_left_this_one() -> None:
    world = a_world()
    epoch = log_of(world).leader_epoch
    put(world, b"a")
    world.restart(crash=False)
    put(world, b"b")
    assert offsets_in(fetch_one(world, 1, last_fetched_epoch=epoch)) == [1]
    diverged = fetch_one(world, 2, last_fetched_epoch=epoch, max_wait_ms=WAIT_MS)
    assert (diverged.error_code, diverged.records) == (0, b"")
    told = diverged.diverging_epoch
    assert (told.epoch, told.end_offset) == (epoch, 1)
    unheard_of = fetch_one(world, 1, last_fetched_epoch=epoch + 7)
    assert unheard_of.error_code == ErrorCode.OFFSET_OUT_OF_RANGE


def test_nobody_else_keeps_a_replica() -> None:
    partition = fetch_one(a_world(), replica_id=2, version=12)
    assert partition.error_code == ErrorCode.NOT_LEADER_OR_FOLLOWER


def test_sessions_are_not_kept() -> None:
    world = a_world()
    put(world, b"a")
    first = send(world, 0, session_id=0, session_epoch=0).response
    assert first is not None
    assert (first.error_code, first.session_id) == (0, 0)
    going_on = send(world, 0, session_id=5, session_epoch=1).response
    assert going_on is not None
    assert (going_on.error_code, going_on.responses) == (ErrorCode.FETCH_SESSION_ID_NOT_FOUND, [])
    whole = send(world, 0, session_id=5, session_epoch=-1).response
    assert whole is not None
    assert whole.error_code == 0


def test_an_isolation_that_does_not_exist_ends_the_connection() -> None:
    with pytest.raises(Disconnect, match="isolation level 7"):
        send(a_world(), 0, isolation_level=7)


# -- transactions ----------------------------------------------------------------------------------


def in_transaction(world: NodeWorld, producer_id: int, value: bytes, sequence: int = 0) -> int:
    return put(
        world,
        value,
        producer_id=producer_id,
        producer_epoch=0,
        base_sequence=sequence,
        transactional=True,
    )


def test_committed_readers_stop_before_what_is_undecided() -> None:
    world = a_world()
    put(world, b"plain")
    in_transaction(world, 7, b"open")
    put(world, b"behind")
    partition = fetch_one(world, isolation_level=COMMITTED)
    assert (partition.last_stable_offset, partition.high_watermark) == (1, 3)
    assert (offsets_in(partition), partition.aborted_transactions) == ([0], [])
    assert offsets_in(fetch_one(world)) == [0, 1, 2]


def test_a_marker_lets_committed_readers_go_on() -> None:
    world = a_world()
    in_transaction(world, 7, b"a")
    asked = send(world, 0, isolation_level=COMMITTED, max_wait_ms=WAIT_MS)
    assert asked.response is None
    end(world, 7, commit=True)
    world._settle()
    assert asked.response is not None
    assert offsets_in(asked.response.responses[0].partitions[0]) == [0, 1]


def test_committed_readers_get_what_is_aborted_among_what_they_read() -> None:
    world = a_world()
    for producer_id in (7, 8, 9):
        in_transaction(world, producer_id, b"x" * 100)
        end(world, producer_id, commit=producer_id == 8)
    partition = fetch_one(world, isolation_level=COMMITTED)
    assert [(a.producer_id, a.first_offset) for a in partition.aborted_transactions or []] == [
        (7, 0),
        (9, 4),
    ]
    part = fetch_one(world, 1, isolation_level=COMMITTED, partition_max_bytes=300)
    assert [a.producer_id for a in part.aborted_transactions or []] == [7], "no more than it needs"
    assert fetch_one(world).aborted_transactions is None


def test_what_goes_out_of_a_topic_is_counted() -> None:
    world = a_world()
    put(world, b"a")
    fetch_one(world)
    fetch_one(world, 9)
    counts = world.node.metrics.topic("orders")
    assert (counts.bytes_out, counts.fetch_requests) == (log_of(world).size, 2)
    assert world.node.metrics.api(FETCH.key).errors[ErrorCode.OFFSET_OUT_OF_RANGE] == 1
