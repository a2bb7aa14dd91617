"""DescribeCluster, DescribeTopicPartitions, DescribeLogDirs, ListConfigResources: what there is."""

import pytest
from millpond.log.broker.handlers.authorized import CLUSTER_OPERATIONS, NOT_ASKED, TOPIC_OPERATIONS
from millpond.log.broker.handlers.describe_topic_partitions import PARTITIONS_OF_PAGE_MAX
from millpond.log.model import NewRecord, TopicPartition
from millpond.log.records import encode_batch
from millpond.log.wire.error_codes import ErrorCode
from millpond.log.wire.messages.describe_cluster import DESCRIBE_CLUSTER, DescribeClusterRequest
from millpond.log.wire.messages.describe_log_dirs import (
    DESCRIBE_LOG_DIRS,
    DescribableLogDirTopic,
    DescribeLogDirsRequest,
)
from millpond.log.wire.messages.describe_topic_partitions import (
    DESCRIBE_TOPIC_PARTITIONS,
    Cursor,
    DescribeTopicPartitionsRequest,
    DescribeTopicPartitionsResponse,
    ResponseCursor,
    TopicRequest,
)
from millpond.log.wire.messages.list_config_resources import (
    LIST_CONFIG_RESOURCES,
    ListConfigResourcesRequest,
)
from millpond.tests.twins.node_world import NodeWorld

# -- the cluster -----------------------------------------------------------------------------------


@pytest.mark.parametrize("version", range(3))
def test_the_cluster_is_this_broker(version: int) -> None:
    world = NodeWorld(settings={"node.id": "7"})
    request = DescribeClusterRequest(include_cluster_authorized_operations=False)
    response = world.ask(DESCRIBE_CLUSTER, version, request)
    (broker,) = response.brokers
    assert (broker.broker_id, broker.host, broker.port) == (7, "127.0.0.1", 9092)
    assert (response.cluster_id, response.controller_id) == (world.node.cluster_id, 7)
    assert response.cluster_authorized_operations == NOT_ASKED


def test_what_a_client_may_do_is_told_on_demand() -> None:
    request = DescribeClusterRequest(include_cluster_authorized_operations=True)
    response = NodeWorld().ask(DESCRIBE_CLUSTER, 2, request)
    assert response.cluster_authorized_operations == CLUSTER_OPERATIONS


@pytest.mark.parametrize(
    ("endpoint_type", "code"),
    [(2, ErrorCode.MISMATCHED_ENDPOINT_TYPE), (3, ErrorCode.UNSUPPORTED_ENDPOINT_TYPE)],
)
def test_there_are_no_controllers_to_be_found(endpoint_type: int, code: ErrorCode) -> None:
    request = DescribeClusterRequest(
        include_cluster_authorized_operations=False, endpoint_type=endpoint_type
    )
    response = NodeWorld().ask(DESCRIBE_CLUSTER, 2, request)
    assert (response.error_code, response.brokers) == (code, [])


# -- topics, page by page --------------------------------------------------------------------------


def page(
    world: NodeWorld, *names: str, limit: int = 2000, cursor: tuple[str, int] | None = None
) -> DescribeTopicPartitionsResponse:
    request = DescribeTopicPartitionsRequest(
        topics=[TopicRequest(name=name) for name in names],
        response_partition_limit=limit,
        cursor=Cursor(topic_name=cursor[0], partition_index=cursor[1]) if cursor else None,
    )
    return world.ask(DESCRIBE_TOPIC_PARTITIONS, 0, request)


def numbers(response: DescribeTopicPartitionsResponse) -> dict[str | None, list[int]]:
    return {one.name: [each.partition_index for each in one.partitions] for one in response.topics}


def two_topics() -> NodeWorld:
    world = NodeWorld()
    world.create("b", 2)
    world.create("a", 3)
    return world


def test_topics_are_described_in_their_order() -> None:
    world = two_topics()
    response = page(world, "b", "none", "a", "b", "a b")
    assert numbers(response) == {"a": [0, 1, 2], "a b": [], "b": [0, 1], "none": []}
    a, spaced, _b, none = response.topics
    assert (a.topic_id, a.is_internal) == (world.node.broker.topic("a").topic_id, False)
    assert a.topic_authorized_operations == TOPIC_OPERATIONS
    assert (a.partitions[0].leader_id, a.partitions[0].isr_nodes) == (1, [1])
    assert spaced.error_code == ErrorCode.INVALID_TOPIC_EXCEPTION
    assert none.error_code == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    assert response.next_cursor is None


