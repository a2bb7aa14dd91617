"""Real files under one root directory.

Descriptors are bounded: a file is opened when it is used, and when there are too many, the least
recently used one is closed. That doesn't lose an error of writing back: since Linux 4.13 whoever opens
the file next and syncs it is told.

Appends are plain writes to a file opened for appending; a write that stops half-way (a full disk) is
cut back, so that a batch is in the file whole or not at all. Reads don't move any position, so they
and `sync` may run in other threads: a lock guards the table of descriptors, and a descriptor in use
is never closed.
"""

import contextlib
import errno
import os
import shutil
import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Final, TypeVar

from ..errors import DiskFailed
from ..storage.disk import Space
from .file_system import FileSystem

OPEN_FILES_MAX: Final = 512
PATHS_SYNCED_SINGLY_MAX: Final = 32
"""Making 10 partitions took 11 ms with a sync of each file, 9 ms with one of the file system; 200
took 280 ms and 75 ms. The latter also waits for what other programs have written."""

_CLOSED: Final = -1
_sync_data: Callable[[int], None] = getattr(os, "fdatasync", os.fsync)

T = TypeVar("T")


class RealFile:
    """A file of a `RealDisk` (`storage.disk.File`).

    `close` gives the descriptor back; a file that is used afterwards gets a new one.
    """

    __slots__ = ("_table", "absolute", "descriptor", "path", "size", "users")

    def __init__(self, table: "DescriptorTable", absolute: str, path: str, *, create: bool) -> None:
        self._table = table
        self.absolute = absolute
        self.path = path
        self.descriptor = _CLOSED
        self.users = 0
        self.size = 0
        self.size = self._use("open", os.fstat, os.O_CREAT if create else 0).st_size

    def append(self, data: bytes | bytearray | memoryview) -> None:
        descriptor = self._table.acquire(self)
        try:
            written = os.write(descriptor, data)
            while written < len(data):  # Linux writes at most 2 GiB at once, a full disk less
                more = os.write(descriptor, memoryview(data)[written:])
                if not more:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                written += more
        except OSError as error:
            with contextlib.suppress(OSError):
                os.ftruncate(descriptor, self.size)
            raise _failed("write to", self.path, error) from error
        finally:
            self._table.release(self)
        self.size += len(data)

    def read_at(self, position: int, length: int) -> bytes:
        descriptor = self._table.acquire(self)
        try:
            return os.pread(descriptor, length, position)
        except OSError as error:
            raise _failed("read", self.path, error) from error
        finally:
            self._table.release(self)

    def truncate(self, size: int) -> None:
        self._use("truncate", lambda descriptor: os.ftruncate(descriptor, size))
        self.size = min(self.size, size)

    def sync(self) -> None:
        """See `File.sync`. A file that was removed meanwhile has nothing left to lose."""
        with contextlib.suppress(FileNotFoundError):
            self._use("sync", _sync_data)

    @contextlib.contextmanager
    def lent(self) -> Iterator[int]:
        """Give the descriptor to somebody who lets it go at the end of the block.

        Raises:
            FileNotFoundError: the file was removed.
            DiskFailed: it can't be opened.
        """
        descriptor = self._table.acquire(self)
        try:
            yield descriptor
        finally:
            self._table.release(self)

    def close(self) -> None:
        self._table.close(self)

    def _use(self, what: str, act: Callable[[int], T], flags: int = 0) -> T:
        descriptor = self._table.acquire(self, flags)
        try:
            return act(descriptor)
        except OSError as error:
            raise _failed(what, self.path, error) from error
        finally:
            self._table.release(self)


