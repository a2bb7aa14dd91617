"""What exists is the replay of the metadata log; directories follow it."""

import itertools
from uuid import UUID

import pytest
from millpond.log.broker.checkpoints import (
    CLEAN_SHUTDOWN,
    RECOVERY_POINTS,
    read_recovery_points,
    write_recovery_points,
)
from millpond.log.broker.core import Broker
from millpond.log.broker.growth import more_partitions, new_topics
from millpond.log.broker.metadata import (
    METADATA_PARTITION,
    PARTITIONS_MAX,
    PRODUCER_ID_BLOCK,
    Metadata,
    checked_topic,
)
from millpond.log.errors import ConfigError, CorruptRecord, LogError, TopicExists, UnknownTopic
from millpond.log.model import NewRecord, TopicPartition, TopicSpec
from millpond.log.records import encode_batch
from millpond.log.shell.memory_disk import MemoryDisk

NOW = 1_700_000_000_000
ORDERS = TopicPartition("orders", 0)


class World:
    """A disk, and brokers that come and go on it."""

    def __init__(self) -> None:
        self.disk = MemoryDisk()
        self.ids = (UUID(int=n) for n in itertools.count(100))
        self.broker = self.open()

    def open(self, *, read_only: bool = False) -> Broker:
        broker = Broker.open(
            self.disk,
            now=NOW,
            new_topic_id=lambda: next(self.ids),
            durable_reads=True,
            read_only=read_only,
        )
        if not read_only:
            broker.begin_epoch(NOW)
            self.broker = broker
        return broker

    def crash(self) -> Broker:
        self.disk.crash(lose_unsynced=True)
        return self.open()

    def append(self, value: bytes = b"v") -> None:
        batch = encode_batch([NewRecord(None, value, NOW)])
        self.broker.append(ORDERS, batch, NOW)
        self.broker.partition(ORDERS).flush()

    def add_partitions(self, count: int) -> None:
        growth = more_partitions(self.broker.metadata, {"orders": count})
        self.broker.begin_growth(growth, NOW)
        self.broker.grow(growth, count, NOW)
        self.broker.end_growth(growth)

    def record_anew(self) -> None:
        """Record a topic, where old directories come back with the power."""
        self.disk.remove("orders-0")
        topic = checked_topic(TopicSpec("orders", 1), UUID(int=1), self.broker.metadata)
        self.broker.begin_growth(new_topics([topic]), NOW)


def test_topics_survive_a_power_cut_once_made() -> None:
    world = World()
    world.broker.create_topics([TopicSpec("orders", 2, config={"retention.ms": "-1"})], NOW)
    made = world.broker.topic("orders")
    again = world.crash().topic("orders")
    assert again == made
    assert dict(again.config.given) == {"retention.ms": "-1"}
    assert world.disk.exists("orders-1")


def test_a_leader_epoch_is_never_used_twice() -> None:
    world = World()
    epochs = [world.broker.leader_epoch]
    for _ in range(3):
        epochs.append(world.crash().leader_epoch)
    world.broker.close(NOW)
    epochs.append(world.open().leader_epoch)
    assert epochs == [0, 1, 2, 3, 4]


def test_epochs_tell_histories_apart() -> None:
    world = World()
    world.broker.create_topics([TopicSpec("orders", 1)], NOW)
    world.append()
    world.append()
    world.broker.append(ORDERS, encode_batch([NewRecord(None, b"lost", NOW)]), NOW)
    assert world.broker.partition(ORDERS).log_end_offset == 3
    world.crash()
    world.append(b"other")
    log = world.broker.partition(ORDERS)
    assert log.epoch_end_offset(0) == 2, "a position (epoch 0, offset 3) is off the history"
    assert log.epoch_end_offset(1) == 3


def test_producer_ids_are_never_given_twice() -> None:
    world = World()
    given = [world.broker.new_producer_id(NOW) for _ in range(PRODUCER_ID_BLOCK + 2)]
    world.crash()
    given += [world.broker.new_producer_id(NOW) for _ in range(3)]
    assert len(set(given)) == len(given)


