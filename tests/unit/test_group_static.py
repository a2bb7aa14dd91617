"""Static members (KIP-345): who comes with an instance id has a place that waits for it."""

import pytest
from millpond.log.wire.error_codes import ErrorCode
from millpond.tests.twins.group_world import GroupMember, GroupWorld, subscription


def group_of(world: GroupWorld, *instances: str) -> list[GroupMember]:
    """Form a stable group of static members; the first one leads."""
    members = [world.member(instance=instance) for instance in instances]
    members[0].take(members[0].begin())
    joining = [member.begin() for member in members[1:]]
    world.settle(members, [members[0].join(), *joining])
    return members


def back(world: GroupWorld, member: GroupMember) -> GroupMember:
    """Return the same static member as it is after a restart of its process."""
    return world.member(instance=member.instance, protocols=member.protocols)


def test_a_static_member_is_not_sent_for_an_id_first() -> None:
    member = GroupWorld().member(instance="one")
    joined = member.take(member.join())
    assert joined.member_id.startswith("one-")


def test_a_follower_that_comes_back_gets_its_assignment_and_nobody_hears_of_it() -> None:
    world = GroupWorld()
    first, second = group_of(world, "one", "two")
    restarted = back(world, second)
    joined = restarted.take(restarted.join())
    assert (joined.generation_id, joined.leader) == (2, first.member_id)
    assert joined.member_id != second.member_id
    synced = restarted.sync().response
    assert synced is not None
    assert synced.assignment == second.member_id.encode(), "what its predecessor had"
    assert first.heartbeat() == restarted.heartbeat() == ErrorCode.NONE
    assert second.heartbeat() == ErrorCode.FENCED_INSTANCE_ID
    assert second.join().response.error_code == ErrorCode.FENCED_INSTANCE_ID  # type: ignore[union-attr]
    assert second.sync().response.error_code == ErrorCode.FENCED_INSTANCE_ID  # type: ignore[union-attr]
    assert second.leave() == ErrorCode.FENCED_INSTANCE_ID


def test_a_leader_that_comes_back_is_told_to_skip_the_assignment() -> None:
    world = GroupWorld()
    first, second = group_of(world, "one", "two")
    restarted = back(world, first)
    joined = restarted.take(restarted.join(9))
    assert (joined.leader, joined.skip_assignment) == (restarted.member_id, True)
    assert {each.group_instance_id for each in joined.members} == {"one", "two"}
    assert second.heartbeat() == ErrorCode.NONE


@pytest.mark.parametrize("version", [5, 8])
def test_a_leader_that_does_not_know_of_skipping_is_told_that_its_old_id_leads(
    version: int,
) -> None:
    world = GroupWorld()
    first, _second = group_of(world, "one", "two")
    restarted = back(world, first)
    joined = restarted.take(restarted.join(version))
    assert (joined.leader, joined.members) == (first.member_id, [])
    synced = restarted.sync().response
    assert synced is not None
    assert synced.assignment == first.member_id.encode()


def test_coming_back_is_on_disk_before_it_is_answered() -> None:
    world = GroupWorld()
    first, second = group_of(world, "one", "two")
    restarted = back(world, second)
    restarted.take(restarted.join())
    world.restart(crash=True)
    assert restarted.heartbeat() == first.heartbeat() == ErrorCode.NONE
    assert second.heartbeat() == ErrorCode.FENCED_INSTANCE_ID


def test_a_rebalance_that_begins_while_coming_back_is_written_takes_it_in() -> None:
    world = GroupWorld()
    first, second = group_of(world, "one", "two")
    world.hold_syncs = True
    restarted = back(world, second)
    rejoining = restarted.join()
    waits = first.join()
    world.hold_syncs = False
    world.sleep(0)
    world.settle((first, restarted), [waits, rejoining])
    assert restarted.generation == 3


@pytest.mark.parametrize("version", [8, 9])
def test_of_two_that_come_back_at_once_the_later_one_stays(version: int) -> None:
    world = GroupWorld()
    first, second = group_of(world, "one", "two")
    world.hold_syncs = True
    early, late = back(world, first), back(world, first)
    refused, rejoining = early.join(version), late.join(version)
    assert not rejoining.done, "its place is not on disk yet"
    world.hold_syncs = False
    world.sleep(0)
    assert refused.response is not None
    assert refused.response.error_code == ErrorCode.FENCED_INSTANCE_ID
    assert late.take(rejoining).skip_assignment == (version == 9)
    assert late.heartbeat() == second.heartbeat() == ErrorCode.NONE