def test_without_names_all_topics_are_described() -> None:
    response = page(two_topics())
    assert list(numbers(response)) == ["__consumer_offsets", "__transaction_state", "a", "b"]
    assert [one.is_internal for one in response.topics] == [True, True, False, False]


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 5, 6])
def test_pages_one_after_the_other_are_the_whole(limit: int) -> None:
    world = two_topics()
    found: list[tuple[str | None, int]] = []
    cursor: tuple[str, int] | None = None
    while True:
        response = page(world, "a", "b", limit=limit, cursor=cursor)
        on_page = [(name, each) for name, all_ in numbers(response).items() for each in all_]
        assert len(on_page) <= limit
        found += on_page
        if response.next_cursor is None:
            break
        cursor = response.next_cursor.topic_name, response.next_cursor.partition_index
    assert found == [("a", 0), ("a", 1), ("a", 2), ("b", 0), ("b", 1)]


def test_a_page_has_its_bounds_whatever_is_asked_for() -> None:
    world = NodeWorld()
    world.create("wide", PARTITIONS_OF_PAGE_MAX + 1)
    response = page(world, "wide", limit=10**6)
    following = ResponseCursor(topic_name="wide", partition_index=PARTITIONS_OF_PAGE_MAX)
    assert response.next_cursor == following
    assert numbers(page(world, "wide", limit=-5)) == {"wide": [0]}


def test_the_cursor_s_topic_may_be_gone() -> None:
    world = two_topics()
    assert numbers(page(world, cursor=("aa", 2))) == {"b": [0, 1]}
    assert numbers(page(world, "a", "b", cursor=("a", 9))) == {"a": [], "b": [0, 1]}


@pytest.mark.parametrize("cursor", [("c", 0), ("a", -1)])
def test_a_cursor_that_fits_no_page_is_refused(cursor: tuple[str, int]) -> None:
    response = page(two_topics(), "a", "b", cursor=cursor)
    assert [one.error_code for one in response.topics] == [ErrorCode.INVALID_REQUEST] * 2


# -- directories -----------------------------------------------------------------------------------


@pytest.mark.parametrize("version", range(1, 5))
def test_partitions_are_measured(version: int) -> None:
    world = two_topics()
    log = world.node.broker.partition(TopicPartition("a", 1))
    now = world.clock.now()
    batch = encode_batch([NewRecord(None, b"v", now)])
    log.append(batch, leader_epoch=log.leader_epoch, now=now)
    asked = [
        DescribableLogDirTopic(topic="a", partitions=[0, 1, 9]),
        DescribableLogDirTopic(topic="none", partitions=[0]),
    ]
    request = DescribeLogDirsRequest(topics=asked)
    (directory,) = world.ask(DESCRIBE_LOG_DIRS, version, request).results
    (topic,) = directory.topics
    sizes = {each.partition_index: each.partition_size for each in topic.partitions}
    assert sizes == {0: 0, 1: len(batch)}
    assert directory.log_dir == "memory"


def test_everything_is_measured_when_nothing_is_named() -> None:
    world = two_topics()
    (all_,) = world.ask(DESCRIBE_LOG_DIRS, 4, DescribeLogDirsRequest(topics=None)).results
    assert {one.name: len(one.partitions) for one in all_.topics} == {
        "__consumer_offsets": 4,
        "__transaction_state": 4,
        "a": 3,
        "b": 2,
    }
    (nothing,) = world.ask(DESCRIBE_LOG_DIRS, 4, DescribeLogDirsRequest(topics=[])).results
    assert nothing.topics == []


# -- what has settings -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kinds", "found"),
    [
        ([], {(4, "1"), (2, "a"), (2, "b"), (2, "__consumer_offsets"), (2, "__transaction_state")}),
        ([4], {(4, "1")}),
        ([8, 16, 32], set()),
    ],
)
def test_what_has_settings_is_listed(kinds: list[int], found: set[tuple[int, str]]) -> None:
    request = ListConfigResourcesRequest(resource_types=kinds)
    response = two_topics().ask(LIST_CONFIG_RESOURCES, 1, request)
    listed = {(one.resource_type, one.resource_name) for one in response.config_resources}
    assert (response.error_code, listed) == (0, found)


def test_kinds_that_nobody_knows_are_refused() -> None:
    request = ListConfigResourcesRequest(resource_types=[99])
    response = NodeWorld().ask(LIST_CONFIG_RESOURCES, 1, request)
    assert response.error_code == ErrorCode.UNSUPPORTED_VERSION


def test_the_oldest_version_asks_for_client_metrics_only() -> None:
    response = two_topics().ask(LIST_CONFIG_RESOURCES, 0, ListConfigResourcesRequest())
    assert (response.error_code, response.config_resources) == (0, [])
