"""Record batches that are none, or are not a producer's to send: refused, and nothing is appended."""

import contextlib
import gzip
import struct
from collections.abc import Iterator
from typing import Any

import cramjam
import google_crc32c
import pytest
from millpond.log.batch import CONTROL, CRC_START, HEADER, HEADER_SIZE, TRANSACTIONAL
from millpond.log.model import NewRecord
from millpond.log.records import encode_batch, encode_marker
from millpond.log.wire.error_codes import ErrorCode
from millpond.log.wire.messages.create_topics import (
    CREATE_TOPICS,
    CreatableTopic,
    CreatableTopicConfig,
    CreateTopicsRequest,
)
from millpond.log.wire.messages.fetch import FETCH
from millpond.log.wire.messages.produce import PRODUCE

from ..twins.hostile import Arena
from ..twins.plain_requests import (
    FETCH_VERSION,
    PRODUCE_VERSION,
    code_of,
    fetch_from,
    make_topic,
    offset_of,
    produce_batch,
    produce_to,
    values_of,
)
from ..twins.raw_client import ClosedByBroker

FIELDS = (
    *("base_offset", "length", "leader_epoch", "magic", "crc", "attributes", "last_offset_delta"),
    *("base_timestamp", "max_timestamp", "producer_id", "producer_epoch", "base_sequence", "count"),
)
GZIP, ZSTD = 1, 4


@pytest.fixture(scope="module")
def arena(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Arena]:
    with Arena(tmp_path_factory.mktemp("batches")) as arena:
        with arena.client() as client:
            make_topic(client, "target")
        yield arena


def proper() -> bytearray:
    return encode_batch([NewRecord(b"k", b"value", 1_700_000_000_000)] * 3)


def changed(*, sealed: bool = True, **fields: int) -> bytearray:
    """Return a proper batch with other fields in its head, and mostly with a CRC that fits."""
    batch = proper()
    values = list(HEADER.unpack_from(batch))
    for name, value in fields.items():
        values[FIELDS.index(name)] = value
    HEADER.pack_into(batch, 0, *values)
    return seal(batch) if sealed else batch


def seal(batch: bytearray) -> bytearray:
    batch[17:21] = google_crc32c.value(bytes(batch[CRC_START:])).to_bytes(4)
    return batch


@pytest.mark.parametrize(
    "batch",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(bytes(10), id="ten zeros"),
        pytest.param(bytes(HEADER_SIZE), id="a head of zeros"),
        pytest.param(proper()[:-1], id="cut off"),
        pytest.param(proper() + proper(), id="two batches"),
        pytest.param(changed(sealed=False, crc=1), id="wrong CRC"),
        pytest.param(changed(magic=0), id="magic 0"),
        pytest.param(changed(magic=1), id="magic 1"),
        pytest.param(changed(magic=3), id="magic 3"),
        pytest.param(changed(length=-1), id="negative length"),
        pytest.param(changed(length=2**31 - 1), id="huge length"),
        pytest.param(changed(length=49), id="length of a head alone"),
        pytest.param(changed(last_offset_delta=2**31 - 1), id="huge last offset delta"),
        pytest.param(changed(last_offset_delta=-1), id="negative last offset delta"),
        pytest.param(changed(count=2**31 - 1), id="huge count"),
        pytest.param(changed(count=-1), id="negative count"),
        pytest.param(changed(count=0, last_offset_delta=-1), id="no records"),
        pytest.param(changed(attributes=5), id="no such codec"),
        pytest.param(changed(attributes=CONTROL), id="control batch"),
        pytest.param(changed(attributes=CONTROL | TRANSACTIONAL, producer_id=1, producer_epoch=0)),
        pytest.param(changed(attributes=TRANSACTIONAL, producer_id=1, base_sequence=0)),
        pytest.param(changed(producer_id=2**63 - 1, producer_epoch=-1), id="id without an epoch"),
        pytest.param(changed(producer_id=5, producer_epoch=0, base_sequence=-5), id="sequence −5"),
        pytest.param(
            encode_marker(
                commit=True,
                producer_id=0,
                producer_epoch=0,
                coordinator_epoch=0,
                timestamp=1_700_000_000_000,
            ),
            id="a marker",
        ),
    ],
)
def test_what_is_no_batch_of_a_producer_is_refused(arena: Arena, batch: bytes) -> None:
    with arena.client() as client:
        before = end_of(client)
        try:
            response = client.ask(PRODUCE, PRODUCE_VERSION, produce_batch("target", batch))
            assert code_of(response) != ErrorCode.NONE
        except ClosedByBroker:
            pass  # is as good an answer
    with arena.client() as client:
        assert end_of(client) == before
    arena.check()


