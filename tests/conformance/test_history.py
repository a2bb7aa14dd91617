"""The beginning of a partition moves, and epochs tell whether a position is still on its history."""

import pytest
from millpond.log.errors import OffsetOutOfRange
from millpond.log.interface import Log
from millpond.tests.conformance.helpers import ORDERS, OTHER, make_topic, some, values

pytestmark = pytest.mark.anyio


async def test_deleted_records_are_gone_for_readers(log: Log) -> None:
    await make_topic(log)
    await (await log.producer()).append({ORDERS: some(5)})
    await log.delete_records({ORDERS: 3})
    assert await log.start_offsets([ORDERS, OTHER]) == {ORDERS: 3, OTHER: 0}
    assert await log.end_offsets([ORDERS]) == {ORDERS: 5}
    assert await values(log, offset=3) == [b"v3", b"v4"]
    reader = log.reader()
    reader.assign({ORDERS: 2})
    with pytest.raises(OffsetOutOfRange) as refused:
        await reader.read(wait_max_s=1)
    assert (refused.value.start, refused.value.end) == (3, 5)


async def test_the_start_never_moves_back(log: Log) -> None:
    await make_topic(log)
    await (await log.producer()).append({ORDERS: some(5)})
    await log.delete_records({ORDERS: 4})
    await log.delete_records({ORDERS: 2})
    assert await log.start_offsets([ORDERS]) == {ORDERS: 4}


async def test_everything_can_be_deleted_but_nothing_beyond(log: Log) -> None:
    await make_topic(log)
    producer = await log.producer()
    await producer.append({ORDERS: some(5)})
    with pytest.raises(OffsetOutOfRange):
        await log.delete_records({ORDERS: 6})
    await log.delete_records({ORDERS: 5})
    assert await log.start_offsets([ORDERS]) == {ORDERS: 5}
    appended = await producer.append({ORDERS: some(1, "w")})
    assert appended[ORDERS].base_offset == 5
    assert await values(log, offset=5) == [b"w0"]


async def test_deleted_records_are_not_found_by_time(log: Log) -> None:
    await make_topic(log)
    await (await log.producer()).append({ORDERS: some(5)})
    await log.delete_records({ORDERS: 3})
    assert await log.offsets_for_times({ORDERS: 0}) == {ORDERS: 3}


async def test_the_current_epoch_ends_where_the_log_ends(log: Log) -> None:
    await make_topic(log)
    appended = await (await log.producer()).append({ORDERS: some(5)})
    leader_epoch = appended[ORDERS].leader_epoch
    assert leader_epoch >= 0
    assert await log.epoch_end_offset(ORDERS, leader_epoch) == 5
    assert await log.epoch_end_offset(ORDERS, leader_epoch + 7) == 5
    assert await log.epoch_end_offset(ORDERS, -1) == -1
