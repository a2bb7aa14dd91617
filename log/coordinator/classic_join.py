"""Who may join a classic group, and what follows from it.

- Somebody new is added, and a rebalance begins. Since KIP-394 it is first sent away with a member id
  to come back with, so that one who tries again is not taken for two.
- A member that joins again in a rebalance waits for the others. Outside one it begins a rebalance if
  it leads, or asks for something else than before; else it is told of its generation once more.
- A static member that comes back without its member id takes its own place, and whoever still used
  the old id is fenced. If what the group agrees on stays the same, nobody else hears of it.

Source: KIP-345, KIP-394, KIP-814 (a static leader that comes back is told not to assign anew).
"""

from typing import Final, NamedTuple

from ..errors import RecordTooLarge
from ..wire.error_codes import ErrorCode
from .classic_group import ClassicGroup
from .classic_members import Member
from .classic_messages import JoinAnswer, Joining
from .classic_states import EMPTY, PREPARING, STABLE
from .group import Changes, Instant, Reply

PENDING_MAX: Final = 10_000
"""So many ids of a group may be given out that nobody has joined with yet."""


class JoinRules(NamedTuple):
    """What the broker's settings say about joining."""

    first_rebalance_delay_ms: int
    members_max: int


def join(
    group: ClassicGroup,
    asked: Joining,
    reply: Reply[JoinAnswer],
    rules: JoinRules,
    now: Instant,
) -> Changes[None]:
    """Take in somebody who wants to join, or say why not."""
    if not _has_room(group, asked.member_id, rules.members_max):
        was_member = asked.member_id in group.members
        group.drop(asked.member_id)
        reply.keep(JoinAnswer(ErrorCode.GROUP_MAX_SIZE_REACHED, ""))
        yield from group.go_on(now, changed=was_member)
    elif not _agrees(group, asked):
        reply.keep(JoinAnswer(ErrorCode.INCONSISTENT_GROUP_PROTOCOL, asked.member_id))
    elif not asked.member_id:
        yield from _join_new(group, asked, reply, rules, now)
    elif asked.member_id in group.pending and asked.group_instance_id is None:
        yield from _add(group, asked, asked.member_id, reply, rules, now)
    else:
        error = group.members.check(asked.member_id, asked.group_instance_id)
        if error is not ErrorCode.NONE:
            reply.keep(JoinAnswer(error, asked.member_id))
        else:
            yield from _join_again(group, asked, reply, now)


def _has_room(group: ClassicGroup, member_id: str, members_max: int) -> bool:
    """Say whether one more may come in.

    In a rebalance those who have joined are counted, so that of a group that is too large, since
    the setting was lowered, the last ones to rejoin have to go.
    """
    if group.state is EMPTY:
        return True
    if group.state is PREPARING:
        return member_id in group.joins or len(group.joins) < members_max
    return member_id in group.members or len(group.members) < members_max


def _agrees(group: ClassicGroup, asked: Joining) -> bool:
    if group.state is EMPTY:
        return bool(asked.protocol_type and asked.protocols)
    return asked.protocol_type == group.protocol_type and group.members.support_one_of(
        asked.protocols.keys()
    )


def _join_new(
    group: ClassicGroup,
    asked: Joining,
    reply: Reply[JoinAnswer],
    rules: JoinRules,
    now: Instant,
) -> Changes[None]:
    replaced = group.members.static_id(asked.group_instance_id)
    if replaced is not None:
        yield from _replace(group, replaced, asked, reply, now)
    elif len(group.pending) >= PENDING_MAX:
        reply.keep(JoinAnswer(ErrorCode.GROUP_MAX_SIZE_REACHED, ""))
    elif asked.needs_id_first and asked.group_instance_id is None:
        group.expect(asked.new_member_id, asked.session_timeout_ms, now)
        reply.keep(JoinAnswer(ErrorCode.MEMBER_ID_REQUIRED, asked.new_member_id))
    else:
        yield from _add(group, asked, asked.new_member_id, reply, rules, now)


def _add(
    group: ClassicGroup,
    asked: Joining,
    member_id: str,
    reply: Reply[JoinAnswer],
    rules: JoinRules,
    now: Instant,
) -> Changes[None]:
    if not group.members:
        group.protocol_type = asked.protocol_type
    if group.first_rebalance is not None:
        group.first_rebalance = group.first_rebalance._replace(more_came=True)
    group.pending.pop(member_id, None)
    group.members.add(
        Member(
            member_id,
            asked.group_instance_id,
            asked.client_id,
            asked.client_host,
            asked.session_timeout_ms,
            asked.rebalance_timeout_ms,
            asked.protocols,
            is_new=True,
        )
    )
    group.keep_alive(member_id, now)
    group.wait_for_join(member_id, reply)
    delay_ms = rules.first_rebalance_delay_ms
    yield from group.go_on(now, changed=True, first_delay_ms=delay_ms)


def _join_again(
    group: ClassicGroup, asked: Joining, reply: Reply[JoinAnswer], now: Instant
) -> Changes[None]:
    member = group.members[asked.member_id]
    same = list(member.protocols.items()) == list(asked.protocols.items())
    leads_on = group.state is STABLE and group.members.leader == asked.member_id
    if group.state is not PREPARING and same and not leads_on:
        group.keep_alive(asked.member_id, now)
        reply.keep(group.joined(asked.member_id))
        return
    _update(group, member, asked)
    group.wait_for_join(asked.member_id, reply)
    yield from group.go_on(now, changed=True)


def _replace(
    group: ClassicGroup, replaced: str, asked: Joining, reply: Reply[JoinAnswer], now: Instant
) -> Changes[None]:
    """Let a static member take its own place under a new id."""
    assert asked.group_instance_id is not None
    led_by = group.members.leader
    group.fail(replaced, ErrorCode.FENCED_INSTANCE_ID)
    if replaced in group.not_synced:
        group.not_synced.remove(replaced)
        group.not_synced.add(asked.new_member_id)
    member = group.members.replace(asked.group_instance_id, asked.new_member_id)
    _update(group, member, asked)
    group.keep_alive(member.member_id, now)
    group.wait_for_join(member.member_id, reply)
    if group.state is not STABLE or group.members.chosen_protocol() != group.protocol_name:
        # While members sync, the leader has been told the old id, so it must assign once more.
        yield from group.go_on(now, changed=True)
        return
    try:
        yield [group.record(now.timestamp)]
    except RecordTooLarge:
        group.fail(member.member_id, ErrorCode.UNKNOWN_SERVER_ERROR)
        return
    if group.state is not STABLE or group.joins.get(member.member_id) is not reply:
        return
    if asked.may_skip_assignment:
        leads = group.members.leader == member.member_id
        group.answer_join(member.member_id, skip_assignment=leads)
    else:
        # Told that the old id leads, it does not take itself for the leader, who would assign anew.
        del group.joins[member.member_id]
        answer = group.joined(member.member_id)
        reply.keep(answer._replace(leader=led_by or "", members=()))


def _update(group: ClassicGroup, member: Member, asked: Joining) -> None:
    group.members.update(
        member,
        protocols=asked.protocols,
        session_timeout_ms=asked.session_timeout_ms,
        rebalance_timeout_ms=asked.rebalance_timeout_ms,
    )
