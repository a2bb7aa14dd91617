"""A partition as a leader has it: a list of batches that is looked through the slow way.

Compaction may have left offsets out between batches and at their ends; transactions may overlap. It
answers as a leader does, but with as many batches as it is told to.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from millpond.log.batch import HEADER, stamp, stamp_crc
from millpond.log.model import Compression, Isolation, NewRecord
from millpond.log.records import encode_batch, encode_marker, read_header
from millpond.log.wire.messages.fetch import AbortedTransaction, PartitionData

TIME = 1_700_000_000_000

Seen = list[tuple[int, bytes | None]]


@dataclass
class Transaction:
    """Of one producer; `marker` is the marker's offset, -1 while there is none."""

    producer_id: int
    first_offset: int
    marker: int = -1
    is_aborted: bool = False


@dataclass
class Batch:
    """One batch; markers have no values."""

    base_offset: int
    next_offset: int
    data: bytes
    values: Sequence[bytes] = ()
    transaction: Transaction | None = None


@dataclass
class Partition:
    """What a leader has."""

    batches: list[Batch] = field(default_factory=list)
    transactions: list[Transaction] = field(default_factory=list)

    @property
    def end(self) -> int:
        return self.batches[-1].next_offset if self.batches else 0

    @property
    def stable_end(self) -> int:
        return min([t.first_offset for t in self.transactions if t.marker < 0], default=self.end)

    def add(
        self,
        count: int,
        producer_id: int | None = None,
        compression: Compression = Compression.NONE,
        *,
        gap: int = 0,
        lost: int = 0,
    ) -> None:
        """Append a batch, `gap` offsets further on; its last `lost` records were compacted away."""
        base = self.end + gap
        values = [b"%d" % (base + i) for i in range(count)]
        encoded = encode_batch(
            [NewRecord(None, value, TIME) for value in values],
            producer_id=-1 if producer_id is None else producer_id,
            producer_epoch=0,
            base_sequence=0,
            transactional=producer_id is not None,
            compression=compression,
        )
        _reach(encoded, count - 1 + lost)
        transaction = None if producer_id is None else self._open(producer_id, base)
        self._append(encoded, base, values, transaction)

    def finish(self, producer_id: int, *, commit: bool) -> None:
        """Append a marker, if there is something to end."""
        transaction = self._transaction_of(producer_id)
        if transaction is None:
            return
        transaction.marker, transaction.is_aborted = self.end, not commit
        marker = encode_marker(
            commit=commit,
            producer_id=producer_id,
            producer_epoch=0,
            coordinator_epoch=0,
            timestamp=TIME,
        )
        self._append(marker, self.end, [], transaction)

    def answer(
        self, offset: int, isolation: Isolation, count: int, rng: random.Random
    ) -> PartitionData:
        """Return some batches from an offset on, with what a leader tells of aborted transactions."""
        committed = isolation is Isolation.READ_COMMITTED
        limit = self.stable_end if committed else self.end
        sent = [b for b in self.batches if offset < b.next_offset and b.base_offset < limit][:count]
        reach = sent[-1].next_offset + rng.choice([0, 0, 5, 100]) if sent else offset
        aborted = [
            AbortedTransaction(producer_id=t.producer_id, first_offset=t.first_offset)
            for t in self.transactions
            if t.is_aborted and t.marker >= offset and t.first_offset < reach
        ]
        rng.shuffle(aborted)
        return PartitionData(
            partition_index=0,
            high_watermark=self.end,
            last_stable_offset=self.stable_end,
            aborted_transactions=aborted if committed else None,
            records=b"".join(batch.data for batch in sent),
        )

    def seen(self, offset: int, isolation: Isolation) -> Seen:
        """Return what a reader is to get from an offset on."""
        committed = isolation is Isolation.READ_COMMITTED
        return [
            (batch.base_offset + i, value)
            for batch in self.batches
            if not committed
            or (
                batch.base_offset < self.stable_end
                and not (batch.transaction and batch.transaction.is_aborted)
            )
            for i, value in enumerate(batch.values)
            if batch.base_offset + i >= offset
        ]

    def _open(self, producer_id: int, offset: int) -> Transaction:
        transaction = self._transaction_of(producer_id)
        if transaction is None:
            transaction = Transaction(producer_id, offset)
            self.transactions.append(transaction)
        return transaction

    def _transaction_of(self, producer_id: int) -> Transaction | None:
        mine = (t for t in self.transactions if t.producer_id == producer_id and t.marker < 0)
        return next(mine, None)

    def _append(
        self,
        encoded: bytearray,
        base: int,
        values: Sequence[bytes],
        transaction: Transaction | None,
    ) -> None:
        stamp(encoded, base, 7)
        header = read_header(encoded)
        self.batches.append(Batch(base, header.next_offset, bytes(encoded), values, transaction))


def _reach(encoded: bytearray, last_offset_delta: int) -> None:
    """Let a batch take more offsets than it has records."""
    header = read_header(encoded)._replace(last_offset_delta=last_offset_delta)
    HEADER.pack_into(encoded, 0, *header)
    stamp_crc(encoded)
