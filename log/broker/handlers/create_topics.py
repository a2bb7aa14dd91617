"""CreateTopics, versions 2 to 7: make topics, or say what would come of it.

- Each topic is made or refused by itself; those that are made are recorded together, durably, before
  the answer. So `timeout_ms` has nothing to do: Kafka answers REQUEST_TIMED_OUT while it still works.
- -1 asks for the broker's `num.partitions` and `default.replication.factor`.
- A manual assignment may name this broker alone, which is what it comes to anyway.
- Refused as in Kafka, with its codes: a name that is taken, invalid, or differs from another only in
  '.' and '_'; counts; more replicas than brokers; settings; a topic named twice; more than 10,000
  partitions in one request.
- The response describes the topic's settings (KIP-525) as DescribeConfigs does.

Deviations: `segment.bytes` may be smaller than 1 MiB; a topic whose directories exist already, with
records in them, is refused with KAFKA_STORAGE_ERROR.

Source: KIP-4, KIP-464 (defaults), KIP-516 (topic ids), KIP-525.
"""

from collections import Counter

from ...errors import ConfigError, DirectoryTaken
from ...model import TopicSpec
from ...wire.error_codes import ErrorCode
from ...wire.messages.create_topics import (
    CreatableTopic,
    CreatableTopicConfigs,
    CreatableTopicResult,
    CreateTopicsRequest,
    CreateTopicsResponse,
)
from ..existence import let_grow
from ..growth import new_topics
from ..metadata import PARTITIONS_MAX, Topic
from ..node import Caller, Node
from ..waits import Exclusive, Handling
from .config_entries import Defaults, defaults_of_topics, topic_entries
from .refusal import Refusal
from .replicas import check_replicas
from .topic_names import TakenNames


def create_topics(
    node: Node, request: CreateTopicsRequest, caller: Caller
) -> Handling[CreateTopicsResponse]:
    """Make what can be made."""
    del caller
    yield Exclusive(removes=False)
    planned: dict[str, Topic] = {}
    refused: dict[str, Refusal] = {}
    known = node.broker.metadata
    taken = TakenNames(known.topics)
    asked_times = Counter(asked.name for asked in request.topics)
    too_many = sum(map(_partitions_asked, request.topics)) > PARTITIONS_MAX
    for asked in request.topics:
        try:
            if asked_times[asked.name] > 1:
                raise Refusal(ErrorCode.INVALID_REQUEST, "Duplicate topic name.")
            if too_many:
                raise Refusal(
                    ErrorCode.POLICY_VIOLATION,
                    f"Excessively large number of partitions per request: use up to {PARTITIONS_MAX}.",
                )
            taken.check(asked.name)
            planned[asked.name] = _planned(node, asked)
        except Refusal as refusal:
            refused[asked.name] = refusal
    if not request.validate_only:
        try:
            yield from let_grow(node.broker, new_topics(list(planned.values())), node.now())
        except DirectoryTaken as error:
            taken_place = Refusal(ErrorCode.KAFKA_STORAGE_ERROR, str(error))
            refused.update(dict.fromkeys(planned, taken_place))
    defaults = defaults_of_topics(known)
    return CreateTopicsResponse(
        topics=[
            _refused(name, refused[name]) if name in refused else _created(planned[name], defaults)
            for name in asked_times
        ]
    )


def _planned(node: Node, asked: CreatableTopic) -> Topic:
    """Return the topic that is to be. Raises Refusal."""
    partitions, replication = _counts(node, asked)
    missing = [config.name for config in asked.configs if config.value is None]
    if missing:
        raise Refusal(
            ErrorCode.INVALID_CONFIG,
            f"Null value not supported for topic configs: {','.join(missing)}",
        )
    given = {config.name: config.value for config in asked.configs if config.value is not None}
    try:
        return node.broker.new_topic(TopicSpec(asked.name, partitions, replication, given))
    except ConfigError as error:
        raise Refusal(ErrorCode.INVALID_CONFIG, str(error)) from None


def _partitions_asked(asked: CreatableTopic) -> int:
    return max(asked.num_partitions, len(asked.assignments), 1)


def _counts(node: Node, asked: CreatableTopic) -> tuple[int, int]:
    """Return how many partitions and replicas the topic is to have. Raises Refusal."""
    partitions, replication = asked.num_partitions, asked.replication_factor
    if asked.assignments:
        _check_assignment(node, asked)
        return len(asked.assignments), 1
    if replication < -1 or replication == 0:
        raise Refusal(
            ErrorCode.INVALID_REPLICATION_FACTOR,
            "Replication factor must be larger than 0, or -1 to use the default value.",
        )
    if partitions < -1 or partitions == 0:
        raise Refusal(
            ErrorCode.INVALID_PARTITIONS,
            "Number of partitions was set to an invalid non-positive value.",
        )
    settings = node.settings
    if replication == -1:
        replication = settings.default_replication_factor
    if replication > 1:
        raise Refusal(
            ErrorCode.INVALID_REPLICATION_FACTOR,
            f"Unable to replicate the partition {replication} time(s): The target replication "
            f"factor of {replication} cannot be reached because only 1 broker(s) are registered.",
        )
    return settings.num_partitions if partitions == -1 else partitions, replication


def _check_assignment(node: Node, asked: CreatableTopic) -> None:
    for count, what in (
        (asked.replication_factor, "replication factor"),
        (asked.num_partitions, "numPartitions"),
    ):
        if count != -1:
            raise Refusal(
                ErrorCode.INVALID_REQUEST,
                f"A manual partition assignment was specified, but {what} was not set to -1.",
            )
    numbers: set[int] = set()
    for assignment in asked.assignments:
        number = assignment.partition_index
        if number in numbers:
            raise Refusal(
                ErrorCode.INVALID_REPLICA_ASSIGNMENT,
                f"Found multiple manual partition assignments for partition {number}",
            )
        check_replicas(node, assignment.broker_ids)
        numbers.add(number)
    if numbers != set(range(len(numbers))):
        raise Refusal(
            ErrorCode.INVALID_REPLICA_ASSIGNMENT,
            "partitions should be a consecutive 0-based integer sequence",
        )


def _created(topic: Topic, defaults: Defaults) -> CreatableTopicResult:
    return CreatableTopicResult(
        name=topic.name,
        topic_id=topic.topic_id,
        num_partitions=topic.partitions,
        replication_factor=1,
        configs=[
            CreatableTopicConfigs(
                name=entry.name,
                value=entry.value,
                read_only=entry.read_only,
                config_source=entry.source,
            )
            for entry in topic_entries(topic.config, defaults)
        ],
    )


def _refused(name: str, refusal: Refusal) -> CreatableTopicResult:
    return CreatableTopicResult(name=name, error_code=refusal.code, error_message=refusal.message)
