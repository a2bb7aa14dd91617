"""What a partition log answers to an append and to a read."""

from typing import NamedTuple

from ..model import Offset, Timestamp
from .aborted import AbortedTransaction
from .segment import NO_TIMESTAMP


class LogAppend(NamedTuple):
    """Where a batch went, or for a retry, where it had gone: base_offset ≤ offset < next_offset."""

    base_offset: Offset
    next_offset: Offset
    leader_epoch: int
    duplicate: bool = False
    append_time: Timestamp = NO_TIMESTAMP
    """Set when the topic's timestamps are those of the append."""


class ReadResult(NamedTuple):
    """Whole batches, the first of which holds the offset asked for, and where the log stood.

    `data` is empty at the end of what the reader may see. For a committed read, `aborted` tells
    whose records among them don't count.
    """

    data: bytes | memoryview
    aborted: list[AbortedTransaction]
    high_watermark: Offset
    last_stable_offset: Offset
    log_start_offset: Offset
