"""What compaction keeps of a batch.

Of a data batch: the records whose key has no later offset in the map. A tombstone (a null value)
stays until its delete horizon, so that a reader who is catching up learns of the deletion. Records of
aborted transactions go. A record without a key has nothing to be compacted by, and goes as well.

A marker stays as long as there are batches of its transaction, and then until its own horizon.

The horizon is set when a batch is first compacted: `now + delete.retention.ms`, stored in the place of
the base timestamp with an attribute bit. A batch with nothing left is dropped, unless it is the last of
a producer that is remembered: then it stays as a header without records, which keeps the sequence
number and epoch.

A batch that can't be read stays as it is, and its records outdate none: a client may have sent what
is no records, or so many that to unpack them is an attack. That must neither stop compaction for ever
nor cost more memory than a usual batch.

Source: KIP-534; KIP-98 for markers and producer state.
"""

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from ..batch import (
    APPEND_TIME,
    CODEC_MASK,
    DELETE_HORIZON,
    HEADER_SIZE,
    BatchHeader,
    Buffer,
    write_header,
)
from ..compression import compress, decompress
from ..errors import InvalidRecord
from ..model import Compression, Offset, Record, Timestamp
from ..records import decode_batch
from ..records_plain import encode_records, record_slices
from .aborted import AbortedTransaction

RECORDS_READ_MAX: Final = 1_000_000
"""Of one batch. A million take some 150 MB, for as long as the batch is looked at."""

_NO_DATA: Final = (-2, -1)


def readable(header: BatchHeader, batch: Buffer) -> Sequence[Record] | None:
    """Return a batch's records; None if they can't be read, are too many, or not in their place."""
    if header.record_count > RECORDS_READ_MAX:
        return None
    try:
        records = decode_batch(batch)
    except InvalidRecord:
        return None
    first, last = header.base_offset, header.last_offset
    return records if all(first <= record.offset <= last for record in records) else None


class TransactionOutcomes:
    """Which batches belong to aborted transactions."""

    def __init__(self, aborted: Iterable[AbortedTransaction]) -> None:
        self._by_producer: dict[int, list[AbortedTransaction]] = {}
        for entry in aborted:
            self._by_producer.setdefault(entry.producer_id, []).append(entry)

    def is_aborted(self, header: BatchHeader) -> bool:
        """Say whether a data batch was written by a transaction that was aborted."""
        if not header.is_transactional:
            return False
        entries = self._by_producer.get(header.producer_id)
        if not entries:
            return False
        at = bisect_left(entries, header.base_offset, key=_last_offset)
        return at < len(entries) and entries[at].first_offset <= header.base_offset


