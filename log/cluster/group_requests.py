"""What a member of a group asks its coordinator, and what a refusal means. Pure.

The groups' type is "consumer", so that Kafka's own tools list them and show their members; what they
share out is known to them alone, which the name of the one protocol tells everybody else.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from ..errors import ConfigError, Fenced, LogError, MillpondError, NotAuthorized
from ..model import Place
from ..wire.error_codes import ErrorCode
from ..wire.messages.heartbeat import HeartbeatRequest
from ..wire.messages.join_group import (
    JoinGroupRequest,
    JoinGroupRequestProtocol,
    JoinGroupResponse,
)
from ..wire.messages.leave_group import LeaveGroupRequest, MemberIdentity
from ..wire.messages.sync_group import SyncGroupRequest, SyncGroupRequestAssignment
from .consumer_protocol import PROTOCOL_TYPE, decode_told, encode_given, encode_told

PROTOCOL: Final = "millpond-tasks"


@dataclass(frozen=True, slots=True)
class Member:
    """Who wants to be a member, of what, and on which terms."""

    group: str
    instance_id: str | None
    session_timeout_ms: int
    rebalance_timeout_ms: int

    def join(self, member_id: str, told: bytes) -> JoinGroupRequest:
        """Ask to take part in the next generation; without a member id, as a new member."""
        return JoinGroupRequest(
            group_id=self.group,
            session_timeout_ms=self.session_timeout_ms,
            rebalance_timeout_ms=self.rebalance_timeout_ms,
            member_id=member_id,
            group_instance_id=self.instance_id,
            protocol_type=PROTOCOL_TYPE,
            protocols=[JoinGroupRequestProtocol(name=PROTOCOL, metadata=encode_told(told))],
        )

    def sync(self, place: Place, given: Mapping[str, bytes]) -> SyncGroupRequest:
        """Ask for what this member is given; the leader says what all are."""
        return SyncGroupRequest(
            group_id=self.group,
            generation_id=place.generation,
            member_id=place.member_id,
            group_instance_id=self.instance_id,
            protocol_type=PROTOCOL_TYPE,
            protocol_name=PROTOCOL,
            assignments=[
                SyncGroupRequestAssignment(member_id=each, assignment=encode_given(data))
                for each, data in given.items()
            ],
        )

    def heartbeat(self, place: Place) -> HeartbeatRequest:
        """Say that this member is alive."""
        return HeartbeatRequest(
            group_id=self.group,
            generation_id=place.generation,
            member_id=place.member_id,
            group_instance_id=self.instance_id,
        )

    def leave(self, member_id: str) -> LeaveGroupRequest:
        """Say that this member goes."""
        identity = MemberIdentity(member_id=member_id, group_instance_id=self.instance_id)
        return LeaveGroupRequest(group_id=self.group, member_id=member_id, members=[identity])

    def place_in(self, joined: JoinGroupResponse) -> Place:
        """Return the place that a JoinGroup has come to."""
        return Place(self.group, joined.generation_id, joined.member_id, self.instance_id)

    def refused(self, error: ErrorCode) -> MillpondError:
        """Return what is to be told of an error that trying again does not help against."""
        group = f"group {self.group!r}"
        match error:
            case ErrorCode.FENCED_INSTANCE_ID:
                return Fenced(f"{group}: another process has the instance id {self.instance_id!r}")
            case ErrorCode.INVALID_SESSION_TIMEOUT:
                return ConfigError(
                    f"{group}: the brokers won't have a session timeout of "
                    f"{self.session_timeout_ms} ms: choose one between their settings "
                    "group.min.session.timeout.ms and group.max.session.timeout.ms, or change those"
                )
            case ErrorCode.INCONSISTENT_GROUP_PROTOCOL:
                return ConfigError(
                    f"{group} is in use by another program, which shares out partitions in a way "
                    "of its own: choose another name, or stop that program"
                )
            case ErrorCode.INVALID_GROUP_ID:
                return ConfigError(f"{self.group!r} is no group id")
            case ErrorCode.GROUP_MAX_SIZE_REACHED:
                return LogError(
                    f"{group} has as many members as the brokers' group.max.size allows"
                )
            case ErrorCode.GROUP_AUTHORIZATION_FAILED:
                return NotAuthorized(f"{group}: {error.name}")
        return LogError(f"{group}: {error.name}")


def told_in(joined: JoinGroupResponse) -> dict[str, bytes]:
    """Return what each member has told, as the leader learns it. Raises MalformedMessage."""
    return {each.member_id: decode_told(each.metadata) for each in joined.members}


def leads(joined: JoinGroupResponse) -> bool:
    """Say whether this member is to share out.

    A static member that leads, and has come back in its own place, is told that everybody keeps what it
    has (KIP-814).
    """
    return joined.leader == joined.member_id and not joined.skip_assignment
