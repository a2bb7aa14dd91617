"""The log as streams see it: the one narrow door, whatever stands behind it.

Three implementations are meant to pass the same conformance suite: the embedded log (in this
process, no sockets), and a cluster of Millpond brokers or of Apache Kafka over the network. So
everything here moves batches, returns when the log has answered, and never assumes that data is
local. A method may be called from many tasks at once; calls on one producer keep their order.

Whatever the log refuses is a `LogError`; see `log/errors.py`.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from .model import (
    Appended,
    CommittedOffset,
    Compression,
    Fetched,
    Isolation,
    NewRecord,
    Offset,
    Place,
    Timestamp,
    TopicDescription,
    TopicPartition,
    TopicSpec,
)

RecordsByPartition = Mapping[TopicPartition, Sequence[NewRecord]]


class Reader(Protocol):
    """Reads assigned partitions, each from its own position, prefetching where that pays."""

    def assign(self, positions: Mapping[TopicPartition, Offset]) -> None:
        """Read exactly these partitions, each from this offset. Replaces what was assigned."""

    def pause(self, partitions: Iterable[TopicPartition]) -> None:
        """Leave these partitions in the log until they are resumed; positions are kept."""

    def resume(self, partitions: Iterable[TopicPartition]) -> None:
        """Read these again."""

    async def read(
        self, *, bytes_max: int = 1 << 20, wait_max_s: float | None = None
    ) -> list[Fetched]:
        """Return what has arrived on partitions that are not paused, at most one entry for each.

        Waits until at least one partition has something (`records`, or a `next_offset` that moved),
        or `wait_max_s` seconds have passed, then returns an empty list; None waits for ever.
        A partition yields at least one batch even when that batch exceeds `bytes_max`. Partitions
        take turns, so none starves.

        Raises:
            OffsetOutOfRange: a position fell behind the log's start, or lies past its end.
            UnknownTopic: a partition was deleted.
        """

    async def aclose(self) -> None:
        """Release what the reader holds. Closing twice is harmless."""


class Producer(Protocol):
    """Appends with idempotence: a record is in the log once, in the order of the calls (KIP-98)."""

    async def append(
        self, records: RecordsByPartition, *, compression: Compression = Compression.NONE
    ) -> dict[TopicPartition, Appended]:
        """Append one batch (or more, if large) to each partition; return once they are durable.

        Several calls may be in flight. The order of calls is the order in each partition.

        Raises:
            UnknownTopic: nothing was appended.
            RecordTooLarge: nothing was appended.
        """


class TransactionalProducer(Protocol):
    """One writer at a time per transactional id: making a new one fences the one before."""

    async def commit(
        self,
        records: RecordsByPartition,
        *,
        group: str,
        offsets: Mapping[TopicPartition, CommittedOffset],
        compression: Compression = Compression.NONE,
    ) -> dict[TopicPartition, Appended]:
        """Append all records and the group's offsets as one transaction, and commit it.

        On return all of it is durable and visible to committed reads. After an error, or when the
        caller was cancelled, the outcome is unknown until the next producer of the same
        transactional id has been made: that decides it, and then committed offsets tell.

        Raises:
            Fenced: a newer producer of this transactional id exists. Nothing was committed.
        """


class Log(Protocol):
    """A partitioned log with transactions and group offsets."""

    async def create_topics(self, specs: Iterable[TopicSpec]) -> None:
        """Create topics. All or none.

        Raises:
            TopicExists: of one of them.
            ConfigError: an invalid name, count or setting.
        """

    async def add_partitions(self, counts: Mapping[str, int]) -> None:
        """Let topics have this many partitions. All or none. What they hold stays where it is.

        Raises:
            UnknownTopic: one of them does not exist.
            ConfigError: a count that is not larger than before.
        """

    async def alter_topics(self, configs: Mapping[str, Mapping[str, str]]) -> None:
        """Give topics these settings, and no others. All or none.

        Raises:
            UnknownTopic: one of them does not exist.
            ConfigError: a setting does not exist, or its value won't do.
        """

    async def delete_topics(self, names: Iterable[str]) -> None:
        """Delete topics with all their records. Raises UnknownTopic."""

    async def describe_topics(
        self, names: Iterable[str] | None = None
    ) -> dict[str, TopicDescription]:
        """Return the topics that exist, of those named, or all that are not internal."""

    async def delete_records(self, before: Mapping[TopicPartition, Offset]) -> None:
        """Move each partition's log start to this offset: what lies before is gone for readers."""

    async def start_offsets(
        self, partitions: Iterable[TopicPartition]
    ) -> dict[TopicPartition, Offset]:
        """Return the first offset that each partition still has. Raises UnknownTopic."""

    async def end_offsets(
        self,
        partitions: Iterable[TopicPartition],
        isolation: Isolation = Isolation.READ_COMMITTED,
    ) -> dict[TopicPartition, Offset]:
        """Return the offset after the last one that a reader of this isolation may see."""

    async def offsets_for_times(
        self, times: Mapping[TopicPartition, Timestamp]
    ) -> dict[TopicPartition, Offset | None]:
        """Return the first offset whose timestamp is at or after the given one, or None."""

    async def epoch_end_offset(self, partition: TopicPartition, leader_epoch: int) -> Offset:
        """Return the end of the largest leader epoch ≤ `leader_epoch` (KIP-101).

        A position (epoch, offset) is still on this log's history iff offset ≤ this. Answers -1
        when the log knows no epoch that low.
        """

    async def groups(self) -> list[str]:
        """Return the ids of all groups that have committed offsets, sorted."""

    async def committed_offsets(
        self, group: str, partitions: Iterable[TopicPartition] | None = None
    ) -> dict[TopicPartition, CommittedOffset]:
        """Return the group's committed offsets: of these partitions, or all that it has."""

    async def commit_offsets(
        self, group: str, offsets: Mapping[TopicPartition, CommittedOffset]
    ) -> None:
        """Commit offsets outside any transaction; durable on return."""

    async def delete_groups(self, names: Iterable[str]) -> None:
        """Forget groups, and what they have committed. Those that do not exist are passed over.

        Raises:
            GroupActive: one of them has members. Others may be gone.
        """

    def reader(self, isolation: Isolation = Isolation.READ_COMMITTED) -> Reader:
        """Make a reader with nothing assigned."""

    async def producer(self) -> Producer:
        """Make an idempotent producer."""

    async def transactional_producer(self, transactional_id: str) -> TransactionalProducer:
        """Make the only living producer of this id (KIP-98 InitProducerId).

        Fences the one before, and decides its transaction if one was left open: committed if its
        commit had been decided, else aborted. When this returns, committed offsets are final.
        """


