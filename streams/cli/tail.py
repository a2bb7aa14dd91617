"""`millpond tail`: the records of a topic, the last ones first asked for, or as they come.

Only committed records are shown, in the order in which a task would see them: see `look.read_merged`.
"""

import contextlib
import math
import sys
import time as clock
from collections.abc import AsyncGenerator, Callable, Collection, Sequence
from dataclasses import dataclass
from heapq import merge
from typing import Final, Literal, TextIO

import anyio

from ...log.embedded import EmbeddedLog
from ...log.interface import Log
from ...log.model import Offset, Record, Timestamp, TopicPartition
from . import look, show
from .place import Place, opened

POLL_S: Final = 0.25
REST: Final = 4
"""A look at the disk may take a while, so a follower rests this many times as long after it."""

LINE_WIDTH: Final = 100
"""On a terminal, JSON values longer than this are spread over several lines."""

Placed = tuple[TopicPartition, Record]
ShowRecord = Callable[[TopicPartition, Record], str]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which records, and how they are shown.

    Attributes:
        partitions: of these only; of all, if empty.
        count: at most so many: the first ones if a beginning is given, else the last ones.
        from_beginning: all that the topic still has.
        since: those from this time on.
        follow: go on with what comes.
    """

    topic: str
    partitions: Collection[int] = ()
    count: int | None = None
    from_beginning: bool = False
    since: Timestamp | None = None
    follow: bool = False
    format: Literal["text", "json"] = "text"


async def show_records(place: Place, wanted: Wanted) -> None:
    """Print the records that are wanted."""
    show_record = _json_line if wanted.format == "json" else _text_lines(sys.stdout)
    async with opened(place) as log:
        topic = await look.find_topic(log, wanted.topic)
        partitions = look.partitions_of(topic, wanted.partitions)
        ends = await log.end_offsets(partitions)
        if wanted.from_beginning or wanted.since is not None:
            found = _from(log, partitions, ends, wanted.since)
            left = await _print_some(found, show_record, wanted.count)
        else:
            count = 10 if wanted.count is None else wanted.count
            for placed in await last_records(log, partitions, ends, count):
                print(show_record(*placed))
            left = None
        if wanted.follow and left != 0:
            sys.stdout.flush()
            found = (
                _follow_directory(place, log, ends)
                if isinstance(log, EmbeddedLog)
                else _follow(log, ends)
            )
            await _print_some(found, show_record, left)


# -- which records -----------------------------------------------------------------------------


async def last_records(
    log: Log, partitions: Sequence[TopicPartition], ends: dict[TopicPartition, Offset], count: int
) -> list[Placed]:
    """Return the last `count` records before the ends, in order."""
    starts = await log.start_offsets(partitions)
    each = [
        [(partition, r) for r in await _last_of(log, partition, starts[partition], end, count)]
        for partition, end in ends.items()
    ]
    return list(merge(*each, key=lambda placed: placed[1].timestamp))[-count:] if count else []


async def _last_of(
    log: Log, partition: TopicPartition, start: Offset, end: Offset, count: int
) -> list[Record]:
    """Return the last records of a partition: some offsets have none, so look further and further."""
    span = count + 1
    while True:
        begin = max(start, end - span)
        found: list[Record] = []
        async for _, record in look.read_merged(log, {partition: begin}, {partition: end}):
            found.append(record)
        if len(found) >= count or begin == start:
            return found[-count:]
        span *= 4


async def _from(
    log: Log,
    partitions: Sequence[TopicPartition],
    ends: dict[TopicPartition, Offset],
    since: Timestamp | None,
) -> AsyncGenerator[Placed, None]:
    starts = await log.start_offsets(partitions)
    if since is not None:
        found = await log.offsets_for_times(dict.fromkeys(partitions, since))
        starts = {p: ends[p] if at is None else max(at, starts[p]) for p, at in found.items()}
    async for placed in look.read_merged(log, starts, ends):
        if since is None or placed[1].timestamp >= since:
            yield placed


async def _follow(
    log: Log, positions: dict[TopicPartition, Offset]
) -> AsyncGenerator[Placed, None]:
    """Yield what comes, for ever."""
    reader = log.reader()
    try:
        reader.assign(positions)
        while True:
            each = [
                [(fetched.partition, record) for record in fetched.records]
                for fetched in await reader.read()
            ]
            for placed in merge(*each, key=lambda placed: placed[1].timestamp):
                yield placed
            sys.stdout.flush()
    finally:
        await reader.aclose()


async def _follow_directory(
    place: Place, log: EmbeddedLog, positions: dict[TopicPartition, Offset]
) -> AsyncGenerator[Placed, None]:
    """Yield what comes, for ever. Another process writes it, so we have to look for it."""
    sizes: dict[TopicPartition, int] = {}
    while True:
        began = clock.monotonic()
        now = {partition: look.bytes_on_disk(place.data, partition) for partition in positions}
        if now != sizes:
            sizes = now
            await log.refresh()
            async for placed in _new(log, positions):
                yield placed
            sys.stdout.flush()
        await anyio.sleep(max(POLL_S, REST * (clock.monotonic() - began)))


async def _new(log: Log, positions: dict[TopicPartition, Offset]) -> AsyncGenerator[Placed, None]:
    """Yield what is behind the positions, and move them."""
    ends = await log.end_offsets(positions)
    starts = await log.start_offsets(positions)
    begins = {partition: max(at, starts[partition]) for partition, at in positions.items()}
    async for placed in look.read_merged(log, begins, ends):
        yield placed
    positions.update({partition: max(at, ends[partition]) for partition, at in begins.items()})


# -- how they are shown ------------------------------------------------------------------------


async def _print_some(
    found: AsyncGenerator[Placed, None], show_record: ShowRecord, count: int | None
) -> int | None:
    """Print up to `count` records; return how many are left to print, None if there is no limit."""
    if count == 0:
        return 0
    async with contextlib.aclosing(found):
        async for partition, record in found:
            print(show_record(partition, record))
            if count is not None:
                count -= 1
                if not count:
                    break
    return count


def _json_line(partition: TopicPartition, record: Record) -> str:
    return show.to_json(
        {
            "topic": partition.topic,
            "partition": partition.partition,
            "offset": record.offset,
            "time": show.time(record.timestamp),
            "timestamp": record.timestamp,
            "key": None if record.key is None else show.one_line(record.key),
            "value": show.as_data(record.value),
            "headers": {name: show.as_data(value) for name, value in record.headers},
        }
    )


def _text_lines(stream: TextIO) -> ShowRecord:
    """Return what shows a record as a line of text; on a terminal, long JSON as many lines."""
    paint = show.painter(stream)
    width_max = LINE_WIDTH if stream.isatty() else math.inf

    def show_record(partition: TopicPartition, record: Record) -> str:
        place = f"{show.time(record.timestamp)}  {partition}@{record.offset}"
        parts = [paint(place, "dim"), paint(show.one_line(record.key), "cyan")]
        if record.headers:
            parts.append(paint(f"[{show.headers(record.headers)}]", "dim"))
        value = show.one_line(record.value)
        if len(value) > width_max:
            value = "\n" + show.many_lines(record.value, "    ")
        return "  ".join([*parts, value])

    return show_record
