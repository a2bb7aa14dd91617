"""What a transaction writes to one partition: records of one or more commits, as numbered batches. Pure.

A request takes one batch of a partition at most (since magic 2), so commits that write to the same partition
share batches, and what is larger than a batch may be follows in further ones. Batches are made before the
transaction begins: a record that is too large is found while nothing has been done yet.

How many records fit is estimated from a few of them; what turns out to be too large is made again,
smaller. So no time is spent on each record but that of encoding it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from ..batch import HEADER_SIZE
from ..errors import RecordTooLarge
from ..model import Appended, Compression, NewRecord, Offset, TopicPartition
from ..records import encode_batch
from .address import BATCH_BYTES

SEQUENCE_MASK: Final = 0x7FFFFFFF
"""Sequence numbers wrap from 2**31 - 1 to 0."""

SAMPLE: Final = 16
RECORD_OVERHEAD: Final = 12
"""About what lengths, offset and timestamp of a record take within a batch."""

SLACK: Final = 0.95
"""So much of what may be is aimed at, since records differ."""


class Identity(NamedTuple):
    """Who writes: a producer id, in an epoch (KIP-98)."""

    producer_id: int
    producer_epoch: int


@dataclass(frozen=True, slots=True)
class Batch:
    """An encoded batch; before it come `before` other records that the transaction writes to the partition."""

    before: int
    count: int
    data: bytearray


class Outgoing:
    """The records for one partition, the batches made of them, and where those went."""

    def __init__(self, partition: TopicPartition, batch_bytes_max: int) -> None:
        """Begin with nothing.

        Args:
            partition: where it is to go.
            batch_bytes_max: what the topic allows: its max.message.bytes.
        """
        self.partition = partition
        self._batch_bytes_max = batch_bytes_max
        self._runs: list[tuple[Compression, list[NewRecord]]] = []
        self._count = 0
        self._batches: list[Batch] = []
        self._written: list[tuple[Offset, int]] = []

    def add(self, records: Sequence[NewRecord], compression: Compression) -> int:
        """Add records of a commit; return how many come before them."""
        before = self._count
        self._count += len(records)
        if self._runs and self._runs[-1][0] is compression:
            self._runs[-1][1].extend(records)
        else:
            self._runs.append((compression, list(records)))
        return before

    def encode(self, identity: Identity, sequence: int) -> Iterator[int]:
        """Make the batches, one at a time; yield the sequence number of the record after each.

        Raises:
            RecordTooLarge: a record alone is larger than the topic allows.
        """
        self._batches, self._written = [], []
        before = 0
        for compression, records in self._runs:
            start = 0
            count = self._guess(records)
            while start < len(records):
                some = records[start : start + count] if count < len(records) else records
                data = encode_batch(
                    some,
                    producer_id=identity.producer_id,
                    producer_epoch=identity.producer_epoch,
                    base_sequence=sequence,
                    transactional=True,
                    compression=compression,
                )
                if (fewer := self._fewer(len(some), len(data))) is not None:
                    count = fewer
                    continue
                self._batches.append(Batch(before, len(some), data))
                before += len(some)
                start += len(some)
                sequence = (sequence + len(some)) & SEQUENCE_MASK
                yield sequence

    @property
    def next(self) -> Batch | None:
        """The batch to be written now; None if all are."""
        done = len(self._written)
        return self._batches[done] if done < len(self._batches) else None

    def written(self, base_offset: Offset, leader_epoch: int) -> None:
        """Note where the next batch went."""
        self._written.append((base_offset, leader_epoch))

    def appended(self, before: int, count: int) -> Appended:
        """Return where `count` records went, before which there were others."""
        first, leader_epoch = self._place(before)
        last, _ = self._place(before + count - 1)
        return Appended(first, last + 1, leader_epoch)

    def _place(self, number: int) -> tuple[Offset, int]:
        for batch, (base_offset, leader_epoch) in zip(self._batches, self._written, strict=True):
            if number < batch.before + batch.count:
                return base_offset + number - batch.before, leader_epoch
        raise AssertionError(f"{self.partition}: there is no record {number} of {self._count}")

    def _guess(self, records: Sequence[NewRecord]) -> int:
        """Return how many records probably fit into a batch."""
        some = records[:: max(len(records) // SAMPLE, 1)]
        size = sum(RECORD_OVERHEAD + len(key or b"") + len(value or b"") for key, value, *_ in some)
        aim = SLACK * (min(self._batch_bytes_max, BATCH_BYTES) - HEADER_SIZE)
        return max(int(aim * len(some) / size), 1)

    def _fewer(self, count: int, size: int) -> int | None:
        """Return how many records to try instead of so many that took so much; None if they will do."""
        limit = self._batch_bytes_max
        if size <= min(limit, BATCH_BYTES) or (count == 1 and size <= limit):
            return None
        if count == 1:
            raise RecordTooLarge(
                f"{self.partition}: a record that takes {size} bytes in a batch of its own is larger "
                f"than the topic's max.message.bytes={limit} allows"
            )
        return max(int(count * SLACK * min(limit, BATCH_BYTES) / size), 1)
