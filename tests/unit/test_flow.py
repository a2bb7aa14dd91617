"""A partition on its way to a reader, against a list of batches that is looked through the slow way.

Hypothesis writes a partition: plain batches and those of transactions that overlap, compressed or not, with
offsets missing between batches and at their ends, as compaction leaves it. Then a leader answers, each time
some batches and what is aborted among them, while a reader takes what it likes.
"""

import random
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from millpond.log.batch import HEADER_SIZE, stamp, stamp_crc
from millpond.log.cluster.flow import ENOUGH_BYTES, Flow
from millpond.log.errors import InvalidRecord, UnknownTopic
from millpond.log.model import Compression, Isolation, NewRecord, Record, TopicPartition
from millpond.log.records import encode_batch
from millpond.log.wire.messages.fetch import AbortedTransaction, PartitionData
from millpond.tests.twins.leader_twin import TIME, Partition, Seen

ORDERS = TopicPartition("orders", 0)
PLENTY = 1 << 30


def flow_at(offset: int, isolation: Isolation = Isolation.READ_COMMITTED) -> Flow:
    return Flow(ORDERS, offset, isolation, lambda: None)


def answer(*batches: bytes, end: int = 100) -> PartitionData:
    return PartitionData(
        partition_index=0,
        high_watermark=end,
        last_stable_offset=end,
        aborted_transactions=[],
        records=b"".join(batches),
    )


def batches(*counts: int) -> list[bytes]:
    partition = Partition()
    for count in counts:
        partition.add(count)
    return [batch.data for batch in partition.batches]


def offsets(records: Sequence[Record]) -> list[int]:
    return [record.offset for record in records]


WRITE = st.one_of(
    st.tuples(
        st.just("add"),
        st.integers(1, 4),
        st.sampled_from([None, 1, 1, 2, 2, 3]),
        st.sampled_from(list(Compression)),
        st.sampled_from([0, 0, 0, 1, 20]),
        st.sampled_from([0, 0, 0, 1, 5]),
    ),
    *[st.tuples(st.just("finish"), st.just(number), st.booleans()) for number in (1, 2)],
)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(WRITE, max_size=30),
    st.sampled_from(list(Isolation)),
    st.floats(0, 1),
    st.integers(0, 2**32),
)
def test_a_reader_gets_what_the_partition_has(
    writes: list[tuple[object, ...]], isolation: Isolation, place: float, seed: int
) -> None:
    partition = Partition()
    for kind, *how in writes:
        if kind == "add":
            count, producer_id, compression, gap, lost = how
            partition.add(count, producer_id, compression, gap=gap, lost=lost)  # type: ignore[arg-type]
        else:
            partition.finish(how[0], commit=how[1])  # type: ignore[arg-type]
    rng = random.Random(seed)
    position = start = int(place * partition.end)
    flow = flow_at(start, isolation)
    limit = partition.stable_end if isolation is Isolation.READ_COMMITTED else partition.end
    found: Seen = []
    while True:
        if rng.random() < 0.5:
            data = partition.answer(flow.fetch_offset, isolation, rng.randrange(1, 5), rng)
            flow.came(data)
            if not data.records and flow.has_gap:
                flow.pass_gap()
        elif flow.has_news(position):
            fetched, _ = flow.take(position, rng.choice([0, 1, 100, 1000, PLENTY]))
            assert position < fetched.next_offset
            assert all(
                position <= record.offset < fetched.next_offset for record in fetched.records
            )
            assert fetched.end_offset == max(limit, fetched.next_offset)
            position = fetched.next_offset
            found += [(record.offset, record.value) for record in fetched.records]
        elif flow.is_answered and flow.fetch_offset >= limit:
            break
    assert found == partition.seen(start, isolation)
    assert (flow.waiting_bytes, flow.error) == (0, None)


def test_a_reader_begins_amid_a_batch() -> None:
    flow = flow_at(2)
    flow.came(answer(*batches(4), end=4))
    fetched, size = flow.take(2, PLENTY)
    assert offsets(fetched.records) == [2, 3]
    assert (fetched.next_offset, fetched.end_offset, fetched.leader_epoch) == (4, 4, 7)
    assert size == len(batches(4)[0])


def test_at_least_one_batch_is_taken_and_no_more_than_fit() -> None:
    flow = flow_at(0)
    sent = batches(2, 2, 2)
    flow.came(answer(*sent))
    assert offsets(flow.take(0, 0)[0].records) == [0, 1]
    assert offsets(flow.take(2, len(sent[1]) + len(sent[2]))[0].records) == [2, 3, 4, 5]


def test_a_transaction_that_was_aborted_is_followed_by_one_that_was_not() -> None:
    partition = Partition()
    partition.add(1, 1)
    partition.finish(1, commit=False)
    partition.add(1, 1)
    partition.finish(1, commit=True)
    partition.add(1, 1)
    partition.finish(1, commit=False)
    flow = flow_at(1)  # behind the first record, before its marker
    flow.came(partition.answer(1, Isolation.READ_COMMITTED, 9, random.Random(1)))
    assert offsets(flow.take(1, PLENTY)[0].records) == [2]


def test_aborted_transactions_are_told_in_the_order_of_their_ends() -> None:
    partition = Partition()
    for producer_id in (1, 2, None, 1, 2):
        partition.add(1, producer_id)
    partition.finish(2, commit=False)
    partition.finish(1, commit=False)
    told = PartitionData(
        partition_index=0,
        high_watermark=7,
        last_stable_offset=7,
        aborted_transactions=[
            AbortedTransaction(producer_id=2, first_offset=1),
            AbortedTransaction(producer_id=1, first_offset=0),
        ],
        records=b"".join(batch.data for batch in partition.batches),
    )
    flow = flow_at(0)
    flow.came(told)
    assert offsets(flow.take(0, PLENTY)[0].records) == [2]


