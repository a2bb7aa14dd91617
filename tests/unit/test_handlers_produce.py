"""Produce: each partition for itself, each batch as Kafka would judge it, each promise as asked."""

import struct

import pytest
from millpond.log.batch import CODEC_MASK, check_batch, read_header, stamp_crc
from millpond.log.broker.waits import Disconnect
from millpond.log.errors import DiskFailed
from millpond.log.model import Compression, Isolation, NewRecord, TopicPartition
from millpond.log.records import decode_batch, encode_batch
from millpond.log.storage.partition_log import PartitionLog
from millpond.log.wire.error_codes import ErrorCode
from millpond.log.wire.messages.produce import (
    PRODUCE,
    PartitionProduceData,
    PartitionProduceResponse,
    ProduceRequest,
    TopicProduceData,
)
from millpond.tests.twins.node_world import NodeWorld

LAST = 11
HOUR_MS = 3_600_000
ATTRIBUTES, LAST_DELTA, PRODUCER_ID, COUNT = 21, 23, 43, 57
"""Where these stand in a batch."""


def a_world(**config: str) -> NodeWorld:
    world = NodeWorld()
    world.create("orders", **config)
    return world


def a_batch(*values: bytes | None, ago_ms: int = 0, **options: object) -> bytearray:
    at = NodeWorld().clock.now() - ago_ms
    records = [NewRecord(b"key", value, at) for value in values or (b"value",)]
    return encode_batch(records, **options)  # type: ignore[arg-type]


def forged(position: int, form: str, value: int) -> bytearray:
    """A batch of three with something else in its head, and the right CRC nevertheless."""
    batch = a_batch(b"a", b"b", b"c")
    struct.pack_into(form, batch, position, value)
    stamp_crc(batch)
    return batch


def request(
    records: bytes | bytearray | None,
    *,
    topic: str = "orders",
    partition: int = 0,
    acks: int = -1,
    transactional_id: str | None = None,
) -> ProduceRequest:
    data = PartitionProduceData(
        index=partition, records=None if records is None else bytes(records)
    )
    return ProduceRequest(
        transactional_id=transactional_id,
        acks=acks,
        timeout_ms=1000,
        topic_data=[TopicProduceData(name=topic, partition_data=[data])],
    )


def produce(
    world: NodeWorld, records: bytes | bytearray | None, version: int = LAST, **options: object
) -> PartitionProduceResponse:
    response = world.ask(PRODUCE, version, request(records, **options))  # type: ignore[arg-type]
    return response.responses[0].partition_responses[0]


def code(world: NodeWorld, records: bytes | bytearray | None, **options: object) -> int:
    return produce(world, records, **options).error_code  # type: ignore[arg-type]


def log_of(world: NodeWorld, topic: str = "orders") -> PartitionLog:
    return world.node.broker.partition(TopicPartition(topic, 0))


def stored(world: NodeWorld) -> bytes:
    return bytes(log_of(world).read(0, 1 << 20, Isolation.READ_UNCOMMITTED).data)


# -- appending -------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", range(3, LAST + 1))
def test_a_batch_is_appended_in_every_version(version: int) -> None:
    world = a_world()
    assert produce(world, a_batch(b"a", b"b"), version).base_offset == 0
    answer = produce(world, a_batch(b"c"), version)
    assert (answer.error_code, answer.base_offset, answer.log_append_time_ms) == (0, 2, -1)
    assert [record.value for record in decode_batch(stored(world)[: -len(a_batch(b"c"))])] == [
        b"a",
        b"b",
    ]


def test_one_refused_partition_does_not_hold_up_the_others() -> None:
    world = NodeWorld()
    world.create("orders", partitions=3)
    damaged = a_batch(b"b")
    damaged[-1] ^= 1
    batches = [a_batch(b"a"), damaged, a_batch(b"c")]
    topic = TopicProduceData(
        name="orders",
        partition_data=[
            PartitionProduceData(index=index, records=bytes(batch))
            for index, batch in enumerate([*batches, a_batch(b"d")])
        ],
    )
    asked = ProduceRequest(acks=-1, timeout_ms=1000, topic_data=[topic])
    (answers,) = [topic.partition_responses for topic in world.ask(PRODUCE, 9, asked).responses]
    assert [each.error_code for each in answers] == [
        ErrorCode.NONE,
        ErrorCode.CORRUPT_MESSAGE,
        ErrorCode.NONE,
        ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
    ]
    assert "CRC" in (answers[1].error_message or "")


