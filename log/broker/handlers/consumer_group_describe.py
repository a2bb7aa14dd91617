"""ConsumerGroupDescribe (69), versions 0–1: state, members and assignments of consumer groups.

For each member: what it has and what it is to have, of topics that exist. Version 1 says of a member
which protocol it speaks; here all members of consumer groups speak the consumer protocol (KIP-848,
KIP-1099). What is described counts in memory, and may be durable a moment later.
"""

from ...coordinator.assignors import Partitions
from ...coordinator.consumer_group import ConsumerGroup
from ...coordinator.consumer_group_member import Member
from ...coordinator.consumer_group_records import by_topic
from ...wire.error_codes import ErrorCode
from ...wire.messages.consumer_group_describe import (
    Assignment,
    ConsumerGroupDescribeRequest,
    ConsumerGroupDescribeResponse,
    DescribedGroup,
    TopicPartitions,
)
from ...wire.messages.consumer_group_describe import Member as DescribedMember
from ..node import Caller, Node
from .authorized import GROUP_OPERATIONS, NOT_ASKED

CONSUMER_PROTOCOL = 1


def consumer_group_describe(
    node: Node, request: ConsumerGroupDescribeRequest, caller: Caller
) -> ConsumerGroupDescribeResponse:
    """Describe each group that is asked for."""
    del caller
    operations = GROUP_OPERATIONS if request.include_authorized_operations else NOT_ASKED
    return ConsumerGroupDescribeResponse(
        groups=[_described(node, group_id, operations) for group_id in request.group_ids]
    )


def _described(node: Node, group_id: str, operations: int) -> DescribedGroup:
    group = node.groups.get(group_id)
    if isinstance(group, ConsumerGroup):
        state = group.state
        return DescribedGroup(
            group_id=group_id,
            group_state=group.state_name,
            group_epoch=state.group_epoch,
            assignment_epoch=state.assignment_epoch,
            assignor_name=state.assignor,
            members=[
                _member(node, member, state.target_of(member.member_id))
                for member in state.members.values()
            ],
            authorized_operations=operations,
        )
    error, message = ErrorCode.GROUP_ID_NOT_FOUND, f"Group {group_id} is not a consumer group."
    if not group_id:
        error, message = ErrorCode.INVALID_GROUP_ID, "a group's name is not empty"
    elif group is None:
        message = f"Group {group_id} not found."
    return DescribedGroup(
        error_code=error,
        error_message=message,
        group_id=group_id,
        group_state="",
        group_epoch=0,
        assignment_epoch=0,
        assignor_name="",
        members=[],
    )


def _member(node: Node, member: Member, target: Partitions) -> DescribedMember:
    wanted = member.subscription
    return DescribedMember(
        member_id=member.member_id,
        instance_id=wanted.instance_id,
        rack_id=wanted.rack_id,
        member_epoch=member.current.member_epoch,
        client_id=wanted.client_id,
        client_host=wanted.client_host,
        subscribed_topic_names=list(wanted.topic_names),
        subscribed_topic_regex=wanted.topic_regex,
        assignment=_assignment(node, member.current.assigned),
        target_assignment=_assignment(node, target),
        member_type=CONSUMER_PROTOCOL,
    )


def _assignment(node: Node, partitions: Partitions) -> Assignment:
    topics = node.broker.metadata.topics_by_id
    named = [(topics.get(each.topic_id), each) for each in by_topic(partitions)]
    return Assignment(
        topic_partitions=[
            TopicPartitions(
                topic_id=each.topic_id, topic_name=topic.name, partitions=each.partitions
            )
            for topic, each in named
            if topic is not None
        ]
    )
