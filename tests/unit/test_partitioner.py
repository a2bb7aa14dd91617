"""Keys go where Kafka's Java client sends them."""

import aiokafka.partitioner
import pytest
from millpond.streams.engine.partitioner import KEYLESS_RUN, Partitioner, murmur2

# Kafka's clients/src/test/java/org/apache/kafka/common/utils/UtilsTest.java, testMurmur2
JAVA = {
    b"21": -973932308,
    b"foobar": -790332482,
    b"a-little-bit-long-string": -985981536,
    b"a-little-bit-longer-string": -1486304829,
    b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    b"abc": 479470107,
}

# librdkafka's src/rdmurmur2.c, unittest_murmur2
LIBRDKAFKA = {
    b"kafka": 0xD067CF64,
    b"giberish123456789": 0x8F552B0C,
    b"1234": 0x9FC97B14,
    b"234": 0xE7C009CA,
    b"34": 0x873930DA,
    b"4": 0x5A4B5CA1,
    b"PreAmbleWillBeRemoved,ThePrePartThatIs": 0x78424F1C,
    b"": 0x106E08D9,
}


@pytest.mark.parametrize(("key", "signed"), JAVA.items())
def test_hash_is_javas(key: bytes, signed: int) -> None:
    assert murmur2(key) == signed & 0xFFFFFFFF


@pytest.mark.parametrize(("key", "unsigned"), LIBRDKAFKA.items())
def test_hash_is_librdkafkas(key: bytes, unsigned: int) -> None:
    assert murmur2(key) == unsigned


def test_partition_is_the_positive_hash_modulo_the_count() -> None:
    assert Partitioner(50).partition(b"foobar") == (-790332482 & 0x7FFFFFFF) % 50 == 16


def test_partitions_agree_with_aiokafkas_partitioner() -> None:
    theirs = aiokafka.partitioner.DefaultPartitioner()
    ours = Partitioner(7).partition
    for number in range(300):
        key = b"user-%d" % number**3
        assert ours(key) == theirs(key, list(range(7)), list(range(7)))


def test_a_key_keeps_its_partition_when_what_is_remembered_is_forgotten() -> None:
    fresh = [Partitioner(5).partition(b"%d" % n) for n in range(50)]
    small = Partitioner(5, remembered_max=7).partition
    assert [small(b"%d" % n) for n in range(50)] == fresh
    assert [small(b"%d" % n) for n in range(50)] == fresh


def test_what_is_remembered_is_bounded() -> None:
    partition = Partitioner(5, remembered_max=10).partition
    for number in range(1000):
        partition(b"%d" % number)
    remembered = partition.__self__  # type: ignore[attr-defined]
    assert len(remembered) <= 10


def test_records_without_a_key_stay_for_a_while_and_then_move_on() -> None:
    partition = Partitioner(3, keyless_first=2).partition
    went = [partition(None) for _ in range(4 * KEYLESS_RUN)]
    assert went[::KEYLESS_RUN] == [2, 0, 1, 2]
    assert all(len(set(went[i : i + KEYLESS_RUN])) == 1 for i in range(0, len(went), KEYLESS_RUN))


def test_an_empty_key_is_a_key() -> None:
    partition = Partitioner(1000).partition
    assert partition(b"") == (0x106E08D9 & 0x7FFFFFFF) % 1000
