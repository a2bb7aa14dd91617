"""CreatePartitions, versions 0 to 3: give topics more partitions, or say what would come of it.

- Each topic grows or is refused by itself; those that grow are recorded together, durably, before the
  answer. So `timeout_ms` has nothing to do.
- A manual assignment may name this broker alone, once for each new partition.
- Refused as in Kafka, with its codes: a count that is no increase, a topic that is missing or named
  twice. Keys go to other partitions afterwards; groups notice by the metadata they fetch.

Deviations: internal topics can't grow (INVALID_REQUEST), because what they keep is found by the number
of their partitions; a topic can't have more than 10,000 (INVALID_PARTITIONS).

Source: KIP-195.
"""

from collections import Counter

from ...errors import ConfigError, DirectoryTaken
from ...wire.error_codes import ErrorCode
from ...wire.messages.create_partitions import (
    CreatePartitionsRequest,
    CreatePartitionsResponse,
    CreatePartitionsTopic,
    CreatePartitionsTopicResult,
)
from ..existence import let_grow
from ..growth import more_partitions
from ..metadata import check_partitions
from ..node import Caller, Node
from ..waits import Exclusive, Handling
from .refusal import Refusal
from .replicas import check_replicas


def create_partitions(
    node: Node, request: CreatePartitionsRequest, caller: Caller
) -> Handling[CreatePartitionsResponse]:
    """Let grow what can grow."""
    del caller
    yield Exclusive(removes=False)
    asked_times = Counter(asked.name for asked in request.topics)
    refused: dict[str, Refusal] = {}
    counts: dict[str, int] = {}
    for asked in request.topics:
        try:
            if asked_times[asked.name] > 1:
                raise Refusal(ErrorCode.INVALID_REQUEST, "Duplicate topic name.")
            _check(node, asked)
            counts[asked.name] = asked.count
        except Refusal as refusal:
            refused[asked.name] = refusal
    if not request.validate_only:
        try:
            growth = more_partitions(node.broker.metadata, counts)
            yield from let_grow(node.broker, growth, node.now())
        except DirectoryTaken as error:
            taken_place = Refusal(ErrorCode.KAFKA_STORAGE_ERROR, str(error))
            refused.update(dict.fromkeys(counts, taken_place))
    return CreatePartitionsResponse(
        results=[_result(name, refused.get(name)) for name in asked_times]
    )


def _check(node: Node, asked: CreatePartitionsTopic) -> None:
    """Raise Refusal for what can't be."""
    name, count = asked.name, asked.count
    topic = node.broker.metadata.topics.get(name)
    if topic is None:
        raise Refusal(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
    if topic.internal:
        raise Refusal(
            ErrorCode.INVALID_REQUEST, f"Topic {name} belongs to the broker; it can't grow."
        )
    if count == topic.partitions:
        raise Refusal(ErrorCode.INVALID_PARTITIONS, f"Topic already has {count} partition(s).")
    if count < topic.partitions:
        raise Refusal(
            ErrorCode.INVALID_PARTITIONS,
            f"The topic {name} currently has {topic.partitions} partition(s); "
            f"{count} would not be an increase.",
        )
    try:
        check_partitions(name, count)
    except ConfigError as error:
        raise Refusal(ErrorCode.INVALID_PARTITIONS, str(error)) from None
    if asked.assignments is not None:
        added = count - topic.partitions
        if len(asked.assignments) != added:
            raise Refusal(
                ErrorCode.INVALID_REPLICA_ASSIGNMENT,
                f"Attempted to add {added} additional partition(s), but only "
                f"{len(asked.assignments)} assignment(s) were specified.",
            )
        for assignment in asked.assignments:
            check_replicas(node, assignment.broker_ids)


def _result(name: str, refusal: Refusal | None) -> CreatePartitionsTopicResult:
    if refusal is None:
        return CreatePartitionsTopicResult(name=name)
    return CreatePartitionsTopicResult(
        name=name, error_code=refusal.code, error_message=refusal.message
    )
