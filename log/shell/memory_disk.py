"""A disk in memory, for tests: ours, and those of everyone who writes an app.

It keeps apart what was written and what was synced. `crash` cuts the power: of each file the synced
part survives, of each directory the entries it had when it was synced. With `torn_seed` some of what
was not synced survives as well, perhaps garbled at its end, as happens on real disks.

Contents are durable after `File.sync`, names only after `sync_directory`, which finds code that
forgets one of the two. `fail_after` lets a chosen write or sync fail as a full or broken disk would.
"""

import random
from collections.abc import Collection, Iterator
from typing import Literal

from ..errors import DiskFailed
from ..storage.disk import Space

Operation = Literal["write", "sync"]


class _Content:
    """The bytes of one file, however it is named.

    A file that is only appended to is durable up to `synced_size`, so a sync costs nothing. When what
    was synced is cut, `before_cut` keeps it: the cut isn't durable either until the next sync.
    """

    __slots__ = ("before_cut", "data", "synced_size")

    def __init__(self, data: bytes = b"") -> None:
        self.data = bytearray(data)
        self.synced_size = len(data)
        self.before_cut: bytes | None = None

    def cut(self, size: int) -> None:
        if size < self.synced_size and self.before_cut is None:
            self.before_cut = bytes(self.data[: self.synced_size])
        del self.data[size:]

    def sync(self) -> None:
        self.synced_size = len(self.data)
        self.before_cut = None

    def lose_unsynced(self, chance: random.Random | None) -> None:
        """Become what a power cut leaves: a torn tail if there is chance, else what was synced."""
        if self.before_cut is not None:
            self.data = bytearray(self.before_cut)
        elif chance is None:
            del self.data[self.synced_size :]
        else:
            del self.data[chance.randint(self.synced_size, len(self.data)) :]
            if len(self.data) > self.synced_size and chance.random() < 0.5:
                self.data[chance.randrange(self.synced_size, len(self.data))] ^= 0xFF
        self.sync()


class _Directory:
    """Names, as they are and as they were last synced."""

    __slots__ = ("durable", "entries")

    def __init__(self) -> None:
        self.entries: dict[str, _Node] = {}
        self.durable: dict[str, _Node] = {}


_Node = _Content | _Directory


class MemoryFile:
    """A file of a `MemoryDisk` (`storage.disk.File`)."""

    __slots__ = ("_content", "_disk", "path")

    def __init__(self, disk: "MemoryDisk", path: str, content: _Content) -> None:
        self._disk = disk
        self._content = content
        self.path = path

    @property
    def size(self) -> int:
        return len(self._content.data)

    def append(self, data: bytes | bytearray | memoryview) -> None:
        self._disk.step("write", self.path)
        self._content.data += data

    def read_at(self, position: int, length: int) -> bytes:
        with memoryview(self._content.data) as view:
            return bytes(view[position : position + length])

    def truncate(self, size: int) -> None:
        self._disk.step("write", self.path)
        self._content.cut(size)

    def sync(self) -> None:
        self._disk.step("sync", self.path)
        self._content.sync()

    def close(self) -> None:
        """Nothing is held."""


class MemoryDisk:
    """A tree of files that forgets on demand (`storage.disk.Disk`)."""

    def __init__(self) -> None:
        self._root = _Directory()
        self._failures: dict[Operation, int] = {}

    def open(self, path: str, *, create: bool = True) -> MemoryFile:
        directory, name = self._parent(path)
        if not create and name not in directory.entries:
            raise FileNotFoundError(path)
        node = directory.entries.setdefault(name, _Content())
        if not isinstance(node, _Content):
            raise DiskFailed(f"could not open {path}: it is a directory")
        return MemoryFile(self, path, node)

    def read(self, path: str) -> bytes:
        node = self._find(path)
        if not isinstance(node, _Content):
            raise FileNotFoundError(path)
        return bytes(node.data)

    def replace(self, path: str, data: bytes) -> None:
        self.step("write", path)
        self.step("sync", path)
        directory, name = self._parent(path)
        directory.entries[name] = _Content(data)
        directory.durable = dict(directory.entries)

    def exists(self, path: str) -> bool:
        return self._find(path) is not None

    def list(self, path: str) -> list[str]:
        node = self._find(path)
        return sorted(node.entries) if isinstance(node, _Directory) else []

    def make_directory(self, path: str) -> None:
        node = self._root
        for name in path.split("/"):
            child = node.entries.setdefault(name, _Directory())
            if not isinstance(child, _Directory):
                raise DiskFailed(f"could not make {path}: {name} is a file")
            node = child

    def rename(self, source: str, target: str) -> None:
        self.step("write", target)
        old, old_name = self._parent(source)
        new, new_name = self._parent(target)
        if old_name not in old.entries:
            raise FileNotFoundError(source)
        new.entries[new_name] = old.entries.pop(old_name)

    def remove(self, path: str) -> None:
        if self._find(path) is not None:
            directory, name = self._parent(path)
            del directory.entries[name]

    def sync_directory(self, path: str) -> None:
        self.step("sync", path)
        node = self._find(path)
        if not isinstance(node, _Directory):
            raise FileNotFoundError(path)
        node.durable = dict(node.entries)

    def sync_all(self, paths: Collection[str]) -> None:
        for path in paths:
            node = self._find(path)
            if isinstance(node, _Content):
                self.step("sync", path)
                node.sync()
            else:
                self.sync_directory(path)

    def space(self) -> Space:
        return Space("memory", -1, -1)

    def crash(self, *, lose_unsynced: bool, torn_seed: int | None = None) -> None:
        """Cut the power, or only kill the process (`lose_unsynced=False`).

        Files that were open before must not be used any more: open the log again.
        """
        self._failures.clear()
        if lose_unsynced:
            chance = None if torn_seed is None else random.Random(torn_seed)  # noqa: S311
            for content in _survivors(self._root):
                content.lose_unsynced(chance)

    def fail_after(self, operation: Operation, count: int = 0) -> None:
        """Let this kind of operation fail once, after `count` more have succeeded."""
        self._failures[operation] = count

    def flip_bit(self, path: str, position: int, bit: int = 0) -> None:
        """Damage a stored byte, as a failing disk would."""
        content = self._find(path)
        assert isinstance(content, _Content), path
        content.data[position] ^= 1 << bit

    def step(self, operation: Operation, path: str) -> None:
        """Count an operation, and fail it if a test asked for that."""
        if self._failures and operation in self._failures:
            self._failures[operation] -= 1
            if self._failures[operation] < 0:
                del self._failures[operation]
                raise DiskFailed(f"{operation} of {path} failed, as the test asked")

    def _find(self, path: str) -> _Node | None:
        node: _Node | None = self._root
        for name in path.split("/") if path else ():
            if not isinstance(node, _Directory):
                return None
            node = node.entries.get(name)
        return node

    def _parent(self, path: str) -> tuple[_Directory, str]:
        parent, _, name = path.rpartition("/")
        node = self._find(parent)
        if not isinstance(node, _Directory):
            raise FileNotFoundError(parent)
        return node, name


def _survivors(directory: _Directory) -> Iterator[_Content]:
    """Put back the names that were synced, and iterate over the files that still have one."""
    directory.entries = dict(directory.durable)
    for _name, node in sorted(directory.entries.items()):
        if isinstance(node, _Directory):
            yield from _survivors(node)
        else:
            yield node
