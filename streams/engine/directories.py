"""Where tasks' stores are on disk, when several worker processes may share the place.

    <root>/.id                          tells this place from all others
    <root>/<subtopology>/<partition>    a task's store
    <root>/<subtopology>/<partition>.1  another one, while somebody does not let go of the first

RocksDB's own lock says who has a store, so nothing that a dead process leaves has to be recognized as such.
A task that has just moved here from another process may find its store still being closed: that is
waited for. A process that was stopped (SIGSTOP) or hangs keeps its lock for ever; then the task gets
a store beside it, that is brought up from the changelogs, and is removed when it is closed, or by the
next one that opens the task's own store, if its process died.

When a copy becomes the task, or the other way round, the store stays open (`keep`): closing and opening
dozens of them would take seconds, and the loop most of these (`rocks.py`).

How far each store has come is kept in a small file within it, written when the store is flushed and
closed, so that it can be told without opening the store, which may be another process's. It is a hint:
after a crash it tells too little, and if it is lost or torn, nothing.

Process ids in the names were rejected: they come again, and mean nothing on a volume that machines share.
"""

import os
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final

import anyio
import anyio.to_thread
import msgspec

from ...state.backend import Backend, Change, KeyRange
from ...state.errors import StateError, StoreFailed, StoreLocked
from ...state.meta import read_positions
from ...state.rocks import RocksEnvironment
from .assignor import TaskId

SPARES_MAX: Final = 8
"""How many stores beside its own a task may have: as many processes would have to hang on it."""

_POLL_FIRST_S: Final = 0.02
_POLL_MAX_S: Final = 0.5
_IDENTITY: Final = ".id"
_PROGRESS: Final = "progress.json"


class _Progress(msgspec.Struct):
    """How far a store has come: the sum of the offsets that were read of its changelogs."""

    offsets_total: int


class StoreDirectories:
    """The stores of an app's tasks below one directory.

    Attributes:
        root: that directory.
        lock_patience_s: how long another process may take to close a store.
    """

    def __init__(
        self, root: Path, rocks: RocksEnvironment, *, lock_patience_s: float = 5.0
    ) -> None:
        self.root = root
        self.lock_patience_s = lock_patience_s
        self._rocks = rocks
        self._open: dict[TaskId, _Store] = {}
        # Opening holds the interpreter lock (`rocks.py`): one at a time, or the loop gets no turn.
        self._opening = anyio.CapacityLimiter(1)
        self._identity = ""

    @property
    def identity(self) -> str:
        """Return what all processes that use this very directory agree on, and no others.

        A copy of the directory is another one, though it has the same file: its inode differs.

        Raises:
            StoreFailed: the disk refused.
        """
        if not self._identity:
            try:
                self._identity = _identify(self.root)
            except OSError as error:
                raise _failed(self.root, error) from None
        return self._identity

    async def open(self, subtopology: str, partition: int, *, rebuild: bool) -> Backend:
        """Open a task's store, making it if it is not there; see `RocksEnvironment.open`.

        Waits while another process has it open, but not for ever: then opens one beside it.

        Raises:
            StoreCorrupt: it is damaged, and `rebuild` was not asked for.
            StoreLocked: all that may be beside it are locked, too.
            StoreFailed: the disk refused.
        """
        task = TaskId(subtopology, partition)
        path = self.root / subtopology / str(partition)
        deadline = anyio.current_time() + self.lock_patience_s
        wait_s = _POLL_FIRST_S
        while True:
            kept = self._open.get(task)
            if kept is not None and kept.is_left:
                kept.take_over()
                return kept
            try:
                return await self._in_thread(partial(self._open_own, task, path, rebuild))
            except StoreLocked:
                if anyio.current_time() >= deadline:
                    return await self._in_thread(partial(self._open_spare, task, path))
            await anyio.sleep(wait_s)
            wait_s = min(wait_s * 2, _POLL_MAX_S)

    def keep(self, tasks: Iterable[TaskId]) -> None:
        """Let these stores stay open when they are closed next: for whoever opens them next here."""
        for task in self._open.keys() & set(tasks):
            self._open[task].is_kept = True

    async def close_kept(self) -> None:
        """Close those that nobody has opened again."""
        for store in list(self._open.values()):
            store.is_kept = False
            if store.is_left:
                await anyio.to_thread.run_sync(store.close)

    def warm(self) -> dict[TaskId, int]:
        """Return how far the store of each task has come that has one here, whoever has it open."""
        found: dict[TaskId, int] = {}
        for path in self.root.glob(f"*/*/{_PROGRESS}"):
            name, partition = path.parent.parent.name, path.parent.name
            if partition.isdecimal():
                with suppress(OSError, msgspec.DecodeError):
                    progress = msgspec.json.decode(path.read_bytes(), type=_Progress)
                    found[TaskId(name, int(partition))] = progress.offsets_total
        for task, store in list(self._open.items()):
            with suppress(StateError):  # it is being closed, and its file says how far it came
                found[task] = store.offsets_total()
        return found

    async def _in_thread(self, open_store: Callable[[], Backend]) -> Backend:
        return await anyio.to_thread.run_sync(open_store, limiter=self._opening)

    # -- in a thread: nothing that was opened gets lost when the caller is cancelled -------------

    def _open_own(self, task: TaskId, path: Path, rebuild: bool) -> Backend:
        backend = self._open_at(path, rebuild=rebuild)
        for spare in _spares(path):
            if spare.exists():
                self._remove(spare)
        return self._keep(task, path, backend)

    def _open_spare(self, task: TaskId, path: Path) -> Backend:
        for spare in _spares(path):
            with suppress(StoreLocked):
                return self._keep(task, spare, self._open_at(spare, rebuild=True), is_spare=True)
        raise StoreLocked(str(path), f"and so are {SPARES_MAX} others beside it")

    def _open_at(self, path: Path, *, rebuild: bool) -> Backend:
        try:
            return self._rocks.open(path, rebuild=rebuild)
        except OSError as error:
            raise _failed(path, error) from None

    def _keep(
        self, task: TaskId, path: Path, backend: Backend, *, is_spare: bool = False
    ) -> Backend:
        def closed() -> None:
            if self._open.get(task) is store:
                del self._open[task]

        store = _Store(backend, path, is_spare=is_spare, closed=closed)
        self._open[task] = store
        return store

    def _remove(self, spare: Path) -> None:
        """Remove a store that a dead process left beside a task's own; one in use stays."""
        with suppress(StateError):
            _Store(self._open_at(spare, rebuild=True), spare, is_spare=True).close()


