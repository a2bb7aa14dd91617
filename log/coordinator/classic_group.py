"""A group of the classic protocol: members make the assignment, the coordinator keeps them in step.

How a rebalance goes is told in `classic_states.py`; who may join, and what follows from it, in
`classic_join.py`. The first member of an empty group waits a little for others, longer if they come.

JoinGroup and SyncGroup wait for other members, so their answers go to a `Reply` that is kept as long
as needed. A member waits with one request of a kind at most: when it asks again, what it asked before
is answered.

Source: KIP-62 (rebalance and session timeouts), KIP-134 (delay of the first rebalance), KIP-345
(static members), KIP-394 (member ids before joining).
"""

from collections.abc import Iterable, Mapping
from itertools import chain
from typing import Final, NamedTuple

from ..errors import RecordTooLarge
from ..wire.error_codes import ErrorCode
from .classic_group_state import ClassicGroupState
from .classic_messages import JoinAnswer, JoinedMember, SyncAnswer, Syncing
from .classic_states import COMPLETING, EMPTY, PREPARING, STABLE
from .group import Changes, Instant, Reply

NEW_MEMBER_TIMEOUT_MS: Final = 5 * 60 * 1000
"""How long the first JoinGroup of a member may wait. Whoever disconnects meanwhile and tries again
comes as another member, so without a limit a long rebalance would gather members that are gone."""


class FirstRebalance(NamedTuple):
    """How long a group that was empty still waits for members."""

    delay_ms: int
    until_ms: int
    more_came: bool


