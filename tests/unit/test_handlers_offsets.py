"""ListOffsets, OffsetForLeaderEpoch and DeleteRecords: where a log begins, ends, and ends an epoch."""

import pytest
from millpond.log.model import NewRecord, TopicPartition
from millpond.log.records import encode_batch, stamp_crc
from millpond.log.storage.partition_log import PartitionLog
from millpond.log.wire.error_codes import ErrorCode
from millpond.log.wire.messages.delete_records import (
    DELETE_RECORDS,
    DeleteRecordsPartition,
    DeleteRecordsRequest,
    DeleteRecordsTopic,
)
from millpond.log.wire.messages.list_offsets import (
    LIST_OFFSETS,
    ListOffsetsPartition,
    ListOffsetsPartitionResponse,
    ListOffsetsRequest,
    ListOffsetsTopic,
)
from millpond.log.wire.messages.offset_for_leader_epoch import (
    OFFSET_FOR_LEADER_EPOCH,
    EpochEndOffset,
    OffsetForLeaderEpochRequest,
    OffsetForLeaderPartition,
    OffsetForLeaderTopic,
)
from millpond.tests.twins.node_world import NodeWorld

LATEST, EARLIEST, LARGEST, EARLIEST_LOCAL, LATEST_TIERED = -1, -2, -3, -4, -5
COMMITTED = 1
NOTHING = (-1, -1, -1)


def a_world(**config: str) -> NodeWorld:
    world = NodeWorld()
    world.create("orders", **config)
    return world


def log_of(world: NodeWorld) -> PartitionLog:
    return world.node.broker.partition(TopicPartition("orders", 0))


def put(world: NodeWorld, *timestamps: int, **options: object) -> None:
    """Append one durable batch with records of these timestamps."""
    records = [NewRecord(b"k", b"v", at) for at in timestamps]
    batch = encode_batch(records, **options)  # type: ignore[arg-type]
    log = log_of(world)
    log.append(batch, leader_epoch=log.leader_epoch, now=0)
    log.flush()


def ask(
    world: NodeWorld,
    timestamp: int,
    version: int = 10,
    *,
    topic: str = "orders",
    current_leader_epoch: int = -1,
    replica_id: int = -1,
    isolation_level: int = 0,
) -> ListOffsetsPartitionResponse:
    asked = ListOffsetsPartition(
        partition_index=0, current_leader_epoch=current_leader_epoch, timestamp=timestamp
    )
    request = ListOffsetsRequest(
        replica_id=replica_id,
        isolation_level=isolation_level,
        topics=[ListOffsetsTopic(name=topic, partitions=[asked])],
    )
    return world.ask(LIST_OFFSETS, version, request).topics[0].partitions[0]


def found(world: NodeWorld, timestamp: int, **options: int) -> tuple[int, int, int]:
    answer = ask(world, timestamp, **options)  # type: ignore[arg-type]
    assert answer.error_code == 0
    return answer.timestamp, answer.offset, answer.leader_epoch


# -- ListOffsets -----------------------------------------------------------------------------------


@pytest.mark.parametrize("version", range(1, 11))
def test_the_ends_of_a_log_are_told_in_every_version(version: int) -> None:
    world = a_world()
    put(world, 10, 20, 30)
    log_of(world).delete_before(1)
    assert ask(world, EARLIEST, version).offset == 1
    latest = ask(world, LATEST, version)
    assert (latest.error_code, latest.offset) == (0, 3)
    assert latest.leader_epoch == (log_of(world).leader_epoch if version >= 4 else -1)


def test_a_record_is_found_by_its_time_with_the_epoch_that_wrote_it() -> None:
    world = a_world()
    put(world, 10, 20, 30)
    epoch = log_of(world).leader_epoch
    world.restart(crash=False)
    put(world, 40)
    assert found(world, 0) == (10, 0, epoch)
    assert found(world, 15) == (20, 1, epoch)
    assert found(world, 30) == (30, 2, epoch)
    assert found(world, 31) == (40, 3, log_of(world).leader_epoch)
    assert found(world, 41) == NOTHING