class _Store:
    """A task's store that keeps the file about its progress up to date. Reads cost nothing more.

    Attributes:
        is_kept: whether closing it leaves it to who opens it next.
        is_left: whether it was.
    """

    def __init__(
        self,
        backend: Backend,
        path: Path,
        *,
        is_spare: bool,
        closed: Callable[[], None] = lambda: None,
    ) -> None:
        self._backend = backend
        self._path = path
        self._is_spare = is_spare
        self._closed = closed
        self._is_closed = False
        self.is_kept = False
        self.is_left = False
        self.get: Callable[[bytes], bytes | None] = backend.get
        self.get_many: Callable[[Sequence[bytes]], Sequence[bytes | None]] = backend.get_many

    def range(
        self, lo: bytes, hi: bytes, *, reverse: bool = False, limit: int | None = None
    ) -> Iterator[tuple[bytes, bytes]]:
        return self._backend.range(lo, hi, reverse=reverse, limit=limit)

    def write(self, changes: Iterable[Change], delete_ranges: Iterable[KeyRange] = ()) -> None:
        self._backend.write(changes, delete_ranges)

    def flush(self) -> None:
        self._backend.flush()
        self._write_progress()

    def take_over(self) -> None:
        """Have it as if it had just been opened."""
        self.is_kept = self.is_left = False

    def close(self) -> None:
        if self.is_kept:
            self.is_left = True
            return
        if self._is_closed:
            return
        self._is_closed = True
        try:
            if self._is_spare:
                # While it is locked still: who comes next makes it anew.
                RocksEnvironment.destroy(self._path)
            else:
                self.flush()
        finally:
            self._closed()
            with suppress(*([StateError] if self._is_spare else [])):  # its files are gone
                self._backend.close()

    @property
    def size(self) -> int:
        return self._backend.size

    @property
    def key_count(self) -> int:
        return self._backend.key_count

    def offsets_total(self) -> int:
        """Return the sum of the offsets that were read of its changelogs."""
        return sum(stored.position.offset for stored in read_positions(self._backend).values())

    def _write_progress(self) -> None:
        data = msgspec.json.encode(_Progress(self.offsets_total()))
        with suppress(OSError):  # it is but a hint
            _write_whole(self._path / _PROGRESS, data)


def _spares(path: Path) -> Iterator[Path]:
    """Yield where a task's other stores may be."""
    return (path.with_name(f"{path.name}.{number}") for number in range(1, SPARES_MAX + 1))


def _identify(root: Path) -> str:
    root.mkdir(parents=True, exist_ok=True)
    path = root / _IDENTITY
    if not path.exists():
        draft = root / f"{_IDENTITY}.{uuid.uuid4().hex}"
        draft.write_text(uuid.uuid4().hex)
        with suppress(FileExistsError):  # of two at the same time, one is first
            os.link(draft, path)
        draft.unlink()
    return f"{path.read_text()}-{path.stat().st_ino}"


def _write_whole(path: Path, data: bytes) -> None:
    """Write a file such that no reader ever sees a part of it."""
    draft = path.with_name(f"{path.name}.new")
    draft.write_bytes(data)
    draft.replace(path)


def _failed(path: Path, error: OSError) -> StoreFailed:
    return StoreFailed(str(path), error.strerror or str(error))
