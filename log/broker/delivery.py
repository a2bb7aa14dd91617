"""What a reader gets of the batches that a partition's log gave out.

Batches begin before the position asked for, when that lies inside one; control batches and aborted
records take offsets but are nobody's data. All of that is left out here, batch by batch.
"""

from collections.abc import Iterator

from ..batch import BatchHeader
from ..errors import InvalidRecord
from ..model import Fetched, Isolation, Offset, Record
from ..records import batches_in, decode_batch
from ..storage.partition_log import PartitionLog, ReadResult


def fetch(
    log: PartitionLog, offset: Offset, bytes_max: int, isolation: Isolation
) -> tuple[Fetched, int]:
    """Read what follows `offset`, at least one batch if there is any; also say how many bytes.

    Raises:
        OffsetOutOfRange: below the log's start or beyond its end.
        CorruptRecord: a batch is damaged.
    """
    result = log.read(offset, bytes_max, isolation)
    committed = isolation is Isolation.READ_COMMITTED
    end = result.last_stable_offset if committed else result.high_watermark
    records: list[Record] = []
    next_offset = offset
    leader_epoch = log.leader_epoch
    for header, batch in checked(log, offset, result.data):
        next_offset = header.next_offset
        leader_epoch = header.leader_epoch
        if header.is_control or (
            result.aborted and _is_aborted(result, header.producer_id, header.base_offset)
        ):
            continue
        decoded = decode_batch(batch)
        if header.base_offset < offset:
            decoded = [record for record in decoded if record.offset >= offset]
        records.extend(decoded)
    if not result.data:
        next_offset = max(offset, end)  # compaction has left nothing up to here
    return Fetched(log.partition, records, next_offset, end, leader_epoch), len(result.data)


def checked(
    log: PartitionLog, offset: Offset, data: bytes | memoryview
) -> Iterator[tuple[BatchHeader, memoryview]]:
    """Iterate over the batches of what was read at `offset`.

    Raises:
        CorruptRecord: where a batch is damaged.
    """
    try:
        yield from batches_in(data, check_crc=True)
    except InvalidRecord:
        log.verify(offset)
        raise


def _is_aborted(result: ReadResult, producer_id: int, base_offset: Offset) -> bool:
    return any(
        aborted.producer_id == producer_id
        and aborted.first_offset <= base_offset < aborted.last_offset
        for aborted in result.aborted
    )
