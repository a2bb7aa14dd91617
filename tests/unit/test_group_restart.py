"""What is left of groups when the broker starts again, and what is written of them."""

import struct

import pytest
from millpond.log.broker.replay import batches_of
from millpond.log.coordinator.group_records import (
    GROUP_METADATA,
    GroupMetadataValue,
    MemberMetadata,
    decode_group,
    encode_group,
    encode_versioned,
    version_of,
)
from millpond.log.errors import LogError
from millpond.log.records import decode_batch
from millpond.log.wire.error_codes import ErrorCode
from millpond.tests.twins.group_world import GroupWorld, subscription


def text(value: str) -> bytes:
    return struct.pack(">h", len(value)) + value.encode()


def sized(value: bytes) -> bytes:
    return struct.pack(">i", len(value)) + value


def written(world: GroupWorld, group: str) -> list[GroupMetadataValue | None]:
    """Return what the log says of a group, in order."""
    log = world.node.broker.partition(world.node.offsets.partition_of(group))
    records = [record for _header, batch in batches_of(log) for record in decode_batch(batch)]
    return [
        decode_group(record.key, record.value)[1]
        for record in records
        if record.key and version_of(record.key) == GROUP_METADATA
    ]


@pytest.mark.parametrize("crash", [True, False])
def test_members_go_on_in_their_generation_without_a_rebalance(crash: bool) -> None:
    world = GroupWorld()
    first, second = world.stable("readers", 2)
    world.restart(crash=crash)
    assert first.heartbeat() == second.heartbeat() == ErrorCode.NONE
    assert first.commit("a", 0, 5) == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    again = second.sync().response
    assert again is not None
    assert again.assignment == second.member_id.encode()
    assert second.take(second.join()).generation_id == 2


def test_sessions_begin_anew_and_end_as_before() -> None:
    world = GroupWorld()
    first, second = world.stable("readers", 2)
    world.sleep(9_000)
    world.restart()
    world.sleep(9_000)
    assert first.heartbeat() == ErrorCode.NONE
    world.sleep(1_000)
    assert second.heartbeat() == ErrorCode.UNKNOWN_MEMBER_ID


def test_a_rebalance_that_was_under_way_begins_once_more() -> None:
    world = GroupWorld()
    first, second = world.stable("readers", 2)
    first.join()
    world.restart()
    assert second.heartbeat() == ErrorCode.NONE, "the generation before goes on"
    joining = [first.join(), second.join()]
    world.settle((first, second), joining)


def test_a_group_that_was_left_is_empty_and_its_generation_goes_on_growing() -> None:
    world = GroupWorld()
    (first,) = world.stable("readers", 1)
    first.leave()
    world.restart()
    (again,) = world.stable("readers", 1)
    assert again.generation == 3


def test_a_group_without_a_first_assignment_is_forgotten() -> None:
    world = GroupWorld()
    member = world.member()
    member.take(member.begin())
    world.restart()
    assert member.heartbeat() == ErrorCode.UNKNOWN_MEMBER_ID


def test_a_groups_record_is_kafkas() -> None:
    world = GroupWorld()
    member = world.member(instance="one", session_ms=7_000, rebalance_ms=8_000)
    member.take(member.join())
    member.sync({member.member_id: b"all"})
    (value,) = written(world, "readers")
    assert value is not None
    data = encode_group("readers", value, 1)
    assert data.key == struct.pack(">h", 2) + text("readers")
    assert data.value == b"".join(
        [
            struct.pack(">h", 3),
            text("consumer"),
            struct.pack(">i", 1),
            text("range"),
            text(member.member_id),
            struct.pack(">q", world.clock.now()),
            struct.pack(">i", 1),
            text(member.member_id),
            text("one"),
            text("tester"),
            text("/127.0.0.1"),
            struct.pack(">ii", 8_000, 7_000),
            sized(subscription("a")),
            sized(b"all"),
        ]
    )


def test_the_last_farewell_is_written_too() -> None:
    world = GroupWorld()
    (first,) = world.stable("readers", 1)
    first.leave()
    values = written(world, "readers")
    assert values[-1] == GroupMetadataValue(
        protocol_type="consumer",
        generation=2,
        protocol=None,
        leader=None,
        current_state_timestamp=world.clock.now(),
        members=[],
    )


@pytest.mark.parametrize("version", range(5))
def test_all_versions_of_the_record_are_understood(version: int) -> None:
    member = MemberMetadata(
        member_id="m",
        group_instance_id="i" if version >= 3 else None,
        client_id="c",
        client_host="/h",
        rebalance_timeout=2 if version >= 1 else -1,
        session_timeout=3,
        subscription=b"s",
        assignment=b"a",
    )
    value = GroupMetadataValue(
        protocol_type="consumer",
        generation=4,
        protocol="range",
        leader="m",
        current_state_timestamp=5 if version >= 2 else -1,
        members=[member],
    )
    data = encode_versioned(value, version, message_version=version, flexible=version == 4)
    assert decode_group(struct.pack(">h", 2) + text("g"), data) == ("g", value)


def test_a_record_from_the_future_is_refused_with_its_group() -> None:
    with pytest.raises(LogError, match=r"'g'.*version 5"):
        decode_group(struct.pack(">h", 2) + text("g"), b"\x00\x05")


def test_members_of_old_records_may_take_their_session_timeout_to_rejoin() -> None:
    world = GroupWorld()
    first, second = world.stable("readers", 2, session_ms=12_000, rebalance_ms=5_000)
    (value,) = written(world, "readers")
    assert value is not None
    old = [
        MemberMetadata(
            member_id=each.member_id,
            client_id="c",
            client_host="h",
            session_timeout=each.session_timeout,
            subscription=each.subscription,
            assignment=each.assignment,
        )
        for each in value.members
    ]
    record = encode_group(
        "readers",
        GroupMetadataValue(
            protocol_type="consumer",
            generation=7,
            protocol="range",
            leader=first.member_id,
            members=old,
        ),
        1,
    )
    world.node.groups.append("readers", [record], 1).flush()
    world.restart()
    first.generation = second.generation = 7
    assert first.heartbeat() == ErrorCode.NONE
    waits = first.join()
    world.sleep(11_000)
    second.heartbeat()
    assert not waits.done
    world.sleep(1_000)
    assert len(first.take(waits).members) == 1
