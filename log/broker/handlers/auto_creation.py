"""Topics that come to exist because somebody has asked for them.

They are made as CreateTopics makes them, with the settings for new topics, and refused for the same
reasons: a name like another's, more replicas than there are brokers, too many at once.
"""

from collections.abc import Collection, Mapping

from ...errors import ConfigError, DirectoryTaken
from ...model import TopicSpec
from ...wire.error_codes import ErrorCode
from ..existence import let_grow
from ..growth import new_topics
from ..metadata import PARTITIONS_MAX, Topic
from ..node import Node
from ..waits import Exclusive, Handling
from .refusal import Refusal
from .topic_names import TakenNames


def make_topics(node: Node, names: Collection[str]) -> Handling[Mapping[str, ErrorCode]]:
    """Make the topics that can be made; say why the others can't."""
    yield Exclusive(removes=False)
    missing = [name for name in names if name not in node.broker.metadata.topics]
    if len(missing) * node.settings.num_partitions > PARTITIONS_MAX:
        return dict.fromkeys(missing, ErrorCode.POLICY_VIOLATION)
    taken = TakenNames(node.broker.metadata.topics)
    planned: list[Topic] = []
    refused: dict[str, ErrorCode] = {}
    for name in missing:
        try:
            taken.check(name)
            planned.append(_planned(node, name))
        except Refusal as refusal:
            refused[name] = refusal.code
    if planned:
        try:
            yield from let_grow(node.broker, new_topics(planned), node.now())
        except DirectoryTaken:
            refused.update((topic.name, ErrorCode.KAFKA_STORAGE_ERROR) for topic in planned)
    return refused


def _planned(node: Node, name: str) -> Topic:
    settings = node.settings
    replication = settings.default_replication_factor
    if replication != 1:  # there is one broker
        raise Refusal(ErrorCode.INVALID_REPLICATION_FACTOR)
    try:
        return node.broker.new_topic(TopicSpec(name, settings.num_partitions, replication))
    except ConfigError:
        raise Refusal(ErrorCode.INVALID_PARTITIONS) from None
