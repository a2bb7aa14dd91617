"""Makes appended data durable, for many at once: group commit.

At most one round of syncs is in flight. Whoever asks meanwhile is gathered for the next round, which
begins when this one ends; so under load one round serves many, and an idle log syncs at once. Few files
are synced by the kernel at our request (`kernel_sync.py`); in a thread (`sync_thread.py`), where it
can't; many together (`syncfs`), in the thread, too.

A failed sync is final (design: a failed fsync is never retried): after one the kernel may have
dropped the data and forgotten the error, so a second that succeeds would mean nothing.

Modes: `fsync` waits for the disk; `interval` returns at once and syncs in the background; `os`
leaves it to the operating system.
"""

from collections.abc import AsyncIterator, Callable, Collection
from contextlib import ExitStack, asynccontextmanager, suppress
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Final, Literal, Protocol, TypeAlias

import anyio

from ..errors import DiskFailed, LogError
from ..model import Offset
from ..storage.disk import File
from .disk import RealFile
from .file_system import FileSystem
from .kernel_sync import FILES_MAX, KernelSync
from .sync_thread import SyncThread, soon_on_loop

Durability: TypeAlias = Literal["fsync", "interval", "os"]

FILES_SYNCED_SINGLY_MAX: Final = 8
assert FILES_SYNCED_SINGLY_MAX <= FILES_MAX


class Syncable(Protocol):
    """What the flusher needs of a partition's log."""

    @property
    def log_end_offset(self) -> Offset: ...

    @property
    def needs_sync(self) -> bool: ...

    def files_to_sync(self) -> list[File]:
        """Return the files that hold data not yet synced, in the order they must be synced."""

    def mark_flushed(self, offset: Offset) -> None:
        """Note that everything below the offset is durable."""


class _Round:
    """Those who wait for the same syncs."""

    __slots__ = ("callbacks", "logs")

    def __init__(self) -> None:
        self.logs: dict[Syncable, None] = {}
        self.callbacks: list[Callable[[], None]] = []

    def end(self) -> None:
        """Tell all who wait that there is nothing more to wait for."""
        for callback in self.callbacks:
            callback()
        self.callbacks.clear()


