"""Members of classic groups, as clients are, over the world in virtual time.

world = GroupWorld()
first, second = world.stable("readers", 2)
second.leave()
assert first.heartbeat() == ErrorCode.REBALANCE_IN_PROGRESS
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from millpond.log.wire.error_codes import ErrorCode
from millpond.log.wire.messages.heartbeat import HEARTBEAT, HeartbeatRequest
from millpond.log.wire.messages.join_group import (
    JOIN_GROUP,
    JoinGroupRequest,
    JoinGroupRequestProtocol,
    JoinGroupResponse,
)
from millpond.log.wire.messages.leave_group import LEAVE_GROUP, LeaveGroupRequest, MemberIdentity
from millpond.log.wire.messages.offset_commit import (
    OFFSET_COMMIT,
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
)
from millpond.log.wire.messages.offset_fetch import (
    OFFSET_FETCH,
    OffsetFetchRequest,
    OffsetFetchRequestGroup,
    OffsetFetchRequestTopics,
)
from millpond.log.wire.messages.sync_group import (
    SYNC_GROUP,
    SyncGroupRequest,
    SyncGroupRequestAssignment,
    SyncGroupResponse,
)
from millpond.tests.twins.node_world import Asked, NodeWorld

SESSION_MS = 10_000
REBALANCE_MS = 30_000


def subscription(*topics: str) -> bytes:
    """Make what a consumer sends as its metadata, in version 0."""
    body = b"".join(len(topic).to_bytes(2, "big") + topic.encode() for topic in topics)
    return b"\x00\x00" + len(topics).to_bytes(4, "big") + body + b"\xff\xff\xff\xff"


@dataclass
class GroupMember:
    """A client that wants to be a member; it remembers what it was last told."""

    world: "GroupWorld"
    group: str
    instance: str | None = None
    protocols: Mapping[str, bytes] = field(default_factory=lambda: {"range": subscription("a")})
    protocol_type: str = "consumer"
    session_ms: int = SESSION_MS
    rebalance_ms: int = REBALANCE_MS
    member_id: str = ""
    generation: int = -1
    protocol_name: str | None = None
    leads: bool = False
    members: Sequence[str] = ()

    def join(self, version: int = 9) -> Asked[JoinGroupResponse]:
        """Send one JoinGroup, as it is."""
        return self.world.send(
            JOIN_GROUP,
            version,
            JoinGroupRequest(
                group_id=self.group,
                session_timeout_ms=self.session_ms,
                rebalance_timeout_ms=self.rebalance_ms,
                member_id=self.member_id,
                group_instance_id=self.instance,
                protocol_type=self.protocol_type,
                protocols=[
                    JoinGroupRequestProtocol(name=name, metadata=metadata)
                    for name, metadata in self.protocols.items()
                ],
            ),
        )

    def begin(self, version: int = 9) -> Asked[JoinGroupResponse]:
        """Join as clients do: come back with the id, if one is given out."""
        asked = self.join(version)
        if asked.response and asked.response.error_code == ErrorCode.MEMBER_ID_REQUIRED:
            self.member_id = asked.response.member_id
            asked = self.join(version)
        return asked

    def take(self, asked: Asked[JoinGroupResponse]) -> JoinGroupResponse:
        """Take over what a JoinGroup came to."""
        response = asked.response
        assert response is not None, "JoinGroup still waits"
        assert response.error_code == ErrorCode.NONE, ErrorCode(response.error_code)
        self.member_id, self.generation = response.member_id, response.generation_id
        self.protocol_name = response.protocol_name
        self.leads = response.leader == response.member_id
        self.members = [member.member_id for member in response.members]
        return response

    def sync(
        self, assignments: Mapping[str, bytes] | None = None, version: int = 5
    ) -> Asked[SyncGroupResponse]:
        """Send one SyncGroup; a leader assigns to each member its own id."""
        if assignments is None:
            assignments = {each: each.encode() for each in self.members} if self.leads else {}
        return self.world.send(
            SYNC_GROUP,
            version,
            SyncGroupRequest(
                group_id=self.group,
                generation_id=self.generation,
                member_id=self.member_id,
                group_instance_id=self.instance,
                protocol_type=self.protocol_type,
                protocol_name=self.protocol_name,
                assignments=[
                    SyncGroupRequestAssignment(member_id=member_id, assignment=assignment)
                    for member_id, assignment in assignments.items()
                ],
            ),
        )

    def heartbeat(self, version: int = 4) -> ErrorCode:
        request = HeartbeatRequest(
            group_id=self.group,
            generation_id=self.generation,
            member_id=self.member_id,
            group_instance_id=self.instance,
        )
        return ErrorCode(self.world.ask(HEARTBEAT, version, request).error_code)

    def leave(self, version: int = 5) -> ErrorCode:
        identity = MemberIdentity(member_id=self.member_id, group_instance_id=self.instance)
        request = LeaveGroupRequest(
            group_id=self.group, member_id=self.member_id, members=[identity]
        )
        response = self.world.ask(LEAVE_GROUP, version, request)
        if version >= 3 and response.error_code == ErrorCode.NONE:
            return ErrorCode(response.members[0].error_code)
        return ErrorCode(response.error_code)

    def commit(self, topic: str, partition: int, offset: int, version: int = 9) -> ErrorCode:
        return self.world.commit(
            self.group,
            topic,
            partition,
            offset,
            version=version,
            member_id=self.member_id,
            instance=self.instance,
            generation=self.generation,
        )


class GroupWorld(NodeWorld):
    """A broker whose groups wait for nobody when they are empty, unless told otherwise."""

    def __init__(self, **settings: str) -> None:
        given = {name.replace("_", "."): value for name, value in settings.items()}
        super().__init__(settings={"group.initial.rebalance.delay.ms": "0", **given})

    def member(self, group: str = "readers", **asks: object) -> GroupMember:
        return GroupMember(self, group, **asks)  # type: ignore[arg-type]

    def stable(self, group: str, count: int, **asks: object) -> list[GroupMember]:
        """Form a group of so many members and bring it to rest; the first one leads."""
        members = [self.member(group, **asks) for _ in range(count)]
        joining = [members[0].begin()]
        members[0].take(joining[0])
        if count > 1:
            joining += [member.begin() for member in members[1:]]
            joining[0] = members[0].join()
        self.settle(members, joining)
        return members

    def settle(
        self, members: Sequence[GroupMember], joining: Sequence[Asked[JoinGroupResponse]]
    ) -> None:
        """Let members that have joined get their assignments."""
        for member, asked in zip(members, joining, strict=True):
            member.take(asked)
        syncing = [member.sync() for member in members]
        for member, answer in zip(members, syncing, strict=True):
            assert answer.response is not None
            assert answer.response.error_code == ErrorCode.NONE
            assert answer.response.assignment == member.member_id.encode()

    def commit(
        self,
        group: str,
        topic: str,
        partition: int,
        offset: int,
        *,
        version: int = 9,
        member_id: str = "",
        instance: str | None = None,
        generation: int = -1,
        metadata: str | None = "",
        retention_ms: int = -1,
    ) -> ErrorCode:
        request = OffsetCommitRequest(
            group_id=group,
            generation_id_or_member_epoch=generation,
            member_id=member_id,
            group_instance_id=instance,
            retention_time_ms=retention_ms,
            topics=[
                OffsetCommitRequestTopic(
                    name=topic,
                    partitions=[
                        OffsetCommitRequestPartition(
                            partition_index=partition,
                            committed_offset=offset,
                            committed_metadata=metadata,
                        )
                    ],
                )
            ],
        )
        response = self.ask(OFFSET_COMMIT, version, request)
        return ErrorCode(response.topics[0].partitions[0].error_code)

    def committed(self, group: str, topic: str, partition: int) -> int:
        """Return what OffsetFetch says of one partition."""
        topics = [OffsetFetchRequestTopics(name=topic, partition_indexes=[partition])]
        asked = OffsetFetchRequestGroup(group_id=group, topics=topics)
        response = self.ask(OFFSET_FETCH, 9, OffsetFetchRequest(groups=[asked]))
        assert response.groups[0].error_code == ErrorCode.NONE
        return response.groups[0].topics[0].partitions[0].committed_offset