class DescriptorTable:
    """Which files have a descriptor, the one used longest ago first."""

    def __init__(self, open_files_max: int) -> None:
        self._open: OrderedDict[RealFile, None] = OrderedDict()
        self._open_files_max = open_files_max
        self._lock = threading.Lock()

    def acquire(self, file: RealFile, flags: int = 0) -> int:
        """Return the file's descriptor, which stays valid until `release`."""
        with self._lock:
            if file.descriptor == _CLOSED:
                self._make_room()
                try:
                    file.descriptor = os.open(
                        file.absolute, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | flags, 0o644
                    )
                except FileNotFoundError:
                    raise
                except OSError as error:
                    raise _failed("open", file.path, error) from error
            self._open[file] = None  # again, if it was closed while another thread used it
            self._open.move_to_end(file)
            file.users += 1
            return file.descriptor

    def release(self, file: RealFile) -> None:
        """Say that the descriptor isn't used any more, for now."""
        with self._lock:
            file.users -= 1
            if not file.users and file not in self._open:  # closed while it was in use
                self._close(file)

    def close(self, file: RealFile) -> None:
        """Close the file's descriptor as soon as nobody uses it."""
        with self._lock:
            if self._open.pop(file, _CLOSED) is None and not file.users:
                self._close(file)

    def _make_room(self) -> None:
        if len(self._open) < self._open_files_max:
            return
        for file in self._open:
            if not file.users:
                del self._open[file]
                self._close(file)
                return

    def _close(self, file: RealFile) -> None:
        os.close(file.descriptor)
        file.descriptor = _CLOSED


class RealDisk:
    """The files under a directory (`storage.disk.Disk`). The directory is made if it is missing."""

    def __init__(self, root: str | Path, *, open_files_max: int = OPEN_FILES_MAX) -> None:
        self.root = Path(root).absolute()
        self._table = DescriptorTable(open_files_max)
        self._file_system = FileSystem(self.root)
        self.make_directory("")

    def open(self, path: str, *, create: bool = True) -> RealFile:
        return RealFile(self._table, str(self.root / path), path, create=create)

    def read(self, path: str) -> bytes:
        with _naming("read", path):
            return (self.root / path).read_bytes()

    def replace(self, path: str, data: bytes) -> None:
        target = self.root / path
        temporary = target.with_name(f"{target.name}.tmp")
        with _naming("write", path):
            with temporary.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(target)
        self.sync_directory(path.rpartition("/")[0])

    def exists(self, path: str) -> bool:
        return (self.root / path).exists()

    def list(self, path: str) -> list[str]:
        try:
            with _naming("list", path):
                return sorted(entry.name for entry in (self.root / path).iterdir())
        except FileNotFoundError:
            return []

    def make_directory(self, path: str) -> None:
        with _naming("make", path):
            (self.root / path).mkdir(parents=True, exist_ok=True)

    def rename(self, source: str, target: str) -> None:
        with _naming("rename", source):
            if (self.root / target).is_dir():
                shutil.rmtree(self.root / target)
            (self.root / source).replace(self.root / target)

    def remove(self, path: str) -> None:
        absolute = self.root / path
        with contextlib.suppress(FileNotFoundError), _naming("remove", path):
            if absolute.is_dir():
                shutil.rmtree(absolute)
            else:
                absolute.unlink()

    def sync_directory(self, path: str) -> None:
        self._sync(path, os.O_DIRECTORY)

    def sync_all(self, paths: Collection[str]) -> None:
        if len(paths) > PATHS_SYNCED_SINGLY_MAX and self._file_system.can_sync:
            self._file_system.sync()
        else:
            for path in paths:
                self._sync(path)

    def space(self) -> Space:
        with _naming("measure", ""):
            usage = shutil.disk_usage(self.root)
        return Space(str(self.root), usage.total, usage.free)

    def _sync(self, path: str, flags: int = 0) -> None:
        with _naming("sync", path):
            descriptor = os.open(self.root / path, os.O_RDONLY | os.O_CLOEXEC | flags)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


@contextlib.contextmanager
def _naming(what: str, path: str) -> Iterator[None]:
    """Turn an error of the operating system into one that says what was being done to which file."""
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        raise _failed(what, path, error) from error


def _failed(what: str, path: str, error: OSError) -> DiskFailed:
    return DiskFailed(f"could not {what} {path or 'the data directory'}: {error}")
