"""What members of a classic group ask, and what they are told, as values.

The answers to Heartbeat and LeaveGroup are error codes, and come at once. JoinGroup and SyncGroup wait
for other members.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ..wire.error_codes import ErrorCode


class Joining(NamedTuple):
    """What a JoinGroup asks.

    `new_member_id` is the id to be used if it comes without one. `needs_id_first` says whether the
    client knows that it may be sent away with an id, `may_skip_assignment` whether it understands it
    if told to skip making the assignment. `protocols` are in the order of preference.
    """

    member_id: str
    new_member_id: str
    group_instance_id: str | None
    client_id: str
    client_host: str
    session_timeout_ms: int
    rebalance_timeout_ms: int
    protocol_type: str
    protocols: Mapping[str, bytes]
    needs_id_first: bool
    may_skip_assignment: bool


class JoinedMember(NamedTuple):
    """One of those to whom the leader assigns something."""

    member_id: str
    group_instance_id: str | None
    metadata: bytes


class JoinAnswer(NamedTuple):
    """What a JoinGroup comes to; only the leader is told of all members."""

    error: ErrorCode
    member_id: str
    generation: int = -1
    protocol_type: str | None = None
    protocol_name: str | None = None
    leader: str = ""
    skip_assignment: bool = False
    members: Sequence[JoinedMember] = ()


class Syncing(NamedTuple):
    """What a SyncGroup asks; only the leader brings assignments, by member id."""

    member_id: str
    group_instance_id: str | None
    generation: int
    protocol_type: str | None
    protocol_name: str | None
    assignments: Mapping[str, bytes]


class SyncAnswer(NamedTuple):
    """What a SyncGroup comes to."""

    error: ErrorCode
    protocol_type: str | None = None
    protocol_name: str | None = None
    assignment: bytes = b""
