"""Consumer groups beside the rest: commits, lists, deletion, and groups of the classic protocol."""

import pytest
from millpond.log.wire.error_codes import ErrorCode
from millpond.log.wire.messages.delete_groups import DELETE_GROUPS, DeleteGroupsRequest
from millpond.log.wire.messages.list_groups import LIST_GROUPS, ListGroupsRequest
from millpond.log.wire.messages.offset_fetch import (
    OFFSET_FETCH,
    OffsetFetchRequest,
    OffsetFetchRequestGroup,
    OffsetFetchResponseGroup,
)
from millpond.tests.twins.consumer_members import ConsumerMember, settle
from millpond.tests.twins.group_world import GroupWorld


@pytest.fixture
def world() -> GroupWorld:
    world = GroupWorld()
    world.create("orders", 4)
    return world


def member(world: GroupWorld, name: str, group: str = "readers") -> ConsumerMember:
    return ConsumerMember(world, group, name, topics=["orders"])


def commit(
    world: GroupWorld, who: ConsumerMember, epoch: int | None = None, version: int = 9
) -> ErrorCode:
    return world.commit(
        who.group,
        "orders",
        0,
        7,
        version=version,
        member_id=who.name,
        generation=who.epoch if epoch is None else epoch,
    )


def fetch(world: GroupWorld, member_id: str | None, epoch: int) -> OffsetFetchResponseGroup:
    group = OffsetFetchRequestGroup(
        group_id="readers", member_id=member_id, member_epoch=epoch, topics=None
    )
    return world.ask(OFFSET_FETCH, 9, OffsetFetchRequest(groups=[group])).groups[0]


def listed(world: GroupWorld) -> list[tuple[str, str, str, str]]:
    return [
        (each.group_id, each.group_type, each.group_state, each.protocol_type)
        for each in world.ask(LIST_GROUPS, 5, ListGroupsRequest()).groups
    ]


# -- offsets --------------------------------------------------------------------------------------


def test_a_member_commits_in_its_epoch_and_in_no_other(world: GroupWorld) -> None:
    anna = member(world, "anna")
    settle(anna)
    assert commit(world, anna) == ErrorCode.NONE
    assert commit(world, anna, epoch=0) == ErrorCode.STALE_MEMBER_EPOCH
    assert commit(world, anna, epoch=2) == ErrorCode.STALE_MEMBER_EPOCH
    assert commit(world, member(world, "bert"), epoch=1) == ErrorCode.UNKNOWN_MEMBER_ID


def test_who_is_no_member_commits_only_while_there_are_none(world: GroupWorld) -> None:
    anna, nobody = member(world, "anna"), member(world, "")
    settle(anna)
    assert commit(world, nobody, epoch=-1) == ErrorCode.UNKNOWN_MEMBER_ID
    anna.leave()
    assert commit(world, nobody, epoch=-1) == ErrorCode.NONE


def test_member_epochs_need_a_version_that_knows_them(world: GroupWorld) -> None:
    anna = member(world, "anna")
    settle(anna)
    assert commit(world, anna, version=8) == ErrorCode.UNSUPPORTED_VERSION


def test_while_it_gives_up_a_member_can_still_commit(world: GroupWorld) -> None:
    anna, bert = member(world, "anna"), member(world, "bert")
    settle(anna)
    anna.slow = True
    bert.beat()
    anna.beat()
    assert commit(world, anna) == ErrorCode.NONE
    anna.finish()
    settle(anna, bert)
    assert commit(world, anna, epoch=1) == ErrorCode.STALE_MEMBER_EPOCH
    assert commit(world, anna) == ErrorCode.NONE


def test_a_member_reads_offsets_in_its_epoch_and_others_without_one(world: GroupWorld) -> None:
    anna = member(world, "anna")
    settle(anna)
    commit(world, anna)
    found = fetch(world, "anna", 1)
    assert (found.error_code, found.topics[0].partitions[0].committed_offset) == (0, 7)
    assert fetch(world, None, -1).topics == found.topics
    assert fetch(world, "anna", 2).error_code == ErrorCode.STALE_MEMBER_EPOCH
    assert fetch(world, "bert", 1).error_code == ErrorCode.UNKNOWN_MEMBER_ID


# -- lists and deletion ---------------------------------------------------------------------------


def test_a_consumer_group_is_listed_as_what_it_is(world: GroupWorld) -> None:
    anna, bert = member(world, "anna"), member(world, "bert")
    settle(anna)
    assert listed(world) == [("readers", "consumer", "Stable", "consumer")]
    bert.beat()
    assert listed(world) == [("readers", "consumer", "Reconciling", "consumer")]
    settle(anna, bert)
    anna.leave()
    bert.leave()
    assert listed(world) == [("readers", "consumer", "Empty", "consumer")]


def test_only_an_empty_group_can_be_deleted_and_then_it_is_gone(world: GroupWorld) -> None:
    anna = ConsumerMember(world, "readers", "anna", regex="o.*")
    settle(anna)
    request = DeleteGroupsRequest(groups_names=["readers"])
    answer = world.ask(DELETE_GROUPS, 2, request)
    assert answer.results[0].error_code == ErrorCode.NON_EMPTY_GROUP
    anna.leave()
    assert world.ask(DELETE_GROUPS, 2, request).results[0].error_code == ErrorCode.NONE
    assert listed(world) == []
    world.restart()
    assert listed(world) == []
    settle(anna)
    assert (anna.epoch, anna.shown) == (1, "orders: 0 1 2 3")


# -- classic groups -------------------------------------------------------------------------------


def test_protocols_are_not_mixed_in_a_group(world: GroupWorld) -> None:
    settle(member(world, "anna"))
    refused = world.member("readers").begin().response
    assert refused is not None
    assert refused.error_code == ErrorCode.INCONSISTENT_GROUP_PROTOCOL
    world.stable("classic", 1)
    answer = member(world, "anna", "classic").beat()
    assert answer.error_code == ErrorCode.GROUP_ID_NOT_FOUND
    assert "classic" in (answer.error_message or "")


def test_an_empty_group_becomes_of_the_other_kind_and_keeps_its_offsets(
    world: GroupWorld,
) -> None:
    (classic,) = world.stable("readers", 1)
    assert classic.commit("orders", 0, 5) == ErrorCode.NONE
    classic.leave()
    anna = member(world, "anna")
    settle(anna)
    assert listed(world) == [("readers", "consumer", "Stable", "consumer")]
    world.restart()
    settle(anna)
    assert fetch(world, "anna", 1).topics[0].partitions[0].committed_offset == 5
    anna.leave()
    world.stable("readers", 1)
    assert listed(world) == [("readers", "classic", "Stable", "consumer")]
    world.restart()
    assert listed(world) == [("readers", "classic", "Stable", "consumer")]


def test_a_group_that_only_had_offsets_becomes_a_consumer_group(world: GroupWorld) -> None:
    assert world.commit("readers", "orders", 0, 5) == ErrorCode.NONE
    anna = member(world, "anna")
    settle(anna)
    world.restart()
    settle(anna)
    assert fetch(world, "anna", 1).topics[0].partitions[0].committed_offset == 5
