"""A task's bytes in RocksDB, by way of rocksdict.

One database per task with one column family, so that a write batch is atomic by construction, and
without a write-ahead log, because the changelog is one. All databases of a process share one block
cache with the write buffers charged to it, so that memory is bounded whatever the number of tasks;
arenas are small, because the default of 1 MB for each database made 100 of them use 206 MB, and
29.5 MB with 64 KB.

Reads and writes hold the interpreter lock and take microseconds: do them inline. `flush` and `close`
are for a thread. So is opening, which holds the lock too, for about 15 ms, most of it in syncs: several
threads that open at the same time gain nothing, and leave everybody else hardly a turn.

What one must know of rocksdict: an open iterator keeps the database and its LOCK alive after
`close`, so none outlives a page. A plain iterator ends silently where a block is corrupt, so after
each one the place where it ended is looked at again with an iterator that tells.
"""

import shutil
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import Final

from rocksdict import (
    BlockBasedOptions,
    Cache,
    DbClosedError,
    DBCompressionType,
    Options,
    Rdict,
    ReadOptions,
    WriteBatch,
    WriteBufferManager,
    WriteOptions,
)

from .backend import Change, KeyRange
from .errors import StateError, StoreClosed, StoreCorrupt, StoreFailed, StoreLocked

PAGE: Final = 1000
# Small ones stay in the processor's cache: a write into 4 MB cost 1.3 µs, flushes and compactions
# included, into 16 MB 2.3 µs. With their own bloom filter, a read that passes them by costs half.
_MEMTABLE_BYTES: Final = 4 << 20
_MEMTABLE_BLOOM_SHARE: Final = 0.1
_ARENA_BYTES: Final = 64 << 10
_BLOCK_BYTES: Final = 8 << 10
_OPEN_FILES_MAX: Final = 64
_BLOOM_BITS: Final = 10
# RocksDB finds a damaged block only when reading it; this file remembers that until the next opening.
_CORRUPT: Final = "CORRUPT"


class RocksEnvironment:
    """What the databases of one process share: a block cache and a bound for write buffers."""

    def __init__(self, memory_bytes: int = 256 << 20) -> None:
        self.memory_bytes = memory_bytes
        self._cache = Cache(memory_bytes)
        self._write_buffers = WriteBufferManager.new_write_buffer_manager_with_cache(
            memory_bytes // 2, False, self._cache
        )

    def open(self, path: Path, *, rebuild: bool = False) -> "RocksBackend":
        """Open the database in directory `path`, making it if it is not there. Takes milliseconds.

        With `rebuild`, one that is damaged is deleted and an empty one opened.

        Raises:
            StoreCorrupt: it is damaged, and `rebuild` was not asked for.
            StoreLocked: someone else has it open.
            StoreFailed: the disk refused.
        """
        path.mkdir(parents=True, exist_ok=True)
        marker = path / _CORRUPT
        try:
            if marker.exists():
                raise StoreCorrupt(str(path), marker.read_text())
            return RocksBackend(path, self._options())
        except StoreCorrupt:
            if not rebuild:
                raise
        self.destroy(path)
        path.mkdir(parents=True)
        return RocksBackend(path, self._options())

    @staticmethod
    def destroy(path: Path) -> None:
        """Delete the database in directory `path`, which nobody may have open."""
        shutil.rmtree(path, ignore_errors=True)

    @property
    def memory_used(self) -> int:
        """Return the bytes in the block cache, write buffers included."""
        return self._cache.get_usage()

    def _options(self) -> Options:
        blocks = BlockBasedOptions()
        blocks.set_block_cache(self._cache)
        blocks.set_block_size(_BLOCK_BYTES)
        blocks.set_bloom_filter(_BLOOM_BITS, False)
        blocks.set_cache_index_and_filter_blocks(True)
        blocks.set_pin_l0_filter_and_index_blocks_in_cache(True)
        options = Options(raw_mode=True)
        options.create_if_missing(True)
        options.set_block_based_table_factory(blocks)
        options.set_write_buffer_manager(self._write_buffers)
        options.set_write_buffer_size(_MEMTABLE_BYTES)
        options.set_memtable_prefix_bloom_ratio(_MEMTABLE_BLOOM_SHARE)
        options.set_memtable_whole_key_filtering(True)
        options.set_arena_block_size(_ARENA_BYTES)
        options.set_max_open_files(_OPEN_FILES_MAX)
        options.set_max_file_opening_threads(1)
        options.set_max_background_jobs(2)
        options.set_compression_type(DBCompressionType.lz4())
        options.set_level_compaction_dynamic_level_bytes(True)
        options.set_manifest_preallocation_size(_ARENA_BYTES)
        options.set_keep_log_file_num(2)
        options.set_max_log_file_size(1 << 20)
        options.set_stats_dump_period_sec(0)
        options.set_stats_persist_period_sec(0)
        return options


