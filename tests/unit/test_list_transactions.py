"""What can be asked about transactions: which there are, how far they are, who writes to a partition."""

import pytest
from millpond.log.model import TopicPartition
from millpond.log.wire.error_codes import ErrorCode
from millpond.log.wire.messages.describe_producers import (
    DESCRIBE_PRODUCERS,
    DescribeProducersRequest,
    TopicRequest,
)
from millpond.log.wire.messages.describe_transactions import (
    DESCRIBE_TRANSACTIONS,
    DescribeTransactionsRequest,
)
from millpond.log.wire.messages.list_transactions import (
    LIST_TRANSACTIONS,
    ListTransactionsRequest,
    ListTransactionsResponse,
)

from tests.twins.node_world import NodeWorld
from tests.twins.transactional_client import Writer

ORDERS, OTHER = TopicPartition("orders", 0), TopicPartition("orders", 1)


@pytest.fixture
def world() -> NodeWorld:
    """Three ids: one idle, one in the middle of a transaction, one that has committed."""
    world = NodeWorld()
    world.create("orders", 2)
    for name in ("idle", "open", "done"):
        writer = Writer(world, name)
        writer.init()
        if name != "idle":
            writer.add(OTHER, ORDERS)
            writer.write(ORDERS, b"1", b"2")
        if name == "done":
            writer.end(commit=True)
    return world


def listed(
    world: NodeWorld,
    *,
    states: list[str] | None = None,
    producers: list[int] | None = None,
    duration: int = -1,
    pattern: str | None = None,
) -> dict[str, str]:
    response = asked(world, states or [], producers or [], duration, pattern)
    assert response.error_code == ErrorCode.NONE
    return {each.transactional_id: each.transaction_state for each in response.transaction_states}


def asked(
    world: NodeWorld, states: list[str], producers: list[int], duration: int, pattern: str | None
) -> ListTransactionsResponse:
    request = ListTransactionsRequest(
        state_filters=states,
        producer_id_filters=producers,
        duration_filter=duration,
        transactional_id_pattern=pattern,
    )
    return world.ask(LIST_TRANSACTIONS, 2, request)


def test_all_are_listed_without_filters(world: NodeWorld) -> None:
    assert listed(world) == {"idle": "Empty", "open": "Ongoing", "done": "CompleteCommit"}


def test_filters_must_all_agree(world: NodeWorld) -> None:
    assert set(listed(world, states=["Ongoing", "Empty"])) == {"idle", "open"}
    known = world.node.transactions.get("open")
    assert known is not None
    assert set(listed(world, producers=[known.producer_id, 4711])) == {"open"}
    assert set(listed(world, producers=[known.producer_id], states=["Empty"])) == set()
    assert set(listed(world, pattern="(o|d).*")) == {"open", "done"}
    assert set(listed(world, pattern="o")) == set(), "the whole id is meant"


def test_long_transactions_are_found(world: NodeWorld) -> None:
    world.sleep(5000)
    late = Writer(world, "late")
    late.init()
    late.add(ORDERS)
    assert "late" not in listed(world, states=["Ongoing"], duration=4000)
    assert set(listed(world, states=["Ongoing"], duration=4000)) == {"open"}


def test_unknown_states_are_named(world: NodeWorld) -> None:
    response = asked(world, ["Ongoing", "Asleep"], [], -1, None)
    assert response.unknown_state_filters == ["Asleep"]
    assert [each.transactional_id for each in response.transaction_states] == ["open"]
    assert listed(world, states=["Asleep"]) == {}


def test_a_bad_pattern_is_refused(world: NodeWorld) -> None:
    response = asked(world, [], [], -1, "(")
    assert response.error_code == ErrorCode.INVALID_REGULAR_EXPRESSION


def test_transactions_are_described(world: NodeWorld) -> None:
    request = DescribeTransactionsRequest(transactional_ids=["open", "idle", "unheard of", ""])
    response = world.ask(DESCRIBE_TRANSACTIONS, 0, request)
    ongoing, empty, missing, nameless = response.transaction_states
    assert (ongoing.transaction_state, ongoing.transaction_timeout_ms) == ("Ongoing", 60_000)
    assert ongoing.transaction_start_time_ms == world.clock.now()
    assert [(each.topic, each.partitions) for each in ongoing.topics] == [("orders", [0, 1])]
    assert (empty.transaction_state, empty.topics) == ("Empty", [])
    assert missing.error_code == ErrorCode.TRANSACTIONAL_ID_NOT_FOUND
    assert nameless.error_code == ErrorCode.INVALID_REQUEST


def test_producers_of_a_partition_are_described(world: NodeWorld) -> None:
    topics = [
        TopicRequest(name="orders", partition_indexes=[0, 9]),
        TopicRequest(name="no/topic", partition_indexes=[0]),
    ]
    response = world.ask(DESCRIBE_PRODUCERS, 0, DescribeProducersRequest(topics=topics))
    orders, other = response.topics
    first, missing = orders.partitions
    by_id = {each.producer_id: each for each in first.active_producers}
    known = {name: world.node.transactions.get(name) for name in ("open", "done")}
    assert known["open"] is not None
    assert known["done"] is not None
    ongoing, done = by_id[known["open"].producer_id], by_id[known["done"].producer_id]
    assert (ongoing.current_txn_start_offset, ongoing.last_sequence) == (0, 1)
    assert (done.current_txn_start_offset, done.producer_epoch) == (-1, 0)
    assert done.coordinator_epoch == world.node.broker.leader_epoch
    assert ongoing.coordinator_epoch == -1
    assert missing.error_code == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    assert other.partitions[0].error_code == ErrorCode.INVALID_TOPIC_EXCEPTION
