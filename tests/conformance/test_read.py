"""Readers: positions, waiting, pausing, fairness."""

import math

import anyio
import pytest
from millpond.log.errors import OffsetOutOfRange
from millpond.log.interface import Log
from millpond.log.model import Isolation, TopicPartition
from millpond.tests.conformance.helpers import (
    ORDERS,
    OTHER,
    make_topic,
    new,
    read_values,
    some,
    values,
    values_of,
)

pytestmark = pytest.mark.anyio


async def test_reading_starts_in_the_middle_of_a_batch(log: Log) -> None:
    await make_topic(log)
    await (await log.producer()).append({ORDERS: some(10)})
    for offset in range(10):
        assert await values(log, offset=offset) == [b"v%d" % i for i in range(offset, 10)]


async def test_a_read_tells_the_end_and_the_epoch(log: Log) -> None:
    await make_topic(log)
    appended = await (await log.producer()).append({ORDERS: some(4)})
    reader = log.reader()
    reader.assign({ORDERS: 1})
    [fetched] = await reader.read()
    assert fetched.partition == ORDERS
    assert (fetched.next_offset, fetched.end_offset) == (4, 4)
    assert fetched.leader_epoch == appended[ORDERS].leader_epoch


async def test_a_reader_waits_until_something_comes(log: Log) -> None:
    await make_topic(log)
    producer = await log.producer()
    reader = log.reader()
    reader.assign({ORDERS: 0, OTHER: 0})

    async def append_soon() -> None:
        await anyio.sleep(0.02)
        await producer.append({OTHER: some(1)})

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(append_soon)
        [fetched] = await reader.read()
    assert (fetched.partition, values_of([fetched])) == (OTHER, [b"v0"])


async def test_waiting_ends_with_nothing(log: Log) -> None:
    await make_topic(log)
    reader = log.reader()
    reader.assign({ORDERS: 0})
    assert await reader.read(wait_max_s=0) == []
    started = anyio.current_time()
    assert await reader.read(wait_max_s=0.05) == []
    assert anyio.current_time() - started >= 0.04
    assert await log.reader().read(wait_max_s=0.01) == [], "nothing assigned, nothing comes"


async def test_a_cancelled_read_loses_nothing(log: Log) -> None:
    await make_topic(log)
    reader = log.reader()
    reader.assign({ORDERS: 0})
    with anyio.move_on_after(0.01):
        await reader.read()
    await (await log.producer()).append({ORDERS: some(2)})
    assert await read_values(reader, 2) == [b"v0", b"v1"]


async def test_a_paused_partition_keeps_its_position(log: Log) -> None:
    await make_topic(log)
    producer = await log.producer()
    reader = log.reader()
    reader.assign({ORDERS: 0, OTHER: 0})
    await producer.append({ORDERS: some(2, "a")})
    assert await read_values(reader, 2) == [b"a0", b"a1"]
    reader.pause([ORDERS])
    await producer.append({ORDERS: some(2, "b"), OTHER: some(1, "c")})
    assert await read_values(reader, 1) == [b"c0"]
    assert await reader.read(wait_max_s=0.01) == []
    reader.resume([ORDERS])
    assert await read_values(reader, 2) == [b"b0", b"b1"]


async def test_resuming_wakes_a_waiting_reader(log: Log) -> None:
    await make_topic(log)
    await (await log.producer()).append({ORDERS: some(1)})
    reader = log.reader()
    reader.assign({ORDERS: 0})
    reader.pause([ORDERS])

    async def resume_soon() -> None:
        await anyio.sleep(0.02)
        reader.resume([ORDERS])

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(resume_soon)
        with anyio.fail_after(5):
            assert await read_values(reader, 1) == [b"v0"]


async def test_assigning_replaces_what_was_assigned(log: Log) -> None:
    await make_topic(log)
    await (await log.producer()).append({ORDERS: some(3, "a"), OTHER: some(3, "b")})
    reader = log.reader()
    reader.assign({ORDERS: 0})
    reader.pause([ORDERS])
    reader.assign({OTHER: 1})
    assert await read_values(reader, 2) == [b"b1", b"b2"]
    assert await reader.read(wait_max_s=0.01) == []
    reader.assign({ORDERS: 2})
    assert await read_values(reader, 1) == [b"a2"], "nothing stays paused over an assignment"


async def test_a_small_read_still_gets_a_batch(log: Log) -> None:
    await make_topic(log)
    producer = await log.producer()
    for i in range(3):
        await producer.append({ORDERS: [new(b"%d" % i + b"x" * 1000)]})
    reader = log.reader()
    reader.assign({ORDERS: 0})
    sizes = [len(values_of(await reader.read(bytes_max=1))) for _ in range(3)]
    assert sizes == [1, 1, 1]


async def test_bytes_max_bounds_a_read(log: Log) -> None:
    await make_topic(log)
    producer = await log.producer()
    for i in range(40):
        await producer.append({ORDERS: [new(b"%d" % i + b"x" * 1000)]})
    reader = log.reader()
    reader.assign({ORDERS: 0})
    reads = 0
    found = 0
    while found < 40:
        some_values = values_of(await reader.read(bytes_max=10_000))
        assert 0 < len(some_values) <= 10
        found += len(some_values)
        reads += 1
    assert reads >= math.ceil(40 / 10)


async def test_a_full_partition_starves_no_other(log: Log) -> None:
    await make_topic(log, partitions=4)
    producer = await log.producer()
    partitions = [TopicPartition("orders", i) for i in range(4)]
    for _ in range(20):
        await producer.append({tp: [new(b"x" * 1000)] for tp in partitions})
    reader = log.reader()
    reader.assign(dict.fromkeys(partitions, 0))
    seen = dict.fromkeys(partitions, 0)
    while sum(seen.values()) < 40:
        for fetched in await reader.read(bytes_max=1500):
            seen[fetched.partition] += len(fetched.records)
    assert min(seen.values()) >= 8, seen


async def test_readers_do_not_disturb_each_other(log: Log) -> None:
    await make_topic(log)
    await (await log.producer()).append({ORDERS: some(5)})
    one, two = log.reader(), log.reader(Isolation.READ_UNCOMMITTED)
    one.assign({ORDERS: 0})
    two.assign({ORDERS: 3})
    assert await read_values(two, 2) == [b"v3", b"v4"]
    await two.aclose()
    await two.aclose()
    assert len(await read_values(one, 5)) == 5


@pytest.mark.parametrize("offset", [-1, 4, 1000])
async def test_a_position_outside_the_log_is_refused(log: Log, offset: int) -> None:
    await make_topic(log)
    await (await log.producer()).append({ORDERS: some(3)})
    reader = log.reader()
    reader.assign({ORDERS: offset})
    with pytest.raises(OffsetOutOfRange) as refused:
        await reader.read(wait_max_s=1)
    assert (refused.value.partition, refused.value.offset) == (ORDERS, offset)
    assert (refused.value.start, refused.value.end) == (0, 3)


async def test_offsets_are_found_by_time(log: Log) -> None:
    await make_topic(log)
    producer = await log.producer()
    await producer.append({ORDERS: [new(b"a", timestamp=t) for t in (100, 300, 200)]})
    await producer.append({ORDERS: [new(b"b", timestamp=t) for t in (250, 400)]})
    expected = {0: 0, 100: 0, 101: 1, 300: 1, 301: 4, 400: 4, 401: None}
    for timestamp, offset in expected.items():
        assert await log.offsets_for_times({ORDERS: timestamp}) == {ORDERS: offset}, timestamp
    assert await log.offsets_for_times({OTHER: 0}) == {OTHER: None}
