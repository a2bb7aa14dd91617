"""What a classic group is, what others may ask of it, and what is written of it.

A record is written with an assignment, and when the last member has gone. It holds one generation; a
rebalance under way is not written, and after a restart the members go on in the generation before it.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from ..model import NewRecord, Timestamp
from ..wire.error_codes import ErrorCode
from .classic_members import CONSUMER_PROTOCOL, Member, Members
from .classic_states import COMPLETING, EMPTY, MAY_FOLLOW, STABLE, GroupState
from .group import CommitAs, GroupKind, Instant
from .group_records import GroupMetadataValue, MemberMetadata, encode_group


class ClassicGroupState:
    """One group in one generation."""

    kind: Final = GroupKind.CLASSIC

    def __init__(self, group_id: str) -> None:
        self.group_id: Final = group_id
        self.state = EMPTY
        self.state_since: Timestamp | None = None
        self.generation = 0
        self.protocol_type = ""
        self.protocol_name: str | None = None
        self.members = Members()
        self._subscribed: frozenset[str] | None = None

    @property
    def state_name(self) -> str:
        return self.state.value

    @property
    def is_empty(self) -> bool:
        return self.state is EMPTY

    def _become(self, state: GroupState, now: Instant) -> None:
        assert state in MAY_FOLLOW[self.state], (self.group_id, self.state, state)
        self.state = state
        self.state_since = now.timestamp

    def _next_generation(self, protocol_name: str | None) -> None:
        """Begin the next generation with the members there are."""
        self.generation += 1
        self.protocol_name = protocol_name
        self._subscribed = self._subscribed_topics()

    # -- what others ask -----------------------------------------------------------------------

    def check_commit(self, who: CommitAs, version: int) -> ErrorCode:
        """Say whether one may commit: a member in its generation, or anybody while there is none."""
        del version
        if who.generation < 0 and self.is_empty:
            return ErrorCode.NONE
        if who.generation >= 0 or who.member_id or who.group_instance_id is not None:
            error = self.members.check(who.member_id, who.group_instance_id)
            if error is not ErrorCode.NONE:
                return error
            if who.generation != self.generation:
                return ErrorCode.ILLEGAL_GENERATION
        elif not who.transactional:
            return ErrorCode.UNKNOWN_MEMBER_ID
        if self.state is COMPLETING and not who.transactional:
            return ErrorCode.REBALANCE_IN_PROGRESS
        return ErrorCode.NONE

    def check_fetch(self, member_id: str | None, member_epoch: int) -> ErrorCode:
        """Say whether one may read offsets: anybody, with this protocol."""
        del member_id, member_epoch
        return ErrorCode.NONE

    def check_delete_offsets(self) -> ErrorCode:
        """Say whether offsets may be deleted: of consumers it is known what they read."""
        if self.is_empty or self.protocol_type == CONSUMER_PROTOCOL:
            return ErrorCode.NONE
        return ErrorCode.NON_EMPTY_GROUP

    def subscribes_to(self, topic: str) -> bool:
        """Say whether members read this topic; of consumers it is supposed as long as unknown."""
        if self._subscribed is None:
            return self.protocol_type == CONSUMER_PROTOCOL
        return topic in self._subscribed

    def unused_since(self, committed: Timestamp) -> Timestamp | None:
        """Return since when an offset counts as unused: since the last member went, if there was one."""
        if not self.protocol_type:
            return committed
        if self.is_empty:
            return committed if self.state_since is None else self.state_since
        if self.state is STABLE and self._subscribed is not None:
            return committed
        return None

    def _subscribed_topics(self) -> frozenset[str] | None:
        if not self.members:
            return frozenset()
        if self.protocol_type != CONSUMER_PROTOCOL or self.protocol_name is None:
            return None
        return self.members.subscribed_topics(self.protocol_name)

    # -- records -------------------------------------------------------------------------------

    def tombstones(self, now: Timestamp) -> list[NewRecord]:
        """Return the record that removes the group."""
        return [encode_group(self.group_id, None, now)]

    def go_on_from(
        self,
        *,
        generation: int,
        protocol_type: str,
        protocol_name: str | None,
        leader: str | None,
        members: Sequence[Member],
        since: Timestamp | None,
    ) -> None:
        """Take up a generation that was written, in a group that has just been made."""
        self.generation = generation
        self.protocol_type = protocol_type
        self.protocol_name = protocol_name
        self.state_since = since
        for member in members:
            self.members.add(member)
        self._subscribed = self._subscribed_topics()
        if members:
            self.state = STABLE
            self.members.leader = leader

    def record(self, now: Timestamp, assignments: Mapping[str, bytes] | None = None) -> NewRecord:
        """Make the record of the present generation, with these assignments or those there are."""
        members = [
            MemberMetadata(
                member_id=member.member_id,
                group_instance_id=member.group_instance_id,
                client_id=member.client_id,
                client_host=member.client_host,
                rebalance_timeout=member.rebalance_timeout_ms,
                session_timeout=member.session_timeout_ms,
                subscription=member.protocols[self.protocol_name or ""],
                assignment=member.assignment
                if assignments is None
                else assignments.get(member.member_id, b""),
            )
            for member in self.members
        ]
        value = GroupMetadataValue(
            protocol_type=self.protocol_type,
            generation=self.generation,
            protocol=self.protocol_name,
            leader=self.members.leader,
            current_state_timestamp=-1 if self.state_since is None else self.state_since,
            members=members,
        )
        return encode_group(self.group_id, value, now)
