"""The broker: all partitions of one data directory, and what happens to them.

Deterministic: it is told the time and reaches files only through a `Disk`. An embedded log calls it
in process; a server will translate requests into the same calls. Batches are opaque bytes.

What exists is the replay of the metadata log (`metadata.py`). Changing what exists is rare, so it is
synced here and then. Appends are not: whoever calls syncs the partitions' logs, many at a time.

After opening, a new leader epoch begins in all partitions (`begin_epoch`), so that a position taken
before a crash can be told from one on what was written after it. See `opening.py` for the order.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from uuid import UUID

from ..config import TopicConfig
from ..errors import ConfigError, TopicExists, UnknownTopic
from ..model import NewRecord, Offset, Timestamp, TopicPartition, TopicSpec
from ..records import decode_batch, encode_batch
from ..storage.disk import Disk, Space
from ..storage.partition_log import LogAppend, PartitionLog
from ..topic_settings import topic_defaults
from . import checkpoints, metadata
from .directories import check_vacant, close_files, discard, make_partitions, sweep
from .growth import Growth, new_topics
from .loading import Loading
from .metadata import (
    INTERNAL_CONFIG,
    INTERNAL_PARTITIONS,
    INTERNAL_TOPICS,
    METADATA_PARTITION,
    Metadata,
    Topic,
)
from .replay import batches_of


class Broker:
    """The partitions of one data directory. Make it with `open`."""

    def __init__(
        self, disk: Disk, *, durable_reads: bool, new_topic_id: Callable[[], UUID], read_only: bool
    ) -> None:
        self.metadata = Metadata()
        self.partitions: dict[TopicPartition, PartitionLog] = {}
        self.read_only = read_only
        self._disk = disk
        self._durable_reads = durable_reads
        self._new_topic_id = new_topic_id
        self._next_producer_id = 0

    @classmethod
    def open(
        cls,
        disk: Disk,
        *,
        now: Timestamp,
        new_topic_id: Callable[[], UUID],
        durable_reads: bool,
        read_only: bool = False,
    ) -> "Broker":
        """Open all partitions. Follow with `begin_epoch` before writing.

        With `read_only` nothing is written, so another process may be at work.

        Raises:
            ConfigError: there is no log to be read.
            CorruptRecord: of a damaged partition.
        """
        broker = cls(
            disk, durable_reads=durable_reads, new_topic_id=new_topic_id, read_only=read_only
        )
        loading = Loading(disk, now, read_only=read_only)
        broker._load_metadata(loading.metadata_log())
        if not read_only:
            sweep(disk, broker.metadata)
        leader_epoch = max(broker.leader_epoch, 0)
        for topic in broker.metadata.topics.values():
            for number in range(topic.partitions):
                log = loading.partition(topic, number, leader_epoch=leader_epoch)
                if log is not None:
                    broker._add([log])
        if not read_only and not broker.metadata.topics.keys() >= set(INTERNAL_TOPICS):
            broker._create_internal_topics(now)
        return broker

    @property
    def leader_epoch(self) -> int:
        """The epoch under which this broker writes."""
        return self.metadata.leader_epoch

    def begin_epoch(self, now: Timestamp) -> None:
        """Let a new leader epoch begin in all partitions: nothing before was written by this one."""
        leader_epoch = self.metadata.leader_epoch + 1
        record = metadata.leader_epoch_record(leader_epoch, durable_reads=self._durable_reads)
        self._record(now, record)
        for log in self.partitions.values():
            log.begin_epoch(leader_epoch)

    # -- topics --------------------------------------------------------------------------------

    def topic_of_id(self, topic_id: UUID) -> Topic:
        """Return a topic. Raises UnknownTopic: it was removed, or never was."""
        topic = self.metadata.topics_by_id.get(topic_id)
        if topic is None:
            raise UnknownTopic(f"there is no topic with the id {topic_id}")
        return topic

    def topic(self, name: str) -> Topic:
        """Return a topic. Raises UnknownTopic."""
        topic = self.metadata.topics.get(name)
        if topic is None:
            raise UnknownTopic(f"there is no topic {name!r}")
        return topic

    def internal_partitions(self, name: str) -> int:
        """Return how many partitions an internal topic has: that was settled when it was made."""
        topic = self.metadata.topics.get(name)  # missing only for readers while it is being made
        return topic.partitions if topic is not None else INTERNAL_PARTITIONS

    def partition(self, partition: TopicPartition) -> PartitionLog:
        """Return a partition's log. Raises UnknownTopic."""
        log = self.partitions.get(partition)
        if log is None:
            topic = self.topic(partition.topic)
            raise UnknownTopic(
                f"topic {topic.name!r} has {topic.partitions} partitions, "
                f"so there is no partition {partition.partition}"
            )
        return log

    def new_topic(self, spec: TopicSpec) -> Topic:
        """Make a topic of what someone asks for; it exists when it has grown.

        Raises:
            TopicExists: there is one.
            ConfigError: an invalid name, count or setting.
        """
        topic = metadata.checked_topic(spec, self._new_topic_id(), self.metadata)
        if topic.name in self.metadata.topics:
            raise TopicExists(f"topic {topic.name!r} exists already")
        return topic

    def plan_topics(self, specs: Iterable[TopicSpec]) -> Growth:
        """Make topics of what someone asks for, all or none; they exist when they have grown.

        Raises:
            TopicExists, ConfigError: see `new_topic`; or one is named twice.
        """
        topics: dict[str, Topic] = {}
        for spec in specs:
            topic = self.new_topic(spec)
            if topic.name in topics:
                raise ConfigError(f"topic {topic.name!r} is named twice in one request")
            topics[topic.name] = topic
        return new_topics(topics.values())

    def create_topics(self, specs: Iterable[TopicSpec], now: Timestamp) -> None:
        """Create topics, all or none; durable on return.

        Raises:
            TopicExists, ConfigError: see `plan_topics`.
            DirectoryTaken: there are directories of that name, with records in them.
        """
        self._grow_at_once(self.plan_topics(specs), now)

    def begin_growth(self, growth: Growth, now: Timestamp) -> None:
        """Record what is to exist, all or none; durable on return. Follow with `grow`.

        Raises:
            DirectoryTaken: there are directories of that name, with records in them.
        """
        if not growth.records:
            return
        check_vacant(self._disk, growth.missing)
        names = {topic.name for topic, _number in growth.missing}
        if any(topic.name in names for topic in self.metadata.removed.values()):
            # What the checkpoint says of a removed topic must not be taken for its namesake's.
            checkpoints.write_recovery_points(self._disk, self.recovery_points())
        self._append_record(now, *growth.records)

    def grow(self, growth: Growth, count: int, now: Timestamp) -> None:
        """Make up to `count` more partitions, durably. Nobody sees them, so a thread may do it."""
        some = [growth.missing.pop() for _ in range(min(count, len(growth.missing)))]
        leader_epoch = max(self.leader_epoch, 0)
        growth.made += make_partitions(self._disk, some, leader_epoch=leader_epoch, now=now)

    def end_growth(self, growth: Growth) -> None:
        """Let what has grown be seen."""
        assert not growth.missing
        for record in growth.records:
            self.metadata.apply(record)
        self._add(growth.made)

    def alter_topics(self, configs: Mapping[str, Mapping[str, str]], now: Timestamp) -> None:
        """Give topics these settings, all or none; durable, and in effect, on return.

        Raises:
            UnknownTopic, ConfigError: of one of them.
        """
        records = []
        for name, given in configs.items():
            topic = self.topic(name)
            config = self.metadata.topic_config(name, given, internal=topic.internal)
            if config.given != topic.config.given:  # tools repeat what is so already, every minute
                records.append(metadata.topic_config_record(topic, config))
        if records:
            self._record(now, *records)
            self._use_configs(self.topic(name) for name in configs)

    def alter_defaults(self, broker_name: str, defaults: Mapping[str, str], now: Timestamp) -> None:
        """Give topics these defaults, on one broker or, without a name, on all; by brokers' names.

        Durable, and in effect, on return.

        Raises:
            ValueError: of one of them; nothing has changed.
        """
        topic_defaults(defaults)
        if defaults == self.metadata.dynamic_defaults.get(broker_name, {}):
            return
        self._record(now, metadata.topic_defaults_record(broker_name, defaults))
        self._use_configs(self.metadata.topics.values())

    def set_static_defaults(self, broker_name: str, defaults: Mapping[str, str]) -> None:
        """Let topics have the defaults that this broker was started with, by the topics' names."""
        self.metadata.set_static_defaults(broker_name, defaults)
        self._use_configs(self.metadata.topics.values())

    def _use_configs(self, topics: Iterable[Topic]) -> None:
        for topic in topics:
            for log in self._logs_of(topic):
                log.config = topic.config

    def remove_topics(self, names: Iterable[str], now: Timestamp) -> list[PartitionLog]:
        """Let topics exist no longer; durable on return.

        Returns the logs that are to be given to `discard` once nobody syncs them any more.

        Raises:
            UnknownTopic: of one of them; nothing was removed.
        """
        topics = [self.topic(name) for name in dict.fromkeys(names)]
        for topic in topics:
            if topic.internal:
                raise ConfigError(f"topic {topic.name!r} belongs to the log itself; it has to stay")
        if topics:
            self._record(now, *map(metadata.removed_topic_record, topics))
        gone = [log for topic in topics for log in self._logs_of(topic)]
        for log in gone:
            del self.partitions[log.partition]
        return gone

    def discard(self, logs: Collection[PartitionLog]) -> None:
        """Remove the files of partitions that exist no longer."""
        discard(self._disk, logs)

    def new_producer_id(self, now: Timestamp) -> int:
        """Return an id that no producer has had before."""
        if self._next_producer_id >= self.metadata.producer_ids_end:
            self._next_producer_id = self.metadata.producer_ids_end
            end = self._next_producer_id + metadata.PRODUCER_ID_BLOCK
            self._record(now, metadata.producer_ids_record(end))
        self._next_producer_id += 1
        return self._next_producer_id - 1

    def writable(self, partition: TopicPartition) -> PartitionLog:
        """Return the log of a partition that producers may write to.

        Raises:
            UnknownTopic: there is none.
            ConfigError: it belongs to the log itself.
        """
        if self.topic(partition.topic).internal:
            raise ConfigError(f"topic {partition.topic!r} belongs to the log itself")
        return self.partition(partition)

    # -- partitions ----------------------------------------------------------------------------

    def append(
        self, partition: TopicPartition, batch: bytearray, now: Timestamp, *, trusted: bool = False
    ) -> LogAppend:
        """Append one batch to a partition. Not durable before its log is synced.

        Raises:
            UnknownTopic, and what `PartitionLog.append` raises.
        """
        log = self.partition(partition)
        return log.append(batch, leader_epoch=self.leader_epoch, now=now, trusted=trusted)

    def recovery_points(self) -> dict[TopicPartition, Offset]:
        """Return up to where each partition is on disk."""
        return {partition: log.flushed_offset for partition, log in self.partitions.items()}

    def space(self) -> Space:
        """Say where everything is, and how much room there is."""
        return self._disk.space()

    def close(self, now: Timestamp) -> None:
        """Flush and close everything: a clean stop."""
        for log in self.partitions.values():
            log.close(now)
        if not self.read_only:
            checkpoints.write_recovery_points(self._disk, self.recovery_points())
            checkpoints.mark_clean(self._disk)

    def abandon(self) -> None:
        """Close the files and write nothing more: the disk has failed."""
        close_files(self.partitions.values())

    # -- opening -------------------------------------------------------------------------------

    def _load_metadata(self, log: PartitionLog) -> None:
        self._add([log])
        for _header, batch in batches_of(log):
            for record in decode_batch(batch):
                assert record.value is not None
                self.metadata.apply(record.value)
        self._next_producer_id = self.metadata.producer_ids_end

    def _add(self, logs: Iterable[PartitionLog]) -> None:
        for log in logs:
            log.durable_reads = self._durable_reads
            self.partitions[log.partition] = log

    def _create_internal_topics(self, now: Timestamp) -> None:
        config = TopicConfig.parse(INTERNAL_CONFIG, topic="__")
        growth = new_topics(
            [
                Topic(name, self._new_topic_id(), INTERNAL_PARTITIONS, config, internal=True)
                for name in INTERNAL_TOPICS
                if name not in self.metadata.topics
            ]
        )
        self._grow_at_once(growth, now)

    # -- changing what exists ------------------------------------------------------------------

    def _grow_at_once(self, growth: Growth, now: Timestamp) -> None:
        self.begin_growth(growth, now)
        self.grow(growth, len(growth.missing), now)
        self.end_growth(growth)

    def _logs_of(self, topic: Topic) -> list[PartitionLog]:
        return [self.partitions[TopicPartition(topic.name, n)] for n in range(topic.partitions)]

    def _record(self, now: Timestamp, *records: bytes) -> None:
        """Make records durable, then let them count."""
        self._append_record(now, *records)
        for record in records:
            self.metadata.apply(record)

    def _append_record(self, now: Timestamp, *records: bytes) -> None:
        batch = encode_batch([NewRecord(None, record, now) for record in records])
        log = self.partitions[METADATA_PARTITION]
        log.append(batch, leader_epoch=max(self.leader_epoch, 0), now=now, trusted=True)
        log.flush()
