"""Committing, reading and deleting the offsets of groups, by request."""

import pytest
from millpond.log.model import CommittedOffset, TopicPartition
from millpond.log.wire.error_codes import ErrorCode
from millpond.log.wire.messages.offset_commit import (
    OFFSET_COMMIT,
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
)
from millpond.log.wire.messages.offset_delete import (
    OFFSET_DELETE,
    OffsetDeleteRequest,
    OffsetDeleteRequestPartition,
    OffsetDeleteRequestTopic,
    OffsetDeleteResponse,
)
from millpond.log.wire.messages.offset_fetch import (
    OFFSET_FETCH,
    OffsetFetchRequest,
    OffsetFetchRequestGroup,
    OffsetFetchRequestTopic,
    OffsetFetchRequestTopics,
)
from millpond.tests.twins.group_world import GroupWorld, subscription


def world_with_topics() -> GroupWorld:
    world = GroupWorld()
    world.create("a", 2)
    world.create("b", 2)
    return world


def delete(world: GroupWorld, group: str, topic: str, *partitions: int) -> OffsetDeleteResponse:
    indexes = [OffsetDeleteRequestPartition(partition_index=each) for each in partitions]
    topics = [OffsetDeleteRequestTopic(name=topic, partitions=indexes)]
    return world.ask(OFFSET_DELETE, 0, OffsetDeleteRequest(group_id=group, topics=topics))


def fetch_all(world: GroupWorld, group: str, *, stable: bool = False) -> dict[str, dict[int, int]]:
    asked = [OffsetFetchRequestGroup(group_id=group, topics=None)]
    request = OffsetFetchRequest(groups=asked, require_stable=stable)
    response = world.ask(OFFSET_FETCH, 9, request)
    return {
        topic.name: {
            each.partition_index: each.error_code or each.committed_offset
            for each in topic.partitions
        }
        for topic in response.groups[0].topics
    }


# -- committing ------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", range(2, 10))
def test_who_is_no_member_commits_for_a_group_without_members(version: int) -> None:
    world = world_with_topics()
    assert world.commit("tool", "a", 0, 7, version=version, metadata=None) == ErrorCode.NONE
    assert world.committed("tool", "a", 0) == 7
    world.restart(crash=True)
    assert world.committed("tool", "a", 0) == 7


@pytest.mark.parametrize("version", range(2, 10))
def test_a_member_commits_in_its_generation(version: int) -> None:
    world = world_with_topics()
    first, second = world.stable("readers", 2)
    assert first.commit("a", 0, 7, version) == ErrorCode.NONE
    first.generation -= 1
    assert first.commit("a", 0, 6, version) == ErrorCode.ILLEGAL_GENERATION
    first.generation += 1
    assert first.commit("a", 0, 8, version) == ErrorCode.NONE
    second.member_id = "stranger"
    assert second.commit("a", 0, 9, version) == ErrorCode.UNKNOWN_MEMBER_ID
    assert world.commit("readers", "a", 0, 9, version=version) == ErrorCode.UNKNOWN_MEMBER_ID
    assert world.committed("readers", "a", 0) == 8


def test_in_a_rebalance_members_commit_until_they_have_rejoined() -> None:
    world = world_with_topics()
    first, second = world.stable("readers", 2)
    joining = [first.join()]
    assert second.commit("a", 0, 7) == ErrorCode.NONE
    joining.append(second.join())
    first.take(joining[0])
    second.take(joining[1])
    assert second.commit("a", 0, 8) == ErrorCode.REBALANCE_IN_PROGRESS
    assert world.committed("readers", "a", 0) == 7


def test_a_static_member_whose_place_is_taken_commits_no_more() -> None:
    world = world_with_topics()
    member = world.member(instance="one")
    world.settle([member], [member.begin()])
    restarted = world.member(instance="one")
    restarted.take(restarted.join())
    assert member.commit("a", 0, 7) == ErrorCode.FENCED_INSTANCE_ID
    assert restarted.commit("a", 0, 8) == ErrorCode.NONE


@pytest.mark.parametrize(
    ("version", "error"),
    [(8, ErrorCode.ILLEGAL_GENERATION), (9, ErrorCode.GROUP_ID_NOT_FOUND)],
)
def test_a_member_of_a_group_that_does_not_exist_is_told_so(version: int, error: ErrorCode) -> None:
    world = world_with_topics()
    assert world.commit("gone", "a", 0, 7, version=version, generation=3) == error
    assert world.node.groups.get("gone") is None


