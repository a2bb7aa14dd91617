"""Assignments, heartbeats and farewells of classic groups."""

from dataclasses import replace

import pytest
from millpond.log.wire.error_codes import ErrorCode
from millpond.log.wire.messages.heartbeat import HEARTBEAT, HeartbeatRequest
from millpond.log.wire.messages.leave_group import LEAVE_GROUP, LeaveGroupRequest, MemberIdentity
from millpond.log.wire.messages.sync_group import SYNC_GROUP, SyncGroupRequest
from millpond.tests.twins.group_world import GroupMember, GroupWorld, subscription


def joined_pair(world: GroupWorld) -> tuple[GroupMember, GroupMember]:
    """Return leader and follower of a generation that has no assignment yet."""
    first, second = world.stable("readers", 2)
    joining = [first.join(), second.join()]
    first.take(joining[0])
    second.take(joining[1])
    return first, second


def test_followers_wait_for_the_leaders_assignment() -> None:
    first, second = joined_pair(GroupWorld())
    waits = second.sync()
    assert not waits.done
    leader = first.sync({first.member_id: b"mine", second.member_id: b"yours"}).response
    assert leader is not None
    assert waits.response is not None
    assert (leader.assignment, waits.response.assignment) == (b"mine", b"yours")
    assert (waits.response.protocol_type, waits.response.protocol_name) == ("consumer", "range")
    late = second.sync().response
    assert late is not None
    assert late.assignment == b"yours", "whoever asks later gets it as well"


def test_whom_the_leader_forgets_gets_an_empty_assignment() -> None:
    first, second = joined_pair(GroupWorld())
    waits = second.sync()
    first.sync({first.member_id: b"mine", "nobody": b"?"})
    assert waits.response is not None
    assert (waits.response.error_code, waits.response.assignment) == (ErrorCode.NONE, b"")


def test_the_assignment_is_on_disk_before_anybody_hears_of_it() -> None:
    world = GroupWorld()
    first, second = joined_pair(world)
    second.sync()
    first.sync()
    world.restart(crash=True)
    again = second.sync().response
    assert again is not None
    assert again.assignment == second.member_id.encode()


def test_nobody_hears_of_an_assignment_that_a_crash_could_take_back() -> None:
    world = GroupWorld()
    first, second = joined_pair(world)
    world.hold_syncs = True
    waiting = [second.sync(), first.sync()]
    assert not any(asked.done for asked in waiting)
    world.restart(crash=True)
    world.hold_syncs = False
    assert second.heartbeat() == ErrorCode.ILLEGAL_GENERATION, "the one before goes on"


def test_a_rebalance_that_begins_while_the_assignment_is_written_wins() -> None:
    world = GroupWorld()
    first, second = joined_pair(world)
    world.hold_syncs = True
    waiting = [second.sync(), first.sync()]
    third = world.member()
    joining = [third.begin()]
    world.hold_syncs = False
    world.sleep(0)
    for asked in waiting:
        assert asked.response is not None
        assert asked.response.error_code == ErrorCode.REBALANCE_IN_PROGRESS
    joining += [first.join(), second.join()]
    world.settle((third, first, second), joining)


def test_a_leader_that_asks_twice_while_the_assignment_is_written_is_answered_twice() -> None:
    world = GroupWorld()
    first, _second = joined_pair(world)
    world.hold_syncs = True
    before, again = first.sync(), first.sync()
    world.hold_syncs = False
    world.sleep(0)
    assert before.response is not None
    assert again.response is not None
    assert before.response.error_code == ErrorCode.REBALANCE_IN_PROGRESS
    assert again.response.assignment == first.member_id.encode()


def test_an_assignment_that_is_too_large_to_be_kept_is_refused_to_all() -> None:
    world = GroupWorld()
    first, second = joined_pair(world)
    log = world.node.broker.partition(world.node.offsets.partition_of("readers"))
    log.config = replace(log.config, max_message_bytes=1_000)
    waits = second.sync()
    refused = first.sync({first.member_id: b"x" * 1_000})
    for asked in (waits, refused):
        assert asked.response is not None
        assert asked.response.error_code == ErrorCode.UNKNOWN_SERVER_ERROR
    assert second.heartbeat() == ErrorCode.REBALANCE_IN_PROGRESS
    joining = [first.join(), second.join()]
    world.settle((first, second), joining)


