"""`millpond groups reset`: let a group read on from elsewhere.

Only while it has no members: of a data directory, the lock tells that no worker runs; a broker
refuses what others say of a group that has some.
"""

import re
import sys
from collections.abc import Callable, Collection
from dataclasses import dataclass

from ...log.errors import ConfigError, GroupActive
from ...log.interface import Log
from ...log.model import CommittedOffset, Isolation, Offset, Timestamp, TopicPartition
from . import look
from .place import Place, opened, opened_to_change
from .show import columns


@dataclass(frozen=True, slots=True)
class Target:
    """Where to read on: at the earliest or latest offset, at a given one, or at that of a time."""

    text: str
    offset: Offset | None = None
    timestamp: Timestamp | None = None


def parse_target(text: str, moment: Callable[[str, str], Timestamp]) -> Target:
    """Read what --to says. Twelve digits or fewer are an offset; more are milliseconds."""
    if text in {"earliest", "latest"}:
        return Target(text)
    if re.fullmatch(r"\d{1,12}", text):
        return Target(text, offset=int(text))
    try:
        return Target(text, timestamp=moment(text, "--to"))
    except ConfigError:
        raise ConfigError(
            f"--to {text!r} is no place in a topic: write earliest, latest, an offset, or a time "
            "such as 2h (ago) or 2013-07-01T12:00Z"
        ) from None


async def reset_group(
    place: Place, group: str, target: Target, topics: Collection[str], *, only_show: bool
) -> None:
    """Commit new offsets for a group, in all partitions that it has, or all of some topics."""
    opening = opened(place) if only_show else opened_to_change(place, "nothing was reset")
    async with opening as log:
        known = await log.groups()
        if group not in known:
            raise ConfigError(look.unknown("group", group, known))
        before = await log.committed_offsets(group)
        partitions = await _chosen(log, group, before, topics)
        after = await _offsets(log, target, partitions)
        if not only_show:
            try:
                await log.commit_offsets(
                    group, {each: CommittedOffset(offset) for each, offset in after.items()}
                )
            except GroupActive:
                raise GroupActive(
                    f"nothing was reset: group {group!r} has members. Stop them first"
                ) from None
    rows = [
        (each.topic, each.partition, before[each].offset if each in before else "none", after[each])
        for each in sorted(after)
    ]
    print(columns(("topic", "partition", "before", "after"), rows, sys.stdout))
    if only_show:
        sys.stdout.flush()
        print("nothing was changed: --dry-run", file=sys.stderr)


async def _chosen(
    log: Log, group: str, committed: Collection[TopicPartition], topics: Collection[str]
) -> list[TopicPartition]:
    if topics:
        found = [await look.find_topic(log, name) for name in dict.fromkeys(topics)]
        return [partition for topic in found for partition in look.partitions_of(topic)]
    there = await log.describe_topics({partition.topic for partition in committed})
    chosen = [each for each in committed if each.topic in there]
    if not chosen:
        raise ConfigError(
            f"group {group!r} has committed nothing in topics that exist: use --topic"
        )
    return chosen


async def _offsets(
    log: Log, target: Target, partitions: Collection[TopicPartition]
) -> dict[TopicPartition, Offset]:
    starts = await log.start_offsets(partitions)
    ends = await log.end_offsets(partitions, Isolation.READ_UNCOMMITTED)
    if target.text == "earliest":
        return starts
    if target.text == "latest":
        return ends
    if target.timestamp is not None:
        found = await log.offsets_for_times(dict.fromkeys(partitions, target.timestamp))
        return {each: ends[each] if at is None else at for each, at in found.items()}
    assert target.offset is not None
    for each in partitions:
        if not starts[each] <= target.offset <= ends[each]:
            raise ConfigError(
                f"--to {target.offset}: {each} has the offsets {starts[each]} to {ends[each]}"
            )
    return dict.fromkeys(partitions, target.offset)
