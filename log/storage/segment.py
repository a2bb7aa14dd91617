"""A segment: consecutive batches of a partition in one file, named by its base offset.

Batches stand one after the other with nothing between. A segment knows how to append a batch, to
find the one that holds an offset, and to cut bytes for a reader between two batches. What a batch
means (producers, transactions, epochs) is the partition log's affair.

Old segments load their indexes when they are first read, and may unload them again.
"""

import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

from ..batch import HEADER, HEADER_SIZE, MAGIC, SIZE_PREFIX, BatchHeader, crc_of
from ..errors import CorruptRecord
from ..model import Offset, Timestamp, TopicPartition
from .disk import Disk, File
from .index import OffsetIndex, TimeIndex

NO_TIMESTAMP: Final = -1
HOP_BYTES: Final = 8192
"""How much is read at once while hopping from header to header: two index intervals."""

SCAN_BYTES: Final = 1 << 20
INTERVAL_BYTES: Final = 4096
"""How far apart index entries are that are made anew; Kafka's default."""

_HOP: Final = struct.Struct(">qi11xi")
"""Of a header only what hopping needs: base offset, length, last offset delta."""

LOG: Final = ".log"
INDEX: Final = ".index"
TIME_INDEX: Final = ".timeindex"
TXN_INDEX: Final = ".txnindex"
SNAPSHOT: Final = ".snapshot"


def file_name(offset: Offset, suffix: str) -> str:
    """Name a segment's file: 20 digits, so that names sort as offsets do."""
    return f"{offset:020d}{suffix}"


class Place(NamedTuple):
    """Where a batch stands in its segment's file."""

    position: int
    base_offset: Offset
    last_offset: Offset


