"""What a partition knows of its producers: sequences, epochs and open transactions.

Idempotence: a producer numbers its records per partition, and a batch is appended only if it is the
next one. Five batches are remembered, as many as a producer may have in flight; a retry of one of
them is answered with its original offset.

Transactions: the first transactional batch of a producer opens one in this partition, a marker ends
it. The first offset of the oldest open one bounds what committed readers see. A transaction whose
marker could still be lost (it lies at or beyond the high watermark) counts as open.

The state is a function of the batches, so it is recovered by reading them again, from the last
snapshot (`producer_snapshot.py`) on.

Source: KIP-98, KIP-360 (a new epoch begins at sequence 0), KAFKA-5494 (five batches).
"""

from collections import deque
from collections.abc import Iterator
from typing import Final, NamedTuple

from ..batch import BatchHeader
from ..errors import Fenced, InvalidTransactionState, OutOfSequence
from ..model import Offset, Timestamp, TopicPartition
from ..records import Marker
from .aborted import AbortedTransaction

BATCHES_REMEMBERED: Final = 5
NONE: Final = -1
_SEQUENCE_MASK: Final = 0x7FFFFFFF


class RememberedBatch(NamedTuple):
    """A batch that a producer may still retry."""

    base_sequence: int
    last_sequence: int
    base_offset: Offset
    last_offset: Offset
    timestamp: Timestamp


class ProducerEntry:
    """One producer's state in one partition."""

    __slots__ = (
        "batches",
        "coordinator_epoch",
        "last_append",
        "last_timestamp",
        "producer_epoch",
        "producer_id",
        "transaction_start",
    )

    def __init__(self, producer_id: int, producer_epoch: int) -> None:
        self.producer_id = producer_id
        self.producer_epoch = producer_epoch
        self.coordinator_epoch = NONE
        self.last_timestamp: Timestamp = NONE  # the records' own, perhaps years ago
        self.last_append: Timestamp = NONE  # the clock's, for expiry
        self.transaction_start: Offset | None = None
        self.batches: deque[RememberedBatch] = deque(maxlen=BATCHES_REMEMBERED)

    @property
    def last_sequence(self) -> int:
        return self.batches[-1].last_sequence if self.batches else NONE

    @property
    def last_data_offset(self) -> Offset:
        return self.batches[-1].last_offset if self.batches else NONE


class EndedTransaction(NamedTuple):
    """A transaction whose marker is appended, but not yet below the high watermark."""

    first_offset: Offset
    marker_offset: Offset


