"""DeleteTopics: a topic is gone with all that hangs on it, and its namesake is another topic."""

from uuid import UUID

import pytest
from millpond.log.broker.handlers.delete_topics import delete_topics
from millpond.log.broker.node import Caller, Endpoint
from millpond.log.broker.waits import Aside, Exclusive, Quiet
from millpond.log.model import CommittedOffset, NewRecord, TopicPartition
from millpond.log.records import encode_batch
from millpond.log.wire.error_codes import ErrorCode
from millpond.log.wire.messages.delete_topics import (
    DELETE_TOPICS,
    DeletableTopicResult,
    DeleteTopicsRequest,
    DeleteTopicState,
)
from millpond.log.wire.messages.fetch import FETCH, FetchPartition, FetchRequest, FetchTopic
from millpond.tests.twins.node_world import NodeWorld

ORDERS = TopicPartition("orders", 0)


def delete(world: NodeWorld, *asked: str | UUID | None) -> list[DeletableTopicResult]:
    states = [
        DeleteTopicState(topic_id=each) if isinstance(each, UUID) else DeleteTopicState(name=each)
        for each in asked
    ]
    request = DeleteTopicsRequest(topics=states, timeout_ms=1000)
    return world.ask(DELETE_TOPICS, 6, request).responses


def append(world: NodeWorld) -> None:
    log = world.node.broker.partition(ORDERS)
    now = world.clock.now()
    batch = encode_batch([NewRecord(b"k", b"v", now)])
    log.append(batch, leader_epoch=log.leader_epoch, now=now)
    log.flush()


@pytest.mark.parametrize("version", range(1, 7))
def test_a_topic_is_removed_by_name_in_every_version(version: int) -> None:
    world = NodeWorld()
    world.create("orders", 2)
    world.create("clicks")
    if version < 6:
        request = DeleteTopicsRequest(topic_names=["orders"], timeout_ms=1000)
    else:
        request = DeleteTopicsRequest(topics=[DeleteTopicState(name="orders")], timeout_ms=1000)
    (result,) = world.ask(DELETE_TOPICS, version, request).responses
    assert (result.name, result.error_code) == ("orders", 0)
    assert not world.disk.exists("orders-0")
    world.restart()
    assert "orders" not in world.node.broker.metadata.topics
    assert "clicks" in world.node.broker.metadata.topics


def test_a_topic_is_removed_by_its_id() -> None:
    world = NodeWorld()
    world.create("orders")
    topic_id = world.node.broker.topic("orders").topic_id
    (result,) = delete(world, topic_id)
    assert (result.name, result.topic_id, result.error_code) == ("orders", topic_id, 0)
    (again,) = delete(world, topic_id)
    assert (again.name, again.error_code) == (None, ErrorCode.UNKNOWN_TOPIC_ID)


def test_what_can_t_be_removed_is_refused_by_itself() -> None:
    world = NodeWorld()
    world.create("orders")
    results = delete(world, "nope", None, UUID(int=7), "__consumer_offsets", "orders")
    assert [one.error_code for one in results] == [
        ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
        ErrorCode.INVALID_REQUEST,
        ErrorCode.UNKNOWN_TOPIC_ID,
        ErrorCode.INVALID_REQUEST,
        0,
    ]
    assert "__consumer_offsets" in world.node.broker.metadata.topics


def test_a_topic_named_twice_stays() -> None:
    world = NodeWorld()
    world.create("orders")
    topic_id = world.node.broker.topic("orders").topic_id
    for asked in (["orders", "orders"], ["orders", topic_id]):
        assert {one.error_code for one in delete(world, *asked)} == {ErrorCode.INVALID_REQUEST}
    both = DeleteTopicState(name="orders", topic_id=topic_id)
    request = DeleteTopicsRequest(topics=[both], timeout_ms=1000)
    (result,) = world.ask(DELETE_TOPICS, 6, request).responses
    assert result.error_code == ErrorCode.INVALID_REQUEST
    assert "orders" in world.node.broker.metadata.topics


def test_who_waits_to_fetch_is_told_at_once() -> None:
    world = NodeWorld()
    world.create("orders")
    partition = FetchPartition(partition=0, fetch_offset=0, partition_max_bytes=1000)
    request = FetchRequest(
        max_wait_ms=60_000, min_bytes=1, topics=[FetchTopic(topic="orders", partitions=[partition])]
    )
    waiting = world.send(FETCH, 12, request)
    assert not waiting.done
    delete(world, "orders")
    assert waiting.response is not None
    (answer,) = waiting.response.responses[0].partitions
    assert answer.error_code == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION


def test_offsets_that_groups_committed_go_with_the_topic() -> None:
    world = NodeWorld()
    world.create("orders")
    world.create("clicks")
    clicks = TopicPartition("clicks", 0)
    offsets = {ORDERS: CommittedOffset(3), clicks: CommittedOffset(4)}
    world.run(world.node.offsets.commit("readers", offsets, world.clock.now()))
    delete(world, "orders")
    world.create("orders")
    for _ in range(2):
        assert world.node.offsets.committed("readers") == {clicks: CommittedOffset(4)}
        world.restart()


def test_a_namesake_has_another_id_and_begins_empty() -> None:
    world = NodeWorld()
    world.create("orders")
    append(world)
    before = world.node.broker.topic("orders").topic_id
    delete(world, "orders")
    world.create("orders")
    world.restart()
    assert world.node.broker.topic("orders").topic_id != before
    assert world.node.broker.partition(ORDERS).log_end_offset == 0


def test_nothing_is_counted_any_more_of_a_topic_that_is_gone() -> None:
    world = NodeWorld()
    world.create("orders")
    world.node.metrics.topic("orders").bytes_in += 5
    delete(world, "orders")
    assert "orders" not in world.node.metrics.topics


def test_files_are_removed_only_when_nobody_syncs_them() -> None:
    world = NodeWorld()
    world.create("orders")
    request = DeleteTopicsRequest(topics=[DeleteTopicState(name="orders")], timeout_ms=1000)
    caller = Caller(6, "tester", "127.0.0.1", Endpoint("127.0.0.1", 9092))
    handling = delete_topics(world.node, request, caller)
    assert isinstance(next(handling), Exclusive), "nobody compacts it meanwhile"
    wait = handling.send(None)
    assert isinstance(wait, Quiet)
    assert ORDERS not in world.node.broker.partitions
    wait = handling.send(wait.act())
    assert isinstance(wait, Aside)
    assert world.disk.exists("orders-0")
    with pytest.raises(StopIteration):
        handling.send(wait.act())
    world.disk.crash(lose_unsynced=True)
    assert not world.disk.exists("orders-0"), "the removal is durable before the answer"
