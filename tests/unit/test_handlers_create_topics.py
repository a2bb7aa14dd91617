"""CreateTopics: topics are made, or refused one by one with the codes that Kafka has for it."""

from collections.abc import Mapping

import pytest
from millpond.log.broker.existence import PARTITIONS_AT_ONCE, let_grow
from millpond.log.broker.growth import new_topics
from millpond.log.broker.metadata import PARTITIONS_MAX
from millpond.log.broker.waits import Aside
from millpond.log.model import TopicPartition, TopicSpec
from millpond.log.wire.error_codes import ErrorCode
from millpond.log.wire.messages.create_topics import (
    CREATE_TOPICS,
    CreatableReplicaAssignment,
    CreatableTopic,
    CreatableTopicConfig,
    CreatableTopicResult,
    CreateTopicsRequest,
)
from millpond.log.wire.schema import NO_UUID
from millpond.tests.twins.node_world import NodeWorld


def topic(
    name: str,
    partitions: int = 1,
    replication: int = 1,
    *,
    assigned: Mapping[int, list[int]] | None = None,
    configs: Mapping[str, str | None] | None = None,
) -> CreatableTopic:
    return CreatableTopic(
        name=name,
        num_partitions=partitions,
        replication_factor=replication,
        assignments=[
            CreatableReplicaAssignment(partition_index=number, broker_ids=brokers)
            for number, brokers in (assigned or {}).items()
        ],
        configs=[
            CreatableTopicConfig(name=key, value=value) for key, value in (configs or {}).items()
        ],
    )


def create(
    world: NodeWorld, *topics: CreatableTopic, version: int = 7, validate_only: bool = False
) -> list[CreatableTopicResult]:
    request = CreateTopicsRequest(topics=list(topics), validate_only=validate_only)
    return world.ask(CREATE_TOPICS, version, request).topics


def refusal(world: NodeWorld, asked: CreatableTopic) -> tuple[ErrorCode, str]:
    (result,) = create(world, asked)
    known = world.node.broker.metadata.topics.get(asked.name)
    assert known is None or result.error_code == ErrorCode.TOPIC_ALREADY_EXISTS
    assert result.error_message is not None
    return ErrorCode(result.error_code), result.error_message


@pytest.mark.parametrize("version", range(2, 8))
def test_topics_are_made_in_every_version(version: int) -> None:
    world = NodeWorld()
    results = create(world, topic("orders", 3), topic("clicks"), version=version)
    assert [(one.name, one.error_code) for one in results] == [("orders", 0), ("clicks", 0)]
    world.restart()
    assert world.node.broker.topic("orders").partitions == 3
    assert world.node.broker.partition(TopicPartition("orders", 2)).log_end_offset == 0


def test_the_answer_describes_the_topic() -> None:
    world = NodeWorld(settings={"num.partitions": "4"})
    (made,) = create(world, topic("orders", -1, -1, configs={"retention.ms": "5000"}))
    assert made.topic_id == world.node.broker.topic("orders").topic_id
    assert (made.num_partitions, made.replication_factor) == (4, 1)
    configs = {one.name: (one.value, one.config_source) for one in made.configs or ()}
    assert configs["retention.ms"] == ("5000", 1)
    assert configs["segment.bytes"] == ("1073741824", 5)
    (older,) = create(world, topic("clicks"), version=4)
    assert older.topic_id == NO_UUID


def test_validating_makes_nothing() -> None:
    world = NodeWorld()
    good, bad = create(world, topic("orders", 2), topic("a b"), validate_only=True)
    assert (good.error_code, good.num_partitions) == (0, 2)
    assert bad.error_code == ErrorCode.INVALID_TOPIC_EXCEPTION
    assert "orders" not in world.node.broker.metadata.topics
    assert not world.disk.exists("orders-0")


def test_one_bad_topic_does_not_keep_the_others_from_being_made() -> None:
    world = NodeWorld()
    results = create(world, topic("orders"), topic("orders2", 0), topic("clicks"))
    assert [one.error_code for one in results] == [0, ErrorCode.INVALID_PARTITIONS, 0]
    assert {"orders", "clicks"} <= world.node.broker.metadata.topics.keys()


def test_a_topic_that_exists_is_refused() -> None:
    world = NodeWorld()
    world.create("orders")
    assert refusal(world, topic("orders"))[0] is ErrorCode.TOPIC_ALREADY_EXISTS
    assert refusal(world, topic("__consumer_offsets"))[0] is ErrorCode.TOPIC_ALREADY_EXISTS


def test_a_topic_named_twice_is_not_made_at_all() -> None:
    world = NodeWorld()
    results = create(world, topic("orders", 1), topic("orders", 2), topic("clicks"))
    codes = {one.name: one.error_code for one in results}
    assert codes == {"orders": ErrorCode.INVALID_REQUEST, "clicks": 0}


@pytest.mark.parametrize("name", ["", ".", "..", "a b", "é", "x" * 250])
def test_a_name_that_won_t_do_is_refused(name: str) -> None:
    assert refusal(NodeWorld(), topic(name))[0] is ErrorCode.INVALID_TOPIC_EXCEPTION


def test_names_that_metrics_could_not_tell_apart_are_refused() -> None:
    world = NodeWorld()
    world.create("eu.orders")
    code, message = refusal(world, topic("eu_orders"))
    assert code is ErrorCode.INVALID_TOPIC_EXCEPTION
    assert message == "Topic 'eu_orders' collides with existing topic: eu.orders"
    assert create(world, topic("eu-orders"))[0].error_code == 0


