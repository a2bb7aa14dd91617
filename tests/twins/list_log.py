"""A brute-force twin of the log: Python lists, no bytes, no files, no coordinators.

Every operation happens in one go between two awaits, so atomicity and order need no argument. It
passes the same conformance suite as the real logs; in the tests of streams it stands in for one, and
property tests compare the real ones with it.

A partition is a list of entries: a record, or the hole that a transaction's marker leaves. An
entry's offset is its index. Whoever waits for records waits for the one condition "something
changed" and looks again.
"""

import re
import uuid
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import anyio
import anyio.lowlevel
from millpond.log.errors import (
    ConfigError,
    Fenced,
    OffsetOutOfRange,
    RecordTooLarge,
    TopicExists,
    UnknownTopic,
)
from millpond.log.interface import RecordsByPartition
from millpond.log.model import (
    Appended,
    CommittedOffset,
    Compression,
    Fetched,
    Headers,
    Isolation,
    NewRecord,
    Offset,
    Record,
    Timestamp,
    TopicDescription,
    TopicPartition,
    TopicSpec,
)

METADATA_BYTES_MAX = 4096


class ListRecord(NamedTuple):
    """A record as it stands in a list."""

    offset: Offset
    timestamp: Timestamp
    key: bytes | None
    value: bytes | None
    headers: Headers

    @property
    def bytes(self) -> int:
        return 70 + len(self.key or b"") + len(self.value or b"")


@dataclass(slots=True, eq=False)
class ListPartition:
    """Entries by offset; None is a marker's hole. `deleted` tells readers that the topic is gone."""

    entries: list[ListRecord | None] = field(default_factory=list)
    start: Offset = 0
    deleted: bool = False

    def append(self, records: Sequence[NewRecord]) -> Appended:
        base = len(self.entries)
        for key, value, timestamp, headers in records:
            record = ListRecord(len(self.entries), timestamp, key, value, tuple(headers))
            self.entries.append(record)
        return Appended(base, len(self.entries), 0)

    def read(self, offset: Offset, bytes_max: int) -> tuple[list[ListRecord], Offset]:
        """Return records from `offset` on, and where to go on reading."""
        found: list[ListRecord] = []
        size = 0
        while offset < len(self.entries):
            entry = self.entries[offset]
            if entry is not None:
                size += entry.bytes
                if found and size > bytes_max:
                    break
                found.append(entry)
            offset += 1
        return found, offset


@dataclass(slots=True)
class ListTopic:
    """A topic and its partitions."""

    description: TopicDescription
    partitions: list[ListPartition]