class CompactionFilter:
    """Decides batch by batch, in the order of the log, what a compacted copy holds."""

    def __init__(
        self,
        *,
        outcomes: TransactionOutcomes,
        last_of_producers: Mapping[int, tuple[Offset, int]],
        delete_retention_ms: int,
        now: Timestamp,
    ) -> None:
        self.outcomes = outcomes
        self.latest: dict[bytes, Offset] = {}
        self.dropped_markers: list[Offset] = []
        self.records_before = 0
        self.records_after = 0
        self._last_of_producers = last_of_producers
        self._now = now
        self._horizon = now + delete_retention_ms
        self._with_batches: set[int] = set()  # producers whose transaction has batches so far

    def apply(self, header: BatchHeader, batch: memoryview) -> Buffer | None:
        """Return what is kept of the batch; None when nothing is."""
        self.records_before += header.record_count
        kept = self._marker(header, batch) if header.is_control else self._data(header, batch)
        if kept is None and self._must_remember(header):
            kept = _without_records(header)
        return kept

    def _marker(self, header: BatchHeader, batch: memoryview) -> Buffer | None:
        if not header.record_count:  # an earlier compaction emptied it
            return None
        if header.producer_id in self._with_batches:
            self._with_batches.discard(header.producer_id)
        elif header.delete_horizon is None:
            batch = memoryview(self._rewritten(header, decode_batch(batch), self._horizon))
        elif header.delete_horizon <= self._now:
            self.dropped_markers.append(header.base_offset)
            return None
        self.records_after += header.record_count
        return batch

    def _data(self, header: BatchHeader, batch: memoryview) -> Buffer | None:
        if header.is_transactional:
            self._with_batches.add(header.producer_id)
            if self.outcomes.is_aborted(header):
                return None
        horizon = header.delete_horizon
        tombstones_stay = horizon is None or self._now < horizon
        records = readable(header, batch)
        if records is None:
            self.records_after += header.record_count
            return batch
        latest = self.latest.get
        kept = []
        has_tombstone = False
        for at, record in enumerate(records):
            key = record.key
            if key is None or latest(key, -1) > record.offset:
                continue
            if record.value is None:
                if not tombstones_stay:
                    continue
                has_tombstone = True
            kept.append(at)
        self.records_after += len(kept)
        if not kept:
            return None
        if has_tombstone and horizon is None:
            return self._rewritten(header, [records[at] for at in kept], self._horizon)
        if len(kept) == len(records):
            return batch
        return _sliced(header, batch, records, kept)

    def _must_remember(self, header: BatchHeader) -> bool:
        """Say whether a remembered producer's state rests on this batch."""
        if header.producer_id < 0:
            return False
        last_offset, producer_epoch = self._last_of_producers.get(header.producer_id, _NO_DATA)
        if header.is_control:
            return last_offset < 0 and header.producer_epoch == producer_epoch
        return header.last_offset == last_offset

    def _rewritten(
        self, header: BatchHeader, records: Iterable[Record], horizon: Timestamp
    ) -> bytearray:
        """Encode a batch anew, with its delete horizon in place of the base timestamp."""
        records = list(records)
        data = encode_records(
            (
                (r.offset - header.base_offset, r.key, r.value, r.timestamp, r.headers)
                for r in records
            ),
            horizon,
        )
        return _batch(
            header,
            data,
            records,
            base_timestamp=horizon,
            attributes=header.attributes | DELETE_HORIZON,
        )


def _sliced(
    header: BatchHeader, batch: memoryview, records: Iterable[Record], kept: list[int]
) -> bytearray:
    """Copy the kept records' bytes: all in them is relative to a batch that stays the same."""
    data = decompress(header.compression, batch[HEADER_SIZE:])
    slices = record_slices(data, header.record_count)
    records = list(records)
    return _batch(
        header,
        b"".join(data[slice(*slices[at])] for at in kept),
        [records[at] for at in kept],
        base_timestamp=header.base_timestamp,
        attributes=header.attributes,
    )


def _batch(
    header: BatchHeader,
    data: Buffer,
    records: list[Record],
    *,
    base_timestamp: Timestamp,
    attributes: int,
) -> bytearray:
    result = bytearray(HEADER_SIZE)
    result += compress(Compression(attributes & CODEC_MASK), data)
    append_time = attributes & APPEND_TIME
    write_header(
        result,
        base_offset=header.base_offset,
        leader_epoch=header.leader_epoch,
        attributes=attributes,
        last_offset_delta=header.last_offset_delta,
        base_timestamp=base_timestamp,
        max_timestamp=header.max_timestamp
        if append_time
        else max(record.timestamp for record in records),
        producer_id=header.producer_id,
        producer_epoch=header.producer_epoch,
        base_sequence=header.base_sequence,
        record_count=len(records),
    )
    return result


def _without_records(header: BatchHeader) -> bytearray:
    result = bytearray(HEADER_SIZE)
    write_header(
        result,
        base_offset=header.base_offset,
        leader_epoch=header.leader_epoch,
        attributes=header.attributes & ~(CODEC_MASK | DELETE_HORIZON),
        last_offset_delta=header.last_offset_delta,
        base_timestamp=header.max_timestamp,
        max_timestamp=header.max_timestamp,
        producer_id=header.producer_id,
        producer_epoch=header.producer_epoch,
        base_sequence=header.base_sequence,
        record_count=0,
    )
    return result


def _last_offset(entry: AbortedTransaction) -> Offset:
    return entry.last_offset
