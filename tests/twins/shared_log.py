"""A log in memory that several workers of one process use, with a group that tests can disturb.

The records, offsets and transactions are those of the embedded log. Only the group is a twin, without
time: it rebalances when somebody joins, and waits for all members; a member is expelled when the
test says so. As on a cluster a commit is refused if the member that makes it was expelled, and waits if its
generation is over.
"""

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

import anyio
import anyio.lowlevel
from millpond.log.embedded import EmbeddedLog
from millpond.log.errors import Expelled, Fenced
from millpond.log.interface import Membership, RecordsByPartition, ShareOut, TransactionalProducer
from millpond.log.model import Appended, CommittedOffset, Compression, Place, TopicPartition


class Member:
    """A `Membership`.

    Attributes:
        generations: how many it has been part of.
        joins: how often it has joined.
    """

    def __init__(self, group: "Group", share_out: ShareOut) -> None:
        self.place: Place | None = None
        self.generations = 0
        self.joins = 0
        self.told = b""
        self.given: bytes | None = None
        self.joining = False
        self.changed = anyio.Event()
        self.share_out = share_out
        self._group = group

    async def join(self, told: bytes) -> bytes:
        self.joins += 1
        if self.place is None:
            self._group.add(self)
        elif self._group.takes_for_repetition(self, told) and self.given is not None:
            await anyio.lowlevel.checkpoint()
            return self.given
        self.told, self.given, self.joining = told, None, True
        self._group.rebalance()
        try:
            while self.given is None and self.place is not None:
                await self.wait()
        finally:
            self.joining = False
        if self.given is None:
            raise Expelled("the group has gone on without this member")
        return self.given

    async def until_rebalance(self) -> None:
        while self.place is not None and not self._group.rebalancing:
            await self.wait()

    async def next_place(self, after: Place) -> Place | None:
        while self.place == after:
            await self.wait()
        return self.place

    async def wait(self) -> None:
        """Wait until something has changed about the member or its group."""
        await self.changed.wait()

    def notify(self) -> None:
        changed, self.changed = self.changed, anyio.Event()
        changed.set()


class Group:
    """Who is a member, and what they are given."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.generation = 0
        self.members: dict[str, Member] = {}
        self.rebalancing = False
        self._ids = count()

    def add(self, member: Member) -> None:
        member_id = f"member-{next(self._ids)}"
        member.place = Place(self.name, self.generation, member_id)
        self.members[member_id] = member

    def expel(self, member: Member) -> None:
        """Take a member's place away; it does not hear of it by itself."""
        if member.place is not None and self.members.pop(member.place.member_id, None):
            member.place = None
            member.notify()
            self.rebalance()

    def takes_for_repetition(self, member: Member, told: bytes) -> bool:
        """Return whether a join changes nothing: of a follower that tells what it has told before."""
        leader = next(iter(self.members.values()))
        return not self.rebalancing and member is not leader and member.told == told

    def rebalance(self) -> None:
        """Begin a generation when all members have joined it; until then, wait for them."""
        self.rebalancing = True
        members = self.members
        if members and all(each.joining and each.given is None for each in members.values()):
            self.rebalancing = False
            self.generation += 1
            leader = next(iter(members.values()))
            given = leader.share_out({name: each.told for name, each in members.items()})
            for name, member in members.items():
                member.place = Place(self.name, self.generation, name)
                member.given = given[name]
                member.generations += 1
        for member in members.values():
            member.notify()


class SharedProducer:
    """What all tasks of a worker commit with."""

    def __init__(
        self, inner: TransactionalProducer, member: Member, committing: anyio.Lock
    ) -> None:
        self._inner = inner
        self._turn = committing
        self._member = member
        self._member_id = None if member.place is None else member.place.member_id

    async def commit(
        self,
        records: RecordsByPartition,
        *,
        group: str,
        offsets: Mapping[TopicPartition, CommittedOffset],
        compression: Compression = Compression.NONE,
    ) -> dict[TopicPartition, Appended]:
        async with self._turn:
            place = self._member.place
            if place is None or place.member_id != self._member_id:
                raise Fenced("the member was expelled")
            return await self._inner.commit(
                records, group=group, offsets=offsets, compression=compression
            )


class SharedMemoryLog:
    """A `SharedLog`: an embedded log, and its groups.

    Attributes:
        fenced: the transactional ids that somebody has fenced.
    """

    def __init__(self, log: EmbeddedLog) -> None:
        self._log = log
        self._producers = count()
        self._committing = anyio.Lock()
        self.groups_of_members: dict[str, Group] = {}
        self.fenced: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    async def committed_offsets(
        self, group: str, partitions: Iterable[TopicPartition] | None = None
    ) -> dict[TopicPartition, CommittedOffset]:
        """Return what is committed, when nothing is being committed: offsets are stable (KIP-447)."""
        async with self._committing:
            return await self._log.committed_offsets(group, partitions)

    def group(self, name: str) -> Group:
        return self.groups_of_members.setdefault(name, Group(name))

    @asynccontextmanager
    async def membership(
        self, group: str, share_out: ShareOut, **_timeouts: object
    ) -> AsyncIterator[Member]:
        member = Member(self.group(group), share_out)
        try:
            yield member
        finally:
            self.group(group).expel(member)

    async def fence(self, transactional_id: str) -> None:
        """Note it: here no transaction stays open."""
        self.fenced.append(transactional_id)

    async def worker_producer(
        self, transactional_id: str, membership: Membership
    ) -> TransactionalProducer:
        assert isinstance(membership, Member)
        # Other workers' transactions must not fence this one's: the group does that.
        inner = await self._log.transactional_producer(
            f"{transactional_id}-{next(self._producers)}"
        )
        return SharedProducer(inner, membership, self._committing)
