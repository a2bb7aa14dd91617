"""Real directories that are locked, damaged or in the wrong place; and disks that are full."""

import logging
from collections.abc import Callable
from pathlib import Path

import millpond as mp
import pytest
from millpond.log.errors import CorruptRecord, DiskFailed, LogLocked
from millpond.log.shell.memory_disk import Operation

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class Shop:
    """An app that sums up orders by user."""

    def __init__(self, data: Path | str = "unused", name: str = "shop") -> None:
        self.app = mp.App(name, data=data)
        self.orders = self.app.topic("orders", key=str, value=int)
        self.out = self.app.topic("out", value=int)
        self.sums = self.app.Table("sums", key=str, value=int, default=int)
        self.app.agent(self.orders)(self.add)

    async def add(self, stream: mp.Stream[int]) -> None:
        async for order in stream.events():
            self.sums[order.key] += order.value
            await self.out.send(value=order.value)


async def work(data: Path, name: str = "shop") -> dict[str, int]:
    """Run the shop, with two more orders for each of five users; return the sums."""
    shop = Shop(data, name)
    async with shop.app.run() as engine:
        for number in range(10):
            await shop.orders.send(key="abcde"[number % 5], value=1)
        await shop.app.flush()
        await engine.settle()
        return dict(shop.sums.view().items())


def sums(value: int) -> dict[str, int]:
    return dict.fromkeys("abcde", value)


async def test_an_app_runs_on_a_directory_again_and_again(tmp_path: Path) -> None:
    for run in range(1, 4):
        assert await work(tmp_path) == sums(2 * run)


async def test_a_directory_is_used_by_one_app_at_a_time(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    async with shop.app.run():
        with pytest.raises(LogLocked, match=r"is in use by another process \(pid \d+"):
            await work(tmp_path, "other")
    assert await work(tmp_path) == sums(2)


async def test_a_directory_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("not a directory")
    with pytest.raises(mp.ConfigError, match="there is a file in its place"):
        await work(tmp_path / "data")


async def test_a_directory_in_which_nothing_can_be_made() -> None:
    with pytest.raises(mp.ConfigError, match=r"'/proc/nothing.*' (cannot be made|does not exist)"):
        await work(Path("/proc/nothing"))


async def test_a_file_where_the_state_should_be(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("not a directory")
    with pytest.raises(mp.StateError, match=r"the store at .*shop/add/0 failed"):
        await work(tmp_path)
    (tmp_path / "state").unlink()
    assert await work(tmp_path) == sums(2), "what ended at the start has taken no orders"


# Stores.


def garble_current(store: Path) -> None:
    (store / "CURRENT").write_text("garbage\n")


def remove_manifest(store: Path) -> None:
    for manifest in store.glob("MANIFEST*"):
        manifest.unlink()


def garble_tables(store: Path) -> None:
    for table in store.glob("*.sst"):
        table.write_bytes(b"garbage" * 100)


def flip_bits_of_tables(store: Path) -> None:
    for table in store.glob("*.sst"):
        data = bytearray(table.read_bytes())
        data[10] ^= 1
        data[len(data) // 2] ^= 1
        table.write_bytes(data)


@pytest.mark.parametrize(
    "damage", [garble_current, remove_manifest, garble_tables, flip_bits_of_tables]
)
async def test_a_damaged_store_is_rebuilt_from_its_changelog(
    damage: Callable[[Path], None], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert await work(tmp_path) == sums(2)
    store = tmp_path / "state" / "shop" / "add" / "0"
    assert list(store.glob("*.sst"))
    damage(store)
    with caplog.at_level(logging.WARNING, logger="millpond"):
        assert await work(tmp_path) == sums(4)
    assert f"The store at {store} is corrupt, and is rebuilt from its changelogs" in caplog.text
    assert await work(tmp_path) == sums(6)


# Segments.


def flip_byte(segment: Path) -> None:
    data = bytearray(segment.read_bytes())
    data[len(data) // 2] ^= 1
    segment.write_bytes(data)


async def test_a_damaged_record_is_told_with_file_and_position(tmp_path: Path) -> None:
    assert await work(tmp_path) == sums(2)
    [segment] = (tmp_path / "log" / "orders-0").glob("*.log")
    flip_byte(segment)
    with pytest.raises(CorruptRecord) as caught:
        await work(tmp_path, "other")  # which has to read it from the beginning
    error = caught.value
    assert str(error.partition) == "orders-0"
    assert error.file.endswith("orders-0/" + segment.name)
    assert 0 <= error.position < segment.stat().st_size
    assert "Restore the file from a copy" in str(error)


async def test_a_damaged_changelog_does_not_become_a_wrong_table(tmp_path: Path) -> None:
    assert await work(tmp_path) == sums(2)
    [segment] = (tmp_path / "log" / "shop-sums-changelog-0").glob("*.log")
    flip_byte(segment)
    garble_current(tmp_path / "state" / "shop" / "add" / "0")
    with pytest.raises(CorruptRecord, match="shop-sums-changelog-0"):
        await work(tmp_path)


# A disk that fails.


@pytest.mark.parametrize("operation", ["write", "sync"])
@pytest.mark.parametrize("after", [0, 1, 2, 5, 9])
async def test_a_disk_that_fails_ends_the_app_and_loses_nothing(
    operation: Operation, after: int
) -> None:
    shop = Shop()
    broken = shop.app.test()
    acknowledged = 0

    async def run() -> None:
        nonlocal acknowledged
        async with broken as t:
            for _ in range(5):
                await t.send(shop.orders, 1, key="a")
                acknowledged += 1
                await t.settle()
                if acknowledged == 2:
                    broken._disk.fail_after(operation, after)

    with pytest.raises(DiskFailed):
        await run()
    mended = shop.app.test()
    mended._disk, mended._backends = broken._disk, broken._backends
    mended._disk.crash(lose_unsynced=True)
    for backend in mended._backends.values():
        backend.crash()
    async with mended as t:
        await t.settle()
        orders = [event.value for event in await t.records(shop.orders)]
        assert len(orders) in (acknowledged, acknowledged + 1)
        assert shop.sums.view()["a"] == len(orders)
        assert [event.value for event in await t.records(shop.out)] == orders
