"""ElectLeaders and the reassignments: one broker, so nobody else could lead, and nothing can move."""

import pytest
from millpond.log.wire.error_codes import ErrorCode
from millpond.log.wire.messages.alter_partition_reassignments import (
    ALTER_PARTITION_REASSIGNMENTS,
    AlterPartitionReassignmentsRequest,
    ReassignablePartition,
    ReassignableTopic,
)
from millpond.log.wire.messages.elect_leaders import (
    ELECT_LEADERS,
    ElectLeadersRequest,
    ElectLeadersResponse,
    TopicPartitions,
)
from millpond.log.wire.messages.list_partition_reassignments import (
    LIST_PARTITION_REASSIGNMENTS,
    ListPartitionReassignmentsRequest,
    ListPartitionReassignmentsTopics,
)
from millpond.tests.twins.node_world import NodeWorld


def orders() -> NodeWorld:
    world = NodeWorld()
    world.create("orders", 2)
    return world


def elect(
    wanted: dict[str, list[int]] | None, *, kind: int = 0, version: int = 2
) -> ElectLeadersResponse:
    topics = None
    if wanted is not None:
        topics = [TopicPartitions(topic=name, partitions=each) for name, each in wanted.items()]
    request = ElectLeadersRequest(election_type=kind, topic_partitions=topics)
    return orders().ask(ELECT_LEADERS, version, request)


@pytest.mark.parametrize("version", range(3))
def test_no_election_is_needed(version: int) -> None:
    response = elect({"orders": [0, 7], "none": [0]}, version=version)
    codes = {
        (topic.topic, one.partition_id): one.error_code
        for topic in response.replica_election_results
        for one in topic.partition_result
    }
    assert codes == {
        ("orders", 0): ErrorCode.ELECTION_NOT_NEEDED,
        ("orders", 7): ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
        ("none", 0): ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
    }


def test_of_all_partitions_those_that_need_none_are_left_out() -> None:
    response = elect(None)
    found = {one.topic: one.partition_result for one in response.replica_election_results}
    assert found == {"__consumer_offsets": [], "__transaction_state": [], "orders": []}


def test_a_kind_of_election_that_nobody_knows_is_refused() -> None:
    response = elect({"orders": [0]}, kind=7)
    assert response.error_code == ErrorCode.INVALID_REQUEST
    assert elect({"orders": [0]}, kind=1).error_code == 0


@pytest.mark.parametrize("version", [0, 1])
@pytest.mark.parametrize(
    ("name", "number", "replicas", "code"),
    [
        ("orders", 0, [1], ErrorCode.NONE),
        ("orders", 0, [2], ErrorCode.INVALID_REPLICA_ASSIGNMENT),
        ("orders", 0, [1, 2], ErrorCode.INVALID_REPLICA_ASSIGNMENT),
        ("orders", 0, [], ErrorCode.INVALID_REPLICA_ASSIGNMENT),
        ("orders", 0, None, ErrorCode.NO_REASSIGNMENT_IN_PROGRESS),
        ("orders", 7, [1], ErrorCode.UNKNOWN_TOPIC_OR_PARTITION),
        ("none", 0, [1], ErrorCode.UNKNOWN_TOPIC_OR_PARTITION),
    ],
)
def test_a_partition_can_only_stay(
    version: int, name: str, number: int, replicas: list[int] | None, code: ErrorCode
) -> None:
    partition = ReassignablePartition(partition_index=number, replicas=replicas)
    request = AlterPartitionReassignmentsRequest(
        topics=[ReassignableTopic(name=name, partitions=[partition])]
    )
    response = orders().ask(ALTER_PARTITION_REASSIGNMENTS, version, request)
    assert response.error_code == 0
    assert response.responses[0].partitions[0].error_code == code


@pytest.mark.parametrize("topics", [None, [("orders", [0, 1]), ("none", [0])]])
def test_nothing_is_on_its_way(topics: list[tuple[str, list[int]]] | None) -> None:
    wanted = None
    if topics is not None:
        wanted = [
            ListPartitionReassignmentsTopics(name=name, partition_indexes=each)
            for name, each in topics
        ]
    request = ListPartitionReassignmentsRequest(topics=wanted)
    response = orders().ask(LIST_PARTITION_REASSIGNMENTS, 0, request)
    assert (response.error_code, response.topics) == (0, [])
