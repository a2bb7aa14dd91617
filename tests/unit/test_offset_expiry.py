"""When offsets, and groups, are forgotten."""

import pytest
from millpond.log.model import CommittedOffset, TopicPartition
from millpond.log.wire.error_codes import ErrorCode
from millpond.tests.twins.group_world import GroupMember, GroupWorld, subscription

MINUTE_MS = 60_000


def world_with_topics() -> GroupWorld:
    """Offsets are kept for an hour, and looked at every ten minutes."""
    world = GroupWorld(offsets_retention_minutes="60")
    world.create("a", 2)
    world.create("b")
    return world


def alive(world: GroupWorld, minutes: int, *members: GroupMember) -> None:
    """Let time pass for members that do send heartbeats."""
    for _ in range(minutes * 10):
        world.sleep(6_000)
        for member in members:
            assert member.heartbeat() == ErrorCode.NONE


def test_offsets_of_a_group_that_never_had_members_expire_each_by_itself() -> None:
    world = world_with_topics()
    world.commit("simple", "a", 0, 1)
    world.sleep(30 * MINUTE_MS)
    world.commit("simple", "a", 1, 2)
    world.sleep(30 * MINUTE_MS - 1)
    assert world.committed("simple", "a", 0) == 1
    world.sleep(10 * MINUTE_MS)
    assert world.committed("simple", "a", 0) == -1
    assert world.committed("simple", "a", 1) == 2
    world.restart(crash=False)
    assert world.committed("simple", "a", 0) == -1
    world.sleep(30 * MINUTE_MS)
    assert world.node.groups.get("simple") is None, "nothing is left of it"


def test_the_time_runs_on_while_the_broker_is_down() -> None:
    world = world_with_topics()
    world.commit("simple", "a", 0, 1)
    world.clock.advance(60 * MINUTE_MS)
    world.restart()
    assert world.committed("simple", "a", 0) == 1
    world.sleep(10 * MINUTE_MS)
    assert world.committed("simple", "a", 0) == -1


def test_offsets_of_what_members_read_do_not_expire_others_do() -> None:
    world = world_with_topics()
    (member,) = world.stable("readers", 1, protocols={"range": subscription("a")})
    member.commit("a", 0, 1)
    member.commit("b", 0, 2)
    alive(world, 71, member)
    assert world.committed("readers", "a", 0) == 1
    assert world.committed("readers", "b", 0) == -1


def test_of_members_that_are_no_consumers_nothing_expires() -> None:
    world = world_with_topics()
    (member,) = world.stable("workers", 1, protocol_type="connect")
    member.commit("a", 0, 1)
    alive(world, 71, member)
    assert world.committed("workers", "a", 0) == 1


@pytest.mark.parametrize("restart", [False, True])
def test_after_the_last_member_has_gone_the_offsets_are_kept_for_the_whole_time(
    restart: bool,
) -> None:
    world = world_with_topics()
    (member,) = world.stable("readers", 1)
    member.commit("a", 0, 1)
    alive(world, 50, member)
    member.leave()
    if restart:
        world.restart()
    world.sleep(50 * MINUTE_MS)
    assert world.committed("readers", "a", 0) == 1
    world.sleep(20 * MINUTE_MS)
    assert world.committed("readers", "a", 0) == -1
    assert world.node.groups.get("readers") is None


def test_an_offset_in_an_open_transaction_keeps_the_group() -> None:
    world = world_with_topics()
    node = world.node
    world.commit("readers", "a", 0, 1)
    owner = world.run(node.transactions.init("writer", timeout_ms=2**31 - 1, now=node.now()))
    offsets = {TopicPartition("a", 0): CommittedOffset(2)}
    node.offsets.commit_in(owner, "readers", offsets, node.now()).flush()
    world.sleep(71 * MINUTE_MS)
    assert world.committed("readers", "a", 0) == 1
    home = node.offsets.partition_of("readers")
    node.offsets.end_transaction(home, owner.producer_id, commit=False)
    world.sleep(10 * MINUTE_MS)
    assert node.groups.get("readers") is None


def test_an_old_client_may_say_how_long_its_offset_is_kept() -> None:
    world = world_with_topics()
    world.commit("old", "a", 0, 1, version=4, retention_ms=15 * MINUTE_MS)
    world.commit("old", "a", 1, 2, version=4, retention_ms=3 * 60 * MINUTE_MS)
    world.restart(crash=True)
    world.sleep(20 * MINUTE_MS)
    assert world.committed("old", "a", 0) == -1
    world.sleep(60 * MINUTE_MS)
    assert world.committed("old", "a", 1) == 2


def test_a_group_that_never_came_to_anything_is_forgotten_at_the_next_look() -> None:
    world = world_with_topics()
    world.member("attempt").join()
    assert world.node.groups.get("attempt") is not None
    world.sleep(10 * MINUTE_MS)
    assert world.node.groups.get("attempt") is None


def test_many_groups_are_looked_at_some_at_a_time() -> None:
    world = world_with_topics()
    for number in range(450):
        offsets = {TopicPartition("a", 0): CommittedOffset(number)}
        world.node.offsets.append_commit(f"group-{number}", offsets, world.clock.now())
    world.sleep(61 * MINUTE_MS)
    world.sleep(10 * MINUTE_MS)
    assert world.node.groups.names() == []
