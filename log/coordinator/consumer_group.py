"""A consumer group of KIP-848: the broker makes the assignment, and takes each member there by itself.

Whatever happens is told in heartbeats, and each of them goes through three steps:

    1. what the member wants, and the topics that exist   → a new group epoch, if that has changed
    2. group epoch > epoch of the target assignment       → a new target assignment
    3. what the member has ≠ its target                   → a step of its own way there

So there is no moment in which all members must be present, and nobody waits for anyone but for whom
holds the very partition. A member that is not heard of for the session timeout, or does not give up
partitions for its rebalance timeout, is removed: its partitions are free then.

Like every change, it is applied in memory at once and answered when its records are durable.

Beyond Kafka 4.1: a member may begin anew, with epoch 0, whatever its epoch was; there it is fenced
until its session is over. It is told what it has, and nothing counts as given up before it says so
in its epoch. Nor does a first heartbeat that comes late, over a connection that was given up, do any
harm: what it was told may have gone nowhere, so the member's next heartbeat is told it again.

Source: KIP-848; checked against Kafka 4.1.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ..model import NewRecord, Timestamp
from ..wire.error_codes import ErrorCode
from ..wire.messages.consumer_group_heartbeat import (
    Assignment,
    ConsumerGroupHeartbeatRequest,
    ConsumerGroupHeartbeatResponse,
    ResponseTopicPartitions,
)
from .assignors import Partitions
from .consumer_group_admission import known_member, leaving_member, wanted_subscription
from .consumer_group_changes import Change, CurrentSet, GroupEpochSet
from .consumer_group_changing import Draft, assign, enter, removal_of_group, remove, renew_epoch
from .consumer_group_member import (
    JOINING,
    LEAVING_FOR_A_WHILE,
    NO_PARTITIONS,
    CurrentAssignment,
    Member,
    MemberState,
    Subscription,
)
from .consumer_group_records import by_topic, decode_change, encode_change
from .consumer_group_requests import owned_partitions, tells_everything
from .consumer_group_state import ConsumerGroupState
from .group import Changes, CommitAs, Group, GroupKind, Instant
from .reconciliation import reconcile
from .subscribed_topics import ExistingTopics

EPOCHS_IN_COMMITS_SINCE: Final = 9
"""The first version of OffsetCommit that knows member epochs."""


@dataclass(frozen=True, slots=True)
class ConsumerGroupLimits:
    """What the broker's settings say of consumer groups."""

    session_timeout_ms: int = 45_000
    heartbeat_interval_ms: int = 5_000
    members_max: int = 2**31 - 1


KAFKAS_LIMITS: Final = ConsumerGroupLimits()