class RocksBackend:
    """One task's database. Opened by `RocksEnvironment.open`."""

    def __init__(self, path: Path, options: Options) -> None:
        self.path = str(path)
        self._write_options = WriteOptions()
        # The stub calls it a method; it is an attribute.
        self._write_options.disable_wal = True  # type: ignore[assignment, method-assign]
        # Two threads must not flush and close at once; everything else is done by one thread.
        self._closing = threading.Lock()
        self._closed = False
        with self._telling():
            self._db = Rdict(self.path, options)

    def get(self, key: bytes) -> bytes | None:
        try:
            return self._db.get(key)
        except Exception as error:
            raise self._told(error) from error

    def get_many(self, keys: Sequence[bytes]) -> Sequence[bytes | None]:
        with self._telling():
            values: list[bytes | None] = self._db.get(list(keys))  # type: ignore[assignment]
        return values

    def range(
        self, lo: bytes, hi: bytes, *, reverse: bool = False, limit: int | None = None
    ) -> Iterator[tuple[bytes, bytes]]:
        read_page = self._page_down if reverse else self._page_up
        while limit is None or limit > 0:
            count = PAGE if limit is None else min(limit, PAGE)
            with self._telling():
                page = read_page(lo, hi, count)
            yield from page
            if len(page) < count:
                return
            if limit is not None:
                limit -= count
            if reverse:
                hi = page[-1][0]
            else:
                lo = page[-1][0] + b"\x00"

    def write(self, changes: Iterable[Change], delete_ranges: Iterable[KeyRange] = ()) -> None:
        batch = WriteBatch(raw_mode=True)
        for lo, hi in delete_ranges:
            batch.delete_range(lo, hi)
        put, delete = batch.put, batch.delete
        for key, value in changes:
            if value is None:
                delete(key)
            else:
                put(key, value)
        with self._telling():
            self._db.write(batch, self._write_options)

    def flush(self) -> None:
        with self._closing, self._telling():
            self._db.flush()

    def close(self) -> None:
        with self._closing, self._telling():
            if not self._closed:
                self._closed = True
                try:
                    self._db.flush()
                finally:
                    self._db.close()

    @property
    def size(self) -> int:
        return self._measure("rocksdb.total-sst-files-size") + self._measure(
            "rocksdb.cur-size-all-mem-tables"
        )

    @property
    def key_count(self) -> int:
        return self._measure("rocksdb.estimate-num-keys")

    def _measure(self, name: str) -> int:
        with self._telling():
            return self._db.property_int_value(name) or 0

    def _page_up(self, lo: bytes, hi: bytes, count: int) -> list[tuple[bytes, bytes]]:
        bounds = ReadOptions()
        bounds.set_iterate_upper_bound(hi)
        page: list[tuple[bytes, bytes]] = list(
            islice(self._db.items(from_key=lo, read_opt=bounds), count)  # type: ignore[arg-type]
        )
        if len(page) < count:
            ended = self._db.iter(bounds)
            ended.seek(page[-1][0] if page else lo)
            if page and ended.valid():
                ended.next()
            ended.status()
        return page

    def _page_down(self, lo: bytes, hi: bytes, count: int) -> list[tuple[bytes, bytes]]:
        """Like `_page_up`. RocksDB ignores the lower bound in this direction."""
        items = self._db.items(backwards=True, from_key=hi)
        page: list[tuple[bytes, bytes]] = []
        for item in islice(items, count + 1):
            key: bytes = item[0]  # type: ignore[assignment]
            if key < lo:
                return page
            if key != hi:
                page.append((key, item[1]))
        if len(page) < count:
            ended = self._db.iter()
            ended.seek_for_prev(page[-1][0] if page else hi)
            if page and ended.valid():
                ended.prev()
            ended.status()
        return page[:count]

    @contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except StateError:
            raise
        except Exception as error:
            raise self._told(error) from error

    def _told(self, error: Exception) -> StateError:
        """Say in our words what RocksDB, whose errors have no types, says in its own."""
        problem = str(error)
        if isinstance(error, DbClosedError):
            return StoreClosed(self.path)
        if "lock hold" in problem or "While lock file" in problem:
            return StoreLocked(self.path, problem)
        # A file of the database that is missing is damage as well.
        if problem.startswith("Corruption") or "No such file or directory" in problem:
            with suppress(OSError):
                Path(self.path, _CORRUPT).write_text(problem)
            return StoreCorrupt(self.path, problem)
        return StoreFailed(self.path, problem)
