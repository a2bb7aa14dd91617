"""JoinGroup (11), versions 0–9: become a member of a classic group, or say that one still is.

It is answered when all members have joined, or the time for it is over. The leader gets everybody's
metadata, makes the assignment, and sends it with SyncGroup.

Version 1 brought a rebalance timeout of its own (KIP-62), 4 MEMBER_ID_REQUIRED (KIP-394), 5 static
members (KIP-345), 7 the protocol's type, 8 the reason, which is not kept here, 9 that a static leader
may be told to skip the assignment (KIP-814).

An empty consumer group (KIP-848) becomes a classic one; to one with members it is answered
INCONSISTENT_GROUP_PROTOCOL: members of both protocols are never mixed in a group here.
"""

from ...coordinator.classic_group import ClassicGroup
from ...coordinator.classic_join import JoinRules, join
from ...coordinator.classic_messages import JoinAnswer, Joining
from ...wire.error_codes import ErrorCode
from ...wire.messages.join_group import (
    JoinGroupRequest,
    JoinGroupResponse,
    JoinGroupResponseMember,
)
from ..node import Caller, Node
from ..waits import Flush, Handling, Promise

REBALANCE_TIMEOUT_SINCE = 1
MEMBER_ID_REQUIRED_SINCE = 4
NULLABLE_PROTOCOL_SINCE = 7
SKIP_ASSIGNMENT_SINCE = 9


def join_group(
    node: Node, request: JoinGroupRequest, caller: Caller
) -> Handling[JoinGroupResponse]:
    """Join, and wait for the others."""
    error = _check(node, request)
    group = node.groups.get(request.group_id)
    if error is ErrorCode.NONE and group is None and request.member_id:
        error = ErrorCode.UNKNOWN_MEMBER_ID
    if error is not ErrorCode.NONE:
        return _response(JoinAnswer(error, request.member_id), caller.version)
    if not isinstance(group, ClassicGroup):
        if group is not None and not group.is_empty:
            return _response(JoinAnswer(ErrorCode.INCONSISTENT_GROUP_PROTOCOL, ""), caller.version)
        replaced, group = group, ClassicGroup(request.group_id)
        logs = [node.groups.remove(replaced, node.now())] if replaced is not None else []
        node.groups.put(group)
        yield Flush(logs)
    reply: Promise[JoinAnswer] = Promise()
    rules = JoinRules(
        first_rebalance_delay_ms=node.settings.group_initial_rebalance_delay_ms,
        members_max=node.settings.group_max_size,
    )
    now = node.instant()
    joining = join(group, _asked(node, request, caller), reply, rules, now)
    yield from node.groups.carry_out(group, joining, now.timestamp)
    answer = yield reply
    return _response(answer, caller.version)


def _check(node: Node, request: JoinGroupRequest) -> ErrorCode:
    settings = node.settings
    if not request.group_id:
        return ErrorCode.INVALID_GROUP_ID
    shortest, longest = settings.group_min_session_timeout_ms, settings.group_max_session_timeout_ms
    if not shortest <= request.session_timeout_ms <= longest:
        return ErrorCode.INVALID_SESSION_TIMEOUT
    return ErrorCode.NONE


def _asked(node: Node, request: JoinGroupRequest, caller: Caller) -> Joining:
    new_member_id = ""
    if not request.member_id:
        new_member_id = node.groups.new_member_id(request.group_instance_id or caller.client_id)
    has_rebalance_timeout = caller.version >= REBALANCE_TIMEOUT_SINCE
    return Joining(
        member_id=request.member_id,
        new_member_id=new_member_id,
        group_instance_id=request.group_instance_id,
        client_id=caller.client_id,
        client_host=f"/{caller.host}",  # as Java shows addresses, and Kafka's tools expect them
        session_timeout_ms=request.session_timeout_ms,
        rebalance_timeout_ms=request.rebalance_timeout_ms
        if has_rebalance_timeout
        else request.session_timeout_ms,
        protocol_type=request.protocol_type,
        protocols={each.name: bytes(each.metadata) for each in request.protocols},
        needs_id_first=caller.version >= MEMBER_ID_REQUIRED_SINCE,
        may_skip_assignment=caller.version >= SKIP_ASSIGNMENT_SINCE,
    )


def _response(answer: JoinAnswer, version: int) -> JoinGroupResponse:
    name = answer.protocol_name
    return JoinGroupResponse(
        error_code=answer.error,
        generation_id=answer.generation,
        protocol_type=answer.protocol_type,
        protocol_name=name if version >= NULLABLE_PROTOCOL_SINCE else name or "",
        leader=answer.leader,
        skip_assignment=answer.skip_assignment,
        member_id=answer.member_id,
        members=[
            JoinGroupResponseMember(
                member_id=member.member_id,
                group_instance_id=member.group_instance_id,
                metadata=member.metadata,
            )
            for member in answer.members
        ],
    )
