"""`millpond topics`: what topics there are, and one of them partition by partition."""

import sys
from collections.abc import Mapping, Sequence

from ...log.interface import Log
from ...log.model import TopicDescription, TopicPartition
from . import look
from .place import Place, opened, sizes
from .show import columns, paint, size

UNTOLD = "?"
"""Where a size should be that a cluster does not tell."""


async def show_topics(place: Place, names: Sequence[str]) -> None:
    """Print all topics; or those that are named, in detail."""
    async with opened(place) as log:
        if names:
            for name in names:
                print(await _describe(log, place, await look.find_topic(log, name)))
        else:
            print(await _list(log, place))


async def _list(log: Log, place: Place) -> str:
    topics = sorted((await log.describe_topics()).values(), key=lambda topic: topic.name)
    if not topics:
        return "There are no topics yet: a worker makes those of its app, `topics create` others."
    every = [partition for topic in topics for partition in look.partitions_of(topic)]
    starts, ends = await log.start_offsets(every), await log.end_offsets(every)
    bytes_of = await sizes(place, log, {topic.name: topic.partitions for topic in topics})
    rows = []
    for topic in topics:
        partitions = look.partitions_of(topic)
        rows.append(
            (
                topic.name,
                topic.partitions,
                sum(ends[each] - starts[each] for each in partitions),
                _size(bytes_of, partitions),
                topic.config.get("cleanup.policy", "delete"),
            )
        )
    titles = ("topic", "partitions", "offsets", "size", "cleanup")
    return columns(titles, rows, sys.stdout, right="size")


async def _describe(log: Log, place: Place, topic: TopicDescription) -> str:
    partitions = look.partitions_of(topic)
    starts, ends = await log.start_offsets(partitions), await log.end_offsets(partitions)
    bytes_of = await sizes(place, log, {topic.name: topic.partitions})
    rows = [
        (
            partition.partition,
            starts[partition],
            ends[partition],
            ends[partition] - starts[partition],
            _size(bytes_of, [partition]),
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


def _size(bytes_of: Mapping[TopicPartition, int], partitions: Sequence[TopicPartition]) -> str:
    known = [bytes_of[each] for each in partitions if each in bytes_of]
    return size(sum(known)) if len(known) == len(partitions) else UNTOLD