class Segment:
    """One file of batches, with its indexes."""

    __slots__ = (
        "_bytes_since_entry",
        "_disk",
        "_index",
        "_max_timestamp",
        "_max_timestamp_offset",
        "_path",
        "_saved_size",
        "_time_index",
        "base_offset",
        "created",
        "file",
        "first_timestamp",
        "partition",
        "size",
    )

    def __init__(
        self,
        disk: Disk,
        directory: str,
        partition: TopicPartition,
        base_offset: Offset,
        suffix: str = LOG,
        *,
        create: bool = True,
    ) -> None:
        self._disk = disk
        self._path = f"{directory}/{file_name(base_offset, '')}"
        self.partition = partition
        self.base_offset = base_offset
        self.file: File = disk.open(self._path + suffix, create=create)
        self.size = self.file.size
        """Bytes of whole batches. The file is longer only if another process is writing it."""
        self.first_timestamp: Timestamp = NO_TIMESTAMP
        self.created: Timestamp = 0
        self._index: OffsetIndex | None = None
        self._time_index: TimeIndex | None = None
        self._max_timestamp: Timestamp = NO_TIMESTAMP
        self._max_timestamp_offset = base_offset
        self._bytes_since_entry = 0
        self._saved_size = -1

    def __repr__(self) -> str:
        return f"Segment({self._path}{LOG}, {self.size} bytes)"

    @property
    def path(self) -> str:
        """The path of the segment's files, without their suffix."""
        return self._path

    @property
    def index(self) -> OffsetIndex:
        if self._index is None:
            self.load_indexes()
        assert self._index is not None
        return self._index

    @property
    def time_index(self) -> TimeIndex:
        if self._time_index is None:
            self.load_indexes()
        assert self._time_index is not None
        return self._time_index

    @property
    def max_timestamp(self) -> Timestamp:
        """The largest timestamp in the segment, -1 when it is empty."""
        if self._index is None:
            self.load_indexes()
        return self._max_timestamp

    @property
    def max_timestamp_offset(self) -> Offset:
        """The last offset of the first batch with that timestamp."""
        if self._index is None:
            self.load_indexes()
        return self._max_timestamp_offset

    def append(
        self,
        batch: bytes | bytearray | memoryview,
        last_offset: Offset,
        max_timestamp: Timestamp,
        index_interval_bytes: int,
    ) -> None:
        """Write a stamped batch at the end. If that fails, nothing has changed."""
        position = self.size
        self.file.append(batch)
        self.size = position + len(batch)
        self.note(position, len(batch), last_offset, max_timestamp, index_interval_bytes)

    def note(
        self,
        position: int,
        size: int,
        last_offset: Offset,
        max_timestamp: Timestamp,
        index_interval_bytes: int,
    ) -> None:
        """Take a batch that stands at `position` into account: timestamps and, if due, indexes."""
        if position == 0:
            self.first_timestamp = max_timestamp
        if max_timestamp > self._max_timestamp:
            self._max_timestamp = max_timestamp
            self._max_timestamp_offset = last_offset
        if self._bytes_since_entry > index_interval_bytes:
            self.index.append(last_offset, position)
            self.time_index.append(self._max_timestamp, self._max_timestamp_offset)
            self._bytes_since_entry = 0
        self._bytes_since_entry += size

    def places(self, position: int = 0, end: int | None = None) -> Iterator[Place]:
        """Hop from batch to batch; stops at one that is incomplete.

        Raises:
            CorruptRecord: a length that no batch can have.
        """
        end = self.size if end is None else end
        unpack = _HOP.unpack_from
        while end - position >= HEADER_SIZE:
            chunk = self.file.read_at(position, min(HOP_BYTES, end - position))
            at, last = 0, len(chunk) - HEADER_SIZE
            if last < 0:  # the file is shorter than it was
                return
            while at <= last:
                base_offset, length, delta = unpack(chunk, at)
                if length < HEADER_SIZE - SIZE_PREFIX or delta < 0:
                    raise CorruptRecord(
                        self.partition,
                        self.file.path,
                        position + at,
                        f"at least {HEADER_SIZE - SIZE_PREFIX} bytes",
                        length,
                    )
                size = length + SIZE_PREFIX
                if position + at + size > end:
                    return
                yield Place(position + at, base_offset, base_offset + delta)
                at += size
            position += at

    def locate(self, offset: Offset) -> Place | None:
        """Return the first batch whose last offset is at or after `offset`."""
        for place in self.places(self.index.floor(offset)):
            if place.last_offset >= offset:
                return place
        return None

    def place_at(self, position: int) -> Place | None:
        """Return the batch that begins at `position`."""
        return next(self.places(position), None)

    def headers(
        self, position: int = 0, end: int | None = None
    ) -> Iterator[tuple[int, BatchHeader, memoryview]]:
        """Iterate over whole batches: position, header and bytes. Reads large chunks; no checks."""
        end = self.size if end is None else end
        want = SCAN_BYTES
        while end - position >= HEADER_SIZE:
            chunk = memoryview(self.file.read_at(position, min(want, end - position)))
            at, need = 0, HEADER_SIZE
            while len(chunk) - at >= HEADER_SIZE:
                header = BatchHeader._make(HEADER.unpack_from(chunk, at))
                size = header.size
                if size < HEADER_SIZE or header.magic != MAGIC:
                    return
                if size > len(chunk) - at:
                    need = size
                    break
                yield position + at, header, chunk[at : at + size]
                at += size
            position += at
            if position + need > end or (at == 0 and len(chunk) < min(want, end - position)):
                return
            want = max(SCAN_BYTES, need)

    def checked_batches(self) -> Iterator[tuple[BatchHeader, memoryview]]:
        """Iterate over all batches of a sealed segment, for a copy that is to replace it.

        Raises:
            CorruptRecord: one is damaged.
        """
        end = 0
        for position, header, batch in self.headers():
            crc = crc_of(batch)
            if crc != header.crc:
                raise CorruptRecord(
                    self.partition, self.file.path, position, f"{header.crc:#010x}", f"{crc:#010x}"
                )
            yield header, batch
            end = position + header.size
        if end != self.size:
            raise CorruptRecord(self.partition, self.file.path, end, "a batch", "something else")

    def read(self, start: int, end: int, bytes_max: int) -> bytes | memoryview:
        """Return whole batches from position `start` to before `end`, both batch boundaries.

        At least one batch, even above `bytes_max`.
        """
        if end - start <= bytes_max:
            return self.file.read_at(start, end - start)
        data = self.file.read_at(start, max(bytes_max, HEADER_SIZE))
        size = len(data)
        cut = max(self.index.batch_start_before(start + size) - start, 0)
        while cut + HEADER_SIZE <= size:
            following = cut + _HOP.unpack_from(data, cut)[1] + SIZE_PREFIX
            if following > size:
                break
            cut = following
        if cut:
            return memoryview(data)[:cut]
        return self.file.read_at(start, _HOP.unpack_from(data)[1] + SIZE_PREFIX)

    def truncate(self, place: Place) -> None:
        """Cut the file before this batch."""
        self.file.truncate(place.position)
        self.size = place.position
        self.index.truncate(place.position)
        self.time_index.truncate(place.base_offset)
        self._fold_tail()
        self._saved_size = -1

    def load_indexes(self) -> None:
        """Read the index files, and what follows their last entries from the segment itself.

        An index that doesn't fit the segment is made anew, in memory.
        """
        if self._disk.exists(self._path + INDEX) and self._disk.exists(self._path + TIME_INDEX):
            index = OffsetIndex.decode(self.base_offset, self._disk.read(self._path + INDEX))
            if self._fits(index):
                self._index = index
                self._time_index = TimeIndex.decode(
                    self.base_offset, self._disk.read(self._path + TIME_INDEX)
                )
                self._saved_size = self.size
                self._fold_tail()
                return
        self.begin_indexes()
        for position, header, _batch in self.headers():
            self.note(
                position, header.size, header.last_offset, header.max_timestamp, INTERVAL_BYTES
            )

    def unload_indexes(self) -> None:
        """Free the memory of a sealed segment's indexes."""
        self._index = None
        self._time_index = None

    def begin_indexes(self) -> None:
        """Start with empty indexes, for a segment that is new or about to be scanned."""
        self._index = OffsetIndex(self.base_offset)
        self._time_index = TimeIndex(self.base_offset)
        self._max_timestamp = NO_TIMESTAMP
        self._max_timestamp_offset = self.base_offset
        self._bytes_since_entry = 0
        self._saved_size = -1

    def adopted_by(self, final: "Segment") -> None:
        """Hand the indexes over to the segment whose file this one's has become."""
        final._index, final._time_index = self.index, self.time_index  # noqa: SLF001 - one of us
        final._fold_tail()  # noqa: SLF001

    def save_indexes(self) -> None:
        """Write both index files and make them durable; nothing if they are already."""
        if self._saved_size == self.size:
            return
        if self._max_timestamp != NO_TIMESTAMP:
            self.time_index.append(self._max_timestamp, self._max_timestamp_offset)
        for suffix, data in (
            (INDEX, self.index.encode()),
            (TIME_INDEX, self.time_index.encode()),
        ):
            file = self._disk.open(self._path + suffix)
            file.truncate(0)
            file.append(data)
            file.sync()
            file.close()
        self._saved_size = self.size

    def remove(self, *, keep_snapshot: bool = False) -> None:
        """Remove the segment's files; the snapshot, of what lies before it, may be of further use."""
        self.file.close()
        for suffix in (INDEX, TIME_INDEX, TXN_INDEX, LOG):
            self._disk.remove(self._path + suffix)
        if not keep_snapshot:
            self._disk.remove(self._path + SNAPSHOT)

    def close(self) -> None:
        self.file.close()

    def _fits(self, index: OffsetIndex) -> bool:
        if not len(index):
            return True
        position = index.positions[-1]
        head = self.file.read_at(position, HEADER_SIZE)
        if len(head) < HEADER_SIZE:
            return False
        base_offset, _length, delta = _HOP.unpack_from(head)
        last_offset: int = base_offset + delta
        return last_offset == self.base_offset + index.relative_offsets[-1]

    def _fold_tail(self) -> None:
        """Derive from the indexes, and from the batches after them, what an append goes on from."""
        index, time_index = self.index, self.time_index
        self._max_timestamp, self._max_timestamp_offset = time_index.last() or (
            NO_TIMESTAMP,
            self.base_offset,
        )
        head = self.file.read_at(0, HEADER_SIZE)
        self.first_timestamp = NO_TIMESTAMP
        if len(head) == HEADER_SIZE:
            self.first_timestamp = BatchHeader._make(HEADER.unpack(head)).max_timestamp
        start = index.positions[-1] if len(index) else 0
        self._bytes_since_entry = 0
        for _position, header, _batch in self.headers(start):
            if header.max_timestamp > self._max_timestamp:
                self._max_timestamp = header.max_timestamp
                self._max_timestamp_offset = header.last_offset
            self._bytes_since_entry += header.size
