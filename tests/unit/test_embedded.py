"""What only the embedded log has: one process, its directory, its disk."""

import copy
from collections.abc import Callable
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest
from millpond.log.broker.checkpoints import read_recovery_points
from millpond.log.embedded import EmbeddedLog
from millpond.log.errors import (
    ConfigError,
    DiskFailed,
    InvalidTransactionState,
    LogError,
    LogLocked,
)
from millpond.log.model import (
    CommittedOffset,
    Isolation,
    NewRecord,
    TopicPartition,
    TopicSpec,
)
from millpond.log.shell.memory_disk import MemoryDisk

pytestmark = pytest.mark.anyio

ORDERS = TopicPartition("orders", 0)
OTHER = TopicPartition("orders", 1)
TIME = 1_700_000_000_000


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.time = TIME

    def now(self) -> int:
        return self.time


def new(value: str) -> NewRecord:
    return NewRecord(b"key", value.encode(), TIME)


async def values(log: EmbeddedLog, isolation: Isolation = Isolation.READ_COMMITTED) -> list[str]:
    reader = log.reader(isolation)
    reader.assign(await log.start_offsets([ORDERS]))
    found = []
    while fetched := await reader.read(wait_max_s=0):
        found += [(r.value or b"").decode() for one in fetched for r in one.records]
    return found


async def until(condition: Callable[[], bool]) -> None:
    with anyio.fail_after(5):
        while not condition():  # noqa: ASYNC110 - it changes in the background
            await anyio.sleep(0.005)


def modification_times(directory: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in directory.rglob("*")}


async def test_everything_is_there_after_closing_and_opening(tmp_path: Path) -> None:
    directory = tmp_path / "data" / "log"
    async with EmbeddedLog.open(directory) as log:
        await log.create_topics([TopicSpec("orders", 2, config={"retention.ms": "-1"})])
        await (await log.producer()).append({ORDERS: [new("a")]})
        producer = await log.transactional_producer("task")
        await producer.commit(
            {ORDERS: [new("b")]}, group="g", offsets={OTHER: CommittedOffset(3, 0, "meta")}
        )
        described = await log.describe_topics()
    async with EmbeddedLog.open(str(directory)) as log:
        assert await log.describe_topics() == described
        assert await values(log) == ["a", "b"]
        assert await log.committed_offsets("g") == {OTHER: CommittedOffset(3, 0, "meta")}
        producer = await log.transactional_producer("task")
        await producer.commit({ORDERS: [new("c")]}, group="g", offsets={})
        assert await values(log) == ["a", "b", "c"]


async def test_a_second_log_on_the_directory_is_refused(tmp_path: Path) -> None:
    async with EmbeddedLog.open(tmp_path):
        with pytest.raises(LogLocked):
            async with EmbeddedLog.open(tmp_path):
                pytest.fail("two logs would write to the same files")
    async with EmbeddedLog.open(tmp_path):
        pass


