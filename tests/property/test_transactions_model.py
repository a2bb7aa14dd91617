"""Random lives of producers, interleaved at every sync, with power cuts, against a plain model.

The steps of several commits are taken in any order, logs are synced or not, owners are replaced in
the middle of a commit, and the power fails. What a committed reader may see is simple: the model is
a list of transactions, each of which happened everywhere or nowhere.
"""

import itertools
import random
from dataclasses import dataclass, field
from uuid import UUID

import pytest
from _pytest.mark import ParameterSet
from millpond.log.broker.batching import encode_batches
from millpond.log.broker.delivery import fetch
from millpond.log.broker.opening import Opened, open_broker
from millpond.log.broker.steps import Steps
from millpond.log.broker.transactions import Committed
from millpond.log.coordinator.transaction_state import Transaction
from millpond.log.errors import ConcurrentTransaction, Fenced
from millpond.log.model import (
    CommittedOffset,
    Compression,
    Isolation,
    NewRecord,
    TopicPartition,
    TopicSpec,
)
from millpond.log.shell.memory_disk import MemoryDisk
from millpond.log.storage.partition_log import PartitionLog


def long(seed: int) -> ParameterSet:
    return pytest.param(seed, marks=pytest.mark.long)


PARTITIONS = [TopicPartition("out", number) for number in range(3)]
NAMES = ["one", "two", "three"]


@dataclass
class Attempt:
    """A transaction that was tried: `number` goes to these partitions, and into the offsets."""

    number: int
    name: str
    partitions: list[TopicPartition]
    steps: Steps[Committed]
    to_sync: list[PartitionLog] = field(default_factory=list)
    outcome: bool | None = None
    """Committed, or not; None as long as that is open."""


class World:
    """A broker whose callers take one step at a time."""

    def __init__(self) -> None:
        self.disk = MemoryDisk()
        self.now = 1_700_000_000_000
        self.ids = (UUID(int=n) for n in itertools.count(100))
        self.attempts: list[Attempt] = []
        self.owners: dict[str, Transaction] = {}
        self.opened = self.open()
        self.opened.broker.create_topics([TopicSpec("out", len(PARTITIONS))], self.now)

    def open(self) -> Opened:
        return open_broker(
            self.disk, now=self.now, new_topic_id=lambda: next(self.ids), durable_reads=True
        )

    # What may happen.

    def init(self, name: str) -> None:
        """Make a new owner, in the middle of whatever its predecessor does."""
        steps = self.opened.transactions.init(name, timeout_ms=1000, now=self.now)
        try:
            self.owners[name] = run(steps)
        except ConcurrentTransaction:
            assert any(a.outcome is None for a in self.attempts if a.name == name)

    def begin(self, name: str, partitions: list[TopicPartition]) -> None:
        """Begin a commit, up to its first sync."""
        busy = any(a.outcome is None and a.name == name for a in self.attempts)
        owner = self.owners.get(name)
        if owner is None or busy:
            return
        number = len(self.attempts)
        batches = {
            partition: encode_batches(
                [NewRecord(None, b"%d" % number, self.now)] * 2,
                partition,
                self.opened.broker.topic("out").config,
                producer_id=owner.producer_id,
                producer_epoch=owner.producer_epoch,
                base_sequence=0,
                transactional=True,
                compression=Compression.NONE,
            )
            for partition in partitions
        }
        offsets = {PARTITIONS[0]: CommittedOffset(number)}
        steps = self.opened.transactions.commit(owner, batches, name, offsets, self.now)
        attempt = Attempt(number, name, partitions, steps)
        self.attempts.append(attempt)
        self.advance(attempt)

    def advance(self, attempt: Attempt) -> None:
        """Sync what a commit waits for, and let it take its next step."""
        for log in attempt.to_sync:
            log.flush()
        try:
            attempt.to_sync = list(next(attempt.steps))
        except StopIteration as done:
            attempt.outcome = True
            self.owners[attempt.name] = done.value.owner
        except Fenced:
            attempt.outcome = False
        except ConcurrentTransaction:
            raise AssertionError("each owner has one transaction at a time") from None

    def append(self, partition: TopicPartition) -> None:
        """Let a bystander append outside any transaction, without a sync."""
        log = self.opened.broker.partition(partition)
        [batch] = encode_batches(
            [NewRecord(None, b"-", self.now)],
            partition,
            log.config,
            producer_id=-1,
            producer_epoch=-1,
            base_sequence=-1,
            transactional=False,
            compression=Compression.NONE,
        )
        self.opened.broker.append(partition, batch, self.now, trusted=True)

    def pass_time(self) -> None:
        """Let all open transactions time out."""
        self.now += 2000
        run(self.opened.transactions.abort_overdue(self.now))
        self.opened.transactions.complete_marked(self.now)

    def crash(self, *, lose_unsynced: bool, torn_seed: int | None) -> None:
        """Cut the power; afterwards the disk tells how open commits have ended."""
        self.disk.crash(lose_unsynced=lose_unsynced, torn_seed=torn_seed)
        self.opened = self.open()
        self.owners.clear()
        self.settle_open_attempts()

    def settle_open_attempts(self) -> None:
        for attempt in self.attempts:
            if attempt.outcome is None:
                seen = [attempt.number in self.seen(p) for p in attempt.partitions]
                assert len(set(seen)) <= 1, "everywhere or nowhere"
                committed = self.opened.group_offsets.committed(attempt.name)
                found = committed.get(PARTITIONS[0])
                attempt.outcome = found is not None and found.offset == attempt.number
                assert not seen or seen[0] == attempt.outcome, "offsets go with the records"

    # What must hold.

    def seen(self, partition: TopicPartition) -> list[int]:
        """Return the numbers that a committed reader gets, once for each transaction."""
        log = self.opened.broker.partition(partition)
        offset, found = log.log_start_offset, []
        while offset < log.last_stable_offset:
            fetched, _size = fetch(log, offset, 200, Isolation.READ_COMMITTED)
            found += [int(r.value) for r in fetched.records if r.value and r.value != b"-"]
            offset = fetched.next_offset
        assert found[::2] == found[1::2], "each transaction wrote its number twice"
        return found[::2]

    def check(self, *, quiescent: bool) -> None:
        """Hold every partition and group against the model.

        As long as transactions are open, committed readers may be held back behind them.
        """
        for partition in PARTITIONS:
            seen = self.seen(partition)
            assert len(set(seen)) == len(seen)
            mine = [a for a in self.attempts if partition in a.partitions]
            refused = {a.number for a in mine if a.outcome is False}
            assert not refused.intersection(seen)
            if quiescent:
                assert set(seen) == {a.number for a in mine if a.outcome}
        for name in NAMES:
            known = [a.number for a in self.attempts if a.name == name and a.outcome]
            committed = self.opened.group_offsets.committed(name)
            undecided = [a.number for a in self.attempts if a.name == name and a.outcome is None]
            found = [offset.offset for offset in committed.values()]
            assert found in ([known[-1]] if known else [], undecided)


