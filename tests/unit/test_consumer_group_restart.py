"""What is left of consumer groups when the broker starts again; what is answered stands on disk."""

import pytest
from millpond.log.wire.error_codes import ErrorCode
from millpond.log.wire.messages.consumer_group_heartbeat import (
    CONSUMER_GROUP_HEARTBEAT,
    ConsumerGroupHeartbeatRequest,
)
from millpond.tests.twins.consumer_members import ConsumerMember, settle
from millpond.tests.twins.node_world import NodeWorld
from millpond.tests.twins.slow_disk_world import SlowDiskWorld

SESSION_MS = 45_000
REBALANCE_MS = 20_000


def member(world: NodeWorld, name: str, **options: object) -> ConsumerMember:
    wants: dict[str, object] = {"topics": ["orders"], "rebalance_timeout_ms": REBALANCE_MS}
    return ConsumerMember(world, "readers", name, **(wants | options))  # type: ignore[arg-type]


@pytest.fixture
def world() -> NodeWorld:
    world = NodeWorld()
    world.create("orders", 4)
    return world


def group_log_end(world: NodeWorld) -> int:
    return world.node.broker.partition(world.node.offsets.partition_of("readers")).log_end_offset


@pytest.mark.parametrize("crash", [True, False])
@pytest.mark.parametrize("compact", [True, False])
def test_members_go_on_in_their_epochs(world: NodeWorld, crash: bool, compact: bool) -> None:
    members = [
        member(world, "anna", instance="i1"),
        member(world, "bert", topics=None, regex="ord.*", assignor="range"),
        member(world, "carl"),
    ]
    settle(*members)
    members.pop().leave()
    settle(*members)
    before = [(each.epoch, each.shown) for each in members]
    if compact:
        log = world.node.broker.partition(world.node.offsets.partition_of("readers"))
        log.roll(world.clock.now())
        assert log.compact(world.clock.now(), force=True) is not None
    world.restart(crash=crash)
    end = group_log_end(world)
    for each in members:
        assert each.beat().assignment is not None  # the broker can't know what has arrived
        answer = each.beat()
        assert (answer.error_code, answer.assignment) == (ErrorCode.NONE, None)
    assert [(each.epoch, each.shown) for each in members] == before
    assert group_log_end(world) == end


def test_what_was_told_to_nobody_is_told_after_a_restart(world: NodeWorld) -> None:
    anna, bert = member(world, "anna"), member(world, "bert")
    anna.beat()
    bert.beat()
    anna.beat()
    anna.beat()  # it has given up 2 and 3
    late = bert.ask(
        member_epoch=0,
        rebalance_timeout_ms=REBALANCE_MS,
        subscribed_topic_names=["orders"],
        topic_partitions=[],
    )
    assert late.error_code == ErrorCode.NONE
    world.restart()
    settle(anna, bert)
    assert (anna.shown, bert.shown) == ("orders: 0 1", "orders: 2 3")


def test_a_rebalance_under_way_goes_on(world: NodeWorld) -> None:
    anna, bert = member(world, "anna", slow=True), member(world, "bert")
    anna.beat()
    anna.finish()
    bert.beat()
    anna.beat()
    world.restart()
    bert.beat()
    assert bert.shown == ""  # anna still has what it is to give up
    world.sleep(REBALANCE_MS - 1)
    assert anna.beat().error_code == ErrorCode.NONE  # its time has begun anew
    anna.finish()
    settle(anna, bert)
    assert (anna.shown, bert.shown) == ("orders: 0 1", "orders: 2 3")


def test_sessions_begin_anew_and_end_as_set(world: NodeWorld) -> None:
    world.settings["group.consumer.session.timeout.ms"] = "9000"
    world.restart()
    anna, bert = member(world, "anna"), member(world, "bert")
    settle(anna, bert)
    world.sleep(8_999)
    world.restart()
    world.sleep(8_999)
    bert.beat()
    world.sleep(1)
    bert.beat()
    assert bert.shown == "orders: 0 1 2 3"
    assert anna.beat().error_code == ErrorCode.UNKNOWN_MEMBER_ID


def test_a_static_member_may_come_back_to_another_broker_process(world: NodeWorld) -> None:
    anna, bert = member(world, "anna", instance="i1"), member(world, "bert")
    settle(anna, bert)
    had = anna.shown
    anna.leave(-2)
    world.restart()
    amy = member(world, "amy", instance="i1")
    settle(amy, bert)
    assert amy.shown == had


def test_topics_that_change_while_the_broker_is_away_are_noticed(world: NodeWorld) -> None:
    anna = member(world, "anna", topics=None, regex="o.*")
    settle(anna)
    world.create("others")
    world.restart()
    settle(anna)
    assert anna.shown == "orders: 0 1 2 3, others: 0"


def test_a_removed_member_stays_removed(world: NodeWorld) -> None:
    anna, bert = member(world, "anna"), member(world, "bert")
    settle(anna, bert)
    anna.leave()
    world.restart()
    assert anna.ask(member_epoch=2).error_code == ErrorCode.UNKNOWN_MEMBER_ID
    settle(bert)
    assert bert.shown == "orders: 0 1 2 3"


def test_a_subscription_may_be_as_large_as_a_request(world: NodeWorld) -> None:
    names = [f"{number:0200}" for number in range(20_000)]
    anna = member(world, "anna", topics=["orders", *names])
    settle(anna)
    world.restart()
    assert anna.beat().error_code == ErrorCode.NONE
    assert anna.shown == "orders: 0 1 2 3"


def joining(name: str) -> ConsumerGroupHeartbeatRequest:
    return ConsumerGroupHeartbeatRequest(
        group_id="readers",
        member_id=name,
        member_epoch=0,
        rebalance_timeout_ms=REBALANCE_MS,
        subscribed_topic_names=["orders"],
        topic_partitions=[],
    )


def test_nothing_is_told_before_it_is_durable() -> None:
    world = SlowDiskWorld()
    world.create("orders", 4)
    first = world.send(CONSUMER_GROUP_HEARTBEAT, 1, joining("anna"))
    again = world.send(CONSUMER_GROUP_HEARTBEAT, 1, joining("anna"))  # over another connection
    assert (first.response, again.response) == (None, None)
    world.sync(first)
    world.sync(again)
    assert again.response is not None
    assert again.response.assignment is not None
    assert first.response == again.response


def test_what_nobody_was_told_may_be_forgotten() -> None:
    world = SlowDiskWorld()
    world.create("orders", 4)
    world.send(CONSUMER_GROUP_HEARTBEAT, 1, joining("anna"))
    world.cut_power(lose_unsynced=True)
    joined = world.send(CONSUMER_GROUP_HEARTBEAT, 1, joining("bert"))
    world.sync_all()
    assert joined.response is not None
    assert joined.response.assignment is not None
    (topic,) = joined.response.assignment.response_topic_partitions
    assert (joined.response.member_epoch, topic.partitions) == (1, [0, 1, 2, 3])
