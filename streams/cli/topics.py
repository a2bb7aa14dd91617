"""`millpond topics`: what topics there are, and one of them partition by partition."""

import sys
from collections.abc import Sequence
from pathlib import Path

from ...log.interface import Log
from ...log.model import TopicDescription, TopicPartition
from . import look
from .show import columns, paint, size


async def show_topics(data: Path, names: Sequence[str]) -> None:
    """Print all topics; or those that are named, in detail."""
    async with look.opened(data) as log:
        if names:
            for name in names:
                print(await _describe(log, data, await look.find_topic(log, name)))
        else:
            print(await _list(log, data))


async def _list(log: Log, data: Path) -> str:
    topics = sorted((await log.describe_topics()).values(), key=lambda topic: topic.name)
    rows = []
    for topic in topics:
        partitions = look.partitions_of(topic)
        starts, ends = await log.start_offsets(partitions), await log.end_offsets(partitions)
        rows.append(
            (
                topic.name,
                topic.partitions,
                sum(ends.values()) - sum(starts.values()),
                size(sum(bytes_on_disk(data, partition) for partition in partitions)),
                topic.config.get("cleanup.policy", "delete"),
            )
        )
    if not rows:
        return "There are no topics yet: a worker makes those of its app."
    titles = ("topic", "partitions", "offsets", "size", "cleanup")
    return columns(titles, rows, sys.stdout, right="size")


async def _describe(log: Log, data: Path, topic: TopicDescription) -> str:
    partitions = look.partitions_of(topic)
    starts, ends = await log.start_offsets(partitions), await log.end_offsets(partitions)
    rows = [
        (
            partition.partition,
            starts[partition],
            ends[partition],
            ends[partition] - starts[partition],
            size(bytes_on_disk(data, partition)),
        )
        for partition in partitions
    ]
    titles = ("partition", "start", "end", "offsets", "size")
    config = [f"  {name} = {value}" for name, value in sorted(topic.config.items())]
    return "\n".join(
        [
            f"{paint(topic.name, 'bold cyan', sys.stdout)}  (id {topic.topic_id})",
            "",
            columns(titles, rows, sys.stdout, right="size"),
            "",
            "config:" if config else "config: all defaults",
            *config,
            "",
        ]
    )


def bytes_on_disk(data: Path, partition: TopicPartition) -> int:
    """Return how many bytes a partition's segments take."""
    total = 0
    for segment in (look.log_directory(data) / str(partition)).glob("*.log"):
        try:
            total += segment.stat().st_size
        except FileNotFoundError:  # deleted by retention meanwhile
            continue
    return total