def test_what_has_come_before_comes_once() -> None:
    flow = flow_at(0)
    flow.came(answer(*batches(1, 1)))
    flow.came(answer(*batches(1, 1, 1)))
    assert offsets(flow.take(0, PLENTY)[0].records) == [0, 1, 2]


def test_what_came_before_a_damaged_batch_is_read_and_then_its_error() -> None:
    first, damaged, last = batches(1, 1, 1)
    damaged = damaged[:-1] + bytes([damaged[-1] ^ 1])
    flow = flow_at(0)
    flow.came(answer(first, damaged, last))
    assert not flow.is_hungry
    assert offsets(flow.take(0, PLENTY)[0].records) == [0]
    assert not flow.has_news(1)
    with pytest.raises(InvalidRecord, match=r"orders-0: .*offset 1: says CRC"):
        raise flow.error or AssertionError


def test_what_came_before_a_batch_that_cannot_be_decoded_is_read_and_then_its_error() -> None:
    first, last = batches(1, 1)
    bad = bytearray(encode_batch([NewRecord(None, b"v", TIME)], compression=Compression.ZSTD))
    bad[HEADER_SIZE:] = b"x" * (len(bad) - HEADER_SIZE)
    stamp(bad, 1, 7)
    stamp_crc(bad)
    flow = flow_at(0)
    flow.came(answer(first, bytes(bad), last))
    fetched, _ = flow.take(0, PLENTY)
    assert (offsets(fetched.records), fetched.next_offset) == ([0], 1)
    with pytest.raises(InvalidRecord, match="orders-0: records are not valid zstd"):
        raise flow.error or AssertionError

    flow.came(answer(last))
    assert not flow.has_news(1), "an answer that was under way brings nothing more"
    assert flow.waiting_bytes == 0

    alone = flow_at(1)
    alone.came(answer(bytes(bad)))
    fetched, _ = alone.take(1, PLENTY)
    assert (list(fetched.records), fetched.next_offset) == ([], 1)
    assert alone.error is not None


@pytest.mark.parametrize("kept", [10, HEADER_SIZE, HEADER_SIZE + 1])
def test_an_answer_without_a_whole_batch_is_not_asked_for_again_and_again(kept: int) -> None:
    flow = flow_at(0)
    flow.came(answer(batches(1)[0][:kept]))
    with pytest.raises(InvalidRecord, match=f"no whole batch from offset 0 .* {kept} bytes"):
        raise flow.error or AssertionError


def test_an_incomplete_batch_behind_a_whole_one_is_fetched_again() -> None:
    flow = flow_at(0)
    first, second = batches(1, 1)
    flow.came(answer(first, second[:-1]))
    assert (flow.fetch_offset, flow.error) == (1, None)


def test_an_empty_answer_is_no_proof_that_there_is_nothing() -> None:
    news: list[str] = []
    flow = Flow(ORDERS, 3, Isolation.READ_COMMITTED, lambda: news.append("news"))
    flow.came(answer(end=10))
    assert (flow.has_gap, flow.has_news(3), news) == (True, False, ["news"])
    flow.came(answer(end=10))
    assert news == ["news"], "only of the first answer, and of what can be read, is anybody told"
    flow.pass_gap()
    assert (flow.take(3, PLENTY)[0].next_offset, len(news)) == (10, 2)


def test_a_flow_is_hungry_until_enough_waits() -> None:
    big = encode_batch([NewRecord(None, b"x" * (ENOUGH_BYTES // 2), TIME)])
    flow, wanted = flow_at(0), []
    flow.wanted = lambda: wanted.append("more")
    for base in range(2):
        assert flow.is_hungry
        stamp(big, base, 7)
        flow.came(answer(bytes(big)))
    assert not flow.is_hungry
    flow.take(0, 0)
    assert (flow.is_hungry, wanted) == (True, ["more"])
    flow.is_asked_for = True
    flow.take(1, 0)
    assert wanted == ["more"], "it is under way"


def test_a_paused_flow_keeps_what_it_has_and_wants_no_more() -> None:
    flow, wanted = flow_at(0), []
    flow.wanted = lambda: wanted.append("more")
    flow.is_paused = True
    flow.came(answer(*batches(1), end=1))
    assert (flow.is_hungry, flow.has_news(0), flow.is_awaited) == (False, False, False)
    flow.resume()
    assert (flow.has_news(0), wanted) == (True, ["more"])
    assert offsets(flow.take(0, PLENTY)[0].records) == [0]


def test_what_waits_is_a_copy_so_that_no_answer_stays_in_memory_for_a_part_of_it() -> None:
    answered = bytearray(batches(1)[0])
    flow = flow_at(0)
    with memoryview(answered) as records:
        flow.came(
            PartitionData(
                partition_index=0, high_watermark=1, aborted_transactions=None, records=records
            )
        )
    answered.extend(b"an array can't grow while something looks into it")
    assert offsets(flow.take(0, PLENTY)[0].records) == [0]


def test_an_error_of_the_leader_is_news() -> None:
    news: list[str] = []
    flow = Flow(ORDERS, 0, Isolation.READ_COMMITTED, lambda: news.append("news"))
    flow.fail(UnknownTopic("gone"))
    assert (news, flow.is_hungry, flow.is_awaited) == (["news"], False, False)
