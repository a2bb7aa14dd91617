"""A task's state in its world: a backend that can crash, and changelogs that outlive it.

`World` plays the worker: it opens the stores, restores them, commits to the changelogs and then to the
backend. The changelogs are lists. Where a step can be interrupted, it is a method of its own.
"""

import json
import shutil
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, Protocol
from uuid import UUID, uuid4

from millpond.log.model import Fetched, Headers, TopicPartition
from millpond.state.backend import Backend
from millpond.state.cache import CacheBudget
from millpond.state.changelog import ChangelogRecord
from millpond.state.codec import Codec
from millpond.state.errors import StoreClosed
from millpond.state.keys import META_POSITION
from millpond.state.memory import MemoryBackend
from millpond.state.meta import Position
from millpond.state.restore import ChangelogFacts
from millpond.state.rocks import RocksBackend, RocksEnvironment
from millpond.state.task_state import TaskRestore, TaskState


def _encode_int(value: int) -> bytes:
    return (value + (1 << 63)).to_bytes(8, "big")


def _decode_int(data: bytes) -> int:
    if len(data) != 8:
        raise ValueError("an int takes 8 bytes")
    return int.from_bytes(data, "big") - (1 << 63)


def _encode_list(value: list[int]) -> bytes:
    if not isinstance(value, list):
        raise TypeError(f"{value!r} is not a list")
    return json.dumps(value).encode()


TEXT: Codec[str] = Codec("text", str.encode, bytes.decode, mutable=False)
INT: Codec[int] = Codec("int", _encode_int, _decode_int, mutable=False)
LIST: Codec[list[int]] = Codec("list", _encode_list, json.loads, mutable=True)


class LoggedRecord(NamedTuple):
    offset: int
    key: bytes | None
    value: bytes | None
    timestamp: int
    headers: Headers