@pytest.mark.parametrize("codec", Compression)
def test_a_batch_stays_compressed_as_it_came(codec: Compression) -> None:
    world = a_world()
    batch = a_batch(b"x" * 100, compression=codec)
    assert code(world, batch) == 0
    assert stored(world)[21:] == batch[21:]


def test_what_acks_all_promised_survives_a_power_cut() -> None:
    world = a_world()
    produce(world, a_batch(b"kept"))
    world.restart(crash=True)
    assert log_of(world).log_end_offset == 1


def test_a_topic_and_a_partition_that_are_missing_are_unknown() -> None:
    world = a_world()
    assert code(world, a_batch(), topic="nowhere") == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    assert code(world, a_batch(), partition=1) == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION


@pytest.mark.parametrize("acks", [2, -2, 32767])
def test_acks_of_another_kind_are_refused(acks: int) -> None:
    world = a_world()
    assert code(world, a_batch(), acks=acks) == ErrorCode.INVALID_REQUIRED_ACKS
    assert log_of(world).log_end_offset == 0


def test_clients_may_not_write_what_the_broker_keeps_for_itself() -> None:
    world = NodeWorld()
    for topic in ("__consumer_offsets", "__transaction_state"):
        assert code(world, a_batch(), topic=topic) == ErrorCode.INVALID_TOPIC_EXCEPTION
    assert (
        code(world, a_batch(), topic="__cluster_metadata") == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    )


def test_one_replica_is_in_sync_however_many_are_asked_for() -> None:
    assert code(a_world(min_insync_replicas="2"), a_batch()) == 0


# -- silence ---------------------------------------------------------------------------------------


def test_acks_0_appends_and_says_nothing() -> None:
    world = a_world()
    asked = world.send(PRODUCE, 9, request(a_batch(), acks=0))
    assert (asked.done, asked.response) == (True, None)
    assert log_of(world).high_watermark == 1, "and readers are told"


def test_where_nothing_can_be_said_a_refusal_ends_the_connection() -> None:
    with pytest.raises(Disconnect, match=r"nowhere-0: UNKNOWN_TOPIC_OR_PARTITION"):
        NodeWorld().send(PRODUCE, 9, request(a_batch(), topic="nowhere", acks=0))


# -- what is a batch -------------------------------------------------------------------------------


def damaged(position: int, value: int) -> bytearray:
    batch = a_batch()
    batch[position] = value
    return batch


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        pytest.param(None, ErrorCode.INVALID_RECORD, id="null"),
        pytest.param(b"", ErrorCode.INVALID_RECORD, id="nothing"),
        pytest.param(a_batch()[:40], ErrorCode.INVALID_RECORD, id="half a head"),
        pytest.param(a_batch()[:-1], ErrorCode.INVALID_RECORD, id="a byte short"),
        pytest.param(a_batch() * 2, ErrorCode.INVALID_RECORD, id="two batches"),
        pytest.param(damaged(16, 1), ErrorCode.INVALID_RECORD, id="an old format"),
        pytest.param(damaged(16, 3), ErrorCode.CORRUPT_MESSAGE, id="a format of the future"),
        pytest.param(damaged(16, 0xFF), ErrorCode.CORRUPT_MESSAGE, id="a format below 0"),
        pytest.param(damaged(11, 5), ErrorCode.CORRUPT_MESSAGE, id="a length too small"),
        pytest.param(damaged(8, 0xFF), ErrorCode.CORRUPT_MESSAGE, id="a length below 0"),
        pytest.param(damaged(7, 1), ErrorCode.INVALID_RECORD, id="an offset of its own"),
        pytest.param(damaged(70, 0xAA), ErrorCode.CORRUPT_MESSAGE, id="a damaged byte"),
        pytest.param(forged(COUNT, ">i", 2), ErrorCode.INVALID_RECORD, id="a wrong count"),
        pytest.param(forged(COUNT, ">i", 0), ErrorCode.INVALID_RECORD, id="a count of 0"),
        pytest.param(forged(LAST_DELTA, ">i", -1), ErrorCode.INVALID_RECORD, id="a delta below 0"),
        pytest.param(forged(ATTRIBUTES, ">h", 5), ErrorCode.INVALID_RECORD, id="no such codec"),
        pytest.param(forged(ATTRIBUTES, ">h", 0x20), ErrorCode.INVALID_RECORD, id="a marker"),
        pytest.param(forged(ATTRIBUTES, ">h", 0x40), ErrorCode.INVALID_RECORD, id="a horizon"),
        pytest.param(
            forged(PRODUCER_ID, ">q", 7), ErrorCode.INVALID_RECORD, id="a producer without sequence"
        ),
    ],
)
def test_what_is_no_proper_batch_is_refused(records: bytes | None, expected: ErrorCode) -> None:
    world = a_world()
    assert code(world, records) == expected
    assert log_of(world).log_end_offset == 0