class ProducerStates:
    """All producers of one partition."""

    __slots__ = ("_ended", "_entries", "_open", "_partition")

    def __init__(self, partition: TopicPartition) -> None:
        self._partition = partition
        self._entries: dict[int, ProducerEntry] = {}
        self._open: dict[int, Offset] = {}  # in the order of their first offsets
        self._ended: deque[EndedTransaction] = deque()

    def __iter__(self) -> Iterator[ProducerEntry]:
        return iter(self._entries.values())

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, producer_id: int) -> ProducerEntry | None:
        """Return what is known of this producer."""
        return self._entries.get(producer_id)

    def put(self, entry: ProducerEntry) -> None:
        """Take over an entry from a snapshot."""
        self._entries[entry.producer_id] = entry
        if entry.transaction_start is not None:
            self._open[entry.producer_id] = entry.transaction_start
            self._open = dict(sorted(self._open.items(), key=lambda item: item[1]))

    def check(self, header: BatchHeader) -> RememberedBatch | None:
        """Say whether a producer's batch is next (None), or a retry of what was appended.

        With no state for the producer any sequence is accepted: retention may have removed it.

        Raises:
            Fenced: a newer producer epoch has already written here.
            OutOfSequence: batches before this one are missing.
            InvalidTransactionState: a batch outside the producer's open transaction.
        """
        entry = self._entries.get(header.producer_id)
        if entry is None:
            return None
        if header.producer_epoch != entry.producer_epoch:
            self._check_new_epoch(header, entry)
            self._check_transaction(header, entry)
            return None
        base, last = header.base_sequence, header.last_sequence
        for batch in reversed(entry.batches):
            if batch.base_sequence == base and batch.last_sequence == last:
                return batch
        expected = (entry.last_sequence + 1) & _SEQUENCE_MASK
        if base != expected:
            raise OutOfSequence(
                f"{self._partition}: producer {header.producer_id} sent sequence {base}, "
                f"expected {expected}"
            )
        self._check_transaction(header, entry)
        return None

    def _check_transaction(self, header: BatchHeader, entry: ProducerEntry) -> None:
        if entry.transaction_start is not None and not header.is_transactional:
            raise InvalidTransactionState(
                f"{self._partition}: producer {header.producer_id} sent a batch outside the "
                "transaction that it has open"
            )

    def _check_new_epoch(self, header: BatchHeader, entry: ProducerEntry) -> None:
        if header.producer_epoch < entry.producer_epoch:
            raise Fenced(
                f"{self._partition}: producer {header.producer_id} has epoch "
                f"{header.producer_epoch}, but epoch {entry.producer_epoch} has written here"
            )
        if header.base_sequence != 0:
            raise OutOfSequence(
                f"{self._partition}: producer {header.producer_id} begins its epoch "
                f"{header.producer_epoch} with sequence {header.base_sequence}, expected 0"
            )

    def check_marker(self, marker: Marker) -> None:
        """Refuse a marker of a coordinator or producer that has been replaced.

        Raises:
            Fenced: a newer producer epoch or coordinator epoch is known.
        """
        entry = self._entries.get(marker.producer_id)
        if entry is None:
            return
        if marker.producer_epoch < entry.producer_epoch:
            raise Fenced(
                f"{self._partition}: marker for epoch {marker.producer_epoch} of producer "
                f"{marker.producer_id}, which is at epoch {entry.producer_epoch}"
            )
        if marker.coordinator_epoch < entry.coordinator_epoch:
            raise Fenced(
                f"{self._partition}: marker from coordinator epoch {marker.coordinator_epoch}, "
                f"but {entry.coordinator_epoch} has written here"
            )

    def note_batch(self, header: BatchHeader, base_offset: Offset, now: Timestamp) -> None:
        """Take an appended data batch of a producer into account."""
        producer_id = header.producer_id
        entry = self._entries.get(producer_id)
        if entry is None:
            entry = self._entries[producer_id] = ProducerEntry(producer_id, header.producer_epoch)
        elif entry.producer_epoch != header.producer_epoch:
            entry.producer_epoch = header.producer_epoch
            entry.batches.clear()
        last_offset = base_offset + header.last_offset_delta
        entry.batches.append(
            RememberedBatch(
                header.base_sequence,
                header.last_sequence,
                base_offset,
                last_offset,
                header.max_timestamp,
            )
        )
        entry.last_timestamp = header.max_timestamp
        entry.last_append = now
        if header.is_transactional and entry.transaction_start is None:
            entry.transaction_start = base_offset
            self._open[producer_id] = base_offset

    def note_marker(
        self, marker: Marker, offset: Offset, timestamp: Timestamp, now: Timestamp
    ) -> AbortedTransaction | None:
        """Take an appended marker into account; return the transaction that it aborted, if any."""
        producer_id = marker.producer_id
        entry = self._entries.get(producer_id)
        if entry is None:
            entry = ProducerEntry(producer_id, marker.producer_epoch)
            self._entries[producer_id] = entry
        elif entry.producer_epoch != marker.producer_epoch:
            entry.producer_epoch = marker.producer_epoch
            entry.batches.clear()
        entry.coordinator_epoch = marker.coordinator_epoch
        entry.last_timestamp = timestamp
        entry.last_append = now
        start = entry.transaction_start
        if start is None:
            return None
        entry.transaction_start = None
        del self._open[producer_id]
        self._ended.append(EndedTransaction(start, offset))
        if marker.commit:
            return None
        stable = min(self._open.values(), default=offset + 1)
        return AbortedTransaction(producer_id, start, offset, stable)

    def first_unstable_offset(self, high_watermark: Offset) -> Offset | None:
        """Return the first offset of a transaction that isn't decided below the high watermark."""
        ended = self._ended
        while ended and ended[0].marker_offset < high_watermark:
            ended.popleft()
        first = next(iter(self._open.values()), None)
        if ended:
            undecided = min(transaction.first_offset for transaction in ended)
            first = undecided if first is None else min(first, undecided)
        return first

    def expire(self, before: Timestamp) -> None:
        """Forget producers that appended last before this time and have no transaction open."""
        for entry in list(self._entries.values()):
            if entry.last_append < before and entry.transaction_start is None:
                del self._entries[entry.producer_id]