def test_each_partition_is_answered_for_itself() -> None:
    world = world_with_topics()
    partitions = [
        OffsetCommitRequestPartition(partition_index=0, committed_offset=1, committed_metadata="m"),
        OffsetCommitRequestPartition(
            partition_index=1, committed_offset=2, committed_metadata="m" * 4097
        ),
        OffsetCommitRequestPartition(partition_index=2, committed_offset=3, committed_metadata=""),
    ]
    topics = [
        OffsetCommitRequestTopic(name=name, partitions=partitions) for name in ("a", "missing")
    ]
    request = OffsetCommitRequest(group_id="tool", member_id="", topics=topics)
    response = world.ask(OFFSET_COMMIT, 9, request)
    assert [[each.error_code for each in topic.partitions] for topic in response.topics] == [
        [
            ErrorCode.NONE,
            ErrorCode.OFFSET_METADATA_TOO_LARGE,
            ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
        ],
        [ErrorCode.UNKNOWN_TOPIC_OR_PARTITION] * 3,
    ]
    assert fetch_all(world, "tool") == {"a": {0: 1}}


def test_a_commit_is_a_sign_of_life() -> None:
    world = world_with_topics()
    first, _second = world.stable("readers", 2)
    world.sleep(9_000)
    first.commit("a", 0, 7)
    world.sleep(9_000)
    assert first.heartbeat() == ErrorCode.REBALANCE_IN_PROGRESS


# -- reading ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", range(1, 8))
def test_one_group_is_asked_for_in_the_old_form(version: int) -> None:
    world = world_with_topics()
    world.node.offsets.append_commit(
        "tool", {TopicPartition("a", 0): CommittedOffset(7, 3, "note")}, 1
    ).flush()
    topics = [OffsetFetchRequestTopic(name="a", partition_indexes=[0, 1])]
    request = OffsetFetchRequest(group_id="tool", topics=topics)
    response = world.ask(OFFSET_FETCH, version, request)
    (topic,) = response.topics
    known, unknown = topic.partitions
    assert (known.committed_offset, known.metadata, known.error_code) == (7, "note", 0)
    assert known.committed_leader_epoch == (3 if version >= 5 else -1)
    assert (unknown.committed_offset, unknown.metadata, unknown.error_code) == (-1, "", 0)


@pytest.mark.parametrize("version", range(2, 8))
def test_null_topics_ask_for_everything(version: int) -> None:
    world = world_with_topics()
    world.commit("tool", "a", 0, 1)
    world.commit("tool", "b", 1, 2)
    request = OffsetFetchRequest(group_id="tool", topics=None)
    response = world.ask(OFFSET_FETCH, version, request)
    found = {
        (topic.name, each.partition_index, each.committed_offset)
        for topic in response.topics
        for each in topic.partitions
    }
    assert found == {("a", 0, 1), ("b", 1, 2)}


@pytest.mark.parametrize("version", [8, 9])
def test_several_groups_are_asked_for_at_once(version: int) -> None:
    world = world_with_topics()
    world.commit("one", "a", 0, 1)
    world.commit("two", "b", 1, 2)
    topics = [OffsetFetchRequestTopics(name="a", partition_indexes=[0])]
    groups = [
        OffsetFetchRequestGroup(group_id="one", topics=topics),
        OffsetFetchRequestGroup(group_id="two", topics=None),
        OffsetFetchRequestGroup(group_id="unknown", topics=topics),
        OffsetFetchRequestGroup(group_id="unknown", topics=None),
    ]
    response = world.ask(OFFSET_FETCH, version, OffsetFetchRequest(groups=groups))
    found = [
        (
            group.group_id,
            group.error_code,
            [
                (topic.name, each.partition_index, each.committed_offset, each.error_code)
                for topic in group.topics
                for each in topic.partitions
            ],
        )
        for group in response.groups
    ]
    assert found == [
        ("one", 0, [("a", 0, 1, 0)]),
        ("two", 0, [("b", 1, 2, 0)]),
        ("unknown", 0, [("a", 0, -1, 0)]),
        ("unknown", 0, []),
    ]