def test_who_waits_for_an_assignment_hears_of_a_rebalance() -> None:
    world = GroupWorld()
    first, second = joined_pair(world)
    waits = second.sync()
    third = world.member()
    third.begin()
    assert waits.response is not None
    assert waits.response.error_code == ErrorCode.REBALANCE_IN_PROGRESS
    refused = first.sync().response
    assert refused is not None
    assert refused.error_code == ErrorCode.REBALANCE_IN_PROGRESS


@pytest.mark.parametrize(
    ("asks", "error"),
    [
        ({"group_id": ""}, ErrorCode.INVALID_GROUP_ID),
        ({"group_id": "unknown"}, ErrorCode.UNKNOWN_MEMBER_ID),
        ({"member_id": "stranger"}, ErrorCode.UNKNOWN_MEMBER_ID),
        ({"group_instance_id": "stranger"}, ErrorCode.UNKNOWN_MEMBER_ID),
        ({"generation_id": 1}, ErrorCode.ILLEGAL_GENERATION),
        ({"protocol_type": None}, ErrorCode.INCONSISTENT_GROUP_PROTOCOL),
        ({"protocol_name": None}, ErrorCode.INCONSISTENT_GROUP_PROTOCOL),
        ({"protocol_type": "connect"}, ErrorCode.INCONSISTENT_GROUP_PROTOCOL),
        ({"protocol_name": "sticky"}, ErrorCode.INCONSISTENT_GROUP_PROTOCOL),
    ],
)
def test_who_syncs_has_to_be_a_member_in_its_generation(
    asks: dict[str, object], error: ErrorCode
) -> None:
    world = GroupWorld()
    _first, second = joined_pair(world)
    asked = {
        "group_id": "readers",
        "generation_id": second.generation,
        "member_id": second.member_id,
        "protocol_type": "consumer",
        "protocol_name": "range",
        "assignments": [],
        **asks,
    }
    response = world.ask(SYNC_GROUP, 5, SyncGroupRequest(**asked))  # type: ignore[arg-type]
    assert response.error_code == error


def test_who_does_not_sync_in_time_is_none_any_more() -> None:
    world = GroupWorld()
    first, second = world.stable("readers", 2, session_ms=60_000)
    joining = [first.join(), second.join()]
    first.take(joining[0])
    second.take(joining[1])
    waits = second.sync()
    world.sleep(29_999)
    assert not waits.done
    world.sleep(1)
    assert waits.response is not None
    assert waits.response.error_code == ErrorCode.REBALANCE_IN_PROGRESS
    assert first.heartbeat() == ErrorCode.UNKNOWN_MEMBER_ID
    again = second.join()
    second.take(again)
    assert second.members == [second.member_id]


def test_a_follower_that_never_syncs_is_dropped_from_the_stable_group() -> None:
    world = GroupWorld()
    first, second = world.stable("readers", 2, session_ms=60_000)
    joining = [first.join(), second.join()]
    first.take(joining[0])
    second.take(joining[1])
    first.sync()
    world.sleep(30_000)
    assert second.heartbeat() == ErrorCode.UNKNOWN_MEMBER_ID
    assert first.heartbeat() == ErrorCode.REBALANCE_IN_PROGRESS


def test_heartbeats_keep_a_session_going_and_without_them_it_ends() -> None:
    world = GroupWorld()
    first, second = world.stable("readers", 2)
    for _ in range(5):
        world.sleep(9_000)
        assert first.heartbeat() == ErrorCode.NONE
        assert second.heartbeat() == ErrorCode.NONE
    world.sleep(9_999)
    assert first.heartbeat() == ErrorCode.NONE
    world.sleep(1)
    assert first.heartbeat() == ErrorCode.REBALANCE_IN_PROGRESS
    assert second.heartbeat() == ErrorCode.UNKNOWN_MEMBER_ID
    assert first.take(first.join()).generation_id == 3