class ConsumerGroup:
    """One group. The limits of one that was replayed are to be set before it resumes."""

    kind: Final = GroupKind.CONSUMER
    protocol_type: Final = "consumer"

    def __init__(self, group_id: str, limits: ConsumerGroupLimits = KAFKAS_LIMITS) -> None:
        self.group_id: Final = group_id
        self.limits = limits
        self.state = ConsumerGroupState()
        self.next_due_ms: int | None = None
        self._session_due_ms: dict[str, int] = {}
        self._revocation_due_ms: dict[str, int] = {}
        self._may_not_know: set[str] = set()
        self._seen_revision: int | None = None

    @property
    def state_name(self) -> str:
        return self.state.name

    @property
    def is_empty(self) -> bool:
        return not self.state.members

    # -- heartbeats ----------------------------------------------------------------------------

    def heartbeat(
        self,
        request: ConsumerGroupHeartbeatRequest,
        client_id: str,
        client_host: str,
        topics: ExistingTopics,
        now: Instant,
    ) -> Changes[ConsumerGroupHeartbeatResponse]:
        """Let a member join, or go on.

        Raises:
            Refused: before anything has changed.
        """
        known = known_member(self.state, request, self.limits.members_max)
        before = Subscription() if known is None else known.subscription
        wanted = wanted_subscription(before, request, client_id, client_host)
        draft = Draft(self.state)
        member = enter(draft, request.member_id, known, wanted)
        look_again = topics.revision != self._seen_revision
        other_topics = known is None or not _wants_the_same(before, wanted)
        if look_again or other_topics or self.state.group_epoch > self.state.assignment_epoch:
            renew_epoch(draft, topics, other_topics=other_topics, look_again=look_again)
            self._seen_revision = topics.revision
        if self.state.group_epoch > self.state.assignment_epoch:
            assign(draft, topics)
        owned = _given_up_all_but(known, request)
        current = self._reconcile(draft, member, owned, now)
        tell = (
            tells_everything(request)
            or current.assigned != member.current.assigned
            or member.member_id in self._may_not_know
        )
        if _begins_anew(known, request):
            self._may_not_know.add(member.member_id)
        else:
            self._may_not_know.discard(member.member_id)
        self._session_due_ms[member.member_id] = self._due_at(
            now.elapsed_ms + self.limits.session_timeout_ms
        )
        if known is not None and known.member_id != member.member_id:
            self._forget(known.member_id)
        if draft.changes:
            yield self._records(draft.changes, now.timestamp)
        return ConsumerGroupHeartbeatResponse(
            member_id=member.member_id,
            member_epoch=current.member_epoch,
            heartbeat_interval_ms=self.limits.heartbeat_interval_ms,
            assignment=_assignment(current.assigned) if tell else None,
        )

    def leave(
        self, request: ConsumerGroupHeartbeatRequest, now: Instant
    ) -> Changes[ConsumerGroupHeartbeatResponse]:
        """Let a member go, or a static one for a while: for a session it keeps its place then.

        Raises:
            Refused: there is no such member.
        """
        member = leaving_member(self.state, request)
        draft = Draft(self.state)
        if request.member_epoch == LEAVING_FOR_A_WHILE:
            away = CurrentAssignment(
                member_epoch=LEAVING_FOR_A_WHILE,
                previous_member_epoch=member.current.member_epoch,
                assigned=member.current.assigned,
            )
            draft.apply(CurrentSet(member.member_id, away))
            self._revocation_due_ms.pop(member.member_id, None)
        else:
            self._remove(draft, [member.member_id])
        yield self._records(draft.changes, now.timestamp)
        return ConsumerGroupHeartbeatResponse(
            member_id=member.member_id,
            member_epoch=request.member_epoch,
            heartbeat_interval_ms=0,
        )

    def _reconcile(
        self, draft: Draft, member: Member, owned: Partitions | None, now: Instant
    ) -> CurrentAssignment:
        member_id = member.member_id
        current = reconcile(
            member.current,
            self.state.target_of(member_id),
            self.state.assignment_epoch,
            owned,
            lambda partition: self.state.is_free_for(member_id, partition),
        )
        if current != member.current:
            draft.apply(CurrentSet(member_id, current))
            self._await_revocation(self.state.members[member_id], now)
        return current

    # -- time ----------------------------------------------------------------------------------

    def on_time(self, now: Instant) -> Changes[None]:
        """Remove members whose session is over, and who keep what others are to have."""
        late = {
            member_id
            for ends in (self._session_due_ms, self._revocation_due_ms)
            for member_id, due_ms in ends.items()
            if due_ms <= now.elapsed_ms
        }
        draft = Draft(self.state)
        if late:
            self._remove(draft, sorted(late))
        due = [*self._session_due_ms.values(), *self._revocation_due_ms.values()]
        self.next_due_ms = min(due, default=None)
        if draft.changes:
            yield self._records(draft.changes, now.timestamp)

    def resume(self, now: Instant) -> None:
        """Go on after a restart: all sessions begin anew, and all waiting for revocations.

        Who had been told by which answer is not known any more: so each is told what it has.
        """
        self._may_not_know.update(self.state.members)
        for member in self.state.members.values():
            self._session_due_ms[member.member_id] = self._due_at(
                now.elapsed_ms + self.limits.session_timeout_ms
            )
            self._await_revocation(member, now)

    def _await_revocation(self, member: Member, now: Instant) -> None:
        if member.current.state is MemberState.UNREVOKED_PARTITIONS:
            timeout_ms = max(member.subscription.rebalance_timeout_ms, 0)
            self._revocation_due_ms[member.member_id] = self._due_at(now.elapsed_ms + timeout_ms)
        else:
            self._revocation_due_ms.pop(member.member_id, None)

    def _due_at(self, due_ms: int) -> int:
        if self.next_due_ms is None or due_ms < self.next_due_ms:
            self.next_due_ms = due_ms
        return due_ms

    def _remove(self, draft: Draft, member_ids: Sequence[str]) -> None:
        remove(draft, member_ids)
        for member_id in member_ids:
            self._forget(member_id)

    def _forget(self, member_id: str) -> None:
        self._session_due_ms.pop(member_id, None)
        self._revocation_due_ms.pop(member_id, None)
        self._may_not_know.discard(member_id)

    # -- offsets -------------------------------------------------------------------------------

    def check_commit(self, who: CommitAs, version: int) -> ErrorCode:
        """Say whether one may commit: a member in its epoch, or anybody while there is no member.

        Producers from before KIP-447 commit in transactions without saying for which member.
        """
        is_nobody = not who.member_id and who.group_instance_id is None
        if who.generation < 0 and (self.is_empty or (who.transactional and is_nobody)):
            return ErrorCode.NONE
        member = self.state.members.get(who.member_id)
        if member is None:
            return ErrorCode.UNKNOWN_MEMBER_ID
        if version < EPOCHS_IN_COMMITS_SINCE and not who.transactional:
            return ErrorCode.UNSUPPORTED_VERSION
        return _check_epoch(member, who.generation)

    def check_fetch(self, member_id: str | None, member_epoch: int) -> ErrorCode:
        """Say whether one may read offsets: a member in its epoch, or who says to be none."""
        if member_id is None and member_epoch < 0:
            return ErrorCode.NONE
        member = None if member_id is None else self.state.members.get(member_id)
        return ErrorCode.UNKNOWN_MEMBER_ID if member is None else _check_epoch(member, member_epoch)

    def check_delete_offsets(self) -> ErrorCode:
        return ErrorCode.NONE

    def subscribes_to(self, topic: str) -> bool:
        return any(
            topic in self.state.topics_of(member.subscription)
            for member in self.state.members.values()
        )

    def unused_since(self, committed: Timestamp) -> Timestamp | None:
        return committed

    # -- records -------------------------------------------------------------------------------

    def tombstones(self, now: Timestamp) -> list[NewRecord]:
        assert self.is_empty, f"group {self.group_id!r} has members"
        return self._records(removal_of_group(self.state), now)

    def _records(self, changes: Sequence[Change], now: Timestamp) -> list[NewRecord]:
        """Make the records, that of a new group epoch first.

        They may come to more than a batch, of which a crash may keep some. Once the epoch has risen,
        there will be another target assignment, whatever else was kept.
        """
        ordered = sorted(changes, key=lambda change: not _raises_epoch(change))
        return [encode_change(self.group_id, change, now) for change in ordered]