def test_the_first_record_with_the_largest_time_is_found() -> None:
    world = a_world(segment_bytes="200")
    for timestamps in ((10, 50), (50, 20), (30,), (50,)):
        put(world, *timestamps)
    assert found(world, LARGEST) == (50, 1, log_of(world).leader_epoch)
    world.restart(crash=False)
    assert found(world, LARGEST)[:2] == (50, 1), "the indexes on disk know it as well"


def test_an_empty_log_has_no_largest_time_and_begins_where_it_ends() -> None:
    world = a_world()
    assert found(world, LARGEST) == NOTHING
    assert found(world, 0) == NOTHING
    assert found(world, EARLIEST)[1] == found(world, LATEST)[1] == 0


def test_there_is_no_other_storage_than_this_disk() -> None:
    world = a_world()
    put(world, 10, 20)
    log_of(world).delete_before(1)
    assert found(world, EARLIEST_LOCAL)[1] == 1
    assert found(world, LATEST_TIERED) == NOTHING


@pytest.mark.parametrize(
    ("timestamp", "first_version"), [(LARGEST, 7), (EARLIEST_LOCAL, 8), (LATEST_TIERED, 9)]
)
def test_special_times_are_of_certain_versions(timestamp: int, first_version: int) -> None:
    world = a_world()
    assert ask(world, timestamp, first_version - 1).error_code == ErrorCode.UNSUPPORTED_VERSION
    assert ask(world, timestamp, first_version).error_code == 0
    assert ask(world, -6, 10).error_code == ErrorCode.UNSUPPORTED_VERSION


def test_committed_readers_find_nothing_undecided() -> None:
    world = a_world()
    put(world, 10)
    put(world, 20, producer_id=7, producer_epoch=0, base_sequence=0, transactional=True)
    assert found(world, LATEST, isolation_level=COMMITTED)[1] == 1
    assert found(world, LATEST)[1] == 2
    assert found(world, 10, isolation_level=COMMITTED)[1] == 0
    assert found(world, 15, isolation_level=COMMITTED) == NOTHING
    assert found(world, LARGEST, isolation_level=COMMITTED) == NOTHING
    assert found(world, 15)[1] == 1


def test_what_is_not_durable_is_found_only_by_those_who_look_for_faults() -> None:
    world = a_world()
    log = log_of(world)
    batch = encode_batch([NewRecord(b"k", b"v", 10)])
    log.append(batch, leader_epoch=log.leader_epoch, now=0)
    assert found(world, LATEST)[1] == 0
    assert found(world, 0) == NOTHING
    assert found(world, LATEST, replica_id=-2)[1] == 1


def test_leader_epochs_are_checked() -> None:
    world = a_world()
    epoch = log_of(world).leader_epoch
    assert ask(world, LATEST, current_leader_epoch=epoch).error_code == 0
    ahead = ask(world, LATEST, current_leader_epoch=epoch + 1)
    assert ahead.error_code == ErrorCode.UNKNOWN_LEADER_EPOCH
    world.restart()
    behind = ask(world, LATEST, current_leader_epoch=epoch)
    assert behind.error_code == ErrorCode.FENCED_LEADER_EPOCH


def test_a_missing_topic_is_unknown_and_a_partition_named_twice_is_none() -> None:
    world = a_world()
    assert ask(world, LATEST, topic="nowhere").error_code == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    twice = [ListOffsetsPartition(partition_index=0, timestamp=at) for at in (LATEST, EARLIEST)]
    request = ListOffsetsRequest(
        replica_id=-1, topics=[ListOffsetsTopic(name="orders", partitions=twice)]
    )
    answers = world.ask(LIST_OFFSETS, 7, request).topics[0].partitions
    assert [each.error_code for each in answers] == [ErrorCode.INVALID_REQUEST] * 2


def test_a_batch_that_can_not_be_read_is_found_as_a_whole() -> None:
    world = a_world()
    put(world, 10)
    batch = encode_batch([NewRecord(b"k", b"v", at) for at in (20, 30, 40)])
    batch[22] |= 4  # it says zstd, and is none
    stamp_crc(batch)
    log = log_of(world)
    log.append(batch, leader_epoch=log.leader_epoch, now=0)
    log.flush()
    assert found(world, 35)[:2] == (40, 1), "whoever reads on from there misses nothing"
    assert found(world, LARGEST)[:2] == (40, 1)


