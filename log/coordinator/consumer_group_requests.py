"""What a ConsumerGroupHeartbeat must say to be worth looking at, whatever group it is for.

A first one, with member epoch 0, tells everything; later ones only what has changed, and null
elsewhere. A member makes up its id by itself since version 1 (KIP-1082).
"""

from ..wire.error_codes import ErrorCode
from ..wire.messages.consumer_group_heartbeat import ConsumerGroupHeartbeatRequest
from .assignors import ASSIGNORS, Partitions, TopicIdPartition
from .consumer_group_member import JOINING, LEAVING, LEAVING_FOR_A_WHILE
from .topic_patterns import InvalidPattern, check_pattern

UNCHANGED_TIMEOUT = -1
"""Stands for null where null can't be sent."""

_OWN_MEMBER_IDS_SINCE = 1


class Refused(Exception):
    """A request that can't be granted; nothing was changed."""

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(f"{code.name}: {message}")
        self.code = code
        self.message = message


def check_heartbeat(request: ConsumerGroupHeartbeatRequest, version: int) -> None:
    """Refuse what makes no sense by itself. Raises Refused."""
    for name, value in (
        ("group id", request.group_id),
        ("instance id", request.instance_id),
        ("rack id", request.rack_id),
    ):
        if value is not None and not value.strip():
            raise _invalid(f"the {name} is {value!r}: it must not be empty")
    if not request.member_id.strip() and (
        version >= _OWN_MEMBER_IDS_SINCE or request.member_epoch != JOINING
    ):
        raise _invalid(
            f"the member id is {request.member_id!r}: members make up their own, such as a UUID"
        )
    if request.member_epoch == JOINING:
        _check_first(request)
    elif request.member_epoch == LEAVING_FOR_A_WHILE:
        if request.instance_id is None:
            raise _invalid("member epoch -2: only a member with an instance id leaves for a while")
    elif request.member_epoch < LEAVING:
        raise _invalid(f"member epoch {request.member_epoch}: use 0 to join, -1 or -2 to leave")
    if request.server_assignor is not None and request.server_assignor not in ASSIGNORS:
        raise Refused(
            ErrorCode.UNSUPPORTED_ASSIGNOR,
            f"there is no assignor {request.server_assignor!r}; there are {', '.join(ASSIGNORS)}",
        )
    if request.subscribed_topic_regex is not None:
        _check_regex(request.subscribed_topic_regex)


def owned_partitions(request: ConsumerGroupHeartbeatRequest) -> Partitions | None:
    """Return what the member says it has; None: it does not say."""
    if request.topic_partitions is None:
        return None
    return frozenset(
        TopicIdPartition(topic.topic_id, partition)
        for topic in request.topic_partitions
        for partition in topic.partitions
    )


def tells_everything(request: ConsumerGroupHeartbeatRequest) -> bool:
    """Say whether a member tells all it knows: it joins, or does not know what its last answer was."""
    return request.member_epoch == JOINING or (
        request.rebalance_timeout_ms != UNCHANGED_TIMEOUT
        and request.topic_partitions is not None
        and (
            request.subscribed_topic_names is not None or request.subscribed_topic_regex is not None
        )
    )


def _check_first(request: ConsumerGroupHeartbeatRequest) -> None:
    if request.rebalance_timeout_ms == UNCHANGED_TIMEOUT:
        raise _invalid("who joins must give a rebalance timeout")
    if request.topic_partitions != []:
        raise _invalid("who joins has no partitions: the list of them must be empty, not null")
    if request.subscribed_topic_names is None and request.subscribed_topic_regex is None:
        raise _invalid("who joins must subscribe to topics, by names or a regular expression")


def _check_regex(pattern: str) -> None:
    try:
        check_pattern(pattern)
    except InvalidPattern as invalid:
        raise Refused(
            ErrorCode.INVALID_REGULAR_EXPRESSION,
            f"{pattern!r} is no regular expression of RE2's: {invalid}",
        ) from None


def _invalid(message: str) -> Refused:
    return Refused(ErrorCode.INVALID_REQUEST, message)
