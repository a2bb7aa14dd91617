"""ConsumerGroupHeartbeat (68), versions 0–1: all that a member of a consumer group says (KIP-848).

It joins with member epoch 0, goes on with the one it was given, leaves with -1; a static member that
will be back leaves with -2. What it is to have, it is told when that has changed, and when it tells
everything itself. Version 1 brought regular expressions over topic names, which the broker resolves,
and members that make up their own ids (KIP-1082).

A classic group without members becomes a consumer group; for one with members the answer is
GROUP_ID_NOT_FOUND, as in Kafka where `group.consumer.migration.policy` is disabled.

Unlike Kafka 4.1: a regular expression is resolved at once, not by the next heartbeat, and never means
the broker's own topics; a member may join again in whatever epoch it is (Kafka: FENCED_MEMBER_EPOCH,
until its session is over); it gets back at once, not by its next heartbeat, what it has just given
up if that is to be its own again; no settings of single groups, and no ACLs, yet.
"""

from msgspec.structs import replace

from ...coordinator.consumer_group import ConsumerGroup
from ...coordinator.consumer_group_member import JOINING, LEAVING, LEAVING_FOR_A_WHILE
from ...coordinator.consumer_group_requests import Refused, check_heartbeat
from ...coordinator.subscribed_topics import ExistingTopics
from ...wire.error_codes import ErrorCode
from ...wire.messages.consumer_group_heartbeat import (
    ConsumerGroupHeartbeatRequest,
    ConsumerGroupHeartbeatResponse,
)
from ..node import Caller, Node
from ..waits import Handling


def consumer_group_heartbeat(
    node: Node, request: ConsumerGroupHeartbeatRequest, caller: Caller
) -> Handling[ConsumerGroupHeartbeatResponse]:
    """Take a member's word, and answer when all that it leads to is durable."""
    try:
        check_heartbeat(request, caller.version)
        if not request.member_id:
            request = replace(request, member_id=node.groups.new_member_id("member"))
        group = _group(node, request)
        now = node.instant()
        if request.member_epoch in (LEAVING, LEAVING_FOR_A_WHILE):
            changes = group.leave(request, now)
        else:
            metadata = node.broker.metadata
            changes = group.heartbeat(
                request,
                caller.client_id,
                f"/{caller.host}",  # as Java shows addresses, and Kafka's tools expect them
                ExistingTopics(metadata.topics, metadata.revision),
                now,
            )
        log = node.broker.partition(node.offsets.partition_of(group.group_id))
        known_so_far = log.log_end_offset
        response = yield from node.groups.carry_out(group, changes, now.timestamp)
    except Refused as refused:
        return ConsumerGroupHeartbeatResponse(
            error_code=refused.code,
            error_message=refused.message,
            member_epoch=0,
            heartbeat_interval_ms=0,
        )
    if log.flushed_offset < known_so_far:  # what another request of the member has changed
        yield [log]
    return response


def _group(node: Node, request: ConsumerGroupHeartbeatRequest) -> ConsumerGroup:
    group = node.groups.get(request.group_id)
    if isinstance(group, ConsumerGroup):
        return group
    if group is not None and not group.is_empty:
        raise Refused(
            ErrorCode.GROUP_ID_NOT_FOUND,
            f"group {request.group_id!r} is not a consumer group: its members speak the classic "
            "protocol; a group becomes another kind when it has none",
        )
    if request.member_epoch != JOINING:
        raise Refused(
            ErrorCode.GROUP_ID_NOT_FOUND, f"there is no consumer group {request.group_id!r}"
        )
    if group is not None:
        node.groups.remove(group, node.now())
    made = ConsumerGroup(request.group_id, node.groups.consumer_group_limits)
    node.groups.put(made)
    return made
