"""A segment finds batches by offset and cuts them for readers; its indexes only make that fast."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from millpond.log.batch import read_header, stamp
from millpond.log.errors import CorruptRecord
from millpond.log.records import batches_in, encode_batch
from millpond.log.shell.memory_disk import MemoryDisk, MemoryFile
from millpond.log.storage.index import OffsetIndex, TimeIndex
from millpond.log.storage.segment import Segment
from millpond.tests.twins.partition_twin import PARTITION

BASE = 100


def segment_of(disk: MemoryDisk, *counts: int, interval: int = 200, gap: int = 0) -> Segment:
    """A segment with one batch for each count of records; timestamps equal offsets."""
    disk.make_directory("d")
    segment = Segment(disk, "d", PARTITION, BASE)
    segment.begin_indexes()
    offset = BASE
    for count in counts:
        batch = encode_batch([(b"k", b"v" * 20, offset + n, ()) for n in range(count)])
        stamp(batch, offset, 0)
        segment.append(batch, offset + count - 1, offset + count - 1, interval)
        offset += count + gap
    return segment


@contextmanager
def counting_reads(disk: MemoryDisk, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Note the length of each read."""
    lengths: list[int] = []
    read_at = MemoryFile.read_at

    def noting(self: MemoryFile, position: int, length: int) -> bytes:
        lengths.append(length)
        return read_at(self, position, length)

    with monkeypatch.context() as patch:
        patch.setattr(MemoryFile, "read_at", noting)
        yield lengths


@pytest.mark.parametrize("interval", [0, 200, 100_000])
@pytest.mark.parametrize("gap", [0, 3])
def test_every_offset_is_found_in_its_batch(interval: int, gap: int) -> None:
    segment = segment_of(MemoryDisk(), *[1, 5, 2] * 20, interval=interval, gap=gap)
    batches = [(p.position, p.base_offset, p.last_offset) for p in segment.places()]
    assert len(batches) == 60
    for offset in range(BASE, batches[-1][2] + 1):
        place = segment.locate(offset)
        assert place == next(batch for batch in batches if batch[2] >= offset)
    assert segment.locate(batches[-1][2] + 1) is None


def test_a_search_reads_near_the_offset_only(monkeypatch: pytest.MonkeyPatch) -> None:
    disk = MemoryDisk()
    segment = segment_of(disk, *[1] * 5000, interval=4096)
    assert segment.size > 400_000
    with counting_reads(disk, monkeypatch) as lengths:
        segment.locate(BASE + 4000)
    assert sum(lengths) <= 8192


@pytest.mark.parametrize("interval", [0, 200, 100_000])
def test_a_read_is_cut_between_batches(interval: int) -> None:
    segment = segment_of(MemoryDisk(), *[1, 5, 2] * 20, interval=interval)
    places = list(segment.places())
    for first, last in ((0, 60), (7, 60), (7, 30), (59, 60)):
        start = places[first].position
        end = places[last].position if last < 60 else segment.size
        for bytes_max in (0, 1, 150, 1000, 10**6):
            data = segment.read(start, end, bytes_max)
            found = [header.base_offset for header, _batch in batches_in(data, check_crc=True)]
            assert found == [p.base_offset for p in places[first : first + len(found)]]
            assert sum(header.size for header, _batch in batches_in(data)) == len(data)
            assert len(found) == 1 or len(data) <= bytes_max
            if first + len(found) < last:  # one more would have been too much
                following = read_header(segment.file.read_at(start + len(data), 61))
                assert len(data) + following.size > bytes_max


def test_indexes_survive_in_their_files() -> None:
    disk = MemoryDisk()
    segment = segment_of(disk, *[1] * 50)
    segment.save_indexes()
    again = Segment(disk, "d", PARTITION, BASE)
    assert again.index.encode() == segment.index.encode()
    assert len(again.index) > 5
    assert again.max_timestamp == segment.max_timestamp == BASE + 49
    assert again.time_index.last() == (BASE + 49, BASE + 49)


@pytest.mark.parametrize("damage", ["missing", "shortened", "of another segment", "zeros behind"])
def test_a_lost_or_wrong_index_costs_only_time(damage: str) -> None:
    disk = MemoryDisk()
    segment = segment_of(disk, *[1] * 50)
    segment.save_indexes()
    name = f"d/{BASE:020d}.index"
    data = disk.read(name)
    match damage:
        case "missing":
            disk.remove(name)
        case "shortened":
            disk.replace(name, data[: len(data) // 2 - 3])
        case "of another segment":
            wrong = OffsetIndex(BASE)
            for at in range(20):
                wrong.append(BASE + at, at * 7)
            disk.replace(name, wrong.encode())
        case "zeros behind":
            disk.replace(name, data + bytes(80))
    again = Segment(disk, "d", PARTITION, BASE)
    assert [again.locate(BASE + n) for n in range(51)] == [
        segment.locate(BASE + n) for n in range(51)
    ]
    assert again.max_timestamp == BASE + 49


def test_a_truncated_segment_forgets_what_was_behind() -> None:
    segment = segment_of(MemoryDisk(), *[1] * 50)
    place = segment.locate(BASE + 20)
    assert place is not None
    segment.truncate(place)
    assert segment.locate(BASE + 20) is None
    assert segment.locate(BASE + 19) is not None
    assert segment.max_timestamp == BASE + 19
    assert max(segment.index.positions) < segment.size


def test_a_length_that_cannot_be_is_damage() -> None:
    disk = MemoryDisk()
    segment = segment_of(disk, 1, 1)
    disk.flip_bit(segment.file.path, 8, 7)  # makes the length negative
    with pytest.raises(CorruptRecord) as caught:
        list(segment.places())
    assert (caught.value.position, caught.value.partition) == (0, PARTITION)


def test_the_index_files_are_kafkas() -> None:
    index = OffsetIndex(BASE)
    index.append(BASE + 5, 1000)
    index.append(BASE + 300, 70_000)
    assert index.encode().hex(" ", 4) == "00000005 000003e8 0000012c 00011170"
    times = TimeIndex(BASE)
    times.append(1_700_000_000_000, BASE + 5)
    times.append(1_600_000_000_000, BASE + 6)  # not larger, so nothing new
    times.append(1_700_000_000_001, BASE + 7)
    assert times.encode().hex(" ", 4) == ("0000018b cfe56800 00000005 0000018b cfe56801 00000007")
    assert TimeIndex.decode(BASE, times.encode()).floor(1_700_000_000_001) == BASE + 5
