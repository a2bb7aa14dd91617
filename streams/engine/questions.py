"""What tasks ask of the log when they start: those who ask at the same time share a question.

A worker may be given a hundred tasks at once, each of which wants to know where its partitions begin
and end, and what its changelogs are set to. Asked one by one, that took five times as long as
restoring 100 MB of state.

Who has a turn asks for all that wait for one; who asks meanwhile is gathered for the next turn, so no
answer is older than its question. Should a question fail, all who share it are told; should who asks it be
cancelled, the next one does.

Committed offsets are not among the questions: they may have to wait for one task's undecided
transaction, which is no business of the others.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Generic, TypeVar

import anyio
import anyio.lowlevel

from ...log.errors import MillpondError
from ...log.interface import Log
from ...log.model import Isolation, Offset, TopicDescription, TopicPartition

K = TypeVar("K")
V = TypeVar("V")


class Questions:
    """Asks a log, for many tasks; see `Log` for what is asked."""

    def __init__(self, log: Log) -> None:
        self._topics = Shared(log.describe_topics)
        self._starts = Shared(log.start_offsets)
        self._ends = {
            isolation: Shared(partial(log.end_offsets, isolation=isolation))
            for isolation in Isolation
        }

    async def describe_topics(self, names: Iterable[str]) -> dict[str, TopicDescription]:
        return await self._topics.ask(names)

    async def start_offsets(
        self, partitions: Iterable[TopicPartition]
    ) -> dict[TopicPartition, Offset]:
        return await self._starts.ask(partitions)

    async def end_offsets(
        self,
        partitions: Iterable[TopicPartition],
        isolation: Isolation = Isolation.READ_COMMITTED,
    ) -> dict[TopicPartition, Offset]:
        return await self._ends[isolation].ask(partitions)


class Shared(Generic[K, V]):
    """A question about keys that is asked for many at once."""

    def __init__(self, about: Callable[[Iterable[K]], Awaitable[Mapping[K, V]]]) -> None:
        """Make it from what answers it."""
        self._about = about
        self._turn = anyio.Lock(fast_acquire=True)
        self._waiting: dict[_Question[K, V], None] = {}  # in order

    async def ask(self, keys: Iterable[K]) -> dict[K, V]:
        """Return what there is to these keys.

        Raises:
            MillpondError: as the question does, of these keys or of others'.
        """
        mine = _Question[K, V](list(keys))
        self._waiting[mine] = None
        try:
            async with self._turn:
                if mine in self._waiting:
                    await self._ask_for_all()
        finally:
            self._waiting.pop(mine, None)
        if mine.error is not None:
            raise mine.error
        return {key: mine.found[key] for key in mine.keys if key in mine.found}

    async def _ask_for_all(self) -> None:
        await anyio.lowlevel.checkpoint()  # some may ask in this turn of the loop
        asked = list(self._waiting)
        found: Mapping[K, V] = {}
        error: MillpondError | None = None
        try:
            found = await self._about(dict.fromkeys(key for each in asked for key in each.keys))
        except MillpondError as failed:
            error = failed
        for each in asked:
            each.found, each.error = found, error
            self._waiting.pop(each, None)


@dataclass(slots=True, eq=False)
class _Question(Generic[K, V]):
    """What somebody waits for."""

    keys: Sequence[K]
    found: Mapping[K, V] = field(default_factory=dict)
    error: MillpondError | None = None
