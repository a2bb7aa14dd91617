"""The hash of ours against one written as the C code reads, byte by byte."""

from hypothesis import given
from hypothesis import strategies as st
from millpond.streams.engine.partitioner import Partitioner, murmur2


def slow_murmur2(data: bytes) -> int:
    def word(value: int) -> int:
        return value & 0xFFFFFFFF

    m = 0x5BD1E995
    h = 0x9747B28C ^ len(data)
    rest = data
    while len(rest) >= 4:
        k = rest[0] | rest[1] << 8 | rest[2] << 16 | rest[3] << 24
        k = word(k * m)
        k ^= k >> 24
        k = word(k * m)
        h = word(h * m)
        h ^= k
        rest = rest[4:]
    if len(rest) >= 3:
        h ^= rest[2] << 16
    if len(rest) >= 2:
        h ^= rest[1] << 8
    if len(rest) >= 1:
        h ^= rest[0]
        h = word(h * m)
    h ^= h >> 13
    h = word(h * m)
    h ^= h >> 15
    return h


@given(st.binary(max_size=70) | st.binary(min_size=120, max_size=140))
def test_hash_equals_the_slow_one(data: bytes) -> None:
    assert murmur2(data) == slow_murmur2(data)


@given(st.lists(st.binary(max_size=3)), st.integers(1, 9), st.integers(1, 4))
def test_memory_changes_nothing(keys: list[bytes], partitions: int, remembered_max: int) -> None:
    partition = Partitioner(partitions, remembered_max=remembered_max).partition
    for key in keys:
        assert partition(key) == (slow_murmur2(key) & 0x7FFFFFFF) % partitions