def test_extreme_times_and_ids_do_no_harm(arena: Arena) -> None:
    with arena.client() as client:
        make_topic(client, "extremes")
        for fields in (
            {"base_timestamp": -(2**63), "max_timestamp": 2**63 - 1},
            {"base_timestamp": 2**63 - 1, "max_timestamp": -(2**63)},
            {"base_offset": -(2**63), "leader_epoch": -(2**31)},
            {"producer_id": 2**63 - 1, "producer_epoch": 2**15 - 1, "base_sequence": 2**31 - 1},
        ):
            client.ask(PRODUCE, PRODUCE_VERSION, produce_batch("extremes", changed(**fields)))
        assert (
            offset_of(client.ask(PRODUCE, PRODUCE_VERSION, produce_to("extremes", [b"end"]))) >= 0
        )
    arena.check()


@pytest.mark.parametrize(
    ("codec", "config"),
    [
        pytest.param(GZIP, {}, id="kept as it is", marks=pytest.mark.long),
        pytest.param(GZIP, {"compression.type": "lz4"}, id="packed anew", marks=pytest.mark.long),
        pytest.param(
            ZSTD, {"compression.type": "lz4"}, id="packed anew, too", marks=pytest.mark.long
        ),
        pytest.param(ZSTD, {"cleanup.policy": "compact"}, id="looked at for keys"),
    ],
)
def test_a_bomb_does_not_go_off(arena: Arena, codec: int, config: dict[str, str]) -> None:
    # 1 GB of zeros, packed into 1 MB or less, that claims to be one record.
    name = f"bombs-{codec}-{len(str(config))}"
    with arena.client() as client:
        create(client, name, {"max.message.bytes": "5000000", **config})
        request = produce_batch(name, bomb(codec, 1 << 30))
        with contextlib.suppress(ClosedByBroker):
            client.ask(PRODUCE, PRODUCE_VERSION, request)
    arena.check()


def bomb(codec: int, size: int) -> bytearray:
    zeros = bytes(1 << 20)
    if codec == GZIP:
        packed = gzip.compress(zeros * 64, 9) * (size // (64 << 20))  # members one after the other
    else:
        compressor = cramjam.zstd.Compressor()
        for _ in range(size // len(zeros)):
            compressor.compress(zeros)
        packed = bytes(compressor.finish())
    batch = bytearray(HEADER_SIZE) + packed
    HEADER.pack_into(
        batch,
        0,
        0,
        len(batch) - 12,
        -1,
        2,
        0,
        codec,
        0,
        1_700_000_000_000,
        1_700_000_000_000,
        -1,
        -1,
        -1,
        1,
    )
    return seal(batch)


def create(client: Any, name: str, config: dict[str, str]) -> None:
    configs = [CreatableTopicConfig(name=key, value=value) for key, value in config.items()]
    topic = CreatableTopic(
        name=name, num_partitions=1, replication_factor=1, assignments=[], configs=configs
    )
    request = CreateTopicsRequest(topics=[topic], timeout_ms=10_000)
    (created,) = client.ask(CREATE_TOPICS, 5, request).topics
    assert created.error_code == ErrorCode.NONE, created


def end_of(client: Any) -> int:
    return len(values_of(client.ask(FETCH, FETCH_VERSION, fetch_from("target", 0))))


def test_lengths_inside_of_records_do_no_harm_to_who_reads_the_head_only(arena: Arena) -> None:
    # What records say of themselves is their reader's business; a broker that looks, as one does
    # where compaction is to come, refuses them.
    with arena.client() as client:
        create(client, "keyed", {"cleanup.policy": "compact"})
        for garbage in (b"\xff" * 30, b"\x7f" * 30, struct.pack(">q", -1) * 4, bytes(30)):
            batch = proper()
            batch[HEADER_SIZE : HEADER_SIZE + 30] = garbage[:30]
            response = client.ask(PRODUCE, PRODUCE_VERSION, produce_batch("keyed", seal(batch)))
            assert code_of(response) != ErrorCode.NONE
    arena.check()
