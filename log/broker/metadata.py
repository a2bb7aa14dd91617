"""What exists: topics, the leader epoch, and which producer ids are taken.

All of it is the replay of one more partition, `__cluster_metadata-0`, whose records are JSON of our
own. A change counts when its record is durable: so a topic exists before its directories do, and is
gone before they are. Opening the log makes what is missing and sweeps away what is left over.
"""

from collections import ChainMap
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final
from uuid import UUID

import orjson

from ..config import TopicConfig, check_topic_name
from ..errors import ConfigError, LogError
from ..model import TopicPartition, TopicSpec
from ..topic_settings import topic_defaults

METADATA_PARTITION: Final = TopicPartition("__cluster_metadata", 0)
METADATA_TOPIC_ID: Final = UUID(int=1)
"""Kafka's reserved id of this topic."""

METADATA_CONFIG: Final[Mapping[str, str]] = {
    "retention.ms": "-1",
    "segment.bytes": "67108864",
    "max.message.bytes": "67108864",  # one batch is one change, however many topics it creates
}

GROUP_OFFSETS_TOPIC: Final = "__consumer_offsets"
TRANSACTIONS_TOPIC: Final = "__transaction_state"
INTERNAL_TOPICS: Final = (GROUP_OFFSETS_TOPIC, TRANSACTIONS_TOPIC)
INTERNAL_PARTITIONS: Final = 4
INTERNAL_CONFIG: Final[Mapping[str, str]] = {
    "cleanup.policy": "compact",
    "segment.bytes": "104857600",
    "max.message.bytes": "33554432",
}
"""A record must hold what one request may bring (8 MiB), or all members of a classic group."""

PARTITIONS_MAX: Final = 10_000
"""Of one topic: each is a directory with several open files, so more is a slip of the keyboard."""

PRODUCER_ID_BLOCK: Final = 1000
"""Ids are reserved in blocks, so that only one in a thousand costs a record."""

_VERSION: Final = 0


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic that exists."""

    name: str
    topic_id: UUID
    partitions: int
    config: TopicConfig
    internal: bool = False

    def __contains__(self, partition: int) -> bool:
        return 0 <= partition < self.partitions


class Metadata:
    """The state that the metadata log's records add up to.

    `durable_reads` is how the present leader epoch was begun: whether its readers saw nothing but
    what was durable. `revision` rises whenever topics change, so that whoever derives something from
    them can see that it is out of date.

    What topics don't set has a default: what was set while the broker runs (`dynamic_defaults`, by
    broker, the empty name for all), else what it was started with (`static_defaults`), else Kafka's.
    Internal topics have Kafka's, for what the coordinators write must fit.
    """

    def __init__(self) -> None:
        self.broker_name = ""
        self.static_defaults: Mapping[str, str] = {}
        self.dynamic_defaults: dict[str, Mapping[str, str]] = {}
        self._defaults: Mapping[str, str] = {}
        self.topics: dict[str, Topic] = {}
        self.topics_by_id: dict[UUID, Topic] = {}
        self.revision = 0
        self.leader_epoch = -1
        self.durable_reads = False
        self.producer_ids_end = 0
        self.removed: dict[UUID, Topic] = {}

    def apply(self, value: bytes) -> None:
        """Take in one record.

        Raises:
            LogError: it was written by a newer Millpond.
        """
        record: dict[str, Any] = orjson.loads(value)
        match record["type"], record["version"]:
            case "topic", 0:
                name, internal = record["name"], record["internal"]
                config = self.topic_config(name, record["config"], internal=internal)
                self._put(Topic(name, UUID(record["id"]), record["partitions"], config, internal))
            case "topic-config", 0:
                topic = self.topics_by_id[UUID(record["id"])]
                config = self.topic_config(topic.name, record["config"], internal=topic.internal)
                self._put(replace(topic, config=config))
            case "topic-defaults", 0:
                self.dynamic_defaults[record["broker"]] = record["config"]
                self._renew_configs()
            case "topic-partitions", 0:
                topic = self.topics_by_id[UUID(record["id"])]
                self._put(replace(topic, partitions=record["partitions"]))
            case "removed-topic", 0:
                topic = self.topics.pop(record["name"])
                del self.topics_by_id[topic.topic_id]
                self.removed[topic.topic_id] = topic
                self.revision += 1
            case "leader-epoch", 0:
                self.leader_epoch = record["leader_epoch"]
                self.durable_reads = record["durable_reads"]
            case "producer-ids", 0:
                self.producer_ids_end = record["end"]
            case kind, version:
                raise LogError(
                    f"the metadata log has a record {kind!r} of version {version}, which this "
                    "Millpond does not know: open the directory with the version that wrote it"
                )

    def set_static_defaults(self, broker_name: str, defaults: Mapping[str, str]) -> None:
        """Let topics have the defaults that this broker was started with, by the topics' names."""
        self.broker_name = broker_name
        self.static_defaults = defaults
        self._renew_configs()

    def layers_of_defaults(self) -> list[Mapping[str, str]]:
        """Return the defaults, by the topics' names: those of this broker, of all, of its start."""
        of_this, of_all = (
            topic_defaults(self.dynamic_defaults.get(name, {})) for name in (self.broker_name, "")
        )
        return [of_this, of_all, self.static_defaults]

    def topic_config(
        self, name: str, given: Mapping[str, str], *, internal: bool = False
    ) -> TopicConfig:
        """Return what these settings come to, with the defaults. Raises ConfigError."""
        return TopicConfig.parse(given, topic=name, defaults={} if internal else self._defaults)

    def _renew_configs(self) -> None:
        defaults = dict(ChainMap(*map(dict, self.layers_of_defaults())))
        if defaults == self._defaults:
            return
        self._defaults = defaults
        for topic in list(self.topics.values()):
            config = self.topic_config(topic.name, topic.config.given, internal=topic.internal)
            self._put(replace(topic, config=config))

    def _put(self, topic: Topic) -> None:
        self.topics[topic.name] = topic
        self.topics_by_id[topic.topic_id] = topic
        self.revision += 1