class ListLog:
    """The whole `Log` interface, in memory, for one process."""

    def __init__(self) -> None:
        self.topics: dict[str, ListTopic] = {}
        self.offsets: dict[str, dict[TopicPartition, CommittedOffset]] = {}
        self.owners: dict[str, ListTransactionalProducer] = {}
        self._changed = anyio.Event()

    @staticmethod
    @asynccontextmanager
    async def open() -> AsyncIterator["ListLog"]:
        """Open as the real logs are opened: `async with ListLog.open() as log`."""
        yield ListLog()

    async def create_topics(self, specs: Iterable[TopicSpec]) -> None:
        await anyio.lowlevel.checkpoint()
        made: dict[str, ListTopic] = {}
        for spec in specs:
            if spec.name in self.topics:
                raise TopicExists(spec.name)
            if spec.name in made:
                raise ConfigError(f"topic {spec.name!r} is named twice")
            check_spec(spec)
            description = TopicDescription(
                spec.name, uuid.uuid4(), spec.partitions, dict(spec.config)
            )
            partitions = [ListPartition() for _ in range(spec.partitions)]
            made[spec.name] = ListTopic(description, partitions)
        self.topics.update(made)

    async def add_partitions(self, counts: Mapping[str, int]) -> None:
        await anyio.lowlevel.checkpoint()
        for name, count in counts.items():
            if name not in self.topics:
                raise UnknownTopic(name)
            if count <= len(self.topics[name].partitions):
                raise ConfigError(f"topic {name!r} can't shrink to {count} partitions")
        for name, count in counts.items():
            topic = self.topics[name]
            topic.partitions += [ListPartition() for _ in range(count - len(topic.partitions))]
            topic.description = replace(topic.description, partitions=count)

    async def alter_topics(self, configs: Mapping[str, Mapping[str, str]]) -> None:
        await anyio.lowlevel.checkpoint()
        for name, config in configs.items():
            if name not in self.topics:
                raise UnknownTopic(name)
            check_spec(TopicSpec(name, 1, config=config))
        for name, config in configs.items():
            topic = self.topics[name]
            topic.description = replace(topic.description, config=dict(config))

    async def delete_topics(self, names: Iterable[str]) -> None:
        await anyio.lowlevel.checkpoint()
        names = list(names)
        for name in names:
            if name not in self.topics:
                raise UnknownTopic(name)
        for name in names:
            for partition in self.topics.pop(name).partitions:
                partition.deleted = True
        for group in list(self.offsets):
            kept = {p: o for p, o in self.offsets[group].items() if p.topic not in names}
            self.offsets[group] = kept
            if not kept:
                del self.offsets[group]
        self.notify()

    async def describe_topics(
        self, names: Iterable[str] | None = None
    ) -> dict[str, TopicDescription]:
        await anyio.lowlevel.checkpoint()
        wanted = self.topics if names is None else [n for n in names if n in self.topics]
        return {name: self.topics[name].description for name in wanted}

    async def delete_records(self, before: Mapping[TopicPartition, Offset]) -> None:
        await anyio.lowlevel.checkpoint()
        for tp, offset in before.items():
            end = len(self.partition(tp).entries)
            if not 0 <= offset <= end:
                raise OffsetOutOfRange(tp, offset, self.partition(tp).start, end)
        for tp, offset in before.items():
            self.partition(tp).start = max(self.partition(tp).start, offset)
        self.notify()

    async def start_offsets(
        self, partitions: Iterable[TopicPartition]
    ) -> dict[TopicPartition, Offset]:
        await anyio.lowlevel.checkpoint()
        return {tp: self.partition(tp).start for tp in partitions}

    async def end_offsets(
        self,
        partitions: Iterable[TopicPartition],
        isolation: Isolation = Isolation.READ_COMMITTED,
    ) -> dict[TopicPartition, Offset]:
        await anyio.lowlevel.checkpoint()
        return {tp: len(self.partition(tp).entries) for tp in partitions}

    async def offsets_for_times(
        self, times: Mapping[TopicPartition, Timestamp]
    ) -> dict[TopicPartition, Offset | None]:
        await anyio.lowlevel.checkpoint()
        found: dict[TopicPartition, Offset | None] = {}
        for tp, timestamp in times.items():
            partition = self.partition(tp)
            found[tp] = None
            for entry in partition.entries[partition.start :]:
                if entry is not None and entry.timestamp >= timestamp:
                    found[tp] = entry.offset
                    break
        return found

    async def epoch_end_offset(self, partition: TopicPartition, leader_epoch: int) -> Offset:
        await anyio.lowlevel.checkpoint()
        entries = self.partition(partition).entries
        return len(entries) if leader_epoch >= 0 else -1

    async def groups(self) -> list[str]:
        await anyio.lowlevel.checkpoint()
        return sorted(self.offsets)

    async def committed_offsets(
        self, group: str, partitions: Iterable[TopicPartition] | None = None
    ) -> dict[TopicPartition, CommittedOffset]:
        await anyio.lowlevel.checkpoint()
        committed = self.offsets.get(group, {})
        wanted = committed if partitions is None else [tp for tp in partitions if tp in committed]
        return {tp: committed[tp] for tp in wanted}

    async def commit_offsets(
        self, group: str, offsets: Mapping[TopicPartition, CommittedOffset]
    ) -> None:
        await anyio.lowlevel.checkpoint()
        self.check_offsets(offsets)
        self.keep_offsets(group, offsets)

    async def delete_groups(self, names: Iterable[str]) -> None:
        await anyio.lowlevel.checkpoint()
        for name in names:
            self.offsets.pop(name, None)

    def reader(self, isolation: Isolation = Isolation.READ_COMMITTED) -> "ListReader":
        """Make a reader. Both isolations see the same, for a transaction is there at once."""
        return ListReader(self)

    async def producer(self) -> "ListProducer":
        await anyio.lowlevel.checkpoint()
        return ListProducer(self)

    async def transactional_producer(self, transactional_id: str) -> "ListTransactionalProducer":
        await anyio.lowlevel.checkpoint()
        producer = ListTransactionalProducer(self, transactional_id)
        self.owners[transactional_id] = producer
        return producer

    # What readers and producers share.

    def find(self, tp: TopicPartition) -> ListPartition | None:
        topic = self.topics.get(tp.topic)
        if topic is None or not 0 <= tp.partition < len(topic.partitions):
            return None
        return topic.partitions[tp.partition]

    def partition(self, tp: TopicPartition) -> ListPartition:
        partition = self.find(tp)
        if partition is None:
            raise UnknownTopic(str(tp))
        return partition

    def check_records(self, records: RecordsByPartition) -> None:
        for tp, new in records.items():
            self.partition(tp)
            limit = int(self.topics[tp.topic].description.config.get("max.message.bytes", 1048588))
            for key, value, _, _ in new:
                if len(key or b"") + len(value or b"") + 70 > limit:
                    raise RecordTooLarge(f"{tp}: a record is larger than {limit} bytes")

    def append_records(
        self, records: RecordsByPartition, *, marker: bool
    ) -> dict[TopicPartition, Appended]:
        appended = {}
        for tp, new in records.items():
            if new:
                appended[tp] = self.partition(tp).append(new)
                if marker:
                    self.partition(tp).entries.append(None)
        self.notify()
        return appended

    def check_offsets(self, offsets: Mapping[TopicPartition, CommittedOffset]) -> None:
        for tp, committed in offsets.items():
            self.partition(tp)
            if len(committed.metadata.encode()) > METADATA_BYTES_MAX:
                raise RecordTooLarge(f"{tp}: metadata is larger than {METADATA_BYTES_MAX} bytes")

    def keep_offsets(self, group: str, offsets: Mapping[TopicPartition, CommittedOffset]) -> None:
        if offsets:
            self.offsets.setdefault(group, {}).update(offsets)

    def notify(self) -> None:
        changed, self._changed = self._changed, anyio.Event()
        changed.set()

    async def change(self) -> None:
        await self._changed.wait()