def test_a_removed_topic_leaves_nothing_even_if_the_power_fails_at_once() -> None:
    world = World()
    world.broker.create_topics([TopicSpec("orders", 2), TopicSpec("orders-1", 1)], NOW)
    world.append()
    world.broker.remove_topics(["orders"], NOW)
    assert world.disk.exists("orders-0"), "not yet discarded"
    world.crash()
    assert not world.disk.exists("orders-0")
    assert world.disk.exists("orders-1-0"), "another topic's directory"
    with pytest.raises(UnknownTopic):
        world.broker.partition(ORDERS)


def test_a_namesake_of_a_removed_topic_starts_empty() -> None:
    world = World()
    world.broker.create_topics([TopicSpec("orders", 1)], NOW)
    world.append()
    old = world.broker.topic("orders").topic_id
    world.broker.discard(world.broker.remove_topics(["orders"], NOW))
    world.broker.create_topics([TopicSpec("orders", 1)], NOW)
    assert world.broker.topic("orders").topic_id != old
    assert world.crash().partition(ORDERS).log_end_offset == 0


def test_a_directory_of_a_namesake_is_not_taken_for_the_topics_own() -> None:
    world = World()
    world.broker.create_topics([TopicSpec("orders", 1)], NOW)
    world.append()
    world.broker.remove_topics(["orders"], NOW)
    with pytest.raises(LogError, match="holds segments"):
        world.broker.create_topics([TopicSpec("orders", 1)], NOW)
    # The power fails when the next topic is recorded, but the old directory still stands.
    world.record_anew()
    assert world.crash().partition(ORDERS).log_end_offset == 0


def test_a_directory_that_a_topic_had_more_of_is_not_its_namesakes() -> None:
    world = World()
    world.broker.create_topics([TopicSpec("orders", 3)], NOW)
    world.broker.remove_topics(["orders"], NOW)
    world.record_anew()
    world.crash()
    assert not world.disk.exists("orders-2")
    world.add_partitions(3)
    assert world.crash().topic("orders").partitions == 3


def test_settings_take_effect_at_once_and_stay() -> None:
    world = World()
    world.broker.create_topics([TopicSpec("orders", 2, config={"retention.ms": "5"})], NOW)
    world.broker.alter_topics({"orders": {"segment.bytes": "1000"}}, NOW)
    log = world.broker.partition(ORDERS)
    assert (log.config.segment_bytes, log.config.retention_ms) == (1000, 604_800_000)
    world.crash()
    assert dict(world.broker.topic("orders").config.given) == {"segment.bytes": "1000"}
    assert world.broker.partition(ORDERS).config.segment_bytes == 1000


def test_settings_are_altered_all_or_none() -> None:
    world = World()
    world.broker.create_topics([TopicSpec("orders", 1), TopicSpec("orders2", 1)], NOW)
    good = {"orders": {"retention.ms": "5"}}
    with pytest.raises(UnknownTopic):
        world.broker.alter_topics({**good, "nope": {}}, NOW)
    with pytest.raises(ConfigError):
        world.broker.alter_topics({**good, "orders2": {"retention.ms": "long"}}, NOW)
    assert dict(world.crash().topic("orders").config.given) == {}


def test_what_is_so_already_is_not_recorded_again() -> None:
    world = World()
    world.broker.create_topics([TopicSpec("orders", 1, config={"retention.ms": "5"})], NOW)
    world.broker.alter_defaults("", {"log.roll.ms": "9"}, NOW)
    log = world.broker.partition(METADATA_PARTITION)
    end = log.log_end_offset
    world.broker.alter_topics({"orders": {"retention.ms": "5"}}, NOW)
    world.broker.alter_defaults("", {"log.roll.ms": "9"}, NOW)
    world.broker.alter_defaults("1", {}, NOW)
    assert log.log_end_offset == end