class Changelog:
    """One partition of a changelog topic, as a list."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.topic_id: UUID = uuid4()
        self.records: list[LoggedRecord] = []
        self.start = 0
        self.end = 0
        self.leader_epoch = 0
        self.epoch_ends: dict[int, int] = {}
        self.expires = False

    def append(self, records: Iterable[ChangelogRecord]) -> Position:
        """Append a transaction. Its marker takes an offset too, after the position returned."""
        for record in records:
            self.records.append(LoggedRecord(self.end, *record))
            self.end += 1
        position = Position(self.topic_id, self.leader_epoch, self.end)
        self.end += 1
        return position

    def compact(self) -> None:
        """Keep the last record of each key, and lose old deletions: offsets now have gaps."""
        last = {record.key: record for record in self.records}
        self.records = [
            record
            for record in self.records
            if last[record.key] is record and record.value is not None
        ]

    def facts(self, position: Position | None) -> ChangelogFacts:
        epoch = -1 if position is None else position.leader_epoch
        return ChangelogFacts(
            TopicPartition(self.name, 3),
            self.topic_id,
            self.start,
            self.end,
            epoch_end=self.epoch_ends.get(epoch, self.end),
            expires=self.expires,
        )

    def read(self, offset: int, count: int = 3) -> Fetched:
        """Read the next few records from `offset`; the position passes gaps and markers."""
        assert offset >= self.start
        ahead = [record for record in self.records if record.offset >= offset]
        records = ahead[:count]
        next_offset = self.end if len(ahead) <= count else records[-1].offset + 1
        partition = TopicPartition(self.name, 3)
        return Fetched(partition, records, next_offset, self.end, self.leader_epoch)


class Disk(Protocol):
    """Where a backend lives, between crashes."""

    def open(self) -> Backend: ...
    def crash(self) -> None: ...


class MemoryDisk:
    def __init__(self) -> None:
        self.backend = MemoryBackend()

    def open(self) -> Backend:
        self.backend.reopen()
        return self.backend

    def crash(self) -> None:
        self.backend.crash()


class RocksDisk:
    """RocksDB in a directory. A crash leaves a copy of the files as they were at that moment."""

    def __init__(self, directory: Path, environment: RocksEnvironment) -> None:
        self.directory = directory
        self.environment = environment
        self.lives = 0
        self.backend: RocksBackend | None = None

    @property
    def path(self) -> Path:
        return self.directory / f"life-{self.lives}"

    def open(self) -> Backend:
        self.backend = self.environment.open(self.path)
        return self.backend

    def crash(self) -> None:
        assert self.backend is not None
        wait_until_idle(self.backend)
        image = self.directory / "image"
        while not copied(self.path, image):
            pass
        self.backend.close()
        shutil.rmtree(self.path)
        self.lives += 1
        image.rename(self.path)


def wait_until_idle(backend: RocksBackend) -> None:
    """Wait for compactions, so that the files that are copied belong together."""
    busy = ("num-running-flushes", "num-running-compactions", "compaction-pending")
    with suppress(StoreClosed):
        while any(backend._measure(f"rocksdb.{name}") for name in busy):
            time.sleep(0.001)


def copied(path: Path, image: Path) -> bool:
    """Copy a directory; False if a file vanished meanwhile, which was then of no more use."""
    shutil.rmtree(image, ignore_errors=True)
    try:
        shutil.copytree(path, image)
    except shutil.Error:
        return False
    return True


class World:
    """A worker with two key-value and two windowed stores, one of each with mutable values."""

    def __init__(self, disk: Disk | None = None, cache_bytes: int = 64 << 20) -> None:
        self.disk = MemoryDisk() if disk is None else disk
        self.cache_bytes = cache_bytes
        self.now = 1_000_000
        self.changelogs = {name: Changelog(name) for name in ("totals", "lists", "minutes", "logs")}
        # As committed in the metadata of the input offsets.
        self.horizons: dict[str, int] = {}
        self.open()

    def open(self) -> TaskRestore:
        """Start the worker and restore all of its stores."""
        restore = self.begin_restore()
        while not restore.done:
            self.restore_some(restore)
        restore.finish(self.now)
        return restore

    def begin_restore(self) -> TaskRestore:
        self.budget = CacheBudget(self.cache_bytes)
        self.backend = self.disk.open()
        self.state = TaskState(self.backend, partitions=8, budget=self.budget)
        state = self.state
        self.totals = state.key_value("totals", changelog="totals", key=TEXT, value=INT)
        self.lists = state.key_value("lists", changelog="lists", key=TEXT, value=LIST)
        self.minutes = state.windowed(
            "minutes", changelog="minutes", key=TEXT, value=INT, window="tumbling"
        )
        self.logs = state.windowed(
            "logs", changelog="logs", key=TEXT, value=LIST, window="tumbling"
        )
        facts = {
            name: changelog.facts(state.positions.get(name))
            for name, changelog in self.changelogs.items()
        }
        return state.restore(facts, self.now, self.horizons)

    def restore_some(self, restore: TaskRestore) -> None:
        for name, offset in restore.offsets.items():
            restore.feed(self.changelogs[name].read(offset))

    def commit(self, horizons: Mapping[str, int] | None = None) -> None:
        """Commit to the log, then to the backend."""
        self.state.apply(self.commit_to_log(horizons), self.now)

    def commit_to_log(self, horizons: Mapping[str, int] | None = None) -> dict[str, Position]:
        return self.append(self.drain(), horizons)

    def drain(self) -> dict[str, list[ChangelogRecord]]:
        self.now += 100
        return self.state.drain(self.now)

    def append(
        self,
        drained: Mapping[str, list[ChangelogRecord]],
        horizons: Mapping[str, int] | None = None,
    ) -> dict[str, Position]:
        self.horizons |= horizons or {}
        return {name: self.changelogs[name].append(records) for name, records in drained.items()}

    def crash(self) -> TaskRestore:
        """Lose what was not flushed, and start again."""
        self.disk.crash()
        return self.open()

    def restart(self) -> TaskRestore:
        self.state.close()
        return self.open()

    def data(self) -> dict[bytes, bytes]:
        """All bytes of the backend but the positions, which tell how it got there."""
        return {
            key: value
            for key, value in self.backend.range(b"", b"\xff" * 16)
            if not key.startswith(META_POSITION)
        }

    def rebuilt(self) -> "World":
        """Another worker, which has nothing but the changelogs."""
        other = World.__new__(World)
        other.disk = MemoryDisk()
        other.cache_bytes = self.cache_bytes
        other.now = self.now
        other.changelogs = self.changelogs
        other.horizons = dict(self.horizons)
        other.open()
        return other

    def contents(self) -> dict[str, Any]:
        """Everything in all stores, as a task sees it."""
        return {
            "totals": dict(self.totals.items()),
            "lists": {key: list(value) for key, value in self.lists.items()},
            "minutes": {s: d for s in self.minutes.starts() if (d := dict(self.minutes.items(s)))},
            "logs": {
                start: entries
                for start in self.logs.starts()
                if (entries := {key: list(value) for key, value in self.logs.items(start)})
            },
        }
