"""Joining a classic group."""

import pytest
from millpond.log.coordinator.classic_group import ClassicGroup
from millpond.log.coordinator.classic_join import PENDING_MAX
from millpond.log.wire.error_codes import ErrorCode
from millpond.tests.twins.group_world import GroupWorld, subscription


def test_a_new_member_is_sent_for_its_id_first_and_then_leads_the_first_generation() -> None:
    world = GroupWorld()
    member = world.member()
    sent_away = member.join().response
    assert sent_away is not None
    assert sent_away.error_code == ErrorCode.MEMBER_ID_REQUIRED
    assert sent_away.member_id.startswith("tester-")
    member.member_id = sent_away.member_id
    joined = member.take(member.join())
    assert (joined.generation_id, joined.leader) == (1, member.member_id)
    assert (joined.protocol_type, joined.protocol_name) == ("consumer", "range")
    assert [each.metadata for each in joined.members] == [subscription("a")]


@pytest.mark.parametrize("version", range(4))
def test_clients_from_before_kip_394_become_members_at_once(version: int) -> None:
    member = GroupWorld().member()
    joined = member.take(member.join(version))
    assert joined.member_id == joined.leader != ""


@pytest.mark.parametrize("version", range(10))
def test_all_versions_come_to_an_assignment(version: int) -> None:
    member = GroupWorld().member()
    member.take(member.begin(version))
    synced = member.sync(version=min(version, 5)).response
    assert synced is not None
    assert synced.assignment == member.member_id.encode()
    assert member.heartbeat(min(version, 4)) == ErrorCode.NONE
    assert member.leave(min(version, 5)) == ErrorCode.NONE


def test_all_wait_until_all_have_joined_and_only_the_leader_hears_of_all() -> None:
    world = GroupWorld()
    (first,) = world.stable("readers", 1)
    second, third = world.member(), world.member()
    joining = [second.begin(), third.begin()]
    assert first.heartbeat() == ErrorCode.REBALANCE_IN_PROGRESS
    assert not any(asked.done for asked in joining)
    first.take(first.join())
    for member, asked in zip((second, third), joining, strict=True):
        assert member.take(asked).leader == first.member_id
        assert not member.members
    assert set(first.members) == {first.member_id, second.member_id, third.member_id}
    assert {first.generation, second.generation, third.generation} == {2}


def test_a_rebalance_waits_for_somebody_who_was_sent_for_its_id() -> None:
    world = GroupWorld()
    first, second = world.stable("readers", 2)
    third = world.member()
    sent_away = third.join().response
    assert sent_away is not None
    second.leave()
    rejoined = first.join()
    assert not rejoined.done, "the third is expected"
    third.member_id = sent_away.member_id
    third.take(third.join())
    assert len(first.take(rejoined).members) == 2


def test_an_id_that_is_not_used_expires_and_the_others_go_on() -> None:
    world = GroupWorld()
    first, second = world.stable("readers", 2)
    world.member(session_ms=6000).join()
    second.leave()
    rejoined = first.join()
    world.sleep(5_999)
    assert not rejoined.done
    world.sleep(1)
    assert len(first.take(rejoined).members) == 1


def test_the_first_rebalance_waits_for_more_members_and_longer_if_they_come() -> None:
    world = GroupWorld(group_initial_rebalance_delay_ms="1000")
    first, second, third = (world.member() for _ in range(3))
    joining = [first.begin()]
    world.sleep(600)
    joining.append(second.begin())
    world.sleep(600)
    assert not joining[0].done, "the second one's coming prolongs the wait"
    joining.append(third.begin())
    world.sleep(1_000)
    world.sleep(799)
    assert not joining[0].done
    world.sleep(1)
    world.settle((first, second, third), joining)


def test_the_first_rebalance_never_waits_longer_than_the_rebalance_timeout() -> None:
    world = GroupWorld(group_initial_rebalance_delay_ms="1000")
    first = world.member(rebalance_ms=2_500)
    joining = first.begin()
    for _ in range(4):
        world.sleep(600)
        world.member(rebalance_ms=2_500).begin()
    assert not joining.done
    world.sleep(100)
    assert len(first.take(joining).members) == 5


def test_who_does_not_rejoin_in_time_is_none_any_more() -> None:
    world = GroupWorld()
    first, second = world.stable("readers", 2, rebalance_ms=20_000, session_ms=60_000)
    third = world.member(rebalance_ms=5_000)
    joining = [third.begin(), first.join()]
    world.sleep(19_999)
    assert not any(asked.done for asked in joining)
    world.sleep(1)
    assert first.take(joining[1]).generation_id == 3
    assert set(first.members) == {first.member_id, third.member_id}
    assert second.heartbeat() == ErrorCode.UNKNOWN_MEMBER_ID


def test_if_the_leader_does_not_rejoin_another_one_leads() -> None:
    world = GroupWorld()
    first, second = world.stable("readers", 2, session_ms=60_000)
    third = world.member()
    joining = [third.begin(), second.join()]
    world.sleep(30_000)
    world.settle((third, second), joining)
    assert second.leads
    assert first.heartbeat() == ErrorCode.UNKNOWN_MEMBER_ID


def test_a_follower_that_joins_again_as_it_is_hears_of_its_generation_at_once() -> None:
    world = GroupWorld()
    _first, second = world.stable("readers", 2)
    again = second.take(second.join())
    assert again.generation_id == 2
    assert not again.members
    assert second.heartbeat() == ErrorCode.NONE


