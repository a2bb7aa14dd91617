"""What a transaction writes to a partition: batches that fit, numbers without gaps, and where each record went."""

import random
from collections.abc import Sequence

import pytest
from millpond.log.batch import read_header
from millpond.log.cluster.address import BATCH_BYTES
from millpond.log.cluster.outgoing import SEQUENCE_MASK, Batch, Identity, Outgoing
from millpond.log.cluster.transaction_requests import decisive
from millpond.log.errors import RecordTooLarge
from millpond.log.model import Appended, Compression, NewRecord, TopicPartition
from millpond.log.records import decode_batch
from millpond.log.wire.error_codes import ErrorCode

ORDERS = TopicPartition("orders", 0)
WHO = Identity(7, 3)


def some(*sizes: int) -> list[NewRecord]:
    return [NewRecord(b"%d" % n, bytes(size), 1000 + n) for n, size in enumerate(sizes)]


def written(outgoing: Outgoing, sequence: int = 0, first_offset: int = 100) -> list[Batch]:
    """Encode all, and write each batch a little further on."""
    batches = []
    for _ in outgoing.encode(WHO, sequence):
        pass
    while (batch := outgoing.next) is not None:
        batches.append(batch)
        outgoing.written(first_offset, leader_epoch=5)
        first_offset += batch.count + 10
    return batches


def keys_in(batches: Sequence[Batch]) -> list[bytes | None]:
    return [record.key for batch in batches for record in decode_batch(batch.data)]


def test_commits_share_a_batch_and_each_is_told_where_its_records_went() -> None:
    outgoing = Outgoing(ORDERS, 1_000_000)
    assert [outgoing.add(some(1, 2), Compression.NONE) for _ in range(3)] == [0, 2, 4]
    (batch,) = written(outgoing, sequence=40)
    head = read_header(batch.data)
    assert (head.producer_id, head.producer_epoch, head.base_sequence) == (7, 3, 40)
    assert head.is_transactional
    assert head.record_count == 6
    assert outgoing.appended(2, 2) == Appended(102, 104, 5)


def test_what_does_not_fit_follows_in_other_batches() -> None:
    outgoing = Outgoing(ORDERS, 1000)
    outgoing.add(some(*[300] * 10), Compression.NONE)
    batches = written(outgoing)
    assert len(batches) >= 4
    assert all(len(batch.data) <= 1000 for batch in batches)
    assert keys_in(batches) == [b"%d" % n for n in range(10)]
    assert outgoing.appended(0, 10).base_offset == 100
    assert outgoing.appended(0, 10).next_offset == 100 + 10 + 10 * (len(batches) - 1)


def test_sequence_numbers_have_no_gaps_and_wrap() -> None:
    outgoing = Outgoing(ORDERS, 400)
    outgoing.add(some(*[100] * 20), Compression.NONE)
    expected = SEQUENCE_MASK - 4
    for after in outgoing.encode(WHO, expected):
        expected = after
    assert expected == 15  # after the last one comes 0
    batches = written(outgoing, SEQUENCE_MASK - 4)
    sequences = [read_header(batch.data).base_sequence for batch in batches]
    assert sequences[0] == SEQUENCE_MASK - 4
    assert sequences[-1] == 16 - batches[-1].count - 1


def test_a_large_record_goes_alone_if_the_topic_allows_it() -> None:
    outgoing = Outgoing(ORDERS, 3_000_000)
    outgoing.add(some(10, 2_000_000, 10), Compression.NONE)
    batches = written(outgoing)
    assert [batch.count for batch in batches] == [1, 1, 1]


def test_a_record_that_is_too_large_is_told_with_the_limit() -> None:
    outgoing = Outgoing(ORDERS, 1000)
    outgoing.add(some(10, 2000), Compression.NONE)
    with pytest.raises(RecordTooLarge, match=r"orders-0.*max\.message\.bytes=1000"):
        written(outgoing)


def test_each_commit_is_compressed_as_it_asks() -> None:
    outgoing = Outgoing(ORDERS, 1_000_000)
    for codec in (Compression.ZSTD, Compression.ZSTD, Compression.NONE):
        outgoing.add(some(1000), codec)
    batches = written(outgoing)
    assert [batch.count for batch in batches] == [2, 1]
    assert [read_header(batch.data).attributes & 7 for batch in batches] == [4, 0]
    assert len(batches[0].data) < 200


def test_encoding_again_begins_anew() -> None:
    outgoing = Outgoing(ORDERS, 1000)
    outgoing.add(some(300, 300, 300, 300), Compression.NONE)
    assert keys_in(written(outgoing)) == keys_in(written(outgoing))


@pytest.mark.parametrize("seed", range(30))
def test_records_of_any_sizes_come_in_order_in_batches_that_fit(seed: int) -> None:
    chance = random.Random(seed)
    limit = chance.choice([500, 5000, 2_000_000])
    top = min(limit - 100, 100_000)
    outgoing = Outgoing(ORDERS, limit)
    keys, places = [], []
    for _ in range(chance.randint(1, 5)):
        records = some(*(int(top * chance.random() ** 6) for _ in range(chance.randint(1, 80))))
        places.append((outgoing.add(records, Compression.NONE), len(records)))
        keys += [record.key for record in records]
    batches = written(outgoing, first_offset=0)
    assert keys_in(batches) == keys
    assert all(len(batch.data) <= min(limit, BATCH_BYTES) for batch in batches)
    at = {}
    for number, batch in enumerate(batches):
        at |= {batch.before + i: batch.before + i + 10 * number for i in range(batch.count)}
    for before, count in places:
        expected = Appended(at[before], at[before + count - 1] + 1, 5)
        assert outgoing.appended(before, count) == expected


def test_the_refusal_that_counts_is_one_that_stays_and_says_why() -> None:
    well, again = ErrorCode.NONE, ErrorCode.NOT_LEADER_OR_FOLLOWER
    because, said = ErrorCode.OPERATION_NOT_ATTEMPTED, ErrorCode.TOPIC_AUTHORIZATION_FAILED
    assert decisive({"a": well, "b": well}) is None
    assert decisive({"a": well, "b": again}) == ("b", again)
    assert decisive({"a": because, "b": again}) == ("b", again)
    assert decisive({"a": again, "b": said, "c": because}) == ("b", said)
