"""Consumer groups of KIP-848, told through heartbeats."""

import pytest
from millpond.log.wire.error_codes import ErrorCode
from millpond.log.wire.messages.consumer_group_describe import (
    CONSUMER_GROUP_DESCRIBE,
    ConsumerGroupDescribeRequest,
    DescribedGroup,
)
from millpond.tests.twins.consumer_members import ConsumerMember, as_request, settle
from millpond.tests.twins.node_world import NodeWorld

SESSION_MS = 45_000
REBALANCE_MS = 20_000


@pytest.fixture
def world() -> NodeWorld:
    world = NodeWorld()
    world.create("orders", 4)
    return world


def member(world: NodeWorld, name: str, **options: object) -> ConsumerMember:
    wants: dict[str, object] = {"topics": ["orders"], "rebalance_timeout_ms": REBALANCE_MS}
    return ConsumerMember(world, "readers", name, **(wants | options))  # type: ignore[arg-type]


def describe(world: NodeWorld, version: int = 1, group: str = "readers") -> DescribedGroup:
    request = ConsumerGroupDescribeRequest(group_ids=[group], include_authorized_operations=False)
    (described,) = world.ask(CONSUMER_GROUP_DESCRIBE, version, request).groups
    return described


def group_log_end(world: NodeWorld) -> int:
    log = world.node.broker.partition(world.node.offsets.partition_of("readers"))
    return log.log_end_offset


# -- joining and leaving --------------------------------------------------------------------------


def test_the_first_member_gets_everything_with_its_first_heartbeat(world: NodeWorld) -> None:
    anna = member(world, "anna")
    answer = anna.beat()
    assert (answer.error_code, answer.member_id, answer.member_epoch) == (0, "anna", 1)
    assert answer.heartbeat_interval_ms == 5_000
    assert anna.shown == "orders: 0 1 2 3"


def test_a_heartbeat_without_news_is_answered_without_news_and_writes_nothing(
    world: NodeWorld,
) -> None:
    anna = member(world, "anna")
    settle(anna)
    end = group_log_end(world)
    answer = anna.beat()
    assert (answer.member_epoch, answer.assignment) == (1, None)
    assert group_log_end(world) == end


def test_who_tells_everything_is_told_everything(world: NodeWorld) -> None:
    anna = member(world, "anna")
    settle(anna)
    anna.subscribe(topics=["orders"])
    answer = anna.beat()
    assert answer.assignment is not None
    assert (answer.member_epoch, anna.shown) == (1, "orders: 0 1 2 3")


def test_a_partition_is_given_up_before_it_is_given(world: NodeWorld) -> None:
    anna, bert = member(world, "anna", slow=True), member(world, "bert")
    anna.beat()
    anna.finish()
    bert.beat()
    assert (bert.epoch, bert.shown) == (2, "")
    anna.beat()
    assert (anna.epoch, anna.shown) == (1, "orders: 0 1 2 3")  # told, but still at work
    bert.beat()
    assert bert.shown == ""
    assert describe(world).group_state == "Reconciling"
    anna.finish()
    anna.beat()
    assert (anna.epoch, anna.shown) == (2, "orders: 0 1")
    bert.beat()
    assert bert.shown == "orders: 2 3"
    assert describe(world).group_state == "Stable"


def test_others_go_on_while_one_is_slow(world: NodeWorld) -> None:
    world.create("bills", 2)
    anna = member(world, "anna", slow=True)
    bert = member(world, "bert", topics=["bills"])
    anna.beat()
    anna.finish()
    settle(bert)
    carl = member(world, "carl", topics=["orders", "bills"])
    carl.beat()
    anna.beat()
    settle(bert, carl)
    assert anna.shown == "orders: 0 1 2 3"
    assert bert.shown == "bills: 0 1"
    dora = member(world, "dora", topics=["bills"])
    settle(bert, carl, dora)
    assert sorted([bert.shown, dora.shown]) == ["bills: 0", "bills: 1"]
    assert anna.shown == "orders: 0 1 2 3"  # it has not moved at all in the meantime


def test_who_leaves_frees_its_partitions_at_once(world: NodeWorld) -> None:
    anna, bert = member(world, "anna"), member(world, "bert")
    settle(anna, bert)
    answer = anna.leave()
    assert (answer.error_code, answer.member_epoch) == (0, -1)
    assert describe(world).group_state == "Assigning"
    bert.beat()
    assert bert.shown == "orders: 0 1 2 3"
    bert.leave()
    assert describe(world).group_state == "Empty"


