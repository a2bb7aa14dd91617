"""Whose heartbeat it is: which member of a consumer group, and whether it may speak for it (KIP-848).

A member is known by its id and its epoch. An epoch that is not the present one means that the group
has gone on without it: it must give up all it has, and join anew (FENCED_MEMBER_EPOCH). The one
before is good as long as the member has nothing it should not: the answer may have been lost.

A static member is known by its instance id. Another member id may take its place only when it has
left for a while (UNRELEASED_INSTANCE_ID); from then on the old member id is of the past
(FENCED_INSTANCE_ID).
"""

from ..wire.error_codes import ErrorCode
from ..wire.messages.consumer_group_heartbeat import ConsumerGroupHeartbeatRequest
from .consumer_group_member import JOINING, LEAVING_FOR_A_WHILE, Member, Subscription
from .consumer_group_requests import UNCHANGED_TIMEOUT, Refused, owned_partitions
from .consumer_group_state import ConsumerGroupState


def known_member(
    state: ConsumerGroupState, request: ConsumerGroupHeartbeatRequest, members_max: int
) -> Member | None:
    """Return the member as it is, or the one whose place it takes; None: it is new.

    Raises:
        Refused: it may not join, or not go on.
    """
    joins = request.member_epoch == JOINING
    if request.instance_id is not None:
        known = state.static_member(request.instance_id)
        if known is None and not joins:
            raise unknown_instance(request.instance_id)
        if known is not None and known.member_id != request.member_id:
            if not joins:
                raise fenced_instance(request.instance_id, request.member_id)
            _check_released(state, known, request)
            return known
    else:
        known = None
    known = known or state.members.get(request.member_id)
    if known is not None:
        if not joins:
            _check_epoch(known, request)
        return known
    if not joins:
        raise unknown_member(request.member_id)
    if len(state.members) >= members_max:
        raise Refused(
            ErrorCode.GROUP_MAX_SIZE_REACHED,
            f"the group has {len(state.members)} members; group.consumer.max.size is {members_max}",
        )
    return None


def wanted_subscription(
    known: Subscription, request: ConsumerGroupHeartbeatRequest, client_id: str, client_host: str
) -> Subscription:
    """Return what the member wants from now on; what it doesn't say has not changed."""
    names = request.subscribed_topic_names
    pattern = request.subscribed_topic_regex
    timeout_ms = request.rebalance_timeout_ms
    return Subscription(
        instance_id=known.instance_id if request.instance_id is None else request.instance_id,
        rack_id=known.rack_id if request.rack_id is None else request.rack_id,
        client_id=client_id,
        client_host=client_host,
        topic_names=known.topic_names if names is None else tuple(sorted(set(names))),
        topic_regex=known.topic_regex if pattern is None else pattern,
        rebalance_timeout_ms=(
            known.rebalance_timeout_ms if timeout_ms == UNCHANGED_TIMEOUT else timeout_ms
        ),
        server_assignor=(
            known.server_assignor if request.server_assignor is None else request.server_assignor
        ),
    )


def leaving_member(state: ConsumerGroupState, request: ConsumerGroupHeartbeatRequest) -> Member:
    """Return the member that leaves. Raises Refused."""
    if request.instance_id is None:
        member = state.members.get(request.member_id)
        if member is None:
            raise unknown_member(request.member_id)
        return member
    member = state.static_member(request.instance_id)
    if member is None:
        raise unknown_instance(request.instance_id)
    if member.member_id != request.member_id:
        raise fenced_instance(request.instance_id, request.member_id)
    return member


def unknown_member(member_id: str) -> Refused:
    """Say that there is no such member."""
    return Refused(ErrorCode.UNKNOWN_MEMBER_ID, f"{member_id!r} is no member of the group")


def unknown_instance(instance_id: str) -> Refused:
    """Say that there is no such static member."""
    message = f"no member of the group has the instance id {instance_id!r}"
    return Refused(ErrorCode.UNKNOWN_MEMBER_ID, message)


def fenced_instance(instance_id: str, member_id: str) -> Refused:
    """Say that another member has taken the place."""
    return Refused(
        ErrorCode.FENCED_INSTANCE_ID,
        f"another member than {member_id!r} has the instance id {instance_id!r} now",
    )


def _check_released(
    state: ConsumerGroupState, holder: Member, request: ConsumerGroupHeartbeatRequest
) -> None:
    if holder.current.member_epoch != LEAVING_FOR_A_WHILE:
        raise Refused(
            ErrorCode.UNRELEASED_INSTANCE_ID,
            f"member {holder.member_id!r} has the instance id {request.instance_id!r}, and has not "
            "left; its place is free when it does, or when its session is over",
        )
    if request.member_id in state.members:
        raise Refused(
            ErrorCode.FENCED_INSTANCE_ID,
            f"{request.member_id!r} is a member already, so it can't take the place of the instance "
            f"id {request.instance_id!r}: join with another member id",
        )


def _check_epoch(member: Member, request: ConsumerGroupHeartbeatRequest) -> None:
    received, current = request.member_epoch, member.current
    if received == current.member_epoch:
        return
    if received == current.previous_member_epoch and received < current.member_epoch:
        owned = owned_partitions(request)
        if owned is not None and owned <= current.assigned:
            return
    raise Refused(
        ErrorCode.FENCED_MEMBER_EPOCH,
        f"member {member.member_id!r} comes with member epoch {received}, but is in epoch "
        f"{current.member_epoch}: it must give up its partitions and join again",
    )