def test_defaults_hold_for_topics_that_say_nothing() -> None:
    world = World()
    world.broker.set_static_defaults("1", {"retention.ms": "100", "segment.ms": "7"})
    world.broker.create_topics(
        [TopicSpec("orders", 1), TopicSpec("own", 1, config={"segment.ms": "8"})], NOW
    )
    world.broker.alter_defaults("", {"log.retention.hours": "1", "log.segment.bytes": "1000"}, NOW)
    world.broker.create_topics([TopicSpec("later", 1)], NOW)
    world.crash().set_static_defaults("1", {"retention.ms": "100", "segment.ms": "7"})
    configs = [
        world.broker.partition(TopicPartition(n, 0)).config for n in ("orders", "own", "later")
    ]
    assert [config.retention_ms for config in configs] == [3_600_000] * 3
    assert [config.segment_ms for config in configs] == [7, 8, 7]
    assert {config.segment_bytes for config in configs} == {1000}
    assert configs[0].to_mapping()["retention.ms"] == "3600000"
    with pytest.raises(ValueError, match=r"log.roll.ms='x' won't do"):
        world.broker.alter_defaults("", {"log.roll.ms": "x"}, NOW)
    world.broker.alter_defaults("1", {"log.retention.ms": "200"}, NOW)
    world.broker.alter_defaults("2", {"log.retention.ms": "300"}, NOW)
    assert world.broker.partition(ORDERS).config.retention_ms == 200, "what was set for this broker"
    world.broker.alter_defaults("1", {}, NOW)
    world.broker.alter_defaults("", {}, NOW)
    assert world.broker.partition(ORDERS).config.retention_ms == 100


def test_internal_topics_have_defaults_of_their_own() -> None:
    world = World()
    world.broker.alter_defaults("", {"message.max.bytes": "1"}, NOW)
    internal = world.crash().partition(TopicPartition("__consumer_offsets", 0))
    assert internal.config.max_message_bytes > 1_000_000


def test_partitions_can_only_be_added() -> None:
    world = World()
    world.broker.create_topics([TopicSpec("orders", 2)], NOW)
    for count in (0, 1, 2, PARTITIONS_MAX + 1):
        with pytest.raises(ConfigError):
            world.add_partitions(count)
    world.add_partitions(4)
    world.crash()
    assert world.broker.partition(TopicPartition("orders", 3)).log_end_offset == 0


def test_topics_are_known_by_their_ids() -> None:
    world = World()
    world.broker.create_topics([TopicSpec("orders", 1)], NOW)
    topic = world.broker.topic("orders")
    assert world.crash().topic_of_id(topic.topic_id) == topic
    world.broker.remove_topics(["orders"], NOW)
    with pytest.raises(UnknownTopic, match="no topic with the id"):
        world.broker.topic_of_id(topic.topic_id)


@pytest.mark.parametrize(
    "left",
    [
        [],
        ["partition.metadata.tmp"],
        ["partition.metadata"],
        ["00000000000000000000.log"],
        ["partition.metadata", "00000000000000000000.log"],
        ["partition.metadata.tmp", "00000000000000000000.log"],
    ],
)
def test_a_directory_that_was_being_made_is_made_again(left: list[str]) -> None:
    """Of what was not synced, a power cut leaves whatever it likes."""
    world = World()
    world.broker.create_topics([TopicSpec("orders", 1)], NOW)
    world.disk.remove("orders-0")
    world.disk.make_directory("orders-0")
    for name in left:
        world.disk.open(f"orders-0/{name}")
    world.disk.sync_directory("orders-0")
    world.disk.sync_directory("")
    world.crash()
    world.append()
    assert world.crash().partition(ORDERS).log_end_offset == 1


def test_an_empty_partition_metadata_is_one_that_was_being_written() -> None:
    world = World()
    world.broker.create_topics([TopicSpec("orders", 1)], NOW)
    file = world.disk.open("orders-0/partition.metadata")
    file.truncate(0)
    file.sync()
    with pytest.raises(CorruptRecord):
        world.open(read_only=True)
    assert world.crash().partition(ORDERS).log_end_offset == 0
    world.append()
    file = world.disk.open("orders-0/partition.metadata")
    file.truncate(0)
    file.sync()
    with pytest.raises(LogError, match="holds segments"):
        world.crash()


def test_a_partition_whose_directory_was_given_up_begins_anew() -> None:
    world = World()
    world.broker.create_topics([TopicSpec("orders", 2)], NOW)
    world.append()
    world.disk.remove("orders-0")
    world.disk.sync_directory("")
    world.crash()
    log = world.broker.partition(ORDERS)
    assert (log.log_start_offset, log.log_end_offset) == (0, 0)