async def test_a_directory_that_cannot_be_used_is_the_users_mistake(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in ("file", "no/such/log"):
        with pytest.raises(ConfigError, match=path):
            async with EmbeddedLog.open(tmp_path / path):
                pytest.fail("there is no such directory")
    for path in ("file", "nothing"):
        with pytest.raises(ConfigError, match=path):
            async with EmbeddedLog.open(tmp_path / path, read_only=True):
                pytest.fail("there is no such directory")


async def test_an_unknown_durability_is_the_users_mistake(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="fsync, interval, os"):
        async with EmbeddedLog.open(tmp_path, durability="always"):  # type: ignore[arg-type]
            pytest.fail("nobody knows what that promises")


async def test_reading_only_works_while_another_writes(tmp_path: Path) -> None:
    async with EmbeddedLog.open(tmp_path) as log:
        await log.create_topics([TopicSpec("orders", 1)])
        producer = await log.transactional_producer("task")
        await producer.commit({ORDERS: [new("a")]}, group="g", offsets={ORDERS: CommittedOffset(1)})
        async with EmbeddedLog.open(tmp_path, read_only=True) as watcher:
            assert await values(watcher) == ["a"]
            reader = watcher.reader()
            reader.assign(await watcher.end_offsets([ORDERS]))
            await producer.commit(
                {ORDERS: [new("b")]}, group="g", offsets={ORDERS: CommittedOffset(2)}
            )
            await log.create_topics([TopicSpec("later", 1)])
            assert await reader.read(wait_max_s=0) == []
            await watcher.refresh()
            assert await values(watcher) == ["a", "b"]
            [fetched] = await reader.read(wait_max_s=0)
            assert [record.value for record in fetched.records] == [b"b"]
            assert await watcher.committed_offsets("g") == {ORDERS: CommittedOffset(2)}
            assert set(await watcher.describe_topics()) == {"orders", "later"}


async def test_reading_only_changes_nothing(tmp_path: Path) -> None:
    async with EmbeddedLog.open(tmp_path) as log:
        await log.create_topics([TopicSpec("orders", 1)])
    before = modification_times(tmp_path)
    async with EmbeddedLog.open(tmp_path, read_only=True) as watcher:
        for change in (
            watcher.create_topics([TopicSpec("more", 1)]),
            watcher.delete_topics(["orders"]),
            watcher.delete_records({ORDERS: 0}),
            watcher.commit_offsets("g", {ORDERS: CommittedOffset(1)}),
            watcher.producer(),
            watcher.transactional_producer("task"),
        ):
            with pytest.raises(LogError, match="reading only"):
                await change
    assert modification_times(tmp_path) == before


async def test_what_the_user_raises_comes_out_as_it_is() -> None:
    with pytest.raises(ZeroDivisionError):
        async with EmbeddedLog.open("", disk=MemoryDisk()):
            raise ZeroDivisionError


async def test_a_closed_log_says_so() -> None:
    async with EmbeddedLog.open("", disk=MemoryDisk()) as log:
        await log.create_topics([TopicSpec("orders", 1)])
        producer = await log.producer()
        reader = log.reader()
        reader.assign({ORDERS: 0})
    with pytest.raises(LogError, match="closed"):
        await producer.append({ORDERS: [new("late")]})
    with pytest.raises(LogError, match="closed"):
        await reader.read()
    with pytest.raises(LogError, match="closed"):
        await log.create_topics([TopicSpec("late", 1)])


async def test_each_opening_has_its_own_leader_epoch() -> None:
    disk = MemoryDisk()
    async with EmbeddedLog.open("", disk=disk) as log:
        await log.create_topics([TopicSpec("orders", 1)])
        first = (await (await log.producer()).append({ORDERS: [new("a")]}))[ORDERS]
    async with EmbeddedLog.open("", disk=disk) as log:
        second = (await (await log.producer()).append({ORDERS: [new("b"), new("c")]}))[ORDERS]
        assert second.leader_epoch > first.leader_epoch
        assert await log.epoch_end_offset(ORDERS, first.leader_epoch) == 1
        assert await log.epoch_end_offset(ORDERS, second.leader_epoch) == 3


async def test_a_position_behind_a_lost_marker_stays_good() -> None:
    """The marker isn't synced; it is written again in its old place, in the old epoch."""
    disk = MemoryDisk()
    async with EmbeddedLog.open("", disk=disk) as log:
        await log.create_topics([TopicSpec("orders", 1)])
        producer = await log.transactional_producer("task")
        appended = (await producer.commit({ORDERS: [new("a")]}, group="g", offsets={}))[ORDERS]
        behind_marker = (await log.end_offsets([ORDERS]))[ORDERS]
        crashed = copy.deepcopy(disk)
    crashed.crash(lose_unsynced=True)
    async with EmbeddedLog.open("", disk=crashed) as log:
        assert behind_marker == 2
        assert await log.epoch_end_offset(ORDERS, appended.leader_epoch) == behind_marker
        assert await values(log) == ["a"]


async def test_a_failed_sync_stops_the_log_and_wakes_its_readers() -> None:
    disk = MemoryDisk()
    async with EmbeddedLog.open("", disk=disk) as log:
        await log.create_topics([TopicSpec("orders", 1)])
        producer = await log.producer()
        await producer.append({ORDERS: [new("a")]})
        reader = log.reader()
        reader.assign({ORDERS: 1})

        async def wait_for_more() -> None:
            with pytest.raises(DiskFailed):
                await reader.read()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait_for_more)
            await anyio.wait_all_tasks_blocked()
            disk.fail_after("sync")
            with pytest.raises(DiskFailed):
                await producer.append({ORDERS: [new("b")]})
        with pytest.raises(DiskFailed, match="stopped"):
            await producer.append({ORDERS: [new("c")]})
        with pytest.raises(DiskFailed, match="stopped"):
            await log.transactional_producer("task")
    disk.crash(lose_unsynced=True)
    async with EmbeddedLog.open("", disk=disk) as log:
        assert await values(log) == ["a"]