def replay_consumer_group(groups: dict[str, Group], key: bytes, value: bytes | None) -> None:
    """Take in a record of a consumer group."""
    group_id, change = decode_change(key, value)
    group = groups.get(group_id)
    if not isinstance(group, ConsumerGroup):
        if change.to is None:
            return
        group = groups[group_id] = ConsumerGroup(group_id)
    group.state.apply(change)
    if change == GroupEpochSet(None):
        del groups[group_id]


def _raises_epoch(change: Change) -> bool:
    return isinstance(change, GroupEpochSet) and change.to is not None


def _wants_the_same(one: Subscription, other: Subscription) -> bool:
    return (one.topic_names, one.topic_regex) == (other.topic_names, other.topic_regex)


def _given_up_all_but(
    known: Member | None, request: ConsumerGroupHeartbeatRequest
) -> Partitions | None:
    """Return what the member still has; None: there is no telling.

    Who joins says that it has nothing. That is believed of a new one, and of one that comes back
    after it left, but not of one that may still be at work elsewhere.
    """
    if request.member_epoch != JOINING:
        return owned_partitions(request)
    return None if _begins_anew(known, request) else NO_PARTITIONS


def _begins_anew(known: Member | None, request: ConsumerGroupHeartbeatRequest) -> bool:
    """Say whether one joins that is a member already, and has not left: it may be at work."""
    is_here = known is not None and known.current.member_epoch != LEAVING_FOR_A_WHILE
    return is_here and request.member_epoch == JOINING


def _assignment(partitions: Partitions) -> Assignment:
    return Assignment(
        response_topic_partitions=[
            ResponseTopicPartitions(topic_id=topic.topic_id, partitions=topic.partitions)
            for topic in by_topic(partitions)
        ]
    )


def _check_epoch(member: Member, member_epoch: int) -> ErrorCode:
    in_its_epoch = member_epoch == member.current.member_epoch
    return ErrorCode.NONE if in_its_epoch else ErrorCode.STALE_MEMBER_EPOCH
