"""When a partition's active segment is full, and its next batch begins a new one."""

from typing import Final

from ..config import TopicConfig
from ..model import Offset, Timestamp
from .segment import Segment

RELATIVE_OFFSET_MAX: Final = 2**31 - 1
"""An index counts offsets from its segment's base, in 32 bits."""


def must_roll(
    active: Segment,
    config: TopicConfig,
    size: int,
    last_offset: Offset,
    max_timestamp: Timestamp,
    now: Timestamp,
) -> bool:
    """Say whether a batch must go to a new segment: Kafka's rules for `segment.bytes` and `.ms`."""
    if not active.size:
        return False
    if active.size + size > config.segment_bytes:
        return True
    if last_offset - active.base_offset > RELATIVE_OFFSET_MAX:
        return True
    if active.first_timestamp >= 0:
        return max_timestamp - active.first_timestamp > config.segment_ms
    return now - active.created > config.segment_ms
