"""Fetch against lists of batches, read the slow way.

Hypothesis writes to three partitions, in and out of transactions, rolls segments, syncs, and deletes
from the front; then it fetches with any offsets and limits. What comes back must be what a person
with the lists would hand out: whole batches in order, from the one that holds the offset, to where
the reader may see, as many as fit, and at least one in all.
"""

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st
from millpond.log.model import TopicPartition
from millpond.log.records import batches_in, encode_batch
from millpond.log.storage.partition_log import PartitionLog
from millpond.log.wire.error_codes import ErrorCode
from millpond.log.wire.messages.fetch import (
    FETCH,
    FetchPartition,
    FetchRequest,
    FetchTopic,
    PartitionData,
)
from millpond.tests.twins.node_world import NodeWorld

PARTITIONS = 3
PRODUCERS = (11, 12)


@dataclass
class Batch:
    base_offset: int
    next_offset: int
    size: int
    producer_id: int = -1
    marker: bool = False


@dataclass
class Twin:
    """A partition as a list; `open` and `aborted` are (first offset, producer)."""

    batches: list[Batch] = field(default_factory=list)
    start: int = 0
    flushed: int = 0
    open: dict[int, int] = field(default_factory=dict)
    aborted: set[int] = field(default_factory=set)
    """Base offsets of batches that don't count."""
    undecided: list[tuple[int, int]] = field(default_factory=list)
    """First offset and marker of each transaction that has ended."""

    @property
    def end(self) -> int:
        return self.batches[-1].next_offset if self.batches else 0

    def limit(self, committed: bool) -> int:
        if not committed:
            return self.flushed
        first = [
            *self.open.values(),
            *(at for at, marker in self.undecided if marker >= self.flushed),
        ]
        return max(min([self.flushed, *first]), self.start)


STEP = st.one_of(
    st.tuples(st.just("plain"), st.integers(0, 2), st.integers(1, 3), st.integers(0, 200)),
    st.tuples(st.just("in transaction"), st.integers(0, 2), st.sampled_from(PRODUCERS)),
    st.tuples(st.just("end"), st.integers(0, 2), st.sampled_from(PRODUCERS), st.booleans()),
    st.tuples(st.just("whole"), st.integers(0, 2), st.sampled_from(PRODUCERS), st.booleans()),
    st.tuples(st.just("roll"), st.integers(0, 2)),
    st.tuples(st.just("sync"), st.integers(0, 2)),
    st.tuples(st.just("delete"), st.integers(0, 2), st.floats(0, 1)),
)
PLACE = st.one_of(st.just(0.0), st.floats(0, 1), st.sampled_from([-0.5, 1.5]))
"""Where in the log to begin to read: from its start, at 0, to its end, at 1."""

LIMIT = st.one_of(st.integers(0, 400), st.integers(0, 3000))


class Written:
    """Three partitions, and their twins."""

    def __init__(self, steps: list[tuple[object, ...]]) -> None:
        self.world = NodeWorld()
        self.world.create("orders", PARTITIONS, index_interval_bytes="100")
        self.twins = [Twin() for _ in range(PARTITIONS)]
        self.sequences: dict[tuple[int, int], int] = {}
        for name, number, *arguments in steps:
            assert isinstance(number, int)
            getattr(self, str(name).replace(" ", "_"))(number, *arguments)

    def log(self, number: int) -> PartitionLog:
        return self.world.node.broker.partition(TopicPartition("orders", number))

    def append(self, number: int, batch: bytearray, producer_id: int = -1) -> None:
        log, twin = self.log(number), self.twins[number]
        done = log.append(batch, leader_epoch=log.leader_epoch, now=0)
        twin.batches.append(Batch(done.base_offset, done.next_offset, len(batch), producer_id))

    def plain(self, number: int, count: int, size: int) -> None:
        self.append(number, encode_batch([(None, b"x" * size, 0, ())] * count))

    def in_transaction(self, number: int, producer_id: int) -> None:
        sequence = self.sequences.get((number, producer_id), 0)
        self.sequences[number, producer_id] = sequence + 1
        self.twins[number].open.setdefault(producer_id, self.twins[number].end)
        batch = encode_batch(
            [(None, b"y", 0, ())],
            producer_id=producer_id,
            producer_epoch=0,
            base_sequence=sequence,
            transactional=True,
        )
        self.append(number, batch, producer_id)

    def end(self, number: int, producer_id: int, commit: bool) -> None:
        log, twin = self.log(number), self.twins[number]
        first = twin.open.pop(producer_id, None)
        if first is None:
            return
        size = log.size
        done = log.append_marker(
            producer_id=producer_id,
            producer_epoch=0,
            commit=commit,
            coordinator_epoch=0,
            leader_epoch=log.leader_epoch,
            now=0,
        )
        if twin.flushed == twin.end:  # then the marker is visible at once
            twin.flushed = done.next_offset
        if not commit:
            twin.aborted |= {
                one.base_offset
                for one in twin.batches
                if one.producer_id == producer_id and one.base_offset >= first
            }
        twin.undecided.append((first, done.base_offset))
        marker = Batch(done.base_offset, done.next_offset, log.size - size, marker=True)
        twin.batches.append(marker)

    def whole(self, number: int, producer_id: int, commit: bool) -> None:
        for _ in range(2):
            self.in_transaction(number, producer_id)
        self.end(number, producer_id, commit)

    def roll(self, number: int) -> None:
        self.log(number).roll(0)

    def sync(self, number: int) -> None:
        self.log(number).flush()
        self.twins[number].flushed = self.twins[number].end

    def delete(self, number: int, part: float) -> None:
        twin = self.twins[number]
        if not twin.open:
            offset = twin.start + int((twin.flushed - twin.start) * part)
            self.log(number).delete_before(offset)
            twin.start = offset


