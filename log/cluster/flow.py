"""A partition on its way from its leader to one reader: whole batches, decoded when they are read.

What a broker has sent is looked at batch by batch as it comes: control batches and aborted records take
offsets but are nobody's data, so of them only the next offset is kept. What is left waits as it came,
which takes a tenth of the memory of its records, and costs nothing if the partition is taken away.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple
from uuid import UUID

from ..batch import BatchHeader
from ..errors import InvalidRecord, MillpondError
from ..model import Fetched, Isolation, Offset, Record, TopicPartition
from ..records import batches_in, decode_batch, decode_marker
from ..wire.messages.fetch import AbortedTransaction, PartitionData

ENOUGH_BYTES: Final = 1 << 20
"""With this much waiting, a reader needs no more."""


class Waiting(NamedTuple):
    """A batch that has come; `data` is None if a reader is not to see it.

    `data` is a copy: a part of an answer would keep all of it in memory.
    """

    base_offset: Offset
    next_offset: Offset
    leader_epoch: int
    data: bytes | None
    size: int


class Flow:
    """What has come of a partition and was not read yet, and what is to be fetched next.

    Attributes:
        partition: what is read.
        fetch_offset: what is to be fetched next.
        topic_id: of the topic that is read; one that has its name later is another one.
        end_offset: where the partition ends, as the isolation sees it, when its leader answered last.
        waiting_bytes: how much has come and was not read yet.
        is_asked_for: whether a fetch of it is under way.
        is_answered: whether its leader has answered once.
        is_paused: whether its reader leaves it alone.
        has_left: whether its reader has given it up.
        misses: how often in a row a broker did not know its topic.
        error: why there will be nothing more.
        wanted: called when more of it is wanted, and nobody has been asked for it.
    """

    __slots__ = (
        "_isolation",
        "_news",
        "_waiting",
        "end_offset",
        "error",
        "fetch_offset",
        "has_left",
        "is_answered",
        "is_asked_for",
        "is_paused",
        "leader_epoch",
        "misses",
        "partition",
        "topic_id",
        "waiting_bytes",
        "wanted",
    )

    def __init__(
        self,
        partition: TopicPartition,
        offset: Offset,
        isolation: Isolation,
        news: Callable[[], None],
    ) -> None:
        """Begin to read at an offset; `news` is called when there is something to read."""
        self.partition = partition
        self.fetch_offset = offset
        self.topic_id: UUID | None = None
        self.end_offset: Offset = -1
        self.leader_epoch = -1
        self.waiting_bytes = 0
        self.is_asked_for = False
        self.is_answered = False
        self.is_paused = False
        self.has_left = False
        self.misses = 0
        self.error: MillpondError | None = None
        self.wanted: Callable[[], None] = _nobody
        self._isolation = isolation
        self._news = news
        self._waiting: deque[Waiting] = deque()

    @property
    def is_hungry(self) -> bool:
        """Whether more of it is to be fetched."""
        return self.waiting_bytes < ENOUGH_BYTES and not self.is_paused and self.error is None

    @property
    def is_awaited(self) -> bool:
        """Whether it is not known yet if there is anything to read."""
        return not (self.is_answered or self.is_paused or self.error is not None)

    def has_news(self, position: Offset) -> bool:
        """Whether it brings a reader beyond this position."""
        return self.fetch_offset > position and not self.is_paused

    @property
    def has_gap(self) -> bool:
        """Whether its end, as it was told last, is beyond all that came with it."""
        return self.end_offset > self.fetch_offset

    def came(self, answer: PartitionData) -> None:
        """Keep what a leader has answered without an error."""
        if self.error is not None:
            return
        committed = self._isolation is Isolation.READ_COMMITTED
        self.end_offset = answer.last_stable_offset if committed else answer.high_watermark
        aborted = answer.aborted_transactions if committed else None
        is_first, self.is_answered = not self.is_answered, True
        before = self.fetch_offset
        try:
            for each in _seen(answer.records or b"", aborted or ()):
                if each.next_offset > self.fetch_offset:
                    self._waiting.append(each)
                    self.waiting_bytes += each.size
                    self.fetch_offset = each.next_offset
        except InvalidRecord as error:
            self.fail(InvalidRecord(f"{self.partition}: {error}"))
            return
        if answer.records and self.fetch_offset == before:
            self.fail(
                InvalidRecord(
                    f"{self.partition}: no whole batch from offset {before} on is in the "
                    f"{len(answer.records)} bytes that its leader sent"
                )
            )
        elif is_first or self.fetch_offset > before:
            self._news()

    def pass_gap(self) -> None:
        """Go on at the end: its leader has nothing from `fetch_offset` up to there (`gaps.py`)."""
        self.fetch_offset = self.end_offset
        self._news()

    def resume(self) -> None:
        """Be read again."""
        self.is_paused = False
        if self.is_hungry and not self.is_asked_for:
            self.wanted()

    def fail(self, error: MillpondError) -> None:
        """Fetch nothing more; what came before is still to be read."""
        self.error = error
        self._news()

    def take(self, position: Offset, bytes_max: int) -> tuple[Fetched, int]:
        """Hand over what follows a position, at least one batch; also say how many bytes.

        Nothing but an `error` follows a batch that can't be decoded.
        """
        records: list[Record] = []
        next_offset, taken = position, 0
        while self._waiting and (not taken or taken + self._waiting[0].size <= bytes_max):
            batch = self._waiting[0]
            try:
                decoded = () if batch.data is None else decode_batch(batch.data)
            except InvalidRecord as error:
                self._waiting.clear()
                self.fetch_offset, taken = next_offset, self.waiting_bytes
                self.fail(InvalidRecord(f"{self.partition}: {error}"))
                break
            self._waiting.popleft()
            next_offset, self.leader_epoch = batch.next_offset, batch.leader_epoch
            taken += batch.size
            if batch.base_offset < position:
                decoded = [record for record in decoded if record.offset >= position]
            records.extend(decoded)
        if not self._waiting:
            next_offset = self.fetch_offset
        self.waiting_bytes -= taken
        if self.is_hungry and not self.is_asked_for:
            self.wanted()
        end_offset = max(self.end_offset, next_offset)
        return Fetched(self.partition, records, next_offset, end_offset, self.leader_epoch), taken


def _seen(data: bytes | memoryview, aborted: Iterable[AbortedTransaction]) -> Iterator[Waiting]:
    """Yield the batches of an answer, those without data which a reader is not to see.

    An aborted transaction's records begin at its first offset, and end with its marker (KIP-98).

    Raises:
        InvalidRecord: where a batch is damaged.
    """
    to_come = sorted(((each.first_offset, each.producer_id) for each in aborted), reverse=True)
    aborting: set[int] = set()
    for header, batch in batches_in(data, check_crc=True):
        while to_come and to_come[-1][0] <= header.base_offset:
            aborting.add(to_come.pop()[1])
        is_data = not header.is_control and not (
            header.is_transactional and header.producer_id in aborting
        )
        if header.is_control:
            _end_transaction(header, batch, aborting)
        yield Waiting(
            header.base_offset,
            header.next_offset,
            header.leader_epoch,
            bytes(batch) if is_data else None,
            header.size,
        )


def _end_transaction(header: BatchHeader, batch: memoryview, aborting: set[int]) -> None:
    if header.producer_id in aborting:
        marker = decode_marker(batch)
        if marker is not None and not marker.commit:
            aborting.discard(header.producer_id)


def _nobody() -> None:
    """Be called by a flow that nobody fetches for yet."""
