"""What storage asks of a disk.

Storage decides what is written, in which order, and what must be synced before what; a disk does
it. There are two: `log/shell/disk.py` on real files, and `MemoryDisk` in `log/shell/memory_disk.py`,
which forgets what was not synced when a test cuts the power.

Paths are strings with `/`, relative to the disk's root. All failures of the operating system reach
the caller as `DiskFailed`, except a missing file, which is `FileNotFoundError`.
"""

from collections.abc import Collection
from typing import NamedTuple, Protocol


class File(Protocol):
    """An open file: appended to at its end, read anywhere."""

    @property
    def path(self) -> str: ...

    @property
    def size(self) -> int:
        """Bytes, counting those that are written but not yet synced."""

    def append(self, data: bytes | bytearray | memoryview) -> None:
        """Write at the end. All or nothing: after a short write the file is cut back."""

    def read_at(self, position: int, length: int) -> bytes:
        """Return up to `length` bytes from `position`; fewer at the end of the file."""

    def truncate(self, size: int) -> None:
        """Cut the file to `size` bytes."""

    def sync(self) -> None:
        """Return once all that was appended before is durable. May be called from any thread."""

    def close(self) -> None: ...


class Space(NamedTuple):
    """Where a disk is, and how much room it has; -1: nobody knows."""

    path: str
    total_bytes: int
    usable_bytes: int


class Disk(Protocol):
    """A tree of files under one root."""

    def open(self, path: str, *, create: bool = True) -> File:
        """Open for reading and appending; if it is missing, create it or raise FileNotFoundError."""

    def read(self, path: str) -> bytes:
        """Return a whole small file."""

    def replace(self, path: str, data: bytes) -> None:
        """Put a small file in place atomically and durably (temporary file, sync, rename, sync)."""

    def exists(self, path: str) -> bool: ...

    def list(self, path: str) -> list[str]:
        """Return the names in a directory, sorted; an empty list when it is missing."""

    def make_directory(self, path: str) -> None:
        """Create the directory and its parents; an existing one is fine."""

    def rename(self, source: str, target: str) -> None:
        """Rename a file or directory over whatever `target` is. Durable after `sync_directory`."""

    def remove(self, path: str) -> None:
        """Remove a file, or a directory with all that is in it; a missing one is fine."""

    def sync_directory(self, path: str) -> None:
        """Make creations, renames and removals in this directory durable."""

    def sync_all(self, paths: Collection[str]) -> None:
        """Sync these files and directories; if they are many, with one sync of the file system."""

    def space(self) -> Space:
        """Say how much room there is."""