def test_who_comes_and_goes_before_anyone_moved_moves_nobody(world: NodeWorld) -> None:
    world.grow("orders", 12)
    anna, bert = member(world, "anna"), member(world, "bert")
    settle(anna, bert)
    before = anna.owned, bert.owned
    carl = member(world, "carl")
    carl.beat()
    carl.leave()
    settle(anna, bert)
    assert (anna.owned, bert.owned) == before


def test_a_member_without_topics_is_a_member(world: NodeWorld) -> None:
    anna, bert = member(world, "anna", topics=[]), member(world, "bert")
    settle(anna, bert)
    assert (anna.shown, bert.shown) == ("", "orders: 0 1 2 3")


def test_before_version_1_the_broker_makes_up_member_ids(world: NodeWorld) -> None:
    anna = member(world, "")
    answer = anna.ask(
        version=0, rebalance_timeout_ms=1, subscribed_topic_names=["orders"], topic_partitions=[]
    )
    assert answer.member_id
    assert describe(world).members[0].member_id == answer.member_id


# -- epochs ---------------------------------------------------------------------------------------


def test_the_epoch_before_is_good_if_the_answer_was_lost(world: NodeWorld) -> None:
    anna, bert = member(world, "anna"), member(world, "bert")
    settle(anna)
    bert.beat()
    anna.beat()  # gives up 2 and 3 …
    assert anna.beat(lose_answer=True).member_epoch == 2  # … and says so
    assert anna.epoch == 1
    answer = anna.beat()
    assert (answer.error_code, answer.member_epoch, anna.shown) == (0, 2, "orders: 0 1")


def test_the_epoch_before_is_not_good_for_who_has_too_much(world: NodeWorld) -> None:
    anna, bert = member(world, "anna"), member(world, "bert")
    settle(anna)
    all_four = anna.owned
    bert.beat()
    anna.beat()
    anna.beat(lose_answer=True)
    answer = anna.ask(topic_partitions=as_request(all_four))
    assert answer.error_code == ErrorCode.FENCED_MEMBER_EPOCH
    assert anna.ask().error_code == ErrorCode.FENCED_MEMBER_EPOCH


def test_an_epoch_from_the_future_is_fenced(world: NodeWorld) -> None:
    anna = member(world, "anna")
    settle(anna)
    assert anna.ask(member_epoch=2).error_code == ErrorCode.FENCED_MEMBER_EPOCH


def test_a_member_may_join_again_and_is_told_what_it_has(world: NodeWorld) -> None:
    anna, bert = member(world, "anna"), member(world, "bert")
    settle(anna, bert)
    before = anna.epoch, anna.shown
    anna.forget()
    anna.beat()
    assert (anna.epoch, anna.shown) == before


def test_a_join_that_comes_late_gives_nothing_up(world: NodeWorld) -> None:
    anna, bert = member(world, "anna", slow=True), member(world, "bert")
    anna.beat()
    anna.finish()
    bert.beat()
    anna.beat()  # told to give up 2 and 3, and still at work
    join_late(anna)
    bert.beat()
    assert (anna.shown, bert.shown) == ("orders: 0 1 2 3", "")
    anna.finish()
    settle(anna, bert)
    assert (anna.shown, bert.shown) == ("orders: 0 1", "orders: 2 3")


def test_what_a_join_that_came_late_was_given_is_told_again(world: NodeWorld) -> None:
    anna, bert = member(world, "anna"), member(world, "bert")
    anna.beat()
    bert.beat()
    anna.beat()
    anna.beat()  # it has given up 2 and 3
    join_late(bert)
    bert.beat()
    assert (anna.shown, bert.shown) == ("orders: 0 1", "orders: 2 3")
    assert bert.beat().assignment is None


def test_what_a_join_that_came_late_was_to_give_up_is_told_again(world: NodeWorld) -> None:
    anna, bert = member(world, "anna"), member(world, "bert")
    anna.beat()
    bert.beat()
    join_late(anna)
    settle(anna, bert)
    assert (anna.shown, bert.shown) == ("orders: 0 1", "orders: 2 3")


def test_a_topic_made_anew_that_a_late_join_was_given_is_told_again(world: NodeWorld) -> None:
    world.create("payments", 1)
    anna = member(world, "anna", topics=[], regex=".*")
    world.remove("orders")
    anna.beat()
    world.create("orders", 2)
    join_late(anna)
    anna.beat()  # it says that it has payments, in the epoch before
    assert (anna.epoch, anna.shown) == (2, "orders: 0 1, payments: 0")