def test_coming_back_with_what_others_do_not_support_is_refused() -> None:
    world = GroupWorld()
    _first, second = group_of(world, "one", "two")
    second.protocols = {"sticky": b""}
    refused = back(world, second).join().response
    assert refused is not None
    assert refused.error_code == ErrorCode.INCONSISTENT_GROUP_PROTOCOL


def test_coming_back_with_other_wishes_that_change_the_choice_begins_a_rebalance() -> None:
    world = GroupWorld()
    only = world.member(instance="one", protocols={"range": b"", "sticky": b""})
    world.settle([only], [only.begin()])
    only.protocols = {"sticky": b"", "range": b""}
    restarted = back(world, only)
    joined = restarted.take(restarted.join())
    assert (joined.generation_id, joined.protocol_name) == (2, "sticky")
    assert not joined.skip_assignment


def test_coming_back_while_others_wait_for_their_assignment_begins_a_rebalance() -> None:
    world = GroupWorld()
    first, second = group_of(world, "one", "two")
    joining = [first.join(), second.join()]
    first.take(joining[0])
    second.take(joining[1])
    waits = second.sync()
    restarted = back(world, second)
    rejoining = restarted.join()
    assert waits.response is not None
    assert waits.response.error_code == ErrorCode.FENCED_INSTANCE_ID
    assert not rejoining.done
    world.settle((first, restarted), [first.join(), rejoining])


def test_coming_back_in_a_rebalance_takes_the_place_of_who_waits() -> None:
    world = GroupWorld()
    first, second = group_of(world, "one", "two")
    waits = first.join()
    restarted = back(world, first)
    rejoining = restarted.join()
    assert waits.response is not None
    assert waits.response.error_code == ErrorCode.FENCED_INSTANCE_ID
    world.settle((restarted, second), [rejoining, second.join()])


def test_a_rebalance_does_not_wait_for_ever_for_static_members_nor_drop_them() -> None:
    world = GroupWorld()
    first, second = group_of(world, "one", "two")
    waits = first.join()
    world.sleep(9_000)
    assert second.heartbeat() == ErrorCode.REBALANCE_IN_PROGRESS
    while not waits.done:
        world.sleep(1_000)
        if not waits.done:
            second.heartbeat()
    joined = first.take(waits)
    assert {each.group_instance_id for each in joined.members} == {"one", "two"}
    assert second.heartbeat() == ErrorCode.ILLEGAL_GENERATION, "it is a member and has to rejoin"


def test_if_no_static_member_rejoins_they_get_more_time_until_their_sessions_end() -> None:
    world = GroupWorld()
    first, second = group_of(world, "one", "two")
    first.session_ms = second.session_ms = 60_000
    joining = [first.join(), second.join()]
    world.settle((first, second), joining)
    third = world.member(instance="three", session_ms=6_000)
    third.begin()
    third.member_id = next(iter(world.node.groups.get("readers").joins))  # type: ignore[union-attr]
    third.leave()
    world.sleep(45_000)
    group = world.node.groups.get("readers")
    assert group is not None
    assert group.state_name == "PreparingRebalance"
    assert first.heartbeat() == ErrorCode.REBALANCE_IN_PROGRESS
    world.sleep(60_000)
    assert group.state_name == "Empty"


@pytest.mark.parametrize("rebalance_ms", [0, -1])
def test_members_that_give_themselves_no_time_keep_nobody_busy(rebalance_ms: int) -> None:
    world = GroupWorld()
    members = [world.member(instance=each, rebalance_ms=rebalance_ms) for each in ("one", "two")]
    members[0].take(members[0].begin())
    joining = [members[1].begin()]
    world.settle(members, [members[0].join(), *joining])
    third = world.member(rebalance_ms=rebalance_ms)
    assert not third.begin().done
    third.leave()
    world.sleep(9_000)
    assert members[0].heartbeat() == ErrorCode.REBALANCE_IN_PROGRESS
    world.sleep(10_000)
    group = world.node.groups.get("readers")
    assert group is not None
    assert group.state_name == "Empty"


def test_a_static_members_session_ends_as_any_other() -> None:
    world = GroupWorld()
    first, second = group_of(world, "one", "two")
    world.sleep(5_000)
    first.heartbeat()
    world.sleep(5_000)
    assert second.heartbeat() == ErrorCode.UNKNOWN_MEMBER_ID
    assert first.heartbeat() == ErrorCode.REBALANCE_IN_PROGRESS


def test_an_instance_id_that_left_may_come_anew() -> None:
    world = GroupWorld()
    first, second = group_of(world, "one", "two")
    second.member_id = ""
    assert second.leave() == ErrorCode.NONE, "tools name the instance only"
    second.protocols = {"range": subscription("b")}
    newcomer = second.join()
    world.settle((second, first), [newcomer, first.join()])