@settings(max_examples=150, deadline=None)
@given(
    steps=st.lists(STEP, min_size=5, max_size=30),
    synced=st.sampled_from([True, True, False]),
    places=st.tuples(*[PLACE] * PARTITIONS),
    partition_max_bytes=LIMIT,
    max_bytes=LIMIT,
    committed=st.booleans(),
)
def test_a_fetch_brings_what_the_lists_say(
    steps: list[tuple[object, ...]],
    synced: bool,
    places: tuple[float, ...],
    partition_max_bytes: int,
    max_bytes: int,
    committed: bool,
) -> None:
    written = Written(steps)
    for number in range(PARTITIONS if synced else 0):
        written.sync(number)
    offsets = [
        twin.start + round((twin.end - twin.start) * place)
        for twin, place in zip(written.twins, places, strict=True)
    ]
    partitions = [
        FetchPartition(
            partition=number, fetch_offset=offset, partition_max_bytes=partition_max_bytes
        )
        for number, offset in enumerate(offsets)
    ]
    request = FetchRequest(
        max_wait_ms=0,
        min_bytes=1,
        max_bytes=max_bytes,
        isolation_level=int(committed),
        topics=[FetchTopic(topic="orders", partitions=partitions)],
    )
    answers = written.world.ask(FETCH, 12, request).responses[0].partitions
    left, first = max_bytes, True
    for number, (offset, answer) in enumerate(zip(offsets, answers, strict=True)):
        twin = written.twins[number]
        if not twin.start <= offset <= twin.end:
            assert answer.error_code == ErrorCode.OFFSET_OUT_OF_RANGE
            continue
        assert answer.error_code == 0
        assert (answer.high_watermark, answer.log_start_offset) == (twin.flushed, twin.start)
        assert answer.last_stable_offset == twin.limit(committed=True)
        room = min(partition_max_bytes, left)
        size = check_batches(written.log(number), twin, offset, answer, room, first, committed)
        left, first = left - size, first and not size
        if committed:
            check_aborted(twin, offset, answer)


def check_batches(
    log: PartitionLog,
    twin: Twin,
    offset: int,
    answer: PartitionData,
    room: int,
    first: bool,
    committed: bool,
) -> int:
    """Compare the batches with those that a reader may have; return their size."""
    limit = twin.limit(committed)
    may_have = [
        one
        for one in twin.batches
        if one.next_offset > offset and one.base_offset < limit and offset < limit
    ]
    got = [header.base_offset for header, _ in batches_in(answer.records or b"", check_crc=True)]
    assert got == [one.base_offset for one in may_have[: len(got)]]
    size = sum(one.size for one in may_have[: len(got)])
    assert size == len(answer.records or b""), "batches are never split"
    if len(got) > 1 or not first:
        assert size <= max(room, 0)
    if first and may_have:
        assert got, "or the reader would be stuck"
    more = may_have[len(got) :]
    if more:
        in_next_segment = got and more[0].base_offset in {one.base_offset for one in log.segments}
        assert in_next_segment or size + more[0].size > room, "one more would have fitted"
    return size


def check_aborted(twin: Twin, offset: int, answer: PartitionData) -> None:
    """Read as a consumer does: with nothing but the response."""
    waiting = sorted(
        (one.first_offset, one.producer_id) for one in answer.aborted_transactions or []
    )
    skipped: set[int] = set()
    by_offset = {one.base_offset: one for one in twin.batches}
    for header, _batch in batches_in(answer.records or b""):
        while waiting and waiting[0][0] <= header.last_offset:
            skipped.add(waiting.pop(0)[1])
        if header.is_control:
            skipped.discard(header.producer_id)
        elif header.last_offset >= offset:
            counts = header.producer_id not in skipped or not header.is_transactional
            assert counts == (header.base_offset not in twin.aborted), by_offset[header.base_offset]