def join_late(member: ConsumerMember) -> None:
    """Let a first heartbeat arrive from a connection given up; its answer goes nowhere."""
    late = member.ask(
        member_epoch=0,
        rebalance_timeout_ms=REBALANCE_MS,
        subscribed_topic_names=member.topics,
        subscribed_topic_regex=member.regex,
        topic_partitions=[],
    )
    assert late.error_code == ErrorCode.NONE


def test_strangers_are_unknown(world: NodeWorld) -> None:
    assert member(world, "anna").ask(member_epoch=3).error_code == ErrorCode.GROUP_ID_NOT_FOUND
    assert member(world, "anna").leave().error_code == ErrorCode.GROUP_ID_NOT_FOUND
    settle(member(world, "anna"))
    assert member(world, "bert").ask(member_epoch=3).error_code == ErrorCode.UNKNOWN_MEMBER_ID
    assert member(world, "bert").leave().error_code == ErrorCode.UNKNOWN_MEMBER_ID


# -- time -----------------------------------------------------------------------------------------


def test_who_is_not_heard_of_is_removed(world: NodeWorld) -> None:
    anna, bert = member(world, "anna"), member(world, "bert")
    settle(anna, bert)
    world.sleep(SESSION_MS - 1)
    bert.beat()
    assert len(describe(world).members) == 2
    world.sleep(1)
    assert [each.member_id for each in describe(world).members] == ["bert"]
    bert.beat()
    assert bert.shown == "orders: 0 1 2 3"
    assert anna.beat().error_code == ErrorCode.UNKNOWN_MEMBER_ID
    settle(anna, bert)
    assert anna.shown == "orders: 2 3"


