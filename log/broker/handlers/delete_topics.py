"""DeleteTopics, versions 1 to 6: remove topics, by name or, from version 6 on, by id.

- Each topic is removed or refused by itself. Those that are removed are gone, durably, before the
  answer: also what groups have committed in them. Who waits to fetch from them is told at once.
- A topic that is asked for twice, in whatever way, is refused.
- A topic made afterwards under the same name has another id.

Deviations: Kafka lets its internal topics be deleted, and makes them anew; here they are refused with
INVALID_REQUEST, for all groups and transactions would go with them.

Source: KIP-4, KIP-516 (by id), KIP-599 (error messages).
"""

from collections import Counter

from ...wire.error_codes import ErrorCode
from ...wire.messages.delete_topics import (
    DeletableTopicResult,
    DeleteTopicsRequest,
    DeleteTopicsResponse,
    DeleteTopicState,
)
from ...wire.schema import NO_UUID
from ..existence import remove_topics
from ..metadata import Topic
from ..node import Caller, Node
from ..waits import Exclusive, Handling
from .refusal import Refusal


def delete_topics(
    node: Node, request: DeleteTopicsRequest, caller: Caller
) -> Handling[DeleteTopicsResponse]:
    """Remove what can be removed."""
    del caller
    yield Exclusive()
    asked = [*request.topics, *(DeleteTopicState(name=name) for name in request.topic_names)]
    named = Counter(topic.name for each in asked if (topic := _topic(node, each)) is not None)
    responses = []
    doomed = []
    for each in asked:
        try:
            topic = _doomed(node, each, named)
        except Refusal as refusal:
            responses.append(_refused(each, refusal))
        else:
            doomed.append(topic.name)
            responses.append(DeletableTopicResult(name=topic.name, topic_id=topic.topic_id))
    yield from remove_topics(node.broker, node.offsets, doomed, node.now())
    for name in doomed:
        node.metrics.topics.pop(name, None)
    return DeleteTopicsResponse(responses=responses)


def _topic(node: Node, asked: DeleteTopicState) -> Topic | None:
    known = node.broker.metadata
    if asked.name is not None:
        return known.topics.get(asked.name)
    return known.topics_by_id.get(asked.topic_id)


def _doomed(node: Node, asked: DeleteTopicState, named: Counter[str]) -> Topic:
    """Return the topic that is to go. Raises Refusal."""
    by_id = asked.topic_id != NO_UUID
    if asked.name is None and not by_id:
        raise Refusal(ErrorCode.INVALID_REQUEST, "Neither topic name nor id were specified.")
    if asked.name is not None and by_id:
        raise Refusal(
            ErrorCode.INVALID_REQUEST, "You may not specify both topic name and topic id."
        )
    topic = _topic(node, asked)
    if topic is None and by_id:
        raise Refusal(ErrorCode.UNKNOWN_TOPIC_ID, "This server does not host this topic ID.")
    if topic is None:
        raise Refusal(
            ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, "This server does not host this topic-partition."
        )
    if named[topic.name] > 1:
        raise Refusal(ErrorCode.INVALID_REQUEST, f"Duplicate topic {'id' if by_id else 'name'}.")
    if topic.internal:
        raise Refusal(
            ErrorCode.INVALID_REQUEST, f"Topic {topic.name} belongs to the broker; it has to stay."
        )
    return topic


def _refused(asked: DeleteTopicState, refusal: Refusal) -> DeletableTopicResult:
    return DeletableTopicResult(
        name=asked.name,
        topic_id=asked.topic_id,
        error_code=refusal.code,
        error_message=refusal.message,
    )
