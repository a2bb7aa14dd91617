"""Damage that appears after the log was opened is reported with its place, and never delivered."""

import pytest
from millpond.log.embedded import EmbeddedLog
from millpond.log.errors import CorruptRecord
from millpond.log.model import NewRecord, TopicPartition, TopicSpec
from millpond.log.shell.memory_disk import MemoryDisk

pytestmark = pytest.mark.anyio

PARTITION = TopicPartition("orders", 0)
FILE = "orders-0/00000000000000000000.log"


async def test_a_flipped_bit_is_found_when_it_is_read() -> None:
    disk = MemoryDisk()
    async with EmbeddedLog.open("", disk=disk) as log:
        await log.create_topics([TopicSpec("orders", 1)])
        producer = await log.producer()
        first = await producer.append({PARTITION: [NewRecord(b"k", b"good", 1)]})
        size = disk.open(FILE).size
        await producer.append({PARTITION: [NewRecord(b"k", b"soon bad", 2)]})
        disk.flip_bit(FILE, size + 70, 3)
        reader = log.reader()
        reader.assign({PARTITION: first[PARTITION].next_offset})
        with pytest.raises(CorruptRecord) as damage:
            await reader.read()
    assert (damage.value.file, damage.value.position) == (FILE, size)


async def test_a_removed_topic_leaves_no_recovery_point_to_its_namesake() -> None:
    disk = MemoryDisk()
    async with EmbeddedLog.open("", disk=disk) as log:
        await log.create_topics([TopicSpec("orders", 1)])
        producer = await log.producer()
        for _ in range(5):
            await producer.append({PARTITION: [NewRecord(b"k", b"old", 1)]})
    async with EmbeddedLog.open("", disk=disk) as log:
        await log.delete_topics(["orders"])
        await log.create_topics([TopicSpec("orders", 1)])
        producer = await log.producer()
        await producer.append({PARTITION: [NewRecord(b"k", b"new", 1)]})
        disk.crash(lose_unsynced=False)
        async with EmbeddedLog.open("", disk=disk) as survivor:
            assert await survivor.end_offsets([PARTITION]) == {PARTITION: 1}
