"""Filling the topics from the files, so that a kill at any moment neither loses nor doubles a flight.

The log itself is the bookmark. A topic has this one writer, which always sends the same records in
the same order, and the log keeps the order of each partition. So what a partition holds is always
the *beginning* of what it is to hold, and its end offset says how many records that is: these are
passed over, and sending goes on behind them. There is no second place that could disagree.
"""

from collections.abc import Callable, Iterable
from typing import TypeVar

import anyio
import millpond as mp
from millpond.log.model import TopicPartition
from millpond.streams.engine.partitioner import Partitioner

from . import source
from .pipeline import Pipeline
from .records import Flight

V = TypeVar("V")


async def ingest(
    pipeline: Pipeline,
    flights: Iterable[Flight],
    *,
    flush_every: int = 4000,
    on_progress: Callable[[int], None] = lambda count: None,
) -> int:
    """Send all that is missing in the log; return how many flights that were, when it is durable.

    Args:
        pipeline: whose topics to fill. Its app must be running.
        flights: all of them, always in the same order.
        flush_every: flights between two waits for the log: keeps memory small, and lets others work.
        on_progress: is told how many flights the log has.
    """
    carriers, planes = dict(source.carriers()), dict(source.planes())
    await send_missing(pipeline.app, pipeline.carriers, carriers.items())
    await send_missing(pipeline.app, pipeline.planes, planes.items())
    # A flight must find its plane, so flights are sent when the tables know all of them.
    tables = pipeline.carriers_table, pipeline.planes_table
    while len(tables[0]) < len(carriers) or len(tables[1]) < len(planes):  # noqa: ASYNC110
        await anyio.sleep(0.01)
    keyed = ((flight.origin, flight) for flight in flights)
    return await send_missing(pipeline.app, pipeline.flights, keyed, flush_every, on_progress)


async def send_missing(
    app: mp.App,
    topic: mp.Topic[str, V],
    records: Iterable[tuple[str, V]],
    flush_every: int = 4000,
    on_progress: Callable[[int], None] = lambda count: None,
) -> int:
    """Send those of the records that the log does not have yet; see the top of this file."""
    assert topic.partitions is not None
    partition_of = Partitioner(topic.partitions).partition
    there = await app.running.log.end_offsets(
        TopicPartition(topic.name, number) for number in range(topic.partitions)
    )
    in_log = {partition: end for (_, partition), end in there.items()}
    count = sent = 0
    for count, (key, value) in enumerate(records, start=1):
        partition = partition_of(key.encode())
        if in_log[partition]:
            in_log[partition] -= 1
            continue
        await topic.send(key=key, value=value)
        sent += 1
        if sent % flush_every == 0:
            await app.flush()
            on_progress(count)
    await app.flush()
    on_progress(count)
    return sent