def run(steps: Steps[Transaction] | Steps[None]) -> Transaction:
    """Take all steps, syncing between them."""
    try:
        while True:
            for log in next(steps):
                log.flush()
    except StopIteration as done:
        result: Transaction = done.value
        return result


@pytest.mark.parametrize("seed", [*range(40), *(long(seed) for seed in range(40, 600))])
def test_every_transaction_happens_everywhere_or_nowhere(seed: int) -> None:
    """Walk at random; where it fails, the seed tells the story again."""
    chance = random.Random(seed)
    world = World()
    for name in NAMES:
        world.init(name)
    for _ in range(60):
        walk(world, chance)
        world.check(quiescent=False)
    for attempt in world.attempts:
        while attempt.outcome is None:
            world.advance(attempt)
    for log in world.opened.broker.partitions.values():
        log.flush()
    world.pass_time()
    world.check(quiescent=True)
    world.crash(lose_unsynced=True, torn_seed=None)
    world.check(quiescent=True)


def walk(world: World, chance: random.Random) -> None:
    """Let one thing happen."""
    what = chance.choices(
        ["begin", "advance", "append", "init", "crash", "time"], [8, 16, 2, 2, 2, 1]
    )
    match what:
        case ["begin"]:
            chosen = chance.sample(PARTITIONS, chance.randint(0, 2))
            world.begin(chance.choice(NAMES), chosen)
        case ["advance"]:
            active = [attempt for attempt in world.attempts if attempt.outcome is None]
            if active:
                world.advance(chance.choice(active))
        case ["append"]:
            world.append(chance.choice(PARTITIONS))
        case ["init"]:
            world.init(chance.choice(NAMES))
        case ["time"]:
            world.pass_time()
        case ["crash"]:
            torn_seed = chance.choice([None, chance.randint(0, 99)])
            world.crash(lose_unsynced=chance.random() < 0.8, torn_seed=torn_seed)
            for name in NAMES:
                world.init(name)
