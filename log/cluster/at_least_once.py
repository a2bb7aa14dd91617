"""Commits to a cluster without transactions: records first, the offsets behind them.

A crash in between leaves the records without the offsets, so what they came from is done again: each
input has its effect at least once. The other way round it could be lost, so that is never done.

Nothing fences a zombie here: groups of tasks have no members, so a worker that has lost its tasks and
doesn't know it yet appends, and may set an offset back. Its successor's next commit sets it forth again.
Committed readers see records at once, and those of a commit that failed half-way stay.

Commits that are asked for while others are on their way are carried out together (`rounds.py`).
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ..errors import MillpondError, Unreachable
from ..interface import Producer, RecordsByPartition
from ..model import Appended, CommittedOffset, Compression, NewRecord, TopicPartition
from .groups import GroupOffsets, merged_by_group
from .rounds import Rounds


class AtLeastOnceProducer:
    """Has the form of a `TransactionalProducer`, without its promise."""

    def __init__(self, producer: Producer, groups: GroupOffsets) -> None:
        self._producer = producer
        self._groups = groups
        self._rounds = Rounds(self._carry_out)

    async def commit(
        self,
        records: RecordsByPartition,
        *,
        group: str,
        offsets: Mapping[TopicPartition, CommittedOffset],
        compression: Compression = Compression.NONE,
    ) -> dict[TopicPartition, Appended]:
        """Append all records, then commit the offsets.

        After an error some or all of the records may be there; the offsets may be committed only if
        all are. Where others have written to a partition at the same time, theirs may lie between
        what the result says.
        """
        await self._groups.check(offsets)  # what is refused later would leave records behind
        commit = _Commit(records, group, offsets, compression)
        await self._rounds.ask(commit)
        if commit.error is not None:
            raise commit.error
        return commit.appended

    async def _carry_out(self, commits: Sequence["_Commit"]) -> None:
        """Carry out all; each on its own, if they can't be together."""
        try:
            await self._append(commits)
            offsets = merged_by_group((commit.group, commit.offsets) for commit in commits)
            for group, some in offsets.items():
                await self._groups.commit(group, some)
        except MillpondError as error:
            if len(commits) == 1 or isinstance(error, Unreachable):
                for commit in commits:
                    commit.error = type(error)(*error.args)
            else:
                for commit in commits:
                    await self._carry_out([commit])

    async def _append(self, commits: Sequence["_Commit"]) -> None:
        for compression in {commit.compression for commit in commits}:
            some = [commit for commit in commits if commit.compression is compression]
            records: dict[TopicPartition, list[NewRecord]] = defaultdict(list)
            for commit in some:
                for partition, new in commit.records.items():
                    records[partition].extend(new)
            appended = await self._producer.append(records, compression=compression)
            for commit in some:
                commit.appended = {
                    each: appended[each] for each, new in commit.records.items() if new
                }


@dataclass(slots=True)
class _Commit:
    """What one call asks for, and what has become of it."""

    records: RecordsByPartition
    group: str
    offsets: Mapping[TopicPartition, CommittedOffset]
    compression: Compression
    appended: dict[TopicPartition, Appended] = field(default_factory=dict)
    error: MillpondError | None = None
