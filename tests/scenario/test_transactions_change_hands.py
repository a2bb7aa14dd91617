"""One transactional id, used by the log in this process and by clients of a broker, in turns."""

import copy

import pytest
from millpond.log.coordinator.transaction_state import Identity
from millpond.log.embedded import EmbeddedLog
from millpond.log.model import CommittedOffset, NewRecord, TopicPartition, TopicSpec
from millpond.log.shell.memory_disk import MemoryDisk
from millpond.log.wire.error_codes import ErrorCode

from tests.twins.node_world import NodeWorld
from tests.twins.transactional_client import NEW, OLD, Writer, visible

pytestmark = pytest.mark.anyio

ORDERS = TopicPartition("orders", 0)
NONE = ErrorCode.NONE


async def embedded_commits(disk: MemoryDisk, *values: bytes) -> MemoryDisk:
    """Let an app commit, and fail the power beneath it; return what is left."""
    async with EmbeddedLog.open("memory", disk=disk) as log:
        if not await log.describe_topics(["orders"]):
            await log.create_topics([TopicSpec("orders", 1)])
        producer = await log.transactional_producer("w")
        for value in values:
            await producer.commit(
                {ORDERS: [NewRecord(None, value, 1)]},
                group="g",
                offsets={ORDERS: CommittedOffset(1)},
            )
        left = copy.deepcopy(disk)
    left.crash(lose_unsynced=True)
    return left


@pytest.mark.parametrize("protocol", [OLD, NEW])
async def test_no_epoch_is_given_twice(protocol: str) -> None:
    disk = MemoryDisk()
    seen: list[Identity] = []
    for turn in range(3):
        disk = await embedded_commits(disk, b"%d a" % turn, b"%d b" % turn)
        world = NodeWorld(disk=disk)
        writer = Writer(world, "w", protocol=protocol)
        assert writer.init() is NONE
        seen.append(writer.identity)
        for name in (b"c", b"d"):
            if protocol == OLD:
                writer.add(ORDERS)
            assert writer.write(ORDERS, b"%d " % turn + name) is NONE
            assert writer.end(commit=True) is NONE
        expected = [
            b"%d " % each + name for each in range(turn + 1) for name in (b"a", b"b", b"c", b"d")
        ]
        assert visible(world, ORDERS) == expected
        disk.crash(lose_unsynced=True)
    assert seen == sorted(set(seen))


async def test_the_log_in_this_process_aborts_what_a_client_left_open() -> None:
    disk = await embedded_commits(MemoryDisk(), b"1")
    world = NodeWorld(disk=disk)
    writer = Writer(world, "w")
    writer.init()
    writer.add(ORDERS)
    writer.write(ORDERS, b"left open")
    disk.crash(lose_unsynced=True)
    disk = await embedded_commits(disk, b"2")
    assert visible(NodeWorld(disk=disk), ORDERS) == [b"1", b"2"]
