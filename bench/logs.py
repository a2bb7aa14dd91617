"""What is measured of the embedded log by itself: durable appends, and reads.

Appends are of 100-byte values without keys, in calls of 4096 records, with eight calls in flight so
that one sync serves several. Their floor encodes the same batches and writes them to one plain file,
with one `fdatasync` for every eight when the log is to sync too. The floor of a fetch reads that much
from a plain file and decodes its batches.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import anyio
from millpond.log.embedded import EmbeddedLog
from millpond.log.model import NewRecord, TopicPartition, TopicSpec
from millpond.log.records import batches_in, decode_batch, encode_batch
from millpond.log.shell.flusher import Durability

from .measure import Measured, Meter, Work

VALUE_BYTES = 100
PER_CALL = 4096
IN_FLIGHT = 8
READ_BYTES = 1 << 20
FETCHED = TopicPartition("fetched", 0)
PLAIN_FILE = "plain.batches"


def calls(count: int) -> Iterator[int]:
    """Yield the number of records of each call."""
    while count > 0:
        yield min(count, PER_CALL)
        count -= PER_CALL


def make_records(count: int) -> list[NewRecord]:
    """Make the records of one call; they differ, as real ones do."""
    return [
        NewRecord(None, b"%020d" % number + bytes(VALUE_BYTES - 20), 1_700_000_000_000 + number)
        for number in range(count)
    ]


async def append_fsync(work: Work) -> Measured:
    return await _append(work, "fsync")


async def append_os(work: Work) -> Measured:
    return await _append(work, "os")


async def _append(work: Work, durability: Durability) -> Measured:
    topic = TopicPartition(f"appended-{work.number}", 0)
    records = make_records(PER_CALL)
    sizes = calls(work.count)
    async with EmbeddedLog.open(work.directory / "log", durability=durability) as log:
        await log.create_topics([TopicSpec(topic.topic, 1)])
        producer = await log.producer()

        async def append_in_turn() -> None:
            for size in sizes:
                await producer.append({topic: records[:size]})

        meter = Meter().start()
        async with anyio.create_task_group() as group:
            for _ in range(IN_FLIGHT):
                group.start_soon(append_in_turn)
        measured = meter.stop(work.count, work.count * VALUE_BYTES)
        assert (await log.end_offsets([topic]))[topic] == work.count
    return measured


async def append_fsync_floor(work: Work) -> Measured:
    return _write(work, sync=True)


async def append_os_floor(work: Work) -> Measured:
    return _write(work, sync=False)


def _write(work: Work, *, sync: bool) -> Measured:
    records = make_records(PER_CALL)
    path = work.directory / f"plain-{work.number}"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    try:
        meter = Meter().start()
        for number, size in enumerate(calls(work.count)):
            os.write(descriptor, encode_batch(records[:size]))
            if sync and number % IN_FLIGHT == IN_FLIGHT - 1:
                os.fdatasync(descriptor)
        if sync:
            os.fdatasync(descriptor)
        return meter.stop(work.count, work.count * VALUE_BYTES)
    finally:
        os.close(descriptor)
        path.unlink()


async def fill_fetched(work: Work) -> None:
    """Write what is to be read, into a log and into a plain file."""
    records = make_records(PER_CALL)
    async with EmbeddedLog.open(work.directory / "log", durability="os") as log:
        await log.create_topics([TopicSpec(FETCHED.topic, 1)])
        producer = await log.producer()
        with Path(work.directory, PLAIN_FILE).open("wb") as plain:  # noqa: ASYNC230
            for size in calls(work.count):
                await producer.append({FETCHED: records[:size]})
                plain.write(encode_batch(records[:size]))


async def fetch(work: Work) -> Measured:
    async with EmbeddedLog.open(work.directory / "log") as log:
        reader = log.reader()
        reader.assign({FETCHED: 0})
        meter, done, size = Meter().start(), 0, 0
        while done < work.count:
            for fetched in await reader.read(bytes_max=READ_BYTES):
                for record in fetched.records:
                    size += len(record.value or b"")
                done += len(fetched.records)
        return meter.stop(done, size)


async def fetch_floor(work: Work) -> Measured:
    return _read(work)


def _read(work: Work) -> Measured:
    with Path(work.directory, PLAIN_FILE).open("rb", buffering=0) as plain:
        meter, done, size, position = Meter().start(), 0, 0, 0
        while chunk := os.pread(plain.fileno(), READ_BYTES, position):
            for header, batch in batches_in(chunk):
                for record in decode_batch(batch):
                    size += len(record.value or b"")
                done += header.record_count
                position += header.size
        return meter.stop(done, size)
