"""Metadata: who leads what, and which topics come to exist by being asked for."""

from uuid import UUID

import pytest
from millpond.log.wire.error_codes import ErrorCode
from millpond.log.wire.messages.metadata import (
    METADATA,
    MetadataRequest,
    MetadataRequestTopic,
    MetadataResponse,
)
from millpond.log.wire.schema import NO_UUID
from millpond.tests.twins.node_world import NodeWorld

NOT_ASKED = -(2**31)
LAST = 13
UNKNOWN = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION


def named(*names: str | None, topic_id: UUID = NO_UUID) -> list[MetadataRequestTopic]:
    return [MetadataRequestTopic(name=name, topic_id=topic_id) for name in names]


def ask(
    world: NodeWorld,
    topics: list[MetadataRequestTopic] | None,
    version: int = LAST,
    **options: bool,
) -> MetadataResponse:
    return world.ask(METADATA, version, MetadataRequest(topics=topics, **options))


def errors(response: MetadataResponse) -> list[int]:
    return [topic.error_code for topic in response.topics]


@pytest.mark.parametrize("version", range(LAST + 1))
def test_a_topic_is_described_in_every_version(version: int) -> None:
    world = NodeWorld()
    world.create("orders", partitions=2)
    response = ask(world, named("orders"), version)
    (topic,) = response.topics
    (broker,) = response.brokers
    assert (topic.error_code, topic.name) == (0, "orders")
    assert [each.partition_index for each in topic.partitions] == [0, 1]
    assert {each.leader_id for each in topic.partitions} == {broker.node_id}
    assert [each.isr_nodes for each in topic.partitions] == [[broker.node_id]] * 2
    assert (broker.host, broker.port) == ("127.0.0.1", 9092), "where this client came to"
    if version >= 2:
        assert response.cluster_id == world.node.cluster_id


def test_all_topics_are_listed_and_internal_ones_marked() -> None:
    world = NodeWorld()
    world.create("orders")
    listed = {topic.name: topic.is_internal for topic in ask(world, None).topics}
    assert listed == {"orders": False, "__consumer_offsets": True, "__transaction_state": True}
    assert {topic.name for topic in ask(world, [], 0).topics} == set(listed), "as version 0 asks"


def test_asking_for_no_topics_brings_the_broker_only() -> None:
    world = NodeWorld()
    world.create("orders")
    response = ask(world, [], 1)
    assert (response.topics, len(response.brokers)) == ([], 1)


def test_the_leader_epoch_goes_up_with_every_start() -> None:
    world = NodeWorld()
    world.create("orders")
    (before,) = ask(world, named("orders")).topics
    world.restart()
    (after,) = ask(world, named("orders")).topics
    assert after.partitions[0].leader_epoch > before.partitions[0].leader_epoch
    assert after.topic_id == before.topic_id


# -- topics by id ----------------------------------------------------------------------------------


def test_a_topic_is_found_by_its_id() -> None:
    world = NodeWorld()
    world.create("orders")
    topic_id = world.node.broker.topic("orders").topic_id
    (topic,) = ask(world, named(None, topic_id=topic_id), 12).topics
    assert (topic.error_code, topic.name, topic.topic_id) == (0, "orders", topic_id)


def test_an_id_that_nobody_has_is_unknown_and_makes_nothing() -> None:
    world = NodeWorld()
    response = ask(world, [*named(None, topic_id=UUID(int=7)), *named("orders")], 12)
    assert errors(response) == [ErrorCode.UNKNOWN_TOPIC_ID], "beside ids, names do not count"
    assert "orders" not in world.node.broker.metadata.topics


def test_an_id_is_refused_where_it_can_be_said_but_means_nothing() -> None:
    response = ask(NodeWorld(), named("orders", topic_id=UUID(int=7)), 11)
    assert errors(response) == [ErrorCode.INVALID_REQUEST]


def test_a_topic_with_neither_name_nor_id_is_refused() -> None:
    assert errors(ask(NodeWorld(), named(None), 12)) == [ErrorCode.INVALID_REQUEST]


# -- topics that come to exist ---------------------------------------------------------------------


def test_a_missing_topic_is_made_with_the_settings_for_new_topics() -> None:
    world = NodeWorld(settings={"num.partitions": "3"})
    (topic,) = ask(world, named("orders")).topics
    assert (topic.error_code, len(topic.partitions)) == (0, 3)
    assert topic.topic_id == world.node.broker.topic("orders").topic_id
    world.restart()
    assert len(ask(world, named("orders")).topics[0].partitions) == 3, "it has come to stay"


def test_a_client_may_say_that_it_wants_no_topic_made() -> None:
    world = NodeWorld()
    assert errors(ask(world, named("orders"), allow_auto_topic_creation=False)) == [UNKNOWN]
    assert "orders" not in world.node.broker.metadata.topics


def test_before_version_4_a_client_can_not_say_so() -> None:
    response = ask(NodeWorld(), named("orders"), 3, allow_auto_topic_creation=False)
    assert errors(response) == [0]


def test_an_operator_may_say_that_no_topic_is_made() -> None:
    world = NodeWorld(settings={"auto.create.topics.enable": "false"})
    assert errors(ask(world, named("orders"), 3)) == [UNKNOWN]


def test_a_topic_that_is_asked_for_twice_is_made_and_described_once() -> None:
    assert errors(ask(NodeWorld(), named("orders", "orders"))) == [0]


@pytest.mark.parametrize("name", ["", ".", "..", "two words", "x" * 250, "caf\xe9"])
def test_a_name_that_no_topic_can_have_is_refused(name: str) -> None:
    assert errors(ask(NodeWorld(), named(name))) == [ErrorCode.INVALID_TOPIC_EXCEPTION]


def test_one_bad_name_does_not_keep_the_others_from_being_made() -> None:
    response = ask(NodeWorld(), named("two words", "orders"))
    assert errors(response) == [ErrorCode.INVALID_TOPIC_EXCEPTION, 0]


def test_a_name_that_differs_from_another_only_in_dots_is_refused() -> None:
    world = NodeWorld()
    world.create("orders.eu")
    assert errors(ask(world, named("orders_eu"))) == [ErrorCode.INVALID_TOPIC_EXCEPTION]


def test_no_request_makes_more_topics_than_could_be_meant() -> None:
    world = NodeWorld(settings={"num.partitions": "6000"})
    assert errors(ask(world, named("a", "b"))) == [ErrorCode.POLICY_VIOLATION] * 2


def test_where_more_replicas_are_wanted_than_there_are_brokers_nothing_is_made() -> None:
    world = NodeWorld(settings={"default.replication.factor": "3"})
    assert errors(ask(world, named("orders"))) == [ErrorCode.INVALID_REPLICATION_FACTOR]


def test_the_brokers_own_log_is_nobodys_topic() -> None:
    assert errors(ask(NodeWorld(), named("__cluster_metadata"))) == [UNKNOWN]


# -- what a client may do --------------------------------------------------------------------------


def test_what_a_client_may_do_is_said_only_if_it_asks() -> None:
    world = NodeWorld()
    world.create("orders")
    response = ask(world, named("orders"), 9)
    assert response.cluster_authorized_operations == NOT_ASKED
    assert response.topics[0].topic_authorized_operations == NOT_ASKED
    response = ask(
        world,
        named("orders"),
        9,
        include_cluster_authorized_operations=True,
        include_topic_authorized_operations=True,
    )
    # The figures of Apache Kafka without an authorizer.
    assert response.cluster_authorized_operations == 8096
    assert response.topics[0].topic_authorized_operations == 3576
