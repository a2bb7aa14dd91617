"""`millpond groups`: who has read how far.

Offsets are also taken by the markers that end transactions, and by what compaction has removed. So a
lag in offsets may be larger than the number of records that wait, and only zero is exact.
"""

import sys

from ...log.errors import ConfigError
from ...log.interface import Log
from ...log.model import CommittedOffset, Offset, TopicPartition
from . import look
from .place import Place, opened
from .show import columns


async def show_groups(place: Place, group: str | None) -> None:
    """Print all groups, or one of them partition by partition."""
    async with opened(place) as log:
        known = await log.groups()
        if group is None:
            print(await _list(log, known))
        elif group in known:
            print(await _describe(log, group))
        else:
            raise ConfigError(look.unknown("group", group, known))


async def _list(log: Log, groups: list[str]) -> str:
    rows = []
    for group in groups:
        committed, ends = await _progress(log, group)
        topics = sorted({partition.topic for partition in committed})
        lag = sum(lag_of(at.offset, ends.get(partition)) for partition, at in committed.items())
        rows.append((group, len(committed), lag, ", ".join(topics)))
    if not rows:
        return "There are no groups yet: each is made by the first commit in it."
    return columns(("group", "partitions", "lag", "topics"), rows, sys.stdout)


async def _describe(log: Log, group: str) -> str:
    committed, ends = await _progress(log, group)
    rows = [
        (
            partition.topic,
            partition.partition,
            at.offset,
            ends.get(partition, "deleted"),
            lag_of(at.offset, ends.get(partition)),
        )
        for partition, at in sorted(committed.items())
    ]
    return columns(("topic", "partition", "committed", "end", "lag"), rows, sys.stdout)


async def _progress(
    log: Log, group: str
) -> tuple[dict[TopicPartition, CommittedOffset], dict[TopicPartition, Offset]]:
    """Return what a group has committed, and the ends of those partitions that still exist."""
    committed = await log.committed_offsets(group)
    topics = await log.describe_topics({partition.topic for partition in committed})
    there = [p for p in committed if p.topic in topics and p.partition < topics[p.topic].partitions]
    return committed, await log.end_offsets(there)


def lag_of(committed: Offset, end: Offset | None) -> int:
    """Return how many offsets are left to read; none of a topic that was deleted."""
    return 0 if end is None else max(end - committed, 0)
