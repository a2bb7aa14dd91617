"""Topics and partitions that come into existence: decided at once, recorded, made piece by piece.

They exist from the moment their record is durable, for the opening after a crash makes what it
names. But nobody sees them before all their directories are there: a topic of thousands of
partitions takes seconds to make, and in between others get their turn.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from ..errors import ConfigError, UnknownTopic
from ..storage.partition_log import PartitionLog
from . import metadata
from .metadata import Metadata, Topic


@dataclass(slots=True)
class Growth:
    """What is to exist. `Broker.begin_growth` records it, `grow` makes some, `end_growth` shows it.

    Attributes:
        records: say so in the metadata log.
        missing: partitions that are not made yet, the next one last.
        made: partitions that nobody sees yet.
    """

    records: list[bytes]
    missing: list[tuple[Topic, int]]
    made: list[PartitionLog] = field(default_factory=list)


def new_topics(topics: Collection[Topic]) -> Growth:
    """Let topics exist that are checked already."""
    return Growth(
        [metadata.topic_record(topic) for topic in topics],
        [(topic, number) for topic in topics for number in range(topic.partitions)][::-1],
    )


def more_partitions(known: Metadata, counts: Mapping[str, int]) -> Growth:
    """Let topics have more partitions.

    Raises:
        UnknownTopic: there is none of that name.
        ConfigError: a count that is not larger than before, or too large.
    """
    growth = Growth([], [])
    for name, count in counts.items():
        topic = known.topics.get(name)
        if topic is None:
            raise UnknownTopic(f"there is no topic {name!r}")
        if topic.internal:
            raise ConfigError(f"topic {name!r} belongs to the log itself; it can't grow")
        metadata.check_partitions(name, count)
        if count <= topic.partitions:
            raise ConfigError(
                f"topic {name!r} has {topic.partitions} partitions, so {count} won't do: "
                "partitions can only be added"
            )
        growth.records.append(metadata.topic_partitions_record(topic, count))
        grown = replace(topic, partitions=count)
        growth.missing += [(grown, number) for number in range(topic.partitions, count)]
    growth.missing.reverse()
    return growth