@pytest.mark.parametrize("who", ["leader", "follower"])
def test_a_leader_that_joins_again_or_a_follower_that_has_changed_begins_a_rebalance(
    who: str,
) -> None:
    world = GroupWorld()
    first, second = world.stable("readers", 2)
    if who == "leader":
        asked, other = first.join(), second
    else:
        second.protocols = {"range": subscription("a", "b")}
        asked, other = second.join(), first
    assert not asked.done
    assert other.heartbeat() == ErrorCode.REBALANCE_IN_PROGRESS


def test_a_lost_answer_is_given_again_while_the_assignment_is_made() -> None:
    world = GroupWorld()
    first, second = world.stable("readers", 2)
    joining = [first.join(), second.join()]
    first.take(joining[0])
    second.take(joining[1])
    assert second.take(second.join()).generation_id == 3
    assert len(first.take(first.join()).members) == 2
    second.protocols = {"range": subscription("other")}
    assert not second.join().done, "with other metadata it is a rebalance"
    assert first.heartbeat() == ErrorCode.REBALANCE_IN_PROGRESS


def test_a_request_that_waits_is_answered_when_the_same_member_asks_again() -> None:
    world = GroupWorld()
    first, second = world.stable("readers", 2)
    waits = first.join()
    again = first.join()
    assert waits.response is not None
    assert waits.response.error_code == ErrorCode.REBALANCE_IN_PROGRESS
    second.take(second.join())
    assert first.take(again).generation_id == 3


def test_the_protocol_with_most_votes_among_those_that_all_support_is_chosen() -> None:
    world = GroupWorld()
    both, reverse = {"range": b"r", "sticky": b"s"}, {"sticky": b"s", "range": b"r"}
    members = [
        world.member(protocols={"own": b"o", **both}),
        world.member(protocols=reverse),
        world.member(protocols=reverse),
    ]
    members[0].take(members[0].begin())
    joining = [member.begin() for member in members[1:]] + [members[0].join()]
    chosen = {
        member.take(asked).protocol_name
        for member, asked in zip(members[1:] + members[:1], joining, strict=True)
    }
    assert chosen == {"sticky"}


@pytest.mark.parametrize(
    ("asks", "why"),
    [
        ({"protocols": {"sticky": b""}}, "no protocol in common"),
        ({"protocol_type": "connect"}, "another type"),
        ({"protocols": {}}, "none at all"),
    ],
)
def test_who_cannot_agree_with_the_members_is_refused(asks: dict[str, object], why: str) -> None:
    world = GroupWorld()
    first, *_ = world.stable("readers", 1)
    refused = world.member(**asks).join().response
    assert refused is not None, why
    assert refused.error_code == ErrorCode.INCONSISTENT_GROUP_PROTOCOL
    assert first.heartbeat() == ErrorCode.NONE, "nobody else hears of it"


def test_an_empty_group_forgets_the_protocol_type_it_had() -> None:
    world = GroupWorld()
    (first,) = world.stable("readers", 1)
    first.leave()
    other = world.member(protocol_type="connect", protocols={"default": b""})
    assert other.take(other.begin()).protocol_type == "connect"


@pytest.mark.parametrize("session_ms", [5_999, 1_800_001, -1])
def test_a_session_timeout_out_of_bounds_is_refused(session_ms: int) -> None:
    refused = GroupWorld().member(session_ms=session_ms).join().response
    assert refused is not None
    assert refused.error_code == ErrorCode.INVALID_SESSION_TIMEOUT


def test_a_group_needs_a_name_and_a_member_id_a_group() -> None:
    world = GroupWorld()
    nameless = world.member("").join().response
    assert nameless is not None
    assert nameless.error_code == ErrorCode.INVALID_GROUP_ID
    stranger = world.member(member_id="left-over").join().response
    assert stranger is not None
    assert stranger.error_code == ErrorCode.UNKNOWN_MEMBER_ID
    world.stable("readers", 1)
    stranger = world.member(member_id="left-over").join().response
    assert stranger is not None
    assert stranger.error_code == ErrorCode.UNKNOWN_MEMBER_ID


def test_a_full_group_takes_no_more_but_its_members_may_rejoin() -> None:
    world = GroupWorld(group_max_size="2")
    first, second = world.stable("readers", 2)
    third = world.member()
    refused = third.join().response
    assert refused is not None
    assert refused.error_code == ErrorCode.GROUP_MAX_SIZE_REACHED
    assert first.heartbeat() == ErrorCode.NONE
    world.settle((first, second), [first.join(), second.join()])
    second.leave()
    joining = [third.begin(), first.join()]
    world.settle((third, first), joining)


def test_a_new_member_that_waits_for_too_long_is_dropped() -> None:
    world = GroupWorld()
    (first,) = world.stable("readers", 1, rebalance_ms=900_000, session_ms=1_000_000)
    waits = world.member().begin()
    world.sleep(299_999)
    assert not waits.done
    world.sleep(1)
    assert waits.response is not None
    assert waits.response.error_code == ErrorCode.UNKNOWN_MEMBER_ID
    assert first.take(first.join()).generation_id == 2


def test_ids_are_not_given_out_without_end() -> None:
    world = GroupWorld()
    world.member().join()
    group = world.node.groups.get("readers")
    assert isinstance(group, ClassicGroup)
    group.pending.update((f"expected-{number}", 10_000) for number in range(PENDING_MAX))
    refused = world.member().join().response
    assert refused is not None
    assert refused.error_code == ErrorCode.GROUP_MAX_SIZE_REACHED
    world.sleep(10_000)
    assert world.member().begin().done