def test_who_does_not_give_up_in_time_is_removed(world: NodeWorld) -> None:
    anna, bert = member(world, "anna", slow=True), member(world, "bert")
    anna.beat()
    anna.finish()
    bert.beat()
    anna.beat()
    for _ in range(4):
        world.sleep(REBALANCE_MS // 4)
        anna.beat()
        bert.beat()
    assert anna.epoch == 0  # it was told that it is no member any more
    assert bert.shown == "orders: 0 1 2 3"


def test_who_gave_up_in_time_may_take_its_time_again(world: NodeWorld) -> None:
    anna, bert = member(world, "anna", slow=True), member(world, "bert")
    anna.beat()
    anna.finish()
    bert.beat()
    anna.beat()
    world.sleep(REBALANCE_MS - 1)
    anna.finish()
    settle(anna, bert)
    world.sleep(REBALANCE_MS)
    settle(anna, bert)
    assert (anna.shown, bert.shown) == ("orders: 0 1", "orders: 2 3")


# -- topics ---------------------------------------------------------------------------------------


def test_new_partitions_are_assigned(world: NodeWorld) -> None:
    anna, bert = member(world, "anna"), member(world, "bert")
    settle(anna, bert)
    world.grow("orders", 6)
    settle(anna, bert)
    assert (anna.shown, bert.shown) == ("orders: 0 1 4", "orders: 2 3 5")


def test_a_topic_may_come_after_who_reads_it_and_go_before(world: NodeWorld) -> None:
    anna = member(world, "anna", topics=["bills"])
    settle(anna)
    assert anna.shown == ""
    world.create("bills", 2)
    settle(anna)
    assert anna.shown == "bills: 0 1"
    world.remove("bills")
    settle(anna)
    assert anna.owned == frozenset()
    world.create("bills", 1)
    settle(anna)
    assert anna.shown == "bills: 0"


def test_a_regular_expression_means_whole_names_of_all_topics_there_are(world: NodeWorld) -> None:
    anna = member(world, "anna", topics=None, regex="orders-.*|bills")
    settle(anna)
    assert anna.shown == ""
    for name in ("orders-eu", "orders-us", "bills", "bills2"):
        world.create(name)
    settle(anna)
    assert anna.shown == "bills: 0, orders-eu: 0, orders-us: 0"
    world.remove("orders-eu")
    settle(anna)
    assert anna.shown == "bills: 0, orders-us: 0"


def test_a_regular_expression_never_means_internal_topics(world: NodeWorld) -> None:
    anna = member(world, "anna", topics=None, regex=".*")
    settle(anna)
    assert anna.shown == "orders: 0 1 2 3"


def test_names_and_an_expression_add_up(world: NodeWorld) -> None:
    world.create("bills")
    world.create("news")
    anna = member(world, "anna", topics=["bills"], regex="n.*")
    settle(anna)
    assert anna.shown == "bills: 0, news: 0"
    anna.subscribe(topics=["bills"])
    settle(anna)
    assert anna.shown == "bills: 0"


def test_an_expression_that_would_take_others_for_ever_takes_no_time(world: NodeWorld) -> None:
    world.create("a" * 200 + "b")
    anna = member(world, "anna", topics=None, regex="(a+)+(a+)+(a+)+")
    settle(anna)
    assert anna.shown == ""


def test_changing_ones_mind_changes_only_ones_own_partitions(world: NodeWorld) -> None:
    world.create("bills", 2)
    anna, bert = member(world, "anna"), member(world, "bert")
    settle(anna, bert)
    anna.subscribe(topics=["bills"])
    settle(anna, bert)
    assert (anna.shown, bert.shown) == ("bills: 0 1", "orders: 0 1 2 3")


# -- assignors ------------------------------------------------------------------------------------


def test_the_assignor_that_most_name_is_taken(world: NodeWorld) -> None:
    world.create("bills", 4)
    both = {"topics": ["orders", "bills"]}
    anna, bert = member(world, "anna", **both), member(world, "bert", assignor="range", **both)
    assert describe_after(world, anna) == "uniform"
    assert describe_after(world, bert) == "range"
    settle(anna, bert)
    assert (anna.shown, bert.shown) == (
        "bills: 0 1, orders: 0 1",
        "bills: 2 3, orders: 2 3",
    )


def describe_after(world: NodeWorld, one: ConsumerMember) -> str:
    one.beat()
    return describe(world).assignor_name


# -- static members -------------------------------------------------------------------------------


def test_a_static_member_that_comes_back_under_another_id_has_what_it_had(
    world: NodeWorld,
) -> None:
    anna, bert = member(world, "anna", instance="i1"), member(world, "bert")
    settle(anna, bert)
    had = anna.shown
    epoch = describe(world).group_epoch
    assert anna.leave(-2).member_epoch == -2
    settle(bert)
    assert bert.shown == "orders: 2 3"  # its partitions wait for it
    amy = member(world, "amy", instance="i1")
    settle(amy, bert)
    assert amy.shown == had
    assert describe(world).group_epoch == epoch
    late = anna.ask(member_epoch=epoch)
    assert late.error_code == ErrorCode.FENCED_INSTANCE_ID


def test_a_static_member_that_comes_back_may_want_something_else(world: NodeWorld) -> None:
    world.create("bills", 2)
    anna, bert = member(world, "anna", instance="i1"), member(world, "bert")
    settle(anna, bert)
    anna.leave(-2)
    amy = member(world, "amy", instance="i1", topics=["bills"])
    settle(amy, bert)
    assert (amy.shown, bert.shown) == ("bills: 0 1", "orders: 0 1 2 3")


def test_a_static_member_that_does_not_come_back_is_removed(world: NodeWorld) -> None:
    anna, bert = member(world, "anna", instance="i1"), member(world, "bert")
    settle(anna, bert)
    anna.leave(-2)
    world.sleep(SESSION_MS - 1)
    bert.beat()
    world.sleep(1)
    bert.beat()
    assert bert.shown == "orders: 0 1 2 3"


def test_two_members_cannot_have_one_instance_id(world: NodeWorld) -> None:
    anna, amy = member(world, "anna", instance="i1"), member(world, "amy", instance="i1")
    settle(anna)
    assert amy.beat().error_code == ErrorCode.UNRELEASED_INSTANCE_ID
    assert amy.ask(member_epoch=1).error_code == ErrorCode.FENCED_INSTANCE_ID
    assert amy.leave().error_code == ErrorCode.FENCED_INSTANCE_ID
    assert amy.leave(-2).error_code == ErrorCode.FENCED_INSTANCE_ID
    world.sleep(SESSION_MS)
    assert amy.beat().error_code == 0


def test_a_static_member_that_leaves_for_good_is_gone(world: NodeWorld) -> None:
    anna = member(world, "anna", instance="i1")
    settle(anna)
    anna.leave()
    assert describe(world).group_state == "Empty"
    bert = member(world, "bert", instance="i1")
    assert bert.ask(member_epoch=1).error_code == ErrorCode.UNKNOWN_MEMBER_ID
    assert bert.leave().error_code == ErrorCode.UNKNOWN_MEMBER_ID
    assert bert.beat().error_code == 0


def test_what_a_member_could_not_give_up_is_free_when_it_leaves_for_a_while(
    world: NodeWorld,
) -> None:
    anna = member(world, "anna", instance="i1", slow=True)
    bert = member(world, "bert")
    anna.beat()
    anna.finish()
    bert.beat()
    anna.beat()
    anna.leave(-2)
    settle(bert)
    assert bert.shown == "orders: 2 3"


# -- refused --------------------------------------------------------------------------------------

FULL = {"rebalance_timeout_ms": 1, "subscribed_topic_names": ["orders"], "topic_partitions": []}


@pytest.mark.parametrize(
    ("fields", "error", "says"),
    [
        ({"group_id": ""}, ErrorCode.INVALID_REQUEST, "group id is ''"),
        ({"group_id": " "}, ErrorCode.INVALID_REQUEST, "group id is ' '"),
        ({"member_id": ""}, ErrorCode.INVALID_REQUEST, "member id is ''"),
        ({"instance_id": ""}, ErrorCode.INVALID_REQUEST, "instance id is ''"),
        ({"rack_id": ""}, ErrorCode.INVALID_REQUEST, "rack id is ''"),
        ({"member_epoch": -3}, ErrorCode.INVALID_REQUEST, "-3"),
        ({"member_epoch": -2}, ErrorCode.INVALID_REQUEST, "instance id"),
        ({"rebalance_timeout_ms": -1}, ErrorCode.INVALID_REQUEST, "rebalance timeout"),
        ({"topic_partitions": None}, ErrorCode.INVALID_REQUEST, "not null"),
        ({"subscribed_topic_names": None}, ErrorCode.INVALID_REQUEST, "must subscribe"),
        ({"server_assignor": "best"}, ErrorCode.UNSUPPORTED_ASSIGNOR, "uniform, range"),
        ({"subscribed_topic_regex": "a(b"}, ErrorCode.INVALID_REGULAR_EXPRESSION, "missing )"),
        ({"subscribed_topic_regex": r"(a)\1"}, ErrorCode.INVALID_REGULAR_EXPRESSION, "escape"),
        (
            {"subscribed_topic_regex": "(((a{99}){99}){99})"},
            ErrorCode.INVALID_REGULAR_EXPRESSION,
            "",
        ),
    ],
)
def test_what_makes_no_sense_is_refused_and_leaves_no_trace(
    world: NodeWorld, fields: dict[str, object], error: ErrorCode, says: str
) -> None:
    answer = member(world, "anna").ask(**(FULL | fields))
    assert answer.error_code == error
    assert says in (answer.error_message or "")
    assert describe(world).error_code == ErrorCode.GROUP_ID_NOT_FOUND
    assert group_log_end(world) == 0


def test_a_full_group_takes_nobody_but_who_replaces() -> None:
    world = NodeWorld(settings={"group.consumer.max.size": "2"})
    world.create("orders", 4)
    anna, bert = member(world, "anna", instance="i1"), member(world, "bert")
    settle(anna, bert)
    assert member(world, "carl").beat().error_code == ErrorCode.GROUP_MAX_SIZE_REACHED
    anna.leave(-2)
    assert member(world, "amy", instance="i1").beat().error_code == 0
    assert bert.beat().error_code == 0


# -- describing -----------------------------------------------------------------------------------


def test_a_description_says_what_each_has_and_is_to_have(world: NodeWorld) -> None:
    anna, bert = member(world, "anna"), member(world, "bert", instance="i1")
    settle(anna)
    bert.beat()
    described = describe(world)
    assert (described.group_epoch, described.assignment_epoch) == (2, 2)
    assert (described.group_state, described.assignor_name) == ("Reconciling", "uniform")
    first, second = described.members
    assert (first.member_id, first.member_epoch, first.member_type) == ("anna", 1, 1)
    assert (first.client_id, first.client_host) == ("tester", "/127.0.0.1")
    assert first.assignment.topic_partitions[0].partitions == [0, 1, 2, 3]
    assert first.target_assignment.topic_partitions[0].partitions == [0, 1]
    assert first.target_assignment.topic_partitions[0].topic_name == "orders"
    assert (second.instance_id, second.assignment.topic_partitions) == ("i1", [])
    assert second.subscribed_topic_names == ["orders"]


def test_what_is_no_consumer_group_is_not_described(world: NodeWorld) -> None:
    assert describe(world).error_code == ErrorCode.GROUP_ID_NOT_FOUND
    assert describe(world, group="").error_code == ErrorCode.INVALID_GROUP_ID
