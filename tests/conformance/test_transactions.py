"""One commit: all its records and offsets, or none of them; one writer at a time."""

from functools import partial

import anyio
import anyio.lowlevel
import pytest
from millpond.log.cluster.cluster_log import ClusterLog
from millpond.log.errors import Fenced, RecordTooLarge
from millpond.log.interface import Log, TransactionalProducer
from millpond.log.model import CommittedOffset, Isolation
from millpond.tests.conformance.helpers import (
    ORDERS,
    OTHER,
    eventually,
    has_no_open_transaction,
    make_topic,
    new,
    read_all,
    read_values,
    some,
    values,
)

pytestmark = pytest.mark.anyio


async def test_a_commit_is_visible_when_it_returns(log: Log) -> None:
    await make_topic(log)
    producer = await log.transactional_producer("task-0")
    appended = await producer.commit(
        {ORDERS: some(3), OTHER: some(2, "w")},
        group="readers",
        offsets={ORDERS: CommittedOffset(7, 3, "so far")},
    )
    assert (appended[ORDERS].base_offset, appended[ORDERS].next_offset) == (0, 3)
    assert (appended[OTHER].base_offset, appended[OTHER].next_offset) == (0, 2)
    assert await values(log) == [b"v0", b"v1", b"v2"]
    assert await values(log, OTHER) == [b"w0", b"w1"]
    committed = await log.committed_offsets("readers")
    assert committed == {ORDERS: CommittedOffset(7, 3, "so far")}


async def test_next_offset_moves_past_the_marker(log: Log) -> None:
    await make_topic(log)
    producer = await log.transactional_producer("task-0")
    await producer.commit({ORDERS: some(3)}, group="readers", offsets={})
    if isinstance(log, ClusterLog):
        await eventually(partial(has_no_open_transaction, log, ORDERS))
    end = (await log.end_offsets([ORDERS]))[ORDERS]
    found = await read_all(log)
    assert found[-1].next_offset == end == found[-1].end_offset == 4
    await producer.commit({ORDERS: some(1, "w")}, group="readers", offsets={})
    assert [r.offset for f in await read_all(log) for r in f.records] == [0, 1, 2, 4]


async def test_many_commits_of_one_producer_follow_each_other(log: Log) -> None:
    await make_topic(log)
    producer = await log.transactional_producer("task-0")
    for i in range(20):
        offsets = {OTHER: CommittedOffset(i + 1)}
        await producer.commit({ORDERS: [new(b"%d" % i)]}, group="g", offsets=offsets)
    assert await values(log) == [b"%d" % i for i in range(20)]
    assert await log.committed_offsets("g") == {OTHER: CommittedOffset(20)}


async def test_commits_in_flight_on_one_producer_keep_their_order(log: Log) -> None:
    await make_topic(log)
    producer = await log.transactional_producer("task-0")

    async def commit(number: int) -> None:
        offsets = {OTHER: CommittedOffset(number)}
        await producer.commit({ORDERS: [new(b"%d" % number)]}, group="g", offsets=offsets)

    async with anyio.create_task_group() as tasks:
        for number in range(20):
            tasks.start_soon(commit, number)
            await anyio.lowlevel.checkpoint()  # it has called `commit` now, but nothing more
    assert await values(log) == [b"%d" % number for number in range(20)]
    assert await log.committed_offsets("g") == {OTHER: CommittedOffset(19)}


async def test_a_commit_of_offsets_alone(log: Log) -> None:
    await make_topic(log)
    producer = await log.transactional_producer("task-0")
    done = await producer.commit({}, group="g", offsets={ORDERS: CommittedOffset(5)})
    assert done == {}
    assert await log.committed_offsets("g", [ORDERS]) == {ORDERS: CommittedOffset(5)}
    assert await log.committed_offsets("g") == {ORDERS: CommittedOffset(5)}
    assert await log.end_offsets([ORDERS]) == {ORDERS: 0}


async def test_a_commit_of_nothing(log: Log) -> None:
    await make_topic(log)
    producer = await log.transactional_producer("task-0")
    assert await producer.commit({}, group="g", offsets={}) == {}
    assert await producer.commit({ORDERS: []}, group="g", offsets={}) == {}
    assert await log.groups() == []
    assert await log.end_offsets([ORDERS]) == {ORDERS: 0}


async def test_a_zombie_is_fenced_and_leaves_no_trace(log: Log) -> None:
    await make_topic(log)
    zombie = await log.transactional_producer("task-0")
    await zombie.commit({ORDERS: [new(b"old")]}, group="g", offsets={ORDERS: CommittedOffset(1)})
    owner = await log.transactional_producer("task-0")
    for _ in range(2):
        with pytest.raises(Fenced):
            await zombie.commit(
                {ORDERS: [new(b"stray")]}, group="g", offsets={ORDERS: CommittedOffset(99)}
            )
    await owner.commit({ORDERS: [new(b"new")]}, group="g", offsets={ORDERS: CommittedOffset(2)})
    assert await values(log) == [b"old", b"new"]
    assert b"stray" not in await values(log, isolation=Isolation.READ_UNCOMMITTED)
    assert await log.committed_offsets("g") == {ORDERS: CommittedOffset(2)}


async def test_producers_of_other_ids_do_not_disturb_each_other(log: Log) -> None:
    await make_topic(log)
    first = await log.transactional_producer("task-0")
    second = await log.transactional_producer("task-1")

    async def write(producer: TransactionalProducer, prefix: str) -> None:
        for i in range(10):
            await producer.commit({ORDERS: some(3, f"{prefix}{i}.")}, group=prefix, offsets={})

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(write, first, "a")
        tasks.start_soon(write, second, "b")
    found = await values(log)
    for prefix in "ab":
        mine = [value for value in found if value and value.startswith(prefix.encode())]
        assert mine == [f"{prefix}{i}.{j}".encode() for i in range(10) for j in range(3)]


async def test_a_waiting_reader_gets_each_commit_once_and_in_order(log: Log) -> None:
    await make_topic(log)
    producer = await log.transactional_producer("task-0")
    reader = log.reader()
    reader.assign({ORDERS: 0})

    async def write() -> None:
        for i in range(10):
            await producer.commit({ORDERS: some(3, f"{i}.")}, group="g", offsets={})

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(write)
        found = await read_values(reader, 30)
    assert found == [f"{i}.{j}".encode() for i in range(10) for j in range(3)]


async def test_a_refused_commit_leaves_the_producer_usable(log: Log) -> None:
    await make_topic(log, max_message_bytes="1000")
    producer = await log.transactional_producer("task-0")
    with pytest.raises(RecordTooLarge):
        await producer.commit(
            {ORDERS: some(1), OTHER: [new(b"x" * 2000)]},
            group="g",
            offsets={ORDERS: CommittedOffset(1)},
        )
    assert await values(log) == []
    assert await log.groups() == []
    await producer.commit({ORDERS: some(1)}, group="g", offsets={})
    assert await values(log) == [b"v0"]


async def test_a_commit_larger_than_one_batch_is_still_one_transaction(log: Log) -> None:
    await make_topic(log)
    producer = await log.transactional_producer("task-0")
    big = [new(b"%d" % i + b"x" * 10_000) for i in range(300)]
    done = await producer.commit({ORDERS: big}, group="g", offsets={})
    assert (done[ORDERS].base_offset, done[ORDERS].next_offset) == (0, 300)
    assert await values(log) == [record.value for record in big]