async def test_after_a_full_disk_the_next_producer_decides() -> None:
    """A write that fails is not the end of the log, but of the transaction."""
    disk = MemoryDisk()
    async with EmbeddedLog.open("", disk=disk) as log:
        await log.create_topics([TopicSpec("orders", 2)])
        await (await log.producer()).append({ORDERS: [new("first")], OTHER: [new("first")]})
        producer = await log.transactional_producer("task")
        disk.fail_after("write", 1)
        offsets = {ORDERS: CommittedOffset(1)}
        with pytest.raises(DiskFailed):
            await producer.commit(
                {ORDERS: [new("half")], OTHER: [new("half")]}, group="g", offsets=offsets
            )
        with pytest.raises(InvalidTransactionState, match="new producer"):
            await producer.commit({ORDERS: [new("more")]}, group="g", offsets=offsets)
        assert await values(log) == ["first"]
        producer = await log.transactional_producer("task")
        assert await log.committed_offsets("g") == {}
        await producer.commit({ORDERS: [new("whole")]}, group="g", offsets=offsets)
        assert await values(log) == ["first", "whole"]
        assert await values(log, Isolation.READ_UNCOMMITTED) == ["first", "half", "whole"]
        assert await log.committed_offsets("g") == offsets


async def test_a_commit_once_begun_is_not_cancelled(tmp_path: Path) -> None:
    async with EmbeddedLog.open(tmp_path) as log:
        await log.create_topics([TopicSpec("orders", 1)])
        producer = await log.transactional_producer("task")
        with anyio.CancelScope() as scope:

            async def cancel_soon() -> None:
                scope.cancel()

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(cancel_soon)
                await producer.commit(
                    {ORDERS: [new("a")]}, group="g", offsets={ORDERS: CommittedOffset(1)}
                )
        assert await values(log) == ["a"]
        assert await log.committed_offsets("g") == {ORDERS: CommittedOffset(1)}
        await producer.commit({ORDERS: [new("b")]}, group="g", offsets={})
        assert await values(log) == ["a", "b"]


async def test_topics_may_go_in_the_middle_of_commits(tmp_path: Path) -> None:
    async with EmbeddedLog.open(tmp_path) as log:
        producer = await log.transactional_producer("task")
        gone = TopicPartition("gone", 0)
        for _ in range(5):
            await log.create_topics([TopicSpec("orders", 1), TopicSpec("gone", 1)])

            async def commit() -> None:
                offsets = {gone: CommittedOffset(1)}
                records = {ORDERS: [new("kept")], gone: [new("lost")]}
                await producer.commit(records, group="g", offsets=offsets)

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(commit)
                await anyio.lowlevel.checkpoint()
                tasks.start_soon(log.delete_topics, ["gone"])
            assert await values(log) == ["kept"]
            assert await log.committed_offsets("g") == {}
            assert tmp_path / "gone-0" not in modification_times(tmp_path)
            await log.delete_topics(["orders"])


async def test_commits_of_many_producers_share_syncs(tmp_path: Path) -> None:
    """32 producers commit at once: far fewer rounds of syncs than two for each."""
    rounds = 0
    async with EmbeddedLog.open(tmp_path) as log:
        await log.create_topics([TopicSpec("orders", 2)])
        producers = [await log.transactional_producer(f"task-{i}") for i in range(32)]
        begin = log.flusher._begin

        def counted() -> None:
            nonlocal rounds
            rounds += 1
            begin()

        log.flusher._begin = counted  # type: ignore[method-assign]

        async def commit(number: int) -> None:
            await producers[number].commit({ORDERS: [new(f"{number}")]}, group="g", offsets={})

        async with anyio.create_task_group() as tasks:
            for number in range(32):
                tasks.start_soon(commit, number)
        assert sorted(map(int, await values(log))) == list(range(32))
    assert rounds <= 8