# -- OffsetForLeaderEpoch --------------------------------------------------------------------------


def end_of(
    world: NodeWorld,
    leader_epoch: int,
    version: int = 4,
    *,
    current: int = -1,
    topic: str = "orders",
) -> EpochEndOffset:
    asked = OffsetForLeaderPartition(
        partition=0, current_leader_epoch=current, leader_epoch=leader_epoch
    )
    request = OffsetForLeaderEpochRequest(
        topics=[OffsetForLeaderTopic(topic=topic, partitions=[asked])]
    )
    response = world.ask(OFFSET_FOR_LEADER_EPOCH, version, request)
    return response.topics[0].partitions[0]


@pytest.mark.parametrize("version", [2, 3, 4])
def test_the_end_of_an_epoch_is_where_the_next_one_began(version: int) -> None:
    world = a_world()
    first = log_of(world).leader_epoch
    put(world, 10, 20)
    world.restart(crash=False)
    put(world, 30)
    now = log_of(world).leader_epoch
    asked = {epoch: end_of(world, epoch, version) for epoch in (first, now, now + 1, -1)}
    told = {epoch: (end.leader_epoch, end.end_offset) for epoch, end in asked.items()}
    assert told == {first: (first, 2), now: (now, 3), now + 1: (-1, -1), -1: (-1, -1)}


def test_of_an_epoch_without_records_the_one_before_is_told() -> None:
    world = a_world()
    first = log_of(world).leader_epoch
    put(world, 10)
    for _ in range(2):
        world.restart(crash=False)
    put(world, 20)
    end = end_of(world, first + 1)
    assert (end.leader_epoch, end.end_offset) == (first, 1)


def test_of_an_epoch_before_all_records_the_beginning_is_told() -> None:
    world = a_world()
    world.restart(crash=False)
    put(world, 10)
    log_of(world).delete_before(1)
    end = end_of(world, 0)
    assert (end.leader_epoch, end.end_offset) == (0, log_of(world).epochs.entries[0].start_offset)


def test_who_asks_for_an_epoch_must_know_the_present_one() -> None:
    world = a_world()
    present = log_of(world).leader_epoch
    assert end_of(world, 0, current=present).error_code == 0
    assert end_of(world, 0, current=present + 1).error_code == ErrorCode.UNKNOWN_LEADER_EPOCH
    missing = end_of(world, 0, topic="nowhere")
    assert missing.error_code == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION


# -- DeleteRecords ---------------------------------------------------------------------------------


def delete(
    world: NodeWorld, offset: int, version: int = 2, *, topic: str = "orders"
) -> tuple[int, int]:
    """Return the error code and where the log begins now."""
    asked = DeleteRecordsPartition(partition_index=0, offset=offset)
    request = DeleteRecordsRequest(
        timeout_ms=1000, topics=[DeleteRecordsTopic(name=topic, partitions=[asked])]
    )
    (one,) = world.ask(DELETE_RECORDS, version, request).topics[0].partitions
    return one.error_code, one.low_watermark


@pytest.mark.parametrize("version", [0, 1, 2])
def test_a_log_may_begin_later(version: int) -> None:
    world = a_world()
    put(world, 10, 20, 30)
    assert delete(world, 2, version) == (0, 2)
    assert delete(world, 1, version) == (0, 2), "which changes nothing"
    world.restart(crash=True)
    assert log_of(world).log_start_offset == 2
    assert delete(world, -1, version) == (0, 3), "all there is"


def test_records_that_are_not_there_can_not_be_deleted() -> None:
    world = a_world()
    put(world, 10)
    for offset in (2, -2):
        assert delete(world, offset) == (ErrorCode.OFFSET_OUT_OF_RANGE, -1)


def test_a_log_that_is_kept_by_key_loses_nothing_by_number() -> None:
    world = a_world(cleanup_policy="compact")
    put(world, 10)
    assert delete(world, 1) == (ErrorCode.POLICY_VIOLATION, -1)


def test_internal_and_missing_topics_lose_nothing() -> None:
    world = NodeWorld()
    refused = delete(world, 0, topic="__consumer_offsets")
    assert refused == (ErrorCode.INVALID_TOPIC_EXCEPTION, -1)
    assert delete(world, 0, topic="nowhere") == (ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, -1)