def test_the_beginning_of_another_batch_is_dropped() -> None:
    world = a_world()
    assert code(world, a_batch(b"a") + a_batch(b"b")[:30]) == 0
    assert stored(world)[21:] == a_batch(b"a")[21:]


def test_zstd_is_refused_from_clients_that_can_not_know_it() -> None:
    world, batch = a_world(), a_batch(compression=Compression.ZSTD)
    assert code(world, batch, version=6) == ErrorCode.UNSUPPORTED_COMPRESSION_TYPE
    assert code(world, batch, version=7) == 0


# -- what the topic makes of it --------------------------------------------------------------------


def test_a_batch_may_be_too_large_for_the_topic_or_for_a_segment() -> None:
    batch = a_batch(b"x" * 300)
    assert code(a_world(max_message_bytes="300"), batch) == ErrorCode.MESSAGE_TOO_LARGE
    assert code(a_world(segment_bytes="300"), batch) == ErrorCode.RECORD_LIST_TOO_LARGE


def test_a_topic_may_have_the_time_of_appending() -> None:
    world = a_world(message_timestamp_type="LogAppendTime")
    batch = a_batch(ago_ms=HOUR_MS, producer_id=7, producer_epoch=0, base_sequence=0)
    then = world.clock.now()
    assert produce(world, batch).log_append_time_ms == then
    assert check_batch(stored(world)).max_timestamp == then
    world.sleep(500)
    assert produce(world, batch).log_append_time_ms == then, "a retry is told when it was"


def test_a_client_can_not_choose_the_time_of_appending() -> None:
    world = a_world()
    assert code(world, forged(ATTRIBUTES, ">h", 0x08)) == 0
    assert check_batch(stored(world)).timestamp_type == "CreateTime"


def test_timestamps_may_be_an_hour_ahead_but_no_more() -> None:
    assert code(a_world(), a_batch(ago_ms=-HOUR_MS)) == 0
    assert code(a_world(), a_batch(ago_ms=-HOUR_MS - 1)) == ErrorCode.INVALID_TIMESTAMP
    by_append = a_world(message_timestamp_type="LogAppendTime")
    assert code(by_append, a_batch(ago_ms=-HOUR_MS - 1)) == 0, "there they do not matter"


def test_timestamps_may_be_as_old_as_the_topic_says() -> None:
    assert code(a_world(), a_batch(ago_ms=1000 * HOUR_MS)) == 0
    young = a_world(message_timestamp_before_max_ms="1000")
    assert code(young, a_batch(ago_ms=1000)) == 0
    assert code(young, a_batch(ago_ms=1001)) == ErrorCode.INVALID_TIMESTAMP


@pytest.mark.parametrize("came", Compression)
@pytest.mark.parametrize("wanted", ["uncompressed", "gzip", "snappy", "lz4", "zstd", "producer"])
def test_a_topic_may_have_a_compression_of_its_own(came: Compression, wanted: str) -> None:
    world = a_world(compression_type=wanted)
    assert code(world, a_batch(b"x" * 50, None, b"y", compression=came)) == 0
    header = check_batch(stored(world))
    name = {"uncompressed": "NONE", "producer": came.name}.get(wanted, wanted.upper())
    assert Compression(header.attributes & CODEC_MASK).name == name
    assert [record.value for record in decode_batch(stored(world))] == [b"x" * 50, None, b"y"]


