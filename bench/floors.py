"""The floor: the loops that one would write by hand, with the same codecs on the same log.

A floor reads the same embedded log through the same kind of reader, in reads of the same size, decodes
values with the same msgspec decoder, does the same computation with a dict, and encodes and appends
the same output records to a synced log, waiting for each append. That is all that the job itself
costs, so the ratio to it says what the framework costs.

What a floor does *not* do is what one gives up by hand-writing the loop: it commits no progress, keeps
no state but in its memory, writes no changelog, has no transaction, and a crash loses or repeats
whatever it likes. So a ratio near 100% for counts and windows is out of reach on purpose: the
remainder is the price of exactly-once.
"""

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import msgspec
from millpond.log.embedded import EmbeddedLog
from millpond.log.interface import Log, Producer, Reader
from millpond.log.model import NewRecord, TopicPartition, TopicSpec

from .events import AMOUNT_MAX, EVENTS, Event
from .measure import Measured, Meter, Work
from .pipelines import GRACE, WINDOW, Sum

READ_BYTES = 1 << 20
WINDOW_MS = int(WINDOW.total_seconds() * 1000)
GRACE_MS = int(GRACE.total_seconds() * 1000)


async def stateless(work: Work) -> Measured:
    async with EmbeddedLog.open(work.directory / "log") as log:
        reader, producer, output = await _open(log, work)
        decode, encode = _codec()
        meter, done = Meter().start(), 0
        while done < work.count:
            for fetched in await reader.read(bytes_max=READ_BYTES):
                records = fetched.records
                kept: list[Any] = []
                for record in records:
                    event = decode(record.value)
                    if event.amount < AMOUNT_MAX:
                        kept.append((event.user.encode(), encode(event), record.timestamp, ()))
                await producer.append({output: kept})
                done += len(records)
        return meter.stop(done)


async def count(work: Work) -> Measured:
    async with EmbeddedLog.open(work.directory / "log") as log:
        reader, _, _ = await _open(log, work)
        decode, _ = _codec()
        counts: dict[str, int] = defaultdict(int)
        meter, done = Meter().start(), 0
        while done < work.count:
            for fetched in await reader.read(bytes_max=READ_BYTES):
                records = fetched.records
                for record in records:
                    counts[decode(record.value).user] += 1
                done += len(records)
        measured = meter.stop(done)
        assert sum(counts.values()) == work.count
        return measured


async def window_sum(work: Work) -> Measured:
    async with EmbeddedLog.open(work.directory / "log") as log:
        reader, producer, output = await _open(log, work)
        decode, encode = _codec()
        windows: dict[int, dict[str, int]] = {}
        stream_time = 0
        meter, done = Meter().start(), 0
        while done < work.count:
            for fetched in await reader.read(bytes_max=READ_BYTES):
                records = fetched.records
                for record in records:
                    event = decode(record.value)
                    time = record.timestamp
                    if time > stream_time:
                        stream_time = time
                    start = time - time % WINDOW_MS
                    if start + WINDOW_MS + GRACE_MS <= stream_time:
                        continue
                    sums = windows.get(start)
                    if sums is None:
                        sums = windows[start] = defaultdict(int)
                    sums[event.user] += event.amount
                done += len(records)
                closed = stream_time - WINDOW_MS - GRACE_MS
                for start in [start for start in windows if start <= closed]:
                    finals: list[NewRecord] = [
                        NewRecord(user.encode(), encode(Sum(user, start, total)), start)
                        for user, total in windows.pop(start).items()
                    ]
                    await producer.append({output: finals})
        return meter.stop(done)


def _codec() -> tuple[Callable[[Any], Event], Callable[[Any], bytes]]:
    return msgspec.json.Decoder(Event).decode, msgspec.json.Encoder().encode


async def _open(log: Log, work: Work) -> tuple[Reader, Producer, TopicPartition]:
    output = TopicPartition(f"floor-{work.number}", 0)
    await log.create_topics([TopicSpec(output.topic, 1, config={"retention.ms": "-1"})])
    reader = log.reader()
    reader.assign({EVENTS: 0})
    return reader, await log.producer(), output