class ClassicGroup(ClassicGroupState):
    """One group; what it is, and what others may ask of it, is told in `classic_group_state.py`."""

    def __init__(self, group_id: str) -> None:
        super().__init__(group_id)
        self.joins: dict[str, Reply[JoinAnswer]] = {}
        self.syncs: dict[str, Reply[SyncAnswer]] = {}
        self.pending: dict[str, int] = {}
        """Ids that were given out to those who have to join with them, and until when they hold."""
        self.not_synced: set[str] = set()
        self.first_rebalance: FirstRebalance | None = None
        self.next_due_ms: int | None = None
        self._join_due_ms: int | None = None
        self._sync_due_ms: int | None = None

    # -- what members ask ----------------------------------------------------------------------

    def sync(self, asked: Syncing, reply: Reply[SyncAnswer], now: Instant) -> Changes[None]:
        """Take the leader's assignment, or wait for it."""
        error = self._check_sync(asked)
        if error is ErrorCode.NONE and self.state is PREPARING:
            error = ErrorCode.REBALANCE_IN_PROGRESS
        if error is not ErrorCode.NONE:
            reply.keep(SyncAnswer(error))
            return
        self.keep_alive(asked.member_id, now)
        self.not_synced.discard(asked.member_id)
        if asked.member_id in self.syncs:
            self.syncs[asked.member_id].keep(SyncAnswer(ErrorCode.REBALANCE_IN_PROGRESS))
        self.syncs[asked.member_id] = reply
        if self.state is STABLE:
            self._answer_sync(asked.member_id)
        elif asked.member_id == self.members.leader:
            try:
                yield [self.record(now.timestamp, asked.assignments)]
            except RecordTooLarge:
                self._answer_syncs(ErrorCode.UNKNOWN_SERVER_ERROR)
                yield from self.rebalance(now)
                return
            if self.state is COMPLETING and asked.generation == self.generation:
                self._begin_stable(asked.assignments, now)

    def heartbeat(
        self, member_id: str, group_instance_id: str | None, generation: int, now: Instant
    ) -> ErrorCode:
        """Note that a member is alive, and tell it of a rebalance."""
        error = self.members.check(member_id, group_instance_id)
        if error is ErrorCode.NONE and generation != self.generation:
            error = ErrorCode.ILLEGAL_GENERATION
        if error is not ErrorCode.NONE:
            return error
        self.keep_alive(member_id, now)
        return ErrorCode.REBALANCE_IN_PROGRESS if self.state is PREPARING else ErrorCode.NONE

    def leave(
        self, who: Iterable[tuple[str, str | None]], now: Instant
    ) -> Changes[list[ErrorCode]]:
        """Let members go, each by member id, instance id or both; say for each whether it was one."""
        errors, changed = [], False
        for member_id, group_instance_id in who:
            if member_id in self.pending:
                del self.pending[member_id]
                errors.append(ErrorCode.NONE)
                continue
            found = member_id or self.members.static_id(group_instance_id) or ""
            error = self.members.check(found, group_instance_id)
            errors.append(error)
            if error is ErrorCode.NONE:
                self.drop(found)
                changed = True
        yield from self.go_on(now, changed=changed)
        return errors

    def keep_alive(self, member_id: str, now: Instant) -> None:
        """Let a member's session begin anew."""
        member = self.members[member_id]
        timeout_ms = NEW_MEMBER_TIMEOUT_MS if member.is_new else member.session_timeout_ms
        member.session_due_ms = now.elapsed_ms + timeout_ms
        self._due_at(member.session_due_ms)

    def expect(self, member_id: str, timeout_ms: int, now: Instant) -> None:
        """Give out an id with which somebody has to join soon."""
        self.pending[member_id] = now.elapsed_ms + timeout_ms
        self._due_at(self.pending[member_id])

    def drop(self, member_id: str) -> None:
        """Let a member be none any more; what it waits for, it waits for in vain."""
        self.pending.pop(member_id, None)
        if member_id in self.members:
            self.members.remove(member_id)
            self.not_synced.discard(member_id)
            self.fail(member_id, ErrorCode.UNKNOWN_MEMBER_ID)

    def fail(self, member_id: str, error: ErrorCode) -> None:
        """Answer what a member waits for."""
        if member_id in self.joins:
            self.joins.pop(member_id).keep(JoinAnswer(error, ""))
        if member_id in self.syncs:
            self.syncs.pop(member_id).keep(SyncAnswer(error))

    # -- rebalancing ---------------------------------------------------------------------------

    def wait_for_join(self, member_id: str, reply: Reply[JoinAnswer]) -> None:
        """Let a member that has joined wait for the others."""
        if member_id in self.joins:
            self.joins[member_id].keep(JoinAnswer(ErrorCode.REBALANCE_IN_PROGRESS, member_id))
        self.joins[member_id] = reply

    def go_on(self, now: Instant, *, changed: bool, first_delay_ms: int = 0) -> Changes[None]:
        """Begin a rebalance if members have changed; end the one there is if all have joined."""
        if self.state is PREPARING:
            if self.first_rebalance is None:
                yield from self._complete_join_if_all_have(now)
        elif changed:
            yield from self.rebalance(now, first_delay_ms=first_delay_ms)

    def rebalance(self, now: Instant, *, first_delay_ms: int = 0) -> Changes[None]:
        """Have all members join anew; if they have, begin the next generation."""
        self._answer_syncs(ErrorCode.REBALANCE_IN_PROGRESS)
        self.not_synced.clear()
        self._sync_due_ms = None
        from_empty = self.state is EMPTY
        self._become(PREPARING, now)
        timeout_ms = self.members.rebalance_timeout_ms()
        if from_empty and first_delay_ms:
            until_ms = now.elapsed_ms + max(timeout_ms, first_delay_ms)
            self.first_rebalance = FirstRebalance(first_delay_ms, until_ms, more_came=False)
            self._join_due_ms = self._due_at(now.elapsed_ms + first_delay_ms)
        elif from_empty:
            yield from self._complete_join(now)
        else:
            self._join_due_ms = self._due_at(now.elapsed_ms + timeout_ms)
            yield from self._complete_join_if_all_have(now)

    def _complete_join_if_all_have(self, now: Instant) -> Changes[None]:
        if len(self.joins) == len(self.members) and not self.pending:
            yield from self._complete_join(now)

    def _complete_join(self, now: Instant) -> Changes[None]:
        """Begin the next generation with those who have joined, and static members.

        If only static members are left, and none of them has joined, they get more time: their
        sessions end, or they come back.
        """
        self.first_rebalance = None
        self._join_due_ms = None
        for member in self.members:
            if member.member_id not in self.joins and member.group_instance_id is None:
                self.drop(member.member_id)
        if not self.members:
            self._become(EMPTY, now)
            self._next_generation(None)
            yield [self.record(now.timestamp)]
        elif self.members.elect(self.joins):
            self._begin_generation(now)
        else:
            self._join_due_ms = self._due_at(now.elapsed_ms + self.members.rebalance_timeout_ms())

    def _begin_generation(self, now: Instant) -> None:
        self._become(COMPLETING, now)
        self._next_generation(self.members.chosen_protocol())
        for member in self.members:
            self.answer_join(member.member_id)
            member.is_new = False
            member.assignment = b""
            self.not_synced.add(member.member_id)
            self.keep_alive(member.member_id, now)
        self._sync_due_ms = self._due_at(now.elapsed_ms + self.members.rebalance_timeout_ms())

    def answer_join(self, member_id: str, *, skip_assignment: bool = False) -> None:
        """Tell a member that waits, if it does, of the generation that it is in."""
        reply = self.joins.pop(member_id, None)
        if reply is not None:
            reply.keep(self.joined(member_id, skip_assignment=skip_assignment))

    def joined(self, member_id: str, *, skip_assignment: bool = False) -> JoinAnswer:
        """Return what a member is told of its generation."""
        assert self.protocol_name is not None
        everybody = []
        if member_id == self.members.leader:
            everybody = [
                JoinedMember(
                    each.member_id, each.group_instance_id, each.protocols[self.protocol_name]
                )
                for each in self.members
            ]
        return JoinAnswer(
            ErrorCode.NONE,
            member_id,
            self.generation,
            self.protocol_type,
            self.protocol_name,
            self.members.leader or "",
            skip_assignment,
            everybody,
        )

    def _begin_stable(self, assignments: Mapping[str, bytes], now: Instant) -> None:
        self._become(STABLE, now)
        for member in self.members:
            member.assignment = assignments.get(member.member_id, b"")
            if member.member_id in self.syncs:
                self.keep_alive(member.member_id, now)
                self._answer_sync(member.member_id)

    def _answer_syncs(self, error: ErrorCode) -> None:
        for member_id in list(self.syncs):
            self.syncs.pop(member_id).keep(SyncAnswer(error))

    def _answer_sync(self, member_id: str) -> None:
        assignment = self.members[member_id].assignment
        answer = SyncAnswer(ErrorCode.NONE, self.protocol_type, self.protocol_name, assignment)
        self.syncs.pop(member_id).keep(answer)

    def _check_sync(self, asked: Syncing) -> ErrorCode:
        error = self.members.check(asked.member_id, asked.group_instance_id)
        if error is not ErrorCode.NONE:
            return error
        if asked.generation != self.generation:
            return ErrorCode.ILLEGAL_GENERATION
        if asked.protocol_type not in (None, self.protocol_type):
            return ErrorCode.INCONSISTENT_GROUP_PROTOCOL
        if asked.protocol_name not in (None, self.protocol_name):
            return ErrorCode.INCONSISTENT_GROUP_PROTOCOL
        return ErrorCode.NONE

    # -- time ----------------------------------------------------------------------------------

    def on_time(self, now: Instant) -> Changes[None]:
        """Let sessions and rebalances end that are due."""
        records = list(chain.from_iterable(self._on_time(now)))
        self.next_due_ms = self._earliest_due()
        if records:
            yield records

    def _on_time(self, now: Instant) -> Changes[None]:
        for member_id in [each for each, due in self.pending.items() if due <= now.elapsed_ms]:
            del self.pending[member_id]
        changed = self._end_sessions(now)
        if self._sync_due_ms is not None and self._sync_due_ms <= now.elapsed_ms:
            self._sync_due_ms = None
            changed = changed or bool(self.not_synced)
            for member_id in list(self.not_synced):
                self.drop(member_id)
        yield from self.go_on(now, changed=changed)
        if self._join_due_ms is not None and self._join_due_ms <= now.elapsed_ms:
            first = self.first_rebalance
            if first is not None and first.more_came and now.elapsed_ms < first.until_ms:
                self.first_rebalance = first._replace(more_came=False)
                self._join_due_ms = min(now.elapsed_ms + first.delay_ms, first.until_ms)
            else:
                yield from self._complete_join(now)

    def _end_sessions(self, now: Instant) -> bool:
        """Drop members that were not heard of; who waits for an answer is there, unless it is new."""
        dropped = False
        for member in self.members:
            if member.session_due_ms <= now.elapsed_ms:
                waits = member.member_id in self.joins or member.member_id in self.syncs
                if waits and not member.is_new:
                    self.keep_alive(member.member_id, now)
                else:
                    self.drop(member.member_id)
                    dropped = True
        return dropped

    def resume(self, now: Instant) -> None:
        """Go on after a restart: all sessions begin anew."""
        for member in self.members:
            self.keep_alive(member.member_id, now)

    def _due_at(self, due_ms: int) -> int:
        if self.next_due_ms is None or due_ms < self.next_due_ms:
            self.next_due_ms = due_ms
        return due_ms

    def _earliest_due(self) -> int | None:
        due = [member.session_due_ms for member in self.members]
        due += self.pending.values()
        due += [each for each in (self._join_due_ms, self._sync_due_ms) if each is not None]
        return min(due, default=None)
