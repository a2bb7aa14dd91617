"""The commits of all tasks of a worker: shared transactions, fenced by its place in a group (KIP-447).

A transaction costs the same few requests whatever is in it, and a worker has many tasks. So commits
that are asked for while a transaction is on its way share the next one (`rounds.py`). A commit that the
cluster refuses for its own sake, such as a record that is too large, must not take others with it: then
nothing of the transaction is left, and each commit gets one of its own.

Each transaction commits one of its offsets once more, in the group that shares out the tasks, in the
name of this member. That is all that is checked: tasks' own groups have no members. It comes last, see
`transactions.py`. A producer serves one member: whoever is expelled and joins anew is another one, and
what the first one was about to commit may be others' work by then.

What a refusal says:

- Another generation: the group has rebalanced, and the answer that gives this member its new place is
  about to come. What it has is its own until it gives it up, so the transaction is done anew from there.
- No such member, or another one in its place: `Fenced`, now and from now on.
- The transactional id is somebody else's: the same.
- It is not, but the transaction was open for too long and is aborted: it is done again (`transactions.py`).
- Nothing that is certain: `Undecided`. The worker gives up all tasks as if it were fenced; who gets them
  waits until that transaction is decided.

How long that may be: a worker that is killed amid a transaction leaves it open. Its partitions hide
what follows from committed readers, and its tasks' offsets are not told, until the coordinator aborts
it: transaction.timeout.ms after it began, at the next look, which Apache Kafka takes every 10 s
(transaction.abort.timed.out.transaction.cleanup.interval.ms). As `address.py` has it, that is 10 to 20 s, of
which a session timeout of 10 s is spent in noticing that the worker is gone: take-over waits up to 10 s
longer. Whoever is away from its brokers for longer than that does its transaction twice.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import anyio

from ..errors import Fenced, MillpondError, Unreachable
from ..interface import Membership, RecordsByPartition
from ..model import Appended, CommittedOffset, Compression, Place, TopicPartition
from ..wire.error_codes import ErrorCode
from .rounds import Rounds
from .transactions import Aborted, Commit, Fence, Transactions

MOVED_ON: Final = frozenset({ErrorCode.ILLEGAL_GENERATION, ErrorCode.REBALANCE_IN_PROGRESS})
"""What is refused because the group is in another generation, or about to be."""

EXPELLED: Final = frozenset({ErrorCode.UNKNOWN_MEMBER_ID, ErrorCode.FENCED_INSTANCE_ID})
"""What is refused because this is no member any more."""


class Undecided(Fenced):
    """Whether the last transaction was committed is not known yet: whoever takes over waits for it."""


class WorkerProducer:
    """A `TransactionalProducer` for many tasks."""

    def __init__(self, transactions: Transactions, membership: Membership) -> None:
        self._transactions = transactions
        self._membership = membership
        self._member_id = membership.place.member_id if membership.place is not None else None
        self._preparing = anyio.Lock(fast_acquire=True)
        self._rounds = Rounds(self._carry_out)
        self._failed: Fenced | None = None

    async def commit(
        self,
        records: RecordsByPartition,
        *,
        group: str,
        offsets: Mapping[TopicPartition, CommittedOffset],
        compression: Compression = Compression.NONE,
    ) -> dict[TopicPartition, Appended]:
        """Commit as the interface says.

        Where other tasks have written to a partition in the same transaction, theirs may lie between
        what the result says: but each record of this commit is within.

        Raises:
            Fenced: this worker has lost its tasks; or, as `Undecided`, must give them up.
            Unreachable: the cluster did not answer in time. Nothing was committed.
        """
        async with self._preparing:  # those who wait here keep their order
            self._place()
            commit = await self._transactions.prepared(records, group, offsets, compression)
        if commit is None:
            return {}
        await self._rounds.ask(commit)
        if commit.error is not None:
            raise commit.error
        return commit.appended()

    # -- a round -------------------------------------------------------------------------------

    async def _carry_out(self, commits: Sequence[Commit]) -> None:
        """Carry out all; each on its own, if one of them spoils the others."""
        for commit in commits:
            commit.error = Undecided(self._says("it was interrupted"))
        error: MillpondError | None
        try:
            await self._commit(commits)
        except Aborted as aborted:
            if len(commits) > 1 and not isinstance(aborted.cause, Unreachable):
                for commit in commits:
                    await self._carry_out([commit])
                return
            error = aborted.cause
        except Fenced as fenced:
            self._failed = self._failed or fenced
            error = fenced
        else:
            error = None
        for commit in commits:
            commit.error = None if error is None else _again(error)

    async def _commit(self, commits: Sequence[Commit]) -> None:
        """Carry out a transaction, in whatever generation the member comes to be in.

        Raises:
            Aborted: nothing was committed, for the sake of what was to be.
            Fenced: this is the end.
        """
        while True:
            place = self._place()
            try:
                await self._transactions.carry_out(commits, Fence(place, _offset_among(commits)))
            except Aborted as aborted:
                if aborted.code in MOVED_ON:
                    await self._wait_for_place(place)
                elif aborted.code in EXPELLED:
                    raise self._expelled(str(aborted.cause)) from None
                else:
                    raise
            except Fenced:
                raise
            except MillpondError as error:
                raise Undecided(self._says(str(error))) from error
            else:
                return

    # -- the place -----------------------------------------------------------------------------

    def _place(self) -> Place:
        """Return the member's place.

        Raises:
            Fenced: it has none any more.
        """
        if self._failed is not None:
            raise _again(self._failed) from self._failed
        place = self._membership.place
        if place is not None and self._member_id is None:
            self._member_id = place.member_id
        if place is None or place.member_id != self._member_id:
            self._failed = self._expelled("it was not heard of in time, or has joined anew")
            raise _again(self._failed)
        return place

    async def _wait_for_place(self, used: Place) -> None:
        """Wait for the member's place in the generation that the coordinator has begun."""
        wait_s = self._transactions.timeout_s
        with anyio.move_on_after(wait_s):
            await self._membership.next_place(after=used)
            return
        raise self._expelled(
            f"its generation {used.generation} is over, and in {wait_s:g} s no place in a later one came"
        )

    # -- errors --------------------------------------------------------------------------------

    def _expelled(self, why: str) -> Fenced:
        return Fenced(
            f"this worker is no member any more of the group that shares out its tasks ({why})"
        )

    def _says(self, why: str) -> str:
        return (
            f"whether the last commit of {self._transactions.transactional_id!r} took place is still to "
            f"be decided ({why}): this worker can't go on from there"
        )


def _offset_among(commits: Sequence[Commit]) -> Mapping[TopicPartition, CommittedOffset]:
    """Return one of the offsets of a transaction; if it has none, one for a partition it writes to."""
    for commit in commits:
        for partition, offset in commit.offsets.items():
            return {partition: offset}
    written = next(partition for commit in commits for partition in commit.records)
    return {written: CommittedOffset(0)}


def _again(error: MillpondError) -> MillpondError:
    """Return an error to be raised once more, in another task."""
    return type(error)(*error.args)
