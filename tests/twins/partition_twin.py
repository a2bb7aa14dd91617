"""A partition as a Python list, and the small tools that tests of the real one share.

The twin knows no files, segments, indexes or snapshots: it is the list of batches ever appended, and
every question is answered by going through all of it. `consume` reads the real log as a Kafka client
does: it gets raw batches and a list of aborted transactions, and filters by itself.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from millpond.log.config import TopicConfig
from millpond.log.model import Isolation, TopicPartition
from millpond.log.records import batches_in, decode_batch, decode_marker, encode_batch
from millpond.log.storage.disk import Disk
from millpond.log.storage.partition_log import LogAppend, PartitionLog

PARTITION = TopicPartition("orders", 0)
DIRECTORY = "orders-0"
TOPIC_ID = uuid.UUID("0123456789abcdef0123456789abcdef")


class Seen(NamedTuple):
    """A record as a reader got it."""

    offset: int
    key: bytes | None
    value: bytes | None
    timestamp: int


@dataclass(frozen=True)
class Entry:
    """A batch, or a marker: then `commit` says which."""

    base_offset: int
    records: tuple[tuple[bytes | None, bytes | None, int], ...]
    producer_id: int = -1
    base_sequence: int = -1
    transactional: bool = False
    commit: bool | None = None

    @property
    def next_offset(self) -> int:
        return self.base_offset + max(len(self.records), 1)

    @property
    def next_sequence(self) -> int:
        return self.base_sequence + len(self.records)

    def seen(self) -> list[Seen]:
        return [
            Seen(self.base_offset + delta, key, value, timestamp)
            for delta, (key, value, timestamp) in enumerate(self.records)
        ]


class PartitionTwin:
    """What a partition must answer, worked out the slow way."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.start = 0

    @property
    def end(self) -> int:
        return self.entries[-1].next_offset if self.entries else 0

    def append(self, entry: Entry) -> None:
        self.entries.append(replace(entry, base_offset=self.end))

    def truncate(self, offset: int) -> None:
        self.entries = [entry for entry in self.entries if entry.next_offset <= offset]

    def open_transactions(self, decided_below: int) -> dict[int, int]:
        """First offset of each producer's transaction that has no marker below this offset."""
        first: dict[int, int] = {}
        for entry in self.entries:
            if entry.commit is not None and entry.base_offset < decided_below:
                first.pop(entry.producer_id, None)
            elif entry.commit is None and entry.transactional:
                first.setdefault(entry.producer_id, entry.base_offset)
        return first

    def last_stable_offset(self, high_watermark: int) -> int:
        unstable = self.open_transactions(high_watermark).values()
        return max(min([high_watermark, *unstable]), self.start)

    def readable(self, isolation: Isolation, high_watermark: int, offset: int) -> list[Seen]:
        """All records from `offset` on that a reader of this isolation gets."""
        committed = isolation is Isolation.READ_COMMITTED
        limit = self.last_stable_offset(high_watermark) if committed else high_watermark
        result = []
        for at, entry in enumerate(self.entries):
            if not (committed and self._is_aborted(at)):
                result += [seen for seen in entry.seen() if offset <= seen.offset < limit]
        return result

    def next_sequence(self, producer_id: int) -> int:
        """The sequence number that the producer must send next; 0 when it never sent one."""
        of_producer = [e for e in self.entries if e.producer_id == producer_id and e.commit is None]
        return of_producer[-1].next_sequence if of_producer else 0

    def _is_aborted(self, at: int) -> bool:
        entry = self.entries[at]
        if not entry.transactional:
            return False
        for later in self.entries[at:]:
            if later.producer_id == entry.producer_id and later.commit is not None:
                return not later.commit
        return False


def make_log(disk: Disk, leader_epoch: int = 0, /, **config: str) -> PartitionLog:
    return PartitionLog.create(
        disk, DIRECTORY, PARTITION, TOPIC_ID, settings(**config), leader_epoch=leader_epoch
    )


def reopen(
    disk: Disk, *, clean: bool, recovery_point: int = 0, read_only: bool = False, **config: str
) -> PartitionLog:
    return PartitionLog.open(
        disk,
        DIRECTORY,
        PARTITION,
        settings(**config),
        clean=clean,
        recovery_point=recovery_point,
        now=0,
        read_only=read_only,
    )


def settings(**config: str) -> TopicConfig:
    """Topic settings, with `_` for the `.` of their names."""
    return TopicConfig.parse(
        {name.replace("_", "."): value for name, value in config.items()}, topic="orders"
    )


def put(log: PartitionLog, *values: bytes, key: bytes = b"k", timestamp: int = 0) -> LogAppend:
    """Append one plain batch with these values."""
    batch = encode_batch([(key, value, timestamp, ()) for value in values])
    return log.append(batch, leader_epoch=max(log.leader_epoch, 0), now=timestamp)


def put_as(
    log: PartitionLog,
    producer_id: int,
    *values: bytes,
    sequence: int = 0,
    epoch: int = 0,
    transactional: bool = False,
    key: bytes | None = b"k",
    timestamp: int = 0,
) -> LogAppend:
    """Append one batch of an idempotent producer."""
    batch = encode_batch(
        [(key, value, timestamp, ()) for value in values],
        producer_id=producer_id,
        producer_epoch=epoch,
        base_sequence=sequence,
        transactional=transactional,
    )
    return log.append(batch, leader_epoch=max(log.leader_epoch, 0), now=timestamp)


def end(
    log: PartitionLog, producer_id: int, *, commit: bool, epoch: int = 0, now: int = 0
) -> LogAppend:
    """Append the marker that ends the producer's transaction."""
    return log.append_marker(
        producer_id=producer_id,
        producer_epoch=epoch,
        commit=commit,
        coordinator_epoch=0,
        leader_epoch=max(log.leader_epoch, 0),
        now=now,
    )


def flush(log: PartitionLog) -> None:
    """Sync as the shell does it."""
    log_end = log.log_end_offset
    for file in log.files_to_sync():
        file.sync()
    log.mark_flushed(log_end)


def consume(
    log: PartitionLog,
    isolation: Isolation = Isolation.READ_UNCOMMITTED,
    offset: int | None = None,
    bytes_max: int = 1 << 20,
) -> list[Seen]:
    """Read to the end as a Kafka consumer does, and return the records that its user gets."""
    position = log.log_start_offset if offset is None else offset
    result: list[Seen] = []
    while True:
        read = log.read(position, bytes_max, isolation)
        if not read.data:
            return result
        aborted = list(read.aborted)
        assert aborted == sorted(aborted, key=lambda entry: entry.first_offset)
        aborting: set[int] = set()
        for header, batch in batches_in(read.data, check_crc=True):
            if isolation is Isolation.READ_COMMITTED:
                while aborted and aborted[0].first_offset <= header.last_offset:
                    aborting.add(aborted.pop(0).producer_id)
            if header.is_control:
                marker = decode_marker(batch)
                if marker is not None and not marker.commit:
                    aborting.discard(header.producer_id)
            elif not (header.is_transactional and header.producer_id in aborting):
                result += [
                    Seen(r.offset, r.key, r.value, r.timestamp)
                    for r in decode_batch(batch)
                    if r.offset >= position
                ]
            end_of_read = header.next_offset
        assert end_of_read > position
        position = end_of_read


def values(records: Sequence[Seen]) -> list[bytes | None]:
    return [record.value for record in records]