class Flusher:
    """Syncs logs on request, on one event loop. Rounds go by callbacks: no task has to wake up for one."""

    def __init__(
        self,
        durability: Durability,
        *,
        on_flushed: Callable[[Collection[Syncable]], None],
        root: Path | None,
        interval_s: float = 0.1,
    ) -> None:
        """Make a flusher.

        Args:
            durability: the mode.
            on_flushed: is told whose data has become durable, or of nothing when that has failed.
            root: the directory that all files are in; None when they are in memory, where syncing
                is so quick that it is done inline, without rounds and threads.
            interval_s: how long data may wait in mode `interval`.
        """
        self.failed: DiskFailed | None = None
        self.on_failed: Callable[[], None] = _nothing
        """Called when that is so: for who waits for nothing in particular."""
        self._closed = False
        self._durability = durability
        self._on_flushed = on_flushed
        self._file_system = FileSystem(root) if root is not None else None
        self._interval_s = interval_s
        self._gathering = _Round()
        self._in_flight: _Round | None = None
        self._begin_is_due = False
        self._held = False
        """Whether no round may begin."""
        self._holding = anyio.Lock(fast_acquire=True)
        self._thread = SyncThread("millpond syncs")
        self._kernel: KernelSync | None = None
        self._asked_kernel = False

    def check(self) -> None:
        """Refuse to go on after a failure, or after the end."""
        if self.failed is not None:
            raise DiskFailed(f"the log has stopped: {self.failed}") from self.failed
        if self._closed:
            raise LogError("the log is closed")

    def fail(self, error: DiskFailed) -> None:
        """Stop for good, and tell all who wait."""
        self.failed = error
        self._gathering.end()
        self._on_flushed(())
        self.on_failed()

    async def close(self) -> None:
        """Turn away those who wait, and all who come; return when nothing is being synced."""
        self._closed = True
        self._thread.close()
        self._gathering.end()
        with anyio.CancelScope(shield=True):
            await self._end_of_round()
        if self._kernel is not None:
            self._kernel.close()
            self._kernel = None

    async def sync(self, logs: Collection[Syncable]) -> None:
        """Return when what these logs have appended is as durable as the mode promises.

        Raises:
            DiskFailed: a sync has failed, now or before.
        """
        done = anyio.Event()
        if not self.request(logs, done.set):
            await done.wait()
            self.check()

    def request(self, logs: Collection[Syncable], callback: Callable[[], None] | None) -> bool:
        """Have logs synced without awaiting it; say whether they are as durable as promised by now.

        If not, the callback is called when they are, or when `check` would tell why they never will
        be. It is called between two rounds: it should do little.

        Raises:
            DiskFailed: a sync has failed, now or before.
        """
        self.check()
        if self._durability == "os":
            return True
        if self._durability == "interval":
            self._gathering.logs.update(dict.fromkeys(logs))
            return True
        return self._gather(logs, callback)

    async def flush_idle(self, logs: Collection[Syncable]) -> None:
        """Sync what nobody waits for, such as markers, unless that is left to the system.

        Raises:
            DiskFailed: a sync has failed, now or before.
        """
        self.check()
        done = anyio.Event()
        if self._durability != "os" and not self._gather(logs, done.set):
            await done.wait()
            self.check()

    async def run(self) -> None:
        """In mode `interval`, sync from time to time, until cancelled or failed; else there is nothing to do."""
        while self._durability == "interval" and self.failed is None:
            await anyio.sleep(self._interval_s)
            self._begin()

    @asynccontextmanager
    async def quiet(self) -> AsyncIterator[None]:
        """No sync is in flight inside, so files may be closed and removed."""
        async with self._holding:
            self._held = True
            try:
                await self._end_of_round()
                yield
            finally:
                self._held = False
                if self._gathering.logs:
                    self._begin_soon()

    # -- rounds --------------------------------------------------------------------------------

    def _gather(self, logs: Collection[Syncable], callback: Callable[[], None] | None) -> bool:
        """Let logs be synced in the next round; return whether there is nothing to wait for."""
        waiting = [log for log in logs if log.needs_sync]
        if not waiting:
            return True
        if self._file_system is None:
            self._sync_inline(waiting)
            return True
        self._gathering.logs.update(dict.fromkeys(waiting))
        if callback is not None:
            self._gathering.callbacks.append(callback)
        if self._in_flight is None and not self._held:
            self._begin_soon()
        return False

    def _begin_soon(self) -> None:
        """Begin a round when all have asked who ask in this turn of the loop."""
        if not self._begin_is_due:
            self._begin_is_due = True
            soon_on_loop()(self._begin)

    def _begin(self) -> None:
        self._begin_is_due = False
        if self._in_flight is not None or self._held or self.failed is not None or self._closed:
            return
        current, self._gathering = self._gathering, _Round()
        logs = [log for log in current.logs if log.needs_sync]
        if self._file_system is None or not logs:
            with suppress(DiskFailed):  # it says so to all by itself
                self._sync_inline(logs)
            current.end()
            return
        self._in_flight = current
        ends = [(log, log.log_end_offset) for log in logs]
        files = [log.files_to_sync() for log in logs]
        ended = partial(self._ended, current, ends)
        if not self._sync_by_kernel(files, ended):
            self._thread.submit(partial(self._sync_files, list(chain(*files))), ended)

    def _sync_by_kernel(
        self, files: list[list[File]], ended: Callable[[Exception | None], None]
    ) -> bool:
        """Let the kernel sync the files; return whether it does. It keeps to no order."""
        if len(files) > FILES_SYNCED_SINGLY_MAX or any(len(one) > 1 for one in files):
            return False
        if not self._asked_kernel:
            self._kernel, self._asked_kernel = KernelSync.make(), True
        if self._kernel is None:
            return False
        with ExitStack() as lent:
            descriptors = []
            for file in chain(*files):
                if not isinstance(file, RealFile):
                    return False
                with suppress(FileNotFoundError):  # what was removed has nothing left to lose
                    descriptors.append(lent.enter_context(file.lent()))
            return bool(descriptors) and self._kernel.submit(descriptors, ended)

    def _ended(
        self, current: _Round, ends: list[tuple[Syncable, Offset]], error: Exception | None
    ) -> None:
        self._in_flight = None
        if error is None:
            for log, end in ends:
                log.mark_flushed(end)
            self._on_flushed([log for log, _ in ends])
        else:
            self.fail(
                error if isinstance(error, DiskFailed) else DiskFailed(f"could not sync: {error}")
            )
        current.end()
        if self._gathering.logs and self._durability == "fsync":
            self._begin()

    async def _end_of_round(self) -> None:
        while self._in_flight is not None:
            ended = anyio.Event()
            self._in_flight.callbacks.append(ended.set)
            await ended.wait()

    def _sync_inline(self, logs: Collection[Syncable]) -> None:
        try:
            for log in logs:
                end = log.log_end_offset
                for file in log.files_to_sync():
                    file.sync()
                log.mark_flushed(end)
        except DiskFailed as error:
            self.fail(error)
            raise
        self._on_flushed(logs)

    def _sync_files(self, files: list[File]) -> None:
        assert self._file_system is not None
        if len(files) > FILES_SYNCED_SINGLY_MAX and self._file_system.can_sync:
            self._file_system.sync()
        else:
            for file in files:
                file.sync()


def _nothing() -> None:
    pass
