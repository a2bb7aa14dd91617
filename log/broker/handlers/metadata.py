"""Metadata, versions 0 to 13: the broker, and topics with who leads their partitions.

- Version 0 asks for all topics with an empty list, later ones with null. From version 12 on topics
  may be asked for by id (KIP-516); an id that nobody has is answered with UNKNOWN_TOPIC_ID. Where
  one id is given, names don't count; versions 10 and 11 can say an id, but may not.
- A topic that is missing is made where the client (from version 4 on), and
  `auto.create.topics.enable`, allow it. Kafka answers UNKNOWN_TOPIC_OR_PARTITION while its controller
  makes the topic, and the client asks again; here the topic is made first and then described.
- The client learns the address by which it has come.
- Internal topics are listed and marked. `__cluster_metadata` is not listed, as in Kafka.
"""

from collections.abc import Collection, Mapping
from typing import Final

from ...model import TopicPartition
from ...wire.error_codes import ErrorCode
from ...wire.messages.metadata import (
    MetadataRequest,
    MetadataRequestTopic,
    MetadataResponse,
    MetadataResponseBroker,
    MetadataResponsePartition,
    MetadataResponseTopic,
)
from ...wire.schema import NO_UUID
from ..metadata import METADATA_PARTITION, Topic
from ..node import Caller, Node
from ..waits import Handling
from .authorized import CLUSTER_OPERATIONS, NOT_ASKED, TOPIC_OPERATIONS
from .auto_creation import make_topics
from .refusal import Refusal
from .topic_names import check_name

_IDS_SINCE: Final = 12


def metadata(node: Node, request: MetadataRequest, caller: Caller) -> Handling[MetadataResponse]:
    """Describe what was asked for, making missing topics where that is wanted."""
    asked = request.topics
    if asked is None or (caller.version == 0 and not asked):
        topics = [_described(node, each, request) for each in node.broker.metadata.topics.values()]
        return _response(node, request, caller, topics)
    by_id = [each for each in asked if each.topic_id != NO_UUID]
    if not _may_be_asked(asked, by_id, caller):
        topics = [_unknown(ErrorCode.INVALID_REQUEST, each.name or "", each) for each in asked]
        return _response(node, request, caller, topics)
    refused: Mapping[str, ErrorCode] = {}
    missing = [] if by_id else _to_be_made(node, asked, request)
    if missing:
        refused = yield from make_topics(node, missing)
    if by_id:
        known = node.broker.metadata.topics_by_id
        topics = [
            _described(node, known[each.topic_id], request)
            if each.topic_id in known
            else _unknown(ErrorCode.UNKNOWN_TOPIC_ID, None, each)
            for each in by_id
        ]
    else:
        topics = [_found(node, each, request, refused) for each in _once_each(asked)]
    return _response(node, request, caller, topics)


def _may_be_asked(
    asked: Collection[MetadataRequestTopic],
    by_id: Collection[MetadataRequestTopic],
    caller: Caller,
) -> bool:
    if by_id:
        return caller.version >= _IDS_SINCE
    return all(each.name is not None for each in asked)


def _response(
    node: Node, request: MetadataRequest, caller: Caller, topics: list[MetadataResponseTopic]
) -> MetadataResponse:
    node_id = node.settings.node_id
    return MetadataResponse(
        brokers=[
            MetadataResponseBroker(
                node_id=node_id, host=caller.endpoint.host, port=caller.endpoint.port
            )
        ],
        cluster_id=node.cluster_id,
        controller_id=node_id,
        topics=topics,
        cluster_authorized_operations=(
            CLUSTER_OPERATIONS if request.include_cluster_authorized_operations else NOT_ASKED
        ),
    )


def _once_each(asked: Collection[MetadataRequestTopic]) -> Collection[MetadataRequestTopic]:
    return {each.name: each for each in asked}.values()


def _to_be_made(
    node: Node, asked: Collection[MetadataRequestTopic], request: MetadataRequest
) -> list[str]:
    """Return the topics that are missing and may be made, once each."""
    if not (request.allow_auto_topic_creation and node.settings.auto_create_topics_enable):
        return []
    names = dict.fromkeys(each.name for each in asked if each.name is not None)
    return [
        name
        for name in names
        if name not in node.broker.metadata.topics and name != METADATA_PARTITION.topic
    ]


def _found(
    node: Node,
    asked: MetadataRequestTopic,
    request: MetadataRequest,
    refused: Mapping[str, ErrorCode],
) -> MetadataResponseTopic:
    name = asked.name or ""
    topic = node.broker.metadata.topics.get(name)
    if topic is not None:
        return _described(node, topic, request)
    code = refused.get(name, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
    try:
        check_name(name)
    except Refusal as refusal:
        code = refusal.code
    return _unknown(code, name, asked, operations=_operations(request))


def _unknown(
    error: ErrorCode,
    name: str | None,
    asked: MetadataRequestTopic,
    *,
    operations: int = NOT_ASKED,
) -> MetadataResponseTopic:
    return MetadataResponseTopic(
        error_code=error,
        name=name,
        topic_id=asked.topic_id,
        partitions=[],
        topic_authorized_operations=operations,
    )


def _described(node: Node, topic: Topic, request: MetadataRequest) -> MetadataResponseTopic:
    here = [node.settings.node_id]
    logs = node.broker.partitions
    return MetadataResponseTopic(
        name=topic.name,
        topic_id=topic.topic_id,
        is_internal=topic.internal,
        partitions=[
            MetadataResponsePartition(
                partition_index=number,
                leader_id=node.settings.node_id,
                leader_epoch=logs[TopicPartition(topic.name, number)].leader_epoch,
                replica_nodes=here,
                isr_nodes=here,
            )
            for number in range(topic.partitions)
        ],
        topic_authorized_operations=_operations(request),
    )


def _operations(request: MetadataRequest) -> int:
    return TOPIC_OPERATIONS if request.include_topic_authorized_operations else NOT_ASKED
