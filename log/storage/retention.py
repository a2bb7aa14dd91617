"""Which of the oldest segments a partition need not keep any longer.

Whole segments only, never one with an offset at or above the high watermark. When all of a
partition has expired, so has its active segment: it is rolled, and the log is then empty.
"""

from collections.abc import Sequence

from ..config import TopicConfig
from ..model import Offset, Timestamp
from .segment import Segment


def new_start_offset(
    segments: Sequence[Segment],
    config: TopicConfig,
    now: Timestamp,
    high_watermark: Offset,
    log_end_offset: Offset,
) -> Offset | None:
    """Return where the log should start by `retention.ms` and `retention.bytes`; None: as it does.

    The start is that of a segment, or `log_end_offset` when nothing is worth keeping.
    """
    if not config.cleanup_delete:
        return None
    ends = [segment.base_offset for segment in segments[1:]] + [log_end_offset]
    surplus_bytes = 0
    if config.retention_bytes is not None:
        surplus_bytes = sum(segment.size for segment in segments) - config.retention_bytes
    start = None
    for segment, end in zip(segments, ends, strict=True):
        active = segment is segments[-1]
        if end > high_watermark or (active and not segment.size):
            break
        too_large = segment.size <= surplus_bytes and not active
        if not (too_large or _expired(segment, config, now)):
            break
        surplus_bytes -= segment.size
        start = end
    return start


def _expired(segment: Segment, config: TopicConfig, now: Timestamp) -> bool:
    return config.retention_ms is not None and now - segment.max_timestamp > config.retention_ms
