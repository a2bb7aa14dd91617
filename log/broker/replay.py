"""Reads a whole partition again, for state that is the replay of its records."""

from collections.abc import Iterator

from ..batch import BatchHeader
from ..model import Isolation
from ..storage.partition_log import PartitionLog
from .delivery import checked

READ_BYTES = 1 << 20


def batches_of(log: PartitionLog) -> Iterator[tuple[BatchHeader, memoryview]]:
    """Iterate over all batches, control batches and those of open transactions included."""
    offset = log.log_start_offset
    while data := log.read(offset, READ_BYTES, Isolation.READ_UNCOMMITTED).data:
        for header, batch in checked(log, offset, data):
            offset = header.next_offset
            yield header, batch
