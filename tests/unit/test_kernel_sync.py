"""The kernel syncs files and tells the loop; where it can't, it says so and nothing is lost."""

import os
from pathlib import Path

import anyio
import pytest
from millpond.log.errors import DiskFailed
from millpond.log.shell.disk import RealDisk, RealFile
from millpond.log.shell.flusher import Flusher
from millpond.log.shell.kernel_sync import FILES_MAX, KernelSync
from millpond.log.storage.disk import File

pytestmark = pytest.mark.anyio


@pytest.fixture
async def kernel() -> KernelSync:
    made = KernelSync.make()
    if made is None:
        pytest.skip("this system has no native AIO")
    return made


async def synced(kernel: KernelSync, descriptors: list[int]) -> OSError | None:
    done, told = anyio.Event(), []

    def ended(error: OSError | None) -> None:
        told.append(error)
        done.set()

    assert kernel.submit(descriptors, ended)
    with anyio.fail_after(5):
        await done.wait()
    assert len(told) == 1
    return told[0]


async def test_files_are_synced_together(kernel: KernelSync, tmp_path: Path) -> None:
    files = [(tmp_path / f"{number}").open("wb") for number in range(FILES_MAX)]
    for _ in range(100):
        for file in files:
            file.write(b"more")
        assert await synced(kernel, [file.fileno() for file in files]) is None
    for file in files:
        file.close()
    kernel.close()


async def test_a_descriptor_may_be_closed_as_soon_as_it_is_submitted(
    kernel: KernelSync, tmp_path: Path
) -> None:
    done = anyio.Event()
    descriptor = os.open(tmp_path / "file", os.O_CREAT | os.O_WRONLY)
    os.write(descriptor, b"data")
    assert kernel.submit([descriptor], lambda error: done.set())
    os.close(descriptor)
    with anyio.fail_after(5):
        await done.wait()
    kernel.close()


async def test_what_the_kernel_refuses_is_not_in_flight(kernel: KernelSync, tmp_path: Path) -> None:
    reading, writing = os.pipe()  # there is nothing to sync about a pipe
    assert not kernel.submit([writing], lambda error: None)
    with (tmp_path / "file").open("wb") as file:
        assert await synced(kernel, [file.fileno()]) is None, "the next one is served"
    os.close(reading)
    os.close(writing)
    kernel.close()


class Log:
    """A log of one file."""

    def __init__(self, file: RealFile) -> None:
        self.file = file
        self.log_end_offset = 1
        self.flushed = 0

    @property
    def needs_sync(self) -> bool:
        return self.flushed < self.log_end_offset

    def files_to_sync(self) -> list[File]:
        return [self.file]

    def mark_flushed(self, offset: int) -> None:
        self.flushed = offset


async def test_a_removed_file_has_nothing_left_to_sync(tmp_path: Path) -> None:
    disk = RealDisk(tmp_path)
    log = Log(disk.open("file"))
    log.file.append(b"data")
    log.file.close()
    (tmp_path / "file").unlink()
    flusher = Flusher("fsync", on_flushed=lambda logs: None, root=tmp_path)
    await flusher.sync([log])
    assert log.flushed == 1
    await flusher.close()


async def test_an_error_of_the_kernel_stops_the_flusher(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No file system here can be made to fail, so the kernel's answer is replaced."""
    answer = KernelSync._call

    def failing(self: KernelSync, number: int, *arguments: object) -> int:
        result = answer(self, number, *arguments)
        if number == self._calls.get_events:
            error = (-5).to_bytes(8, "little", signed=True)
            self._events[16:24] = error  # type: ignore[assignment]
        return result

    monkeypatch.setattr(KernelSync, "_call", failing)
    disk = RealDisk(tmp_path)
    log = Log(disk.open("file"))
    log.file.append(b"data")
    flusher = Flusher("fsync", on_flushed=lambda logs: None, root=tmp_path)
    if KernelSync.make() is None:
        pytest.skip("this system has no native AIO")
    with pytest.raises(DiskFailed, match="Input/output error"):
        await flusher.sync([log])
    with pytest.raises(DiskFailed, match="stopped"):
        await flusher.sync([log])
    assert log.flushed == 0
    await flusher.close()