def test_an_offset_that_an_open_transaction_may_change_is_unstable() -> None:
    world = world_with_topics()
    node = world.node
    world.commit("readers", "a", 0, 1)
    world.commit("readers", "a", 1, 1)
    offsets = {TopicPartition("a", 0): CommittedOffset(2)}
    owner = world.run(node.transactions.init("writer", timeout_ms=60_000, now=node.now()))
    node.offsets.commit_in(owner, "readers", offsets, node.now()).flush()
    assert fetch_all(world, "readers") == {"a": {0: 1, 1: 1}}
    assert fetch_all(world, "readers", stable=True) == {
        "a": {0: ErrorCode.UNSTABLE_OFFSET_COMMIT, 1: 1}
    }
    node.offsets.end_transaction(
        node.offsets.partition_of("readers"), owner.producer_id, commit=True
    )
    assert fetch_all(world, "readers", stable=True) == {"a": {0: 2, 1: 1}}


def test_commits_in_flight_at_the_same_time_keep_their_order_and_are_waited_for() -> None:
    world = world_with_topics()
    partition = TopicPartition("a", 0)
    steps = [
        world.node.offsets.commit("readers", {partition: CommittedOffset(number)}, 1)
        for number in (1, 2, 3)
    ]
    logs = [next(each) for each in steps]
    fetching = world.node.offsets.settled("readers")
    assert next(fetching) == logs[0], "what is not on disk is not told"
    for each in reversed(steps):
        with pytest.raises(StopIteration):
            next(each)
    assert world.committed("readers", "a", 0) == 3


@pytest.mark.parametrize("version", [7, 9])
def test_an_offset_is_told_when_it_is_on_disk(version: int) -> None:
    world = world_with_topics()
    world.hold_syncs = True
    world.node.offsets.append_commit("tool", {TopicPartition("a", 0): CommittedOffset(7)}, 1)
    groups = [OffsetFetchRequestGroup(group_id="tool", topics=None)]
    request = OffsetFetchRequest(group_id="tool", topics=None, groups=groups)
    asked = world.send(OFFSET_FETCH, version, request)
    assert not asked.done
    world.hold_syncs = False
    world.sleep(0)
    assert asked.done


# -- deleting --------------------------------------------------------------------------------------


def test_offsets_of_topics_that_nobody_reads_are_deleted() -> None:
    world = world_with_topics()
    (member,) = world.stable("readers", 1, protocols={"range": subscription("b")})
    for topic in ("a", "b"):
        assert member.commit(topic, 0, 7) == ErrorCode.NONE
    response = delete(world, "readers", "a", 0, 1, 9)
    assert [each.error_code for each in response.topics[0].partitions] == [
        ErrorCode.NONE,
        ErrorCode.NONE,
        ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
    ]
    response = delete(world, "readers", "b", 0)
    assert response.topics[0].partitions[0].error_code == ErrorCode.GROUP_SUBSCRIBED_TO_TOPIC
    world.restart(crash=True)
    assert fetch_all(world, "readers") == {"b": {0: 7}}


def test_a_pending_offset_is_deleted_with_the_settled_one() -> None:
    world = world_with_topics()
    node = world.node
    world.commit("readers", "a", 0, 1)
    owner = world.run(node.transactions.init("writer", timeout_ms=60_000, now=node.now()))
    offsets = {TopicPartition("a", 0): CommittedOffset(2)}
    node.offsets.commit_in(owner, "readers", offsets, node.now()).flush()
    delete(world, "readers", "a", 0)
    node.offsets.end_transaction(
        node.offsets.partition_of("readers"), owner.producer_id, commit=True
    )
    assert fetch_all(world, "readers") == {}


def test_whose_offsets_are_not_deleted() -> None:
    world = world_with_topics()
    assert delete(world, "", "a", 0).error_code == ErrorCode.INVALID_GROUP_ID
    assert delete(world, "unknown", "a", 0).error_code == ErrorCode.GROUP_ID_NOT_FOUND
    world.stable("workers", 1, protocol_type="connect")
    assert delete(world, "workers", "a", 0).error_code == ErrorCode.NON_EMPTY_GROUP
    world.stable("odd", 1, protocols={"range": b"\x00\x00\x00\x00\x00\x07"})
    response = delete(world, "odd", "a", 0)
    assert response.topics[0].partitions[0].error_code == ErrorCode.GROUP_SUBSCRIBED_TO_TOPIC
