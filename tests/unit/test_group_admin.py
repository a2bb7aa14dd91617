"""Listing, describing and deleting groups."""

import pytest
from millpond.log.broker.handlers.authorized import GROUP_OPERATIONS, NOT_ASKED
from millpond.log.wire.error_codes import ErrorCode
from millpond.log.wire.messages.delete_groups import DELETE_GROUPS, DeleteGroupsRequest
from millpond.log.wire.messages.describe_groups import (
    DESCRIBE_GROUPS,
    DescribedGroup,
    DescribeGroupsRequest,
)
from millpond.log.wire.messages.list_groups import LIST_GROUPS, ListGroupsRequest
from millpond.tests.twins.group_world import GroupWorld, subscription


def world_with_groups() -> GroupWorld:
    """A group of each state that lasts, and one that has offsets only."""
    world = GroupWorld()
    world.create("a")
    world.stable("stable", 1)
    (left,) = world.stable("empty", 1)
    left.leave()
    world.commit("simple", "a", 0, 1)
    world.member("rebalancing").begin()
    return world


def describe(world: GroupWorld, group: str, version: int = 6) -> DescribedGroup:
    response = world.ask(DESCRIBE_GROUPS, version, DescribeGroupsRequest(groups=[group]))
    return response.groups[0]


def delete(world: GroupWorld, *groups: str) -> dict[str, int]:
    response = world.ask(DELETE_GROUPS, 2, DeleteGroupsRequest(groups_names=list(groups)))
    return {each.group_id: each.error_code for each in response.results}


def test_groups_are_listed_with_state_and_type() -> None:
    response = world_with_groups().ask(LIST_GROUPS, 5, ListGroupsRequest())
    found = {
        each.group_id: (each.protocol_type, each.group_state, each.group_type)
        for each in response.groups
    }
    assert found == {
        "stable": ("consumer", "Stable", "classic"),
        "empty": ("consumer", "Empty", "classic"),
        "simple": ("", "Empty", "classic"),
        "rebalancing": ("consumer", "CompletingRebalance", "classic"),
    }


@pytest.mark.parametrize("version", range(6))
def test_groups_are_listed_in_every_version(version: int) -> None:
    response = world_with_groups().ask(LIST_GROUPS, version, ListGroupsRequest())
    assert [each.group_id for each in response.groups] == [
        "empty",
        "rebalancing",
        "simple",
        "stable",
    ]


@pytest.mark.parametrize(
    ("states", "kinds", "listed"),
    [
        (["Stable"], [], ["stable"]),
        (["stable", "EMPTY"], [], ["empty", "simple", "stable"]),
        (["Nonsense"], [], []),
        ([], ["Classic"], ["empty", "rebalancing", "simple", "stable"]),
        ([], ["consumer"], []),
        (["Empty"], ["classic"], ["empty", "simple"]),
    ],
)
def test_groups_are_listed_by_state_and_type(
    states: list[str], kinds: list[str], listed: list[str]
) -> None:
    request = ListGroupsRequest(states_filter=states, types_filter=kinds)
    response = world_with_groups().ask(LIST_GROUPS, 5, request)
    assert [each.group_id for each in response.groups] == listed


@pytest.mark.parametrize("version", range(7))
def test_a_stable_group_is_described_with_what_its_members_have(version: int) -> None:
    world = GroupWorld()
    member = world.member(instance="one")
    world.settle([member], [member.begin()])
    group = describe(world, "readers", version)
    assert (group.group_state, group.protocol_type, group.protocol_data) == (
        "Stable",
        "consumer",
        "range",
    )
    (described,) = group.members
    assert described.member_id == member.member_id
    assert described.group_instance_id == ("one" if version >= 4 else None)
    assert (described.client_id, described.client_host) == ("tester", "/127.0.0.1")
    assert described.member_metadata == subscription("a")
    assert described.member_assignment == member.member_id.encode()
    assert group.authorized_operations == NOT_ASKED


def test_in_a_rebalance_only_who_is_there_is_described() -> None:
    world = world_with_groups()
    group = describe(world, "rebalancing")
    assert (group.group_state, group.protocol_data) == ("CompletingRebalance", "")
    (member,) = group.members
    assert (member.member_metadata, member.member_assignment) == (b"", b"")
    assert describe(world, "empty").members == describe(world, "simple").members == []


def test_what_does_not_exist_is_dead() -> None:
    world = GroupWorld()
    for version in range(6):
        group = describe(world, "gone", version)
        assert (group.error_code, group.group_state) == (ErrorCode.NONE, "Dead")
    group = describe(world, "gone", 6)
    assert (group.error_code, group.group_state) == (ErrorCode.GROUP_ID_NOT_FOUND, "Dead")
    assert "gone" in (group.error_message or "")


def test_what_one_may_do_is_told_on_request() -> None:
    world = world_with_groups()
    request = DescribeGroupsRequest(groups=["stable"], include_authorized_operations=True)
    response = world.ask(DESCRIBE_GROUPS, 6, request)
    assert response.groups[0].authorized_operations == GROUP_OPERATIONS


def test_groups_without_members_are_deleted_with_their_offsets_and_stay_so() -> None:
    world = world_with_groups()
    answer = delete(world, "stable", "empty", "simple", "rebalancing", "gone", "gone")
    assert answer == {
        "stable": ErrorCode.NON_EMPTY_GROUP,
        "empty": ErrorCode.NONE,
        "simple": ErrorCode.NONE,
        "rebalancing": ErrorCode.NON_EMPTY_GROUP,
        "gone": ErrorCode.GROUP_ID_NOT_FOUND,
    }
    assert world.committed("simple", "a", 0) == -1
    world.restart(crash=True)
    assert [group.group_id for group in world.node.groups] == ["stable"]
    assert world.committed("simple", "a", 0) == -1


@pytest.mark.parametrize("version", range(3))
def test_groups_are_deleted_in_every_version(version: int) -> None:
    world = world_with_groups()
    world.ask(DELETE_GROUPS, version, DeleteGroupsRequest(groups_names=["empty"]))
    assert world.node.groups.get("empty") is None


def test_a_deleted_group_begins_from_the_start() -> None:
    world = world_with_groups()
    delete(world, "empty")
    (member,) = world.stable("empty", 1)
    assert member.generation == 1
