"""Groups remember how far they are."""

import anyio
import anyio.lowlevel
import pytest
from millpond.log.errors import RecordTooLarge
from millpond.log.interface import Log
from millpond.log.model import CommittedOffset
from millpond.tests.conformance.helpers import ORDERS, OTHER, make_topic

pytestmark = pytest.mark.anyio


async def test_a_committed_offset_comes_back_whole(log: Log) -> None:
    await make_topic(log)
    committed = {ORDERS: CommittedOffset(7, 3, '{"é": 1}'), OTHER: CommittedOffset(0)}
    await log.commit_offsets("readers", committed)
    assert await log.committed_offsets("readers") == committed
    assert await log.committed_offsets("readers", [OTHER]) == {OTHER: CommittedOffset(0, -1, "")}
    assert await log.committed_offsets("strangers") == {}


async def test_the_last_commit_counts_for_each_partition(log: Log) -> None:
    await make_topic(log)
    await log.commit_offsets("readers", {ORDERS: CommittedOffset(7), OTHER: CommittedOffset(1)})
    await log.commit_offsets("readers", {ORDERS: CommittedOffset(5)})
    assert await log.committed_offsets("readers") == {
        ORDERS: CommittedOffset(5),
        OTHER: CommittedOffset(1),
    }


async def test_groups_are_listed_sorted(log: Log) -> None:
    await make_topic(log)
    for group in ("zebra", "ant", "größe", "bee"):
        await log.commit_offsets(group, {ORDERS: CommittedOffset(1)})
    await log.commit_offsets("nothing", {})
    assert await log.groups() == ["ant", "bee", "größe", "zebra"]


async def test_a_deleted_group_begins_anew(log: Log) -> None:
    await make_topic(log)
    for group in ("readers", "others"):
        await log.commit_offsets(group, {ORDERS: CommittedOffset(7), OTHER: CommittedOffset(1)})
    await log.delete_groups(["readers", "strangers"])
    assert await log.groups() == ["others"]
    assert await log.committed_offsets("readers") == {}
    await log.commit_offsets("readers", {ORDERS: CommittedOffset(2)})
    assert await log.committed_offsets("readers") == {ORDERS: CommittedOffset(2)}


async def test_commits_at_the_same_time_count_in_their_order(log: Log) -> None:
    await make_topic(log)

    async def commit(number: int) -> None:
        await log.commit_offsets("readers", {ORDERS: CommittedOffset(number)})

    async with anyio.create_task_group() as tasks:
        for number in range(20):
            tasks.start_soon(commit, number)
            await anyio.lowlevel.checkpoint()
    assert await log.committed_offsets("readers") == {ORDERS: CommittedOffset(19)}


async def test_metadata_is_bounded(log: Log, setting: tuple[str, str]) -> None:
    await make_topic(log)
    most = 4095 if setting[1] == "cluster" else 4096  # confluent-kafka appends a zero byte
    await log.commit_offsets("readers", {ORDERS: CommittedOffset(1, metadata="m" * most)})
    for metadata in ("m" * 4097, "é" * 2049):
        with pytest.raises(RecordTooLarge):
            await log.commit_offsets("readers", {ORDERS: CommittedOffset(2, metadata=metadata)})
    producer = await log.transactional_producer("task-0")
    with pytest.raises(RecordTooLarge):
        await producer.commit(
            {}, group="readers", offsets={ORDERS: CommittedOffset(2, metadata="m" * 4097)}
        )
    assert (await log.committed_offsets("readers"))[ORDERS].offset == 1