async def test_an_open_transaction_is_aborted_when_its_time_is_up() -> None:
    disk, clock = MemoryDisk(), Clock()
    async with EmbeddedLog.open("", disk=disk, clock=clock, upkeep_interval_s=0.01) as log:
        await log.create_topics([TopicSpec("orders", 2)])
        await (await log.producer()).append({ORDERS: [new("first")], OTHER: [new("first")]})
        producer = await log.transactional_producer("task")
        disk.fail_after("write", 1)
        with pytest.raises(DiskFailed):
            await producer.commit(
                {ORDERS: [new("half")], OTHER: [new("half")]}, group="g", offsets={}
            )
        bystander = await log.producer()
        await bystander.append({ORDERS: [new("behind")]})
        assert await values(log) == ["first"], "an open transaction holds back what is behind it"
        clock.time += 60_001
        await until(lambda: log.broker.partition(ORDERS).last_stable_offset > 1)
        assert await values(log) == ["first", "behind"]


async def test_upkeep_applies_retention_and_compaction() -> None:
    disk, clock = MemoryDisk(), Clock()
    async with EmbeddedLog.open("", disk=disk, clock=clock, upkeep_interval_s=0.01) as log:
        await log.create_topics(
            [
                TopicSpec("orders", 1, config={"retention.ms": "1000", "segment.bytes": "300"}),
                TopicSpec("table", 1, config={"cleanup.policy": "compact", "segment.bytes": "300"}),
            ]
        )
        producer = await log.producer()
        table = TopicPartition("table", 0)
        reader = log.reader()
        for i in range(30):
            await producer.append({ORDERS: [new(f"{i}")], table: [new(f"{i}")]})
        clock.time += 2000
        await until(lambda: log.broker.partition(ORDERS).log_start_offset == 30)
        await until(lambda: log.broker.partition(table).size < 1000)
        reader.assign({table: 0})
        found = []
        while fetched := await reader.read(wait_max_s=0):
            found += [r.value for one in fetched for r in one.records]
        assert found[-1] == b"29"
        assert len(found) < 15, "what is left may be too little to be compacted again"


async def test_recovery_points_are_kept_up_to_date(tmp_path: Path) -> None:
    async with EmbeddedLog.open(tmp_path, upkeep_interval_s=0.02) as log:
        await log.create_topics([TopicSpec("orders", 1)])
        await (await log.producer()).append({ORDERS: [new("a"), new("b")]})
        points = tmp_path / "recovery-point-offset-checkpoint"
        await until(lambda: points.exists() and "orders 0 2\n" in points.read_text())


async def test_topics_are_altered_and_grow_all_or_none(tmp_path: Path) -> None:
    async with EmbeddedLog.open(tmp_path) as log:
        await log.create_topics([TopicSpec("orders", 1), TopicSpec("clicks", 1)])
        await log.alter_topics({"orders": {"segment.ms": "9"}})
        await log.add_partitions({"orders": 3, "clicks": 2})
        for wrong in ({"orders": 4, "clicks": 2}, {"orders": 4, "__consumer_offsets": 9}):
            with pytest.raises(ConfigError):
                await log.add_partitions(wrong)
        with pytest.raises(ConfigError):
            await log.alter_topics({"orders": {}, "clicks": {"segment.ms": "soon"}})
    async with EmbeddedLog.open(tmp_path) as log:
        found = await log.describe_topics()
        assert {one.name: one.partitions for one in found.values()} == {"orders": 3, "clicks": 2}
        assert dict(found["orders"].config) == {"segment.ms": "9"}
        assert (await log.end_offsets([TopicPartition("orders", 2)])) == {
            TopicPartition("orders", 2): 0
        }


async def test_a_checkpoint_says_nothing_of_a_topic_that_its_namesake_has_replaced() -> None:
    disk = MemoryDisk()
    async with EmbeddedLog.open("", disk=disk) as log, anyio.create_task_group() as tasks:
        await log.create_topics([TopicSpec("orders", 1)])
        await (await log.producer()).append({ORDERS: [new("a")]})
        async with log.changing:
            tasks.start_soon(log._checkpoint)
            await anyio.wait_all_tasks_blocked()
            assert read_recovery_points(disk).get(ORDERS) is None, "it waits for its turn"
            log.broker.discard(log.broker.remove_topics(["orders"], TIME))
            log.broker.create_topics([TopicSpec("orders", 1)], TIME)
        await anyio.wait_all_tasks_blocked()
        assert read_recovery_points(disk)[ORDERS] == 0