def metadata_topic() -> Topic:
    """Return the topic of this log itself, which no record tells of."""
    name = METADATA_PARTITION.topic
    config = TopicConfig.parse(METADATA_CONFIG, topic=name)
    return Topic(name, METADATA_TOPIC_ID, 1, config, internal=True)


def topic_record(topic: Topic) -> bytes:
    """Say that a topic exists."""
    return _record(
        "topic",
        name=topic.name,
        id=str(topic.topic_id),
        partitions=topic.partitions,
        config=dict(topic.config.given),
        internal=topic.internal,
    )


def topic_config_record(topic: Topic, config: TopicConfig) -> bytes:
    """Say that a topic has these settings from now on, and no others."""
    return _record(
        "topic-config", name=topic.name, id=str(topic.topic_id), config=dict(config.given)
    )


def topic_partitions_record(topic: Topic, partitions: int) -> bytes:
    """Say that a topic has this many partitions from now on."""
    return _record(
        "topic-partitions", name=topic.name, id=str(topic.topic_id), partitions=partitions
    )


def topic_defaults_record(broker_name: str, defaults: Mapping[str, str]) -> bytes:
    """Say that topics have these defaults on a broker, or on all, from now on, and no others."""
    return _record("topic-defaults", broker=broker_name, config=dict(defaults))


def removed_topic_record(topic: Topic) -> bytes:
    """Say that a topic exists no longer."""
    return _record("removed-topic", name=topic.name, id=str(topic.topic_id))


def leader_epoch_record(leader_epoch: int, *, durable_reads: bool) -> bytes:
    """Say that a new leader epoch begins in all partitions, and whether readers see undurable data."""
    return _record("leader-epoch", leader_epoch=leader_epoch, durable_reads=durable_reads)


def producer_ids_record(end: int) -> bytes:
    """Say that producer ids below `end` are taken."""
    return _record("producer-ids", end=end)


def checked_topic(spec: TopicSpec, topic_id: UUID, known: Metadata) -> Topic:
    """Make a topic of what someone asks for.

    Raises:
        ConfigError: an invalid name, count or setting.
    """
    check_topic_name(spec.name)
    check_partitions(spec.name, spec.partitions)
    if spec.replication < 1 and spec.replication != -1:
        raise ConfigError(
            f"topic {spec.name!r}: replication {spec.replication} won't do: use 1 or more, or -1 "
            "for the default (one process keeps one copy; a cluster keeps as many as asked)"
        )
    config = known.topic_config(spec.name, spec.config)
    return Topic(spec.name, topic_id, spec.partitions, config)


def check_partitions(name: str, partitions: int) -> None:
    """Refuse a number of partitions that no topic has. Raises ConfigError."""
    if not 1 <= partitions <= PARTITIONS_MAX:
        raise ConfigError(
            f"topic {name!r}: {partitions} partitions won't do: "
            f"use a number from 1 to {PARTITIONS_MAX}"
        )


def _record(kind: str, **fields: object) -> bytes:
    return orjson.dumps({"type": kind, "version": _VERSION, **fields})