def test_what_does_not_unpack_is_refused_where_it_would_have_to() -> None:
    nonsense = forged(ATTRIBUTES, ">h", Compression.ZSTD)
    assert code(a_world(), nonsense) == 0, "nobody looks"
    assert code(a_world(compression_type="gzip"), nonsense) == ErrorCode.INVALID_RECORD


def test_a_compacted_topic_takes_only_records_with_keys() -> None:
    world = a_world(cleanup_policy="compact")
    keyless = encode_batch([NewRecord(b"k", b"a", 0), NewRecord(None, b"b", 0)])
    answer = produce(world, keyless)
    assert answer.error_code == ErrorCode.INVALID_RECORD
    assert "record 1 of the batch has no key" in (answer.error_message or "")
    assert code(a_world(), keyless) == 0
    assert code(world, a_batch()) == 0


# -- producers that count --------------------------------------------------------------------------


def counted(sequence: int, *, epoch: int = 0, count: int = 1) -> bytearray:
    values = [b"value"] * count
    return a_batch(*values, producer_id=7, producer_epoch=epoch, base_sequence=sequence)


def test_a_retry_is_answered_with_the_offset_it_had() -> None:
    world = a_world()
    offsets = [produce(world, counted(sequence)).base_offset for sequence in range(6)]
    assert [produce(world, counted(sequence)).base_offset for sequence in range(1, 6)] == offsets[
        1:
    ]
    assert log_of(world).log_end_offset == 6


def test_a_retry_older_than_the_last_five_is_out_of_order() -> None:
    world = a_world()
    for sequence in range(6):
        produce(world, counted(sequence))
    assert code(world, counted(0)) == ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER


def test_a_gap_and_another_cut_of_the_same_are_out_of_order() -> None:
    world = a_world()
    produce(world, counted(0))
    assert code(world, counted(2)) == ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER
    assert code(world, counted(0, count=2)) == ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER


def test_a_producer_that_is_not_known_may_begin_anywhere() -> None:
    world = a_world()
    assert code(world, counted(41)) == 0
    assert code(world, counted(42)) == 0


def test_a_new_epoch_begins_at_0_and_ends_the_old_one() -> None:
    world = a_world()
    produce(world, counted(5))
    assert code(world, counted(6, epoch=1)) == ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER
    assert code(world, counted(0, epoch=1)) == 0
    assert code(world, counted(6, epoch=0)) == ErrorCode.INVALID_PRODUCER_EPOCH


def test_a_transactional_batch_needs_a_transactional_id() -> None:
    batch = a_batch(producer_id=7, producer_epoch=0, base_sequence=0, transactional=True)
    code_of_nobody = code(a_world(), batch)
    assert code_of_nobody == ErrorCode.TRANSACTIONAL_ID_AUTHORIZATION_FAILED


def test_a_transactional_batch_of_an_unknown_transaction_is_not_appended() -> None:
    world = a_world()
    batch = a_batch(producer_id=7, producer_epoch=0, base_sequence=0, transactional=True)
    assert code(world, batch, transactional_id="nobody") != 0
    assert log_of(world).log_end_offset == 0


# -- counting and failing --------------------------------------------------------------------------


def test_what_goes_into_a_topic_is_counted() -> None:
    world = a_world()
    produce(world, a_batch(b"a", b"b"))
    code(world, b"")
    counts = world.node.metrics.topic("orders")
    assert (counts.records_in, counts.produce_requests) == (2, 1)
    assert counts.bytes_in == read_header(a_batch(b"a", b"b")).size
    assert world.node.metrics.api(PRODUCE.key).errors[ErrorCode.INVALID_RECORD] == 1


def test_a_write_that_fails_is_answered_by_nobody_for_the_broker_stops() -> None:
    world = a_world()
    produce(world, a_batch(b"a"))
    world.disk.fail_after("write")
    with pytest.raises(DiskFailed):
        produce(world, a_batch(b"b"))
    world.restart()
    assert produce(world, a_batch(b"b")).base_offset == 1