def test_segments_without_their_metadata_are_not_overwritten() -> None:
    world = World()
    world.broker.create_topics([TopicSpec("orders", 1)], NOW)
    world.append()
    world.disk.remove("orders-0/partition.metadata")
    world.disk.sync_directory("orders-0")
    with pytest.raises(LogError, match="orders-0"):
        world.crash()


def test_internal_topics_are_there_and_stay() -> None:
    world = World()
    topic = world.broker.topic("__consumer_offsets")
    assert topic.internal
    assert topic.config.cleanup_compact
    with pytest.raises(ConfigError):
        world.broker.remove_topics(["__consumer_offsets"], NOW)
    with pytest.raises(ConfigError):
        world.broker.writable(TopicPartition("__transaction_state", 0))
    with pytest.raises(UnknownTopic):
        world.broker.writable(TopicPartition("__cluster_metadata", 0))
    with pytest.raises(TopicExists):
        world.broker.create_topics([TopicSpec("__consumer_offsets", 1)], NOW)


@pytest.mark.parametrize(
    ("spec", "hint"),
    [
        (TopicSpec("orders", PARTITIONS_MAX + 1), str(PARTITIONS_MAX)),
        (TopicSpec("orders", 1, replication=0), "1 or more"),
        (TopicSpec("or ders", 1), "' '"),
    ],
)
def test_a_refused_topic_is_told_what_would_work(spec: TopicSpec, hint: str) -> None:
    with pytest.raises(ConfigError, match=hint):
        World().broker.create_topics([spec], NOW)


def test_metadata_of_a_newer_version_is_not_guessed_at() -> None:
    metadata = Metadata()
    with pytest.raises(LogError, match="version 9"):
        metadata.apply(b'{"type":"topic","version":9}')
    with pytest.raises(LogError, match="quota"):
        metadata.apply(b'{"type":"quota","version":0}')


def test_a_clean_stop_is_noted_and_the_note_is_used_once() -> None:
    world = World()
    world.broker.create_topics([TopicSpec("orders", 1)], NOW)
    world.append()
    world.broker.close(NOW)
    assert world.disk.exists(CLEAN_SHUTDOWN)
    assert read_recovery_points(world.disk)[ORDERS] == 1
    world.open()
    assert not world.disk.exists(CLEAN_SHUTDOWN)
    assert world.broker.partition(ORDERS).log_end_offset == 1


def test_recovery_points_are_those_of_kafka() -> None:
    disk = MemoryDisk()
    points = {ORDERS: 17, TopicPartition("a-b", 12): 0}
    write_recovery_points(disk, points)
    assert disk.read(RECOVERY_POINTS) == b"0\n2\norders 0 17\na-b 12 0\n"
    assert read_recovery_points(disk) == points


@pytest.mark.parametrize(
    "text", [b"", b"1\n0\n", b"0\n2\norders 0 17\n", b"0\n1\norders x\n", b"\xff"]
)
def test_unreadable_recovery_points_only_cost_time(text: bytes) -> None:
    disk = MemoryDisk()
    disk.replace(RECOVERY_POINTS, text)
    assert read_recovery_points(disk) == {}


def test_a_reader_of_nothing_is_told_so() -> None:
    with pytest.raises(ConfigError, match="no log"):
        Broker.open(
            MemoryDisk(),
            now=NOW,
            new_topic_id=lambda: UUID(int=1),
            durable_reads=False,
            read_only=True,
        )


def test_reading_only_writes_nothing() -> None:
    world = World()
    world.broker.create_topics([TopicSpec("orders", 1)], NOW)
    world.append()
    before = {name: world.disk.list(name) for name in world.disk.list("")}
    reader = world.open(read_only=True)
    assert reader.partition(ORDERS).log_end_offset == 1
    reader.close(NOW)
    assert {name: world.disk.list(name) for name in world.disk.list("")} == before
    world.append()
    assert world.open(read_only=True).partition(ORDERS).log_end_offset == 2
