"""Group commit: one round in flight, everybody else in the next; a failure is final."""

import threading
from collections.abc import Callable, Collection
from pathlib import Path
from typing import cast

import anyio
import pytest
from millpond.log.errors import DiskFailed, LogError
from millpond.log.shell.file_system import FileSystem
from millpond.log.shell.flusher import FILES_SYNCED_SINGLY_MAX, Flusher, Syncable
from millpond.log.storage.disk import File

pytestmark = pytest.mark.anyio


class SlowFile:
    """A file whose sync takes until someone says so."""

    def __init__(self) -> None:
        self.synced = 0
        self.go_on = threading.Event()
        self.begun = threading.Event()
        self.fails = False

    def sync(self) -> None:
        self.begun.set()
        assert self.go_on.wait(5)
        self.synced += 1
        if self.fails:
            raise DiskFailed("the platter has fallen off")


class Appended:
    """A log with one file, to which records are appended by counting."""

    def __init__(self, *, slow: bool = False) -> None:
        self.file = SlowFile()
        if not slow:
            self.file.go_on.set()
        self.log_end_offset = 0
        self.flushed = 0

    @property
    def needs_sync(self) -> bool:
        return self.flushed < self.log_end_offset

    def files_to_sync(self) -> list[File]:
        return [cast("File", self.file)]

    def mark_flushed(self, offset: int) -> None:
        self.flushed = offset

    def append(self) -> "Appended":
        self.log_end_offset += 1
        return self


def nobody(_logs: Collection[Syncable]) -> None:
    """Readers that don't listen."""


async def until(condition: Callable[[], bool]) -> None:
    with anyio.fail_after(5):
        while not condition():  # noqa: ASYNC110 - what changes comes from a thread
            await anyio.sleep(0.001)


async def test_a_sync_returns_when_the_data_is_durable(tmp_path: Path) -> None:
    heard: list[Syncable] = []
    flusher = Flusher("fsync", on_flushed=heard.extend, root=tmp_path)
    log = Appended().append()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(flusher.run)
        await flusher.sync([log])
        tasks.cancel_scope.cancel()
    assert (log.file.synced, log.flushed, heard) == (1, 1, [log])


async def test_all_who_come_during_a_round_share_the_next(tmp_path: Path) -> None:
    flusher = Flusher("fsync", on_flushed=nobody, root=tmp_path)
    log = Appended(slow=True)
    returned: list[int] = []

    async def append_and_sync() -> None:
        offset = log.append().log_end_offset
        await flusher.sync([log])
        assert log.flushed >= offset, "what was appended before the call is durable after it"
        returned.append(offset)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(flusher.run)
        tasks.start_soon(append_and_sync)
        await anyio.to_thread.run_sync(log.file.begun.wait)
        for _ in range(50):
            tasks.start_soon(append_and_sync)
        await anyio.wait_all_tasks_blocked()
        assert returned == []
        log.file.go_on.set()
        await until(lambda: len(returned) == 51)
        tasks.cancel_scope.cancel()
    assert log.file.synced == 2
    assert returned == list(range(1, 52)), "the first round, then all others in their order"


async def test_a_failed_sync_fails_all_who_wait_and_all_who_come(tmp_path: Path) -> None:
    flusher = Flusher("fsync", on_flushed=nobody, root=tmp_path)
    log = Appended(slow=True)
    log.file.fails = True
    failed: list[int] = []

    async def append_and_fail(number: int) -> None:
        with pytest.raises(DiskFailed, match="platter"):
            await flusher.sync([log.append()])
        failed.append(number)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(flusher.run)
        tasks.start_soon(append_and_fail, 0)
        await anyio.to_thread.run_sync(log.file.begun.wait)
        tasks.start_soon(append_and_fail, 1)
        await anyio.wait_all_tasks_blocked()
        log.file.go_on.set()
    with pytest.raises(DiskFailed, match="stopped"):
        await flusher.sync([log.append()])
    assert sorted(failed) == [0, 1]
    assert log.file.synced == 1, "a failed sync is never tried again"
    assert log.flushed == 0


async def test_nobody_waits_for_ever_when_the_log_is_closed(tmp_path: Path) -> None:
    flusher = Flusher("fsync", on_flushed=nobody, root=tmp_path)

    async def close_soon() -> None:
        await anyio.wait_all_tasks_blocked()
        await flusher.close()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(close_soon)
        with pytest.raises(LogError, match="closed"):
            await flusher.sync([Appended().append()])
    with pytest.raises(LogError, match="closed"):
        await flusher.sync([Appended().append()])


async def test_interval_mode_syncs_behind_the_callers_back(tmp_path: Path) -> None:
    flusher = Flusher("interval", on_flushed=nobody, root=tmp_path, interval_s=0.01)
    log = Appended().append()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(flusher.run)
        await flusher.sync([log])
        assert log.flushed == 0
        await until(lambda: log.flushed == 1)
        tasks.cancel_scope.cancel()
    assert log.file.synced == 1


async def test_os_mode_never_syncs(tmp_path: Path) -> None:
    flusher = Flusher("os", on_flushed=nobody, root=tmp_path)
    log = Appended().append()
    await flusher.sync([log])
    assert (log.file.synced, log.flushed) == (0, 0)


async def test_many_files_are_synced_as_one_file_system(tmp_path: Path) -> None:
    if not FileSystem(tmp_path).can_sync:
        pytest.skip("this system has no syncfs")
    flusher = Flusher("fsync", on_flushed=nobody, root=tmp_path)
    logs = [Appended().append() for _ in range(FILES_SYNCED_SINGLY_MAX + 1)]
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(flusher.run)
        await flusher.sync(logs)
        tasks.cancel_scope.cancel()
    assert {log.flushed for log in logs} == {1}
    assert sum(log.file.synced for log in logs) == 0


async def test_files_are_left_alone_while_it_is_quiet(tmp_path: Path) -> None:
    flusher = Flusher("fsync", on_flushed=nobody, root=tmp_path)
    log = Appended()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(flusher.run)
        async with flusher.quiet():
            tasks.start_soon(flusher.sync, [log.append()])
            await anyio.wait_all_tasks_blocked()
            assert log.file.synced == 0
        await until(lambda: log.flushed == 1)
        tasks.cancel_scope.cancel()


async def test_closing_waits_for_what_is_being_synced(tmp_path: Path) -> None:
    flusher = Flusher("fsync", on_flushed=nobody, root=tmp_path)
    log = Appended(slow=True)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(flusher.sync, [log.append()])
        await until(log.file.begun.is_set)
        tasks.cancel_scope.cancel()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(flusher.close)
        await anyio.wait_all_tasks_blocked()
        assert log.file.synced == 0
        log.file.go_on.set()
    assert log.file.synced == 1


async def test_a_sync_that_breaks_in_any_other_way_is_final_too(tmp_path: Path) -> None:
    flusher = Flusher("fsync", on_flushed=nobody, root=tmp_path)
    log = Appended()

    def broken() -> None:
        raise ValueError("closed by somebody else")

    log.file.sync = broken  # type: ignore[method-assign]
    with pytest.raises(DiskFailed, match="closed by somebody else"):
        await flusher.sync([log.append()])
    assert log.flushed == 0
