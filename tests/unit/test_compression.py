"""Compression: what was packed comes back, and what claims to be huge costs nothing."""

import resource
import sys

import cramjam
import pytest
from millpond.log.compression import UNPACKED_BYTES_MAX, compress, decompress
from millpond.log.errors import InvalidRecord
from millpond.log.model import Compression

PACKED = [codec for codec in Compression if codec is not Compression.NONE]
USUAL = 64 * 1024


@pytest.mark.parametrize("codec", Compression)
@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"a", id="a byte"),
        pytest.param(bytes(range(256)) * 100, id="usual"),
        pytest.param(bytes(USUAL * 40), id="shrinks so far that the first buffer is too small"),
    ],
)
def test_what_was_packed_comes_back(codec: Compression, data: bytes) -> None:
    assert decompress(codec, compress(codec, data)) == data
    assert decompress(codec, memoryview(compress(codec, data))) == data


@pytest.mark.parametrize("codec", PACKED)
def test_what_unpacks_to_more_than_any_batch_may_is_refused(codec: Compression) -> None:
    bomb = compress(codec, bytes(UNPACKED_BYTES_MAX + 1))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(InvalidRecord, match=str(UNPACKED_BYTES_MAX)):
        decompress(codec, bomb)
    if sys.platform == "linux":  # in kilobytes there
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
        assert grown < 3 * UNPACKED_BYTES_MAX


def test_a_bare_block_of_snappy_that_lies_about_its_size_is_refused() -> None:
    honest = bytes(cramjam.snappy.compress_raw(b"x" * 100))
    assert decompress(Compression.SNAPPY, honest) == b"x" * 100
    boasting = b"\xff\xff\xff\xff\x0f" + honest[1:]
    with pytest.raises(InvalidRecord):
        decompress(Compression.SNAPPY, boasting)


@pytest.mark.parametrize("codec", PACKED)
def test_what_is_cut_short_is_refused(codec: Compression) -> None:
    packed = compress(codec, bytes(range(256)) * 10)
    with pytest.raises(InvalidRecord):
        decompress(codec, packed[: len(packed) // 2])
