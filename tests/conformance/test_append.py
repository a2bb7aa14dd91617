"""Records are appended in order, whole, and come back as they were."""

import anyio
import anyio.lowlevel
import pytest
from millpond.log.errors import RecordTooLarge
from millpond.log.interface import Log
from millpond.log.model import Appended, Compression, NewRecord
from millpond.tests.conformance.helpers import (
    ORDERS,
    OTHER,
    TIME,
    make_topic,
    new,
    read_all,
    some,
    values,
)

pytestmark = pytest.mark.anyio


async def test_offsets_count_from_zero_without_gaps(log: Log) -> None:
    await make_topic(log)
    producer = await log.producer()
    first = (await producer.append({ORDERS: some(3)}))[ORDERS]
    second = (await producer.append({ORDERS: some(2)}))[ORDERS]
    assert (first.base_offset, first.next_offset) == (0, 3)
    assert (second.base_offset, second.next_offset) == (3, 5)
    assert [r.offset for f in await read_all(log) for r in f.records] == [0, 1, 2, 3, 4]
    assert await log.end_offsets([ORDERS, OTHER]) == {ORDERS: 5, OTHER: 0}


async def test_one_call_appends_to_many_partitions(log: Log) -> None:
    await make_topic(log)
    await make_topic(log, "payments", 1)
    producer = await log.producer()
    payments = ORDERS._replace(topic="payments")
    appended = await producer.append(
        {ORDERS: some(2, "a"), OTHER: some(3, "b"), payments: some(1, "c")}
    )
    assert {tp: one.next_offset for tp, one in appended.items()} == {
        ORDERS: 2,
        OTHER: 3,
        payments: 1,
    }
    assert await values(log, OTHER) == [b"b0", b"b1", b"b2"]
    assert await values(log, payments) == [b"c0"]


@pytest.mark.parametrize("compression", list(Compression))
async def test_a_record_comes_back_as_it_was(log: Log, compression: Compression) -> None:
    records = [
        NewRecord(b"key", b"value", TIME, (("trace", b"\x00\xff"), ("trace", b"again"))),
        NewRecord(None, b"no key", TIME + 5),
        NewRecord(b"no value", None, TIME - 5, (("null", None), ("ключ", b""))),
        NewRecord(b"", b"", 1),
    ]
    await make_topic(log)
    await (await log.producer()).append({ORDERS: records}, compression=compression)
    found = [record for fetched in await read_all(log) for record in fetched.records]
    assert [(r.key, r.value, r.timestamp) for r in found] == [r[:3] for r in records]
    assert [tuple(r.headers) for r in found] == [tuple(r.headers) for r in records]


async def test_the_first_moment_of_1970_is_a_timestamp(log: Log, setting: tuple[str, str]) -> None:
    await make_topic(log)
    await (await log.producer()).append({ORDERS: [NewRecord(None, b"v", 0)]})
    [[record]] = [fetched.records for fetched in await read_all(log)]
    # Not so on a cluster: librdkafka takes 0 for "now", so it gets the next millisecond.
    assert record.timestamp == (1 if setting[1] == "cluster" else 0)


async def test_a_plain_tuple_serves_as_a_record(log: Log) -> None:
    await make_topic(log)
    plain: list[NewRecord] = [(b"k", b"v", TIME, ())]  # type: ignore[list-item]
    await (await log.producer()).append({ORDERS: plain})
    assert await values(log) == [b"v"]


async def test_nothing_to_append_appends_nothing(log: Log) -> None:
    await make_topic(log)
    producer = await log.producer()
    assert await producer.append({}) == {}
    assert await producer.append({ORDERS: []}) == {}
    assert await log.end_offsets([ORDERS]) == {ORDERS: 0}


async def test_a_large_append_is_split_and_stays_in_order(log: Log) -> None:
    await make_topic(log)
    producer = await log.producer()
    records = [new(b"%d " % i + b"x" * (i * 37 % 20_000)) for i in range(400)]
    appended = (await producer.append({ORDERS: records}))[ORDERS]
    assert (appended.base_offset, appended.next_offset) == (0, 400)
    assert await values(log) == [record.value for record in records]


async def test_a_record_too_large_spoils_the_whole_call(log: Log) -> None:
    await make_topic(log, max_message_bytes="1000")
    producer = await log.producer()
    with pytest.raises(RecordTooLarge):
        await producer.append({OTHER: some(1), ORDERS: [new(b"fine"), new(b"x" * 1001)]})
    assert await log.end_offsets([ORDERS, OTHER]) == {ORDERS: 0, OTHER: 0}
    await producer.append({ORDERS: some(1)})
    assert await values(log) == [b"v0"], "the producer goes on"


async def test_calls_in_flight_keep_their_order(log: Log) -> None:
    await make_topic(log)
    producer = await log.producer()
    done: dict[int, Appended] = {}

    async def append(number: int) -> None:
        done[number] = (await producer.append({ORDERS: [new(b"%d" % number)]}))[ORDERS]

    async with anyio.create_task_group() as tasks:
        for number in range(50):
            tasks.start_soon(append, number)
            await anyio.lowlevel.checkpoint()  # it has called `append` now, but nothing more
    assert [done[number].base_offset for number in range(50)] == list(range(50))
    assert await values(log) == [b"%d" % number for number in range(50)]


async def test_two_producers_share_a_partition(log: Log) -> None:
    await make_topic(log)
    one, two = await log.producer(), await log.producer()
    for i in range(5):
        await one.append({ORDERS: [new(b"one%d" % i)]})
        await two.append({ORDERS: [new(b"two%d" % i)]})
    assert await values(log) == [b"%s%d" % (w, i) for i in range(5) for w in (b"one", b"two")]


async def test_a_producer_goes_on_when_its_topic_was_made_anew(log: Log) -> None:
    await make_topic(log)
    producer = await log.producer()
    await producer.append({ORDERS: some(3, "old")})
    await log.delete_topics(["orders"])
    await make_topic(log)
    await producer.append({ORDERS: some(2, "new")})
    assert await values(log) == [b"new0", b"new1"]
