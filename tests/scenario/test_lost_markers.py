"""Markers are not synced by themselves; losing them must lose nothing else."""

import copy

import pytest
from millpond.log.embedded import EmbeddedLog
from millpond.log.model import CommittedOffset, NewRecord, TopicPartition, TopicSpec
from millpond.log.shell.memory_disk import MemoryDisk

pytestmark = pytest.mark.anyio

PARTITIONS = [TopicPartition("orders", number) for number in range(6)]


def record() -> NewRecord:
    return NewRecord(b"key", b"value", 1)


async def test_a_commit_outlives_its_markers_when_others_sync_the_decision_log() -> None:
    """Each producer writes elsewhere, but their decisions may share a file, which others sync."""
    disk = MemoryDisk()
    async with EmbeddedLog.open("memory", disk=disk) as log:
        await log.create_topics([TopicSpec("orders", len(PARTITIONS))])
        for partition in PARTITIONS:
            producer = await log.transactional_producer(f"writer-{partition.partition}")
            await producer.commit(
                {partition: [record()]}, group="g", offsets={partition: CommittedOffset(7)}
            )
        after_power_cut = copy.deepcopy(disk)
    after_power_cut.crash(lose_unsynced=True)
    async with EmbeddedLog.open("memory", disk=after_power_cut) as log:
        offsets = await log.committed_offsets("g")
        ends = await log.end_offsets(PARTITIONS)
    assert {partition: offsets[partition].offset for partition in PARTITIONS} == dict.fromkeys(
        PARTITIONS, 7
    )
    assert all(end >= 2 for end in ends.values())


async def test_a_commit_outlives_its_markers_when_its_producer_goes_on_elsewhere() -> None:
    disk = MemoryDisk()
    async with EmbeddedLog.open("memory", disk=disk) as log:
        await log.create_topics([TopicSpec("orders", len(PARTITIONS))])
        producer = await log.transactional_producer("writer")
        for partition in PARTITIONS:
            await producer.commit({partition: [record()]}, group="g", offsets={})
            crashed = copy.deepcopy(disk)
            crashed.crash(lose_unsynced=True)
            async with EmbeddedLog.open("memory", disk=crashed) as survivor:
                ends = await survivor.end_offsets(PARTITIONS)
            written = PARTITIONS[: partition.partition + 1]
            assert [ends[each] for each in written] == [2] * len(written)