def check_spec(spec: TopicSpec) -> None:
    """Refuse what no log would take."""
    if not re.fullmatch(r"[a-zA-Z0-9._-]{1,249}", spec.name) or spec.name in {".", ".."}:
        raise ConfigError(f"{spec.name!r} is no topic name")
    if spec.partitions < 1:
        raise ConfigError(f"topic {spec.name!r} cannot have {spec.partitions} partitions")
    for name, value in spec.config.items():
        if name.endswith((".ms", ".bytes")):
            if not re.fullmatch(r"-?\d+", value):
                raise ConfigError(f"{name}={value!r} is no number")
        elif name not in {"cleanup.policy", "compression.type", "message.timestamp.type"}:
            raise ConfigError(f"{name!r} is no setting of a topic")


class ListReader:
    """Takes turns over its partitions; one look at each per read."""

    def __init__(self, log: ListLog) -> None:
        self._log = log
        self._positions: dict[TopicPartition, Offset] = {}
        self._partitions: dict[TopicPartition, ListPartition | None] = {}
        self._paused: set[TopicPartition] = set()

    def assign(self, positions: Mapping[TopicPartition, Offset]) -> None:
        self._partitions = {tp: self._log.find(tp) for tp in positions}
        self._positions = dict(positions)
        self._paused = set()
        self._log.notify()

    def pause(self, partitions: Iterable[TopicPartition]) -> None:
        self._paused.update(partitions)

    def resume(self, partitions: Iterable[TopicPartition]) -> None:
        self._paused.difference_update(partitions)
        self._log.notify()

    async def read(
        self, *, bytes_max: int = 1 << 20, wait_max_s: float | None = None
    ) -> list[Fetched]:
        await anyio.lowlevel.checkpoint()
        found = self._collect(bytes_max)
        with anyio.move_on_after(wait_max_s):
            while not found:
                await self._log.change()
                found = self._collect(bytes_max)
        return found

    def _collect(self, bytes_max: int) -> list[Fetched]:
        fetched: list[Fetched] = []
        for tp in list(self._positions):
            if tp in self._paused or (fetched and bytes_max <= 0):
                continue
            partition, offset = self._partitions[tp], self._positions[tp]
            if partition is None or partition.deleted:
                raise UnknownTopic(str(tp))
            if not partition.start <= offset <= len(partition.entries):
                raise OffsetOutOfRange(tp, offset, partition.start, len(partition.entries))
            records, next_offset = partition.read(offset, bytes_max)
            if next_offset > offset:
                seen: Sequence[Record] = records
                fetched.append(Fetched(tp, seen, next_offset, len(partition.entries), 0))
                bytes_max -= sum(record.bytes for record in records)
        for one in fetched:  # Served last next time, so that a small bytes_max starves nobody.
            del self._positions[one.partition]
            self._positions[one.partition] = one.next_offset
        return fetched

    async def aclose(self) -> None:
        self._positions = {}


class ListProducer:
    """Appends; nothing is ever sent twice here, so idempotence costs nothing."""

    def __init__(self, log: ListLog) -> None:
        self._log = log

    async def append(
        self, records: RecordsByPartition, *, compression: Compression = Compression.NONE
    ) -> dict[TopicPartition, Appended]:
        self._log.check_records(records)
        appended = self._log.append_records(records, marker=False)
        await anyio.lowlevel.checkpoint()
        return appended


class ListTransactionalProducer:
    """Writes as long as nobody made a newer producer of its id."""

    def __init__(self, log: ListLog, transactional_id: str) -> None:
        self._log = log
        self._transactional_id = transactional_id

    async def commit(
        self,
        records: RecordsByPartition,
        *,
        group: str,
        offsets: Mapping[TopicPartition, CommittedOffset],
        compression: Compression = Compression.NONE,
    ) -> dict[TopicPartition, Appended]:
        await anyio.lowlevel.checkpoint()
        if self._log.owners[self._transactional_id] is not self:
            raise Fenced(f"a newer producer of {self._transactional_id!r} exists")
        self._log.check_records(records)
        self._log.check_offsets(offsets)
        appended = self._log.append_records(records, marker=True)
        self._log.keep_offsets(group, offsets)
        return appended