def test_the_log_of_what_exists_is_nobody_s_topic() -> None:
    assert refusal(NodeWorld(), topic("__cluster_metadata"))[0] is ErrorCode.INVALID_REQUEST


@pytest.mark.parametrize("partitions", [0, -2])
def test_a_topic_needs_partitions(partitions: int) -> None:
    assert refusal(NodeWorld(), topic("t", partitions))[0] is ErrorCode.INVALID_PARTITIONS


def test_too_many_partitions_are_refused_for_the_whole_request() -> None:
    world = NodeWorld()
    results = create(world, topic("small"), topic("large", PARTITIONS_MAX))
    assert [one.error_code for one in results] == [ErrorCode.POLICY_VIOLATION] * 2
    assert "small" not in world.node.broker.metadata.topics


@pytest.mark.parametrize("replication", [0, -2, 2, 3])
def test_there_is_one_broker_to_replicate_to(replication: int) -> None:
    asked = topic("t", 1, replication)
    assert refusal(NodeWorld(), asked)[0] is ErrorCode.INVALID_REPLICATION_FACTOR


@pytest.mark.parametrize(
    ("configs", "words"),
    [
        ({"retention.ms": "long"}, "retention.ms='long'"),
        ({"retention.msec": "5"}, "did you mean retention.ms"),
        ({"cleanup.policy": "compcat"}, "use delete, compact"),
        ({"retention.ms": None}, "Null value not supported for topic configs: retention.ms"),
    ],
)
def test_a_setting_that_won_t_do_is_refused(configs: dict[str, str | None], words: str) -> None:
    code, message = refusal(NodeWorld(), topic("t", configs=configs))
    assert code is ErrorCode.INVALID_CONFIG
    assert words in message


def test_a_manual_assignment_to_this_broker_will_do() -> None:
    world = NodeWorld()
    (made,) = create(world, topic("t", -1, -1, assigned={1: [1], 0: [1]}))
    assert (made.error_code, made.num_partitions) == (0, 2)


@pytest.mark.parametrize(
    ("partitions", "replication", "assigned", "code"),
    [
        (1, -1, {0: [1]}, ErrorCode.INVALID_REQUEST),
        (-1, 1, {0: [1]}, ErrorCode.INVALID_REQUEST),
        (-1, -1, {0: [7]}, ErrorCode.INVALID_REPLICA_ASSIGNMENT),
        (-1, -1, {0: [1, 1]}, ErrorCode.INVALID_REPLICA_ASSIGNMENT),
        (-1, -1, {0: []}, ErrorCode.INVALID_REPLICA_ASSIGNMENT),
        (-1, -1, {1: [1]}, ErrorCode.INVALID_REPLICA_ASSIGNMENT),
    ],
)
def test_other_manual_assignments_are_refused(
    partitions: int, replication: int, assigned: dict[int, list[int]], code: ErrorCode
) -> None:
    asked = topic("t", partitions, replication, assigned=assigned)
    assert refusal(NodeWorld(), asked)[0] is code


def test_a_partition_assigned_twice_is_refused() -> None:
    once = topic("t", -1, -1, assigned={0: [1]})
    twice = CreatableTopic(
        name="t",
        num_partitions=-1,
        replication_factor=-1,
        assignments=once.assignments * 2,
        configs=[],
    )
    assert refusal(NodeWorld(), twice)[0] is ErrorCode.INVALID_REPLICA_ASSIGNMENT


def test_somebody_s_records_are_not_overwritten() -> None:
    world = NodeWorld()
    world.disk.make_directory("orders-1")
    world.disk.open("orders-1/00000000000000000000.log").append(b"precious")
    code, message = refusal(world, topic("orders", 2))
    assert code is ErrorCode.KAFKA_STORAGE_ERROR
    assert "orders-1 holds segments" in message
    world.restart(crash=False)
    assert "orders" not in world.node.broker.metadata.topics


def test_nobody_sees_a_topic_before_all_its_partitions_are_there() -> None:
    world = NodeWorld()
    broker = world.node.broker
    wide = broker.new_topic(TopicSpec("wide", 3 * PARTITIONS_AT_ONCE))
    handling = let_grow(broker, new_topics([wide]), world.clock.now())
    waits = 0
    wait = next(handling, None)
    while wait is not None:
        assert isinstance(wait, Aside)
        assert "wide" not in broker.metadata.topics
        assert TopicPartition("wide", 0) not in broker.partitions
        waits += 1
        try:
            wait = handling.send(wait.act())
        except StopIteration:
            break
    assert waits == 3
    assert broker.partition(TopicPartition("wide", wide.partitions - 1)).log_end_offset == 0


def test_a_power_cut_while_a_wide_topic_is_made_leaves_it_to_be_made_on_opening() -> None:
    world = NodeWorld()
    broker = world.node.broker
    wide = broker.new_topic(TopicSpec("wide", 3 * PARTITIONS_AT_ONCE))
    wait = next(let_grow(broker, new_topics([wide]), world.clock.now()))
    assert isinstance(wait, Aside)
    wait.act()
    assert world.disk.exists("wide-0")
    assert not world.disk.exists(f"wide-{PARTITIONS_AT_ONCE}")
    world.restart()
    assert world.node.broker.topic("wide").topic_id == wide.topic_id
    last = TopicPartition("wide", wide.partitions - 1)
    assert world.node.broker.partition(last).log_end_offset == 0
