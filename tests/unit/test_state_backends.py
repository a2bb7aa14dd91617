"""What stores rely on in a backend, in memory and on disk alike; and what only a disk can suffer."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from millpond.state.backend import Backend
from millpond.state.errors import StoreClosed, StoreCorrupt, StoreLocked
from millpond.state.memory import MemoryBackend
from millpond.state.rocks import RocksEnvironment
from millpond.tests.twins.state_world import Disk, MemoryDisk, RocksDisk


@pytest.fixture(scope="module")
def environment() -> RocksEnvironment:
    return RocksEnvironment(16 << 20)


@pytest.fixture(params=["memory", "rocks"])
def disk(request: pytest.FixtureRequest, tmp_path: Path, environment: RocksEnvironment) -> Disk:
    return MemoryDisk() if request.param == "memory" else RocksDisk(tmp_path, environment)


@pytest.fixture
def backend(disk: Disk) -> Iterator[Backend]:
    backend = disk.open()
    yield backend
    backend.close()


def rows(*keys: bytes) -> list[tuple[bytes, bytes]]:
    return [(key, b"value of " + key) for key in keys]


def test_range_is_half_open_and_goes_both_ways(backend: Backend) -> None:
    backend.write(rows(b"c", b"a", b"d", b"b"))
    assert list(backend.range(b"b", b"d")) == rows(b"b", b"c")
    assert list(backend.range(b"b", b"d", reverse=True)) == rows(b"c", b"b")
    assert list(backend.range(b"", b"z", limit=2)) == rows(b"a", b"b")
    assert list(backend.range(b"", b"z", limit=2, reverse=True)) == rows(b"d", b"c")
    assert list(backend.range(b"", b"z", limit=0)) == []
    assert list(backend.range(b"d", b"b")) == []


def test_range_reads_on_past_a_page(backend: Backend) -> None:
    everything = rows(*[b"%05d" % number for number in range(2500)])
    backend.write(everything)
    assert list(backend.range(b"", b"z")) == everything
    assert list(backend.range(b"", b"z", reverse=True)) == everything[::-1]
    assert list(backend.range(b"00001", b"01001")) == everything[1:1001]
    assert list(backend.range(b"", b"z", limit=1001)) == everything[:1001]


def test_ranges_are_deleted_before_anything_is_put(backend: Backend) -> None:
    backend.write(rows(b"a", b"b", b"c", b"d"))
    backend.write([(b"b", b"new"), (b"d", None)], [(b"b", b"d")])
    assert list(backend.range(b"", b"z")) == [*rows(b"a"), (b"b", b"new")]


def test_last_change_of_a_key_counts(backend: Backend) -> None:
    backend.write([(b"a", b"1"), (b"a", None), (b"b", None), (b"b", b"2"), (b"c", None)])
    assert list(backend.range(b"", b"z")) == [(b"b", b"2")]


def test_many_values_come_in_the_order_of_the_keys(backend: Backend) -> None:
    backend.write(rows(b"a", b"b"))
    assert list(backend.get_many([b"b", b"x", b"a"])) == [b"value of b", None, b"value of a"]
    assert list(backend.get_many([])) == []
    assert backend.get(b"x") is None


def test_crash_loses_what_was_not_flushed_and_nothing_else(disk: Disk) -> None:
    backend = disk.open()
    backend.write(rows(b"a", b"b"))
    backend.flush()
    backend.write([*rows(b"c"), (b"a", None)], [(b"b", b"c")])
    disk.crash()
    backend = disk.open()
    assert list(backend.range(b"", b"z")) == rows(b"a", b"b")
    backend.close()


def test_closing_flushes(disk: Disk) -> None:
    backend = disk.open()
    backend.write(rows(b"a"))
    backend.close()
    disk.crash()
    backend = disk.open()
    assert list(backend.range(b"", b"z")) == rows(b"a")
    backend.close()


def test_closed_backend_says_so(backend: Backend) -> None:
    backend.write(rows(*[b"%05d" % number for number in range(2000)]))
    half_read = backend.range(b"", b"z")
    next(half_read)
    backend.close()
    backend.close()
    with pytest.raises(StoreClosed):
        backend.get(b"a")
    with pytest.raises(StoreClosed):
        backend.write(rows(b"a"))
    with pytest.raises(StoreClosed):
        list(half_read)


def test_size_and_count_grow_with_the_data(backend: Backend) -> None:
    backend.write([(b"%05d" % number, bytes(100)) for number in range(5000)])
    backend.flush()
    assert backend.key_count == 5000
    assert backend.size > 50_000 or not isinstance(backend, MemoryBackend)


def test_iteration_that_was_left_does_not_keep_the_lock(
    tmp_path: Path, environment: RocksEnvironment
) -> None:
    backend = environment.open(tmp_path / "store")
    backend.write(rows(b"a", b"b"))
    left = backend.range(b"", b"z")
    next(left)
    backend.close()
    environment.open(tmp_path / "store").close()


def test_second_opening_is_refused(tmp_path: Path, environment: RocksEnvironment) -> None:
    backend = environment.open(tmp_path / "store")
    with pytest.raises(StoreLocked, match="in use"):
        environment.open(tmp_path / "store", rebuild=True)
    backend.close()


def damaged(path: Path, environment: RocksEnvironment, pattern: str) -> None:
    """Make a store with one damaged byte in each file that matches."""
    backend = environment.open(path)
    backend.write([(b"%05d" % number, b"value %d" % number) for number in range(100)])
    backend.close()
    for file in path.glob(pattern):
        content = bytearray(file.read_bytes())
        content[20] ^= 0xFF
        file.write_bytes(content)


@pytest.mark.parametrize("reverse", [False, True])
def test_damaged_block_is_an_error_and_not_an_early_end(
    tmp_path: Path, environment: RocksEnvironment, reverse: bool
) -> None:
    damaged(tmp_path / "store", environment, "*.sst")
    backend = environment.open(tmp_path / "store")
    with pytest.raises(StoreCorrupt, match="rebuilt from its changelog"):
        list(backend.range(b"", b"z", reverse=reverse))
    backend.close()


def test_damage_found_while_reading_is_known_at_the_next_opening(
    tmp_path: Path, environment: RocksEnvironment
) -> None:
    damaged(tmp_path / "store", environment, "*.sst")
    backend = environment.open(tmp_path / "store")
    with pytest.raises(StoreCorrupt):
        backend.get(b"00001")
    with pytest.raises(StoreCorrupt):
        backend.get_many([b"00001"])
    backend.close()
    with pytest.raises(StoreCorrupt):
        environment.open(tmp_path / "store")
    rebuilt = environment.open(tmp_path / "store", rebuild=True)
    assert list(rebuilt.range(b"", b"z")) == []
    rebuilt.close()


def test_damaged_manifest_is_rebuilt_only_on_demand(
    tmp_path: Path, environment: RocksEnvironment
) -> None:
    damaged(tmp_path / "store", environment, "MANIFEST*")
    with pytest.raises(StoreCorrupt):
        environment.open(tmp_path / "store")
    rebuilt = environment.open(tmp_path / "store", rebuild=True)
    assert list(rebuilt.range(b"", b"z")) == []
    rebuilt.close()


def test_missing_file_is_damage(tmp_path: Path, environment: RocksEnvironment) -> None:
    damaged(tmp_path / "store", environment, "nothing")
    for file in (tmp_path / "store").glob("*.sst"):
        file.unlink()
    with pytest.raises(StoreCorrupt):
        environment.open(tmp_path / "store").get(b"00001")