ShareOut = Callable[[Mapping[str, bytes]], Mapping[str, bytes]]
"""What the leader of a group does: of what each member has told, make what each is given."""


class Membership(Protocol):
    """Membership in a group that shares out work; what is told and given are bytes to the log.

    Members stay while they are heard of in time, which goes on by itself. All give up nothing when
    the group rebalances; who has to give something up does so behind `join`, and joins anew, so that
    the next one gets it (cooperative rebalancing, KIP-429).
    """

    @property
    def place(self) -> Place | None:
        """The place in the present generation; None before `join` and once expelled.

        It changes within `join`, as soon as the coordinator has begun another generation.
        """

    async def join(self, told: bytes) -> bytes:
        """Join, or join anew: tell the leader something, return what it gives this member.

        Waits for all other members, but no longer than the rebalance timeout. Meanwhile what the member
        has remains its own, to be committed. Without a place it joins as a new member.

        Raises:
            Expelled: it was a member when it began to join, and is none any more, so what it has told
                of what it has does not hold. The next call joins as a new one.
            Fenced: another process has the instance id now.
            Unreachable: no coordinator could be reached for as long as a call may take.
        """

    async def next_place(self, after: Place) -> Place | None:
        """Return the place as soon as it is not `after`."""

    async def until_rebalance(self) -> None:
        """Return when the group wants to rebalance, or when this member is expelled."""


class SharedLog(Log, Protocol):
    """A log that several processes use at once."""

    def membership(
        self,
        group: str,
        share_out: ShareOut,
        *,
        instance_id: str | None = None,
        session_timeout_ms: int = 10_000,
        rebalance_timeout_ms: int = 60_000,
    ) -> AbstractAsyncContextManager[Membership]:
        """Become able to join a group; leave it at the end of the block.

        Args:
            group: its id.
            share_out: called when this member leads the group.
            instance_id: makes it a static member (KIP-345): it does not leave at the end, and a process
                that joins under the same id in time takes its place without a rebalance.
            session_timeout_ms: how long a member may be unheard of.
            rebalance_timeout_ms: how long members are waited for in a rebalance.
        """

    async def worker_producer(
        self, transactional_id: str, membership: Membership
    ) -> TransactionalProducer:
        """Make a producer for all tasks of a process, whose commits its place in a group fences (KIP-447).

        Commits that are asked for while another is on its way share the next transaction, and come
        out together. If the group has begun another generation, a commit waits until the membership has
        its place in it. If the member was expelled, a commit changes nothing and raises Fenced, and so
        does every one after it, even if the member has a place again, under another member id: the work
        that it came from may be somebody else's by now.
        """

    async def fence(self, transactional_id: str) -> None:
        """See to it that no producer made before commits anything more, and abort what one has left open."""

    async def at_least_once_producer(self) -> TransactionalProducer:
        """Make a producer that appends first and commits offsets behind it, without a transaction.

        For clusters that have none. Nothing fences it, and what a crash cuts off is done again.
        """


OpenLog = AbstractAsyncContextManager[Log]
"""What opening a log gives: `async with open_log(...) as log`."""
