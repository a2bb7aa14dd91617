"""A disk that fails at a chosen moment, and a small life of a log for it to interrupt."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from millpond.log.embedded import EmbeddedLog
from millpond.log.errors import DiskFailed, LogError
from millpond.log.interface import TransactionalProducer
from millpond.log.model import (
    CommittedOffset,
    Isolation,
    NewRecord,
    TopicPartition,
    TopicSpec,
)
from millpond.log.shell.memory_disk import MemoryDisk, Operation

IN = TopicPartition("in", 0)
OUT = [TopicPartition("out", i) for i in range(3)]
GROUP = "readers"


class PowerCut(DiskFailed):
    """The power is gone: nothing more reaches the disk."""


class CutDisk(MemoryDisk):
    """A disk whose power is cut before a chosen operation, counted from `arm`."""

    def __init__(self) -> None:
        super().__init__()
        self.operations = 0
        self._cut_at: int | None = None

    def arm(self, after: int) -> None:
        """Let `after` more operations succeed, and none after them until `crash`."""
        self._cut_at = self.operations + after

    def step(self, operation: Operation, path: str) -> None:
        if self._cut_at is not None and self.operations >= self._cut_at:
            raise PowerCut(f"{operation} of {path}")
        self.operations += 1
        super().step(operation, path)

    def crash(self, *, lose_unsynced: bool, torn_seed: int | None = None) -> None:
        self._cut_at = None
        super().crash(lose_unsynced=lose_unsynced, torn_seed=torn_seed)


@dataclass
class Life:
    """What was tried on a log, and what of it was acknowledged."""

    disk: CutDisk = field(default_factory=CutDisk)
    now: int = 1_700_000_000_000
    tried: int = 0
    acknowledged: int = 0

    @asynccontextmanager
    async def open(self) -> AsyncIterator[EmbeddedLog]:
        async with EmbeddedLog.open("", disk=self.disk) as log:
            yield log

    @classmethod
    async def begin(cls) -> "Life":
        """Begin with topics, and one commit already made."""
        life = cls()
        async with life.open() as log:
            await log.create_topics([TopicSpec("in", 1), TopicSpec("out", len(OUT))])
        assert await until_power_cut(life, commits=1)
        return life

    async def commit(self, producer: TransactionalProducer) -> None:
        """Commit one more number: to all outputs, and as the group's offset and metadata."""
        self.tried += 1
        number = self.tried
        record = NewRecord(b"key", b"%d" % number, self.now)
        await producer.commit(
            {tp: [record, record] for tp in OUT},
            group=GROUP,
            offsets={IN: CommittedOffset(number, 0, f"at {number}")},
        )
        self.acknowledged = number

    async def check(self, log: EmbeddedLog) -> int:
        """Hold the log against the promise; return the last number that is in it.

        Every acknowledged number is there, each one everywhere or nowhere, in order; and what was
        aborted is seen by none.
        """
        seen = [await committed_values(log, tp) for tp in OUT]
        assert seen[0] == seen[1] == seen[2]
        numbers = [int(value) for value in seen[0][::2]]
        assert seen[0][::2] == seen[0][1::2], "each record was written twice"
        assert numbers == sorted(set(numbers))
        last = numbers[-1] if numbers else 0
        assert last >= self.acknowledged
        committed = await log.committed_offsets(GROUP)
        if last:
            assert committed == {IN: CommittedOffset(last, 0, f"at {last}")}
        else:
            assert committed == {}
        for tp in OUT:
            ends = [(await log.end_offsets([tp], isolation))[tp] for isolation in Isolation]
            assert ends[0] == ends[1], "no transaction is left open"
        return last


async def committed_values(log: EmbeddedLog, tp: TopicPartition) -> list[bytes]:
    reader = log.reader()
    offset = (await log.start_offsets([tp]))[tp]
    reader.assign({tp: offset})
    found: list[bytes] = []
    while fetched := await reader.read(wait_max_s=0):
        found += [record.value or b"" for one in fetched for record in one.records]
    return found


async def until_power_cut(life: Life, commits: int) -> bool:
    """Open, make a producer, commit a few times, close. Say whether the power stayed on."""
    try:
        async with life.open() as log:
            producer = await log.transactional_producer("task-0")
            for _ in range(commits):
                await life.commit(producer)
    except LogError as error:
        if not caused_by_power_cut(error):
            raise
        return False
    return True


def caused_by_power_cut(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, PowerCut):
            return True
        error = error.__cause__ or error.__context__
    return False