def test_who_waits_for_the_others_needs_no_heartbeats() -> None:
    world = GroupWorld()
    first, second = world.stable("readers", 2, session_ms=6_000)
    world.sleep(1_000)
    waits = first.join()
    while not waits.done:
        world.sleep(2_000)
        if world.clock.ticks_ms < 29_000:
            assert second.heartbeat() == ErrorCode.REBALANCE_IN_PROGRESS
    assert first.take(waits).leader == first.member_id
    assert world.clock.ticks_ms > 20_000


@pytest.mark.parametrize(
    ("asks", "error"),
    [
        ({"group_id": ""}, ErrorCode.INVALID_GROUP_ID),
        ({"group_id": "unknown"}, ErrorCode.UNKNOWN_MEMBER_ID),
        ({"member_id": "stranger"}, ErrorCode.UNKNOWN_MEMBER_ID),
        ({"generation_id": 1}, ErrorCode.ILLEGAL_GENERATION),
    ],
)
def test_only_members_in_their_generation_have_heartbeats(
    asks: dict[str, object], error: ErrorCode
) -> None:
    world = GroupWorld()
    first, _second = world.stable("readers", 2)
    asked = {"group_id": "readers", "generation_id": 2, "member_id": first.member_id, **asks}
    response = world.ask(HEARTBEAT, 4, HeartbeatRequest(**asked))  # type: ignore[arg-type]
    assert response.error_code == error


def test_the_others_share_out_anew_when_one_leaves() -> None:
    world = GroupWorld()
    first, second = world.stable("readers", 2)
    assert first.leave() == ErrorCode.NONE
    assert second.heartbeat() == ErrorCode.REBALANCE_IN_PROGRESS
    second.take(second.join())
    assert second.leads
    assert first.leave() == ErrorCode.UNKNOWN_MEMBER_ID, "it has left already"


def test_leaving_ends_what_one_waits_for() -> None:
    world = GroupWorld()
    first, second = world.stable("readers", 2)
    waits = first.join()
    second.leave()
    assert first.take(waits).generation_id == 3
    first, second = world.stable("others", 2)
    waits = first.join()
    first.leave()
    assert waits.response is not None
    assert waits.response.error_code == ErrorCode.UNKNOWN_MEMBER_ID


def test_several_leave_with_one_request_and_are_answered_each() -> None:
    world = GroupWorld()
    first, second = world.stable("readers", 2)
    static = world.member(instance="one")
    joining = [static.begin(), first.join(), second.join()]
    world.settle((static, first, second), joining)
    expected = world.member()
    sent_away = expected.join().response
    assert sent_away is not None
    request = LeaveGroupRequest(
        group_id="readers",
        members=[
            MemberIdentity(member_id=second.member_id, reason="done"),
            MemberIdentity(member_id="stranger"),
            MemberIdentity(group_instance_id="one"),
            MemberIdentity(group_instance_id="two"),
            MemberIdentity(member_id=first.member_id, group_instance_id="one"),
            MemberIdentity(member_id=sent_away.member_id),
        ],
    )
    response = world.ask(LEAVE_GROUP, 5, request)
    assert [each.error_code for each in response.members] == [
        ErrorCode.NONE,
        ErrorCode.UNKNOWN_MEMBER_ID,
        ErrorCode.NONE,
        ErrorCode.UNKNOWN_MEMBER_ID,
        ErrorCode.UNKNOWN_MEMBER_ID,
        ErrorCode.NONE,
    ]
    assert first.take(first.join()).generation_id == 4


def test_leaving_needs_a_group() -> None:
    world = GroupWorld()
    assert world.member("", member_id="x").leave() == ErrorCode.INVALID_GROUP_ID
    assert world.member("unknown", member_id="x").leave() == ErrorCode.UNKNOWN_MEMBER_ID
    assert world.member("unknown", member_id="x").leave(2) == ErrorCode.UNKNOWN_MEMBER_ID


def test_a_member_may_subscribe_to_something_else_without_leaving() -> None:
    world = GroupWorld()
    (first,) = world.stable("readers", 1)
    first.protocols = {"range": subscription("b")}
    world.settle([first], [first.join()])
    assert first.generation == 2
