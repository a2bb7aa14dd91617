"""CreatePartitions: topics grow, and never shrink."""

import pytest
from millpond.log.broker.metadata import PARTITIONS_MAX
from millpond.log.model import NewRecord, TopicPartition
from millpond.log.records import encode_batch
from millpond.log.wire.error_codes import ErrorCode
from millpond.log.wire.messages.create_partitions import (
    CREATE_PARTITIONS,
    CreatePartitionsAssignment,
    CreatePartitionsRequest,
    CreatePartitionsTopic,
)
from millpond.tests.twins.node_world import NodeWorld


def topic(name: str, count: int, assigned: list[list[int]] | None = None) -> CreatePartitionsTopic:
    assignments = None
    if assigned is not None:
        assignments = [CreatePartitionsAssignment(broker_ids=brokers) for brokers in assigned]
    return CreatePartitionsTopic(name=name, count=count, assignments=assignments)


def grow(
    world: NodeWorld,
    *topics: CreatePartitionsTopic,
    version: int = 3,
    validate_only: bool = False,
) -> dict[str, int]:
    request = CreatePartitionsRequest(
        topics=list(topics), timeout_ms=1000, validate_only=validate_only
    )
    results = world.ask(CREATE_PARTITIONS, version, request).results
    return {one.name: one.error_code for one in results}


def orders() -> NodeWorld:
    world = NodeWorld()
    world.create("orders", 2)
    return world


@pytest.mark.parametrize("version", range(4))
def test_a_topic_grows_and_keeps_what_it_has(version: int) -> None:
    world = orders()
    now = world.clock.now()
    log = world.node.broker.partition(TopicPartition("orders", 0))
    log.append(encode_batch([NewRecord(None, b"v", now)]), leader_epoch=log.leader_epoch, now=now)
    log.flush()
    before = world.node.broker.topic("orders")
    assert grow(world, topic("orders", 5), version=version) == {"orders": 0}
    world.restart()
    after = world.node.broker.topic("orders")
    assert (after.partitions, after.topic_id) == (5, before.topic_id)
    ends = [
        world.node.broker.partition(TopicPartition("orders", number)).log_end_offset
        for number in range(5)
    ]
    assert ends == [1, 0, 0, 0, 0]


def test_validating_makes_nothing() -> None:
    world = orders()
    assert grow(world, topic("orders", 5), validate_only=True) == {"orders": 0}
    assert world.node.broker.topic("orders").partitions == 2


@pytest.mark.parametrize("count", [2, 1, 0, -1, PARTITIONS_MAX + 1])
def test_a_count_that_is_no_increase_is_refused(count: int) -> None:
    assert grow(orders(), topic("orders", count)) == {"orders": ErrorCode.INVALID_PARTITIONS}


def test_what_can_t_grow_is_refused_by_itself() -> None:
    world = orders()
    world.create("clicks")
    codes = grow(
        world,
        topic("nope", 3),
        topic("clicks", 3),
        topic("clicks", 4),
        topic("__consumer_offsets", 50),
        topic("orders", 3),
    )
    assert codes == {
        "nope": ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
        "clicks": ErrorCode.INVALID_REQUEST,
        "__consumer_offsets": ErrorCode.INVALID_REQUEST,
        "orders": 0,
    }


@pytest.mark.parametrize(
    ("assigned", "code"),
    [
        ([[1], [1]], ErrorCode.NONE),
        ([[1]], ErrorCode.INVALID_REPLICA_ASSIGNMENT),
        ([[1], [2]], ErrorCode.INVALID_REPLICA_ASSIGNMENT),
        ([[1], []], ErrorCode.INVALID_REPLICA_ASSIGNMENT),
        ([[1], [1, 1]], ErrorCode.INVALID_REPLICA_ASSIGNMENT),
        ([], ErrorCode.INVALID_REPLICA_ASSIGNMENT),
    ],
)
def test_a_manual_assignment_can_only_name_this_broker(
    assigned: list[list[int]], code: ErrorCode
) -> None:
    assert grow(orders(), topic("orders", 4, assigned)) == {"orders": code}


def test_somebody_s_records_are_not_overwritten() -> None:
    world = orders()
    world.disk.make_directory("orders-2")
    world.disk.open("orders-2/00000000000000000000.log").append(b"precious")
    assert grow(world, topic("orders", 3)) == {"orders": ErrorCode.KAFKA_STORAGE_ERROR}
    assert world.node.broker.topic("orders").partitions == 2
