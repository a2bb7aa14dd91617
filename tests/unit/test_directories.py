"""Tasks' stores in a directory that several processes share: real stores, real locks."""

import shutil
import signal
import subprocess
import sys
from pathlib import Path
from uuid import UUID

import anyio
import pytest
from millpond.state.backend import Backend
from millpond.state.errors import StoreLocked
from millpond.state.meta import Position, StoredPosition, encode_position
from millpond.state.rocks import RocksEnvironment
from millpond.streams.engine import directories as module
from millpond.streams.engine.assignor import TaskId
from millpond.streams.engine.directories import StoreDirectories

pytestmark = pytest.mark.anyio

TASK = TaskId("orders", 3)
HOLDER = """
import sys
from pathlib import Path
from millpond.state.rocks import RocksEnvironment
store = RocksEnvironment(1 << 20).open(Path(sys.argv[1]))
print("open", flush=True)
sys.stdin.read()
store.close()
"""


def process(root: Path, *, patience_s: float = 30) -> StoreDirectories:
    """Return what a process has of its own. RocksDB's locks keep those of one process apart as well."""
    return StoreDirectories(root, RocksEnvironment(8 << 20), lock_patience_s=patience_s)


async def opened(directories: StoreDirectories) -> Backend:
    return await directories.open(*TASK, rebuild=False)


def inside(path: Path) -> list[str]:
    return sorted(each.name for each in path.iterdir())


def come_to(store: Backend, **offsets: int) -> None:
    """Note in a store how far it has come with changelogs."""
    positions = {
        name: StoredPosition(Position(UUID(int=1), 0, offset), 0)
        for name, offset in offsets.items()
    }
    store.write([encode_position(name, position) for name, position in positions.items()])


def holder(path: Path) -> subprocess.Popen[bytes]:
    """Return another process that has a store open until its input ends."""
    child = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert child.stdout is not None
    child.stdout.readline()
    return child


async def test_a_store_is_where_its_task_says_and_is_found_again(tmp_path: Path) -> None:
    store = await opened(process(tmp_path))
    store.write([(b"k", b"v")])
    store.close()
    assert (tmp_path / "orders" / "3" / "CURRENT").exists()
    again = await opened(process(tmp_path))
    assert again.get(b"k") == b"v"
    again.close()


async def test_a_store_that_is_kept_is_handed_over_open(tmp_path: Path) -> None:
    directories = process(tmp_path)
    store = await opened(directories)
    store.write([(b"k", b"v")])
    directories.keep([TASK, TaskId("orders", 4)])
    store.close()
    again = await opened(directories)
    assert again is store
    assert again.get(b"k") == b"v"
    again.close()
    after = await opened(process(tmp_path))  # nobody has it any more
    assert after.get(b"k") == b"v"
    after.close()


async def test_a_kept_store_that_nobody_wants_is_closed_in_the_end(tmp_path: Path) -> None:
    directories = process(tmp_path)
    store = await opened(directories)
    store.write([(b"k", b"v")])
    directories.keep([TASK])
    store.close()
    await directories.close_kept()
    after = await opened(process(tmp_path))
    assert after.get(b"k") == b"v"
    after.close()


async def test_a_store_that_another_process_is_closing_is_waited_for(tmp_path: Path) -> None:
    other = holder(tmp_path / "orders" / "3")
    found: list[Backend] = []

    async def take_over() -> None:
        found.append(await opened(process(tmp_path)))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(take_over)
        await anyio.sleep(0.1)
        assert not found
        other.communicate()
    assert inside(tmp_path / "orders") == ["3"]
    found[0].close()


async def test_a_store_that_a_stopped_process_holds_is_replaced_until_it_lets_go(
    tmp_path: Path,
) -> None:
    zombie = holder(tmp_path / "orders" / "3")
    zombie.send_signal(signal.SIGSTOP)
    store = await opened(process(tmp_path, patience_s=0.1))
    store.write([(b"k", b"mine")])
    assert inside(tmp_path / "orders") == ["3", "3.1"]
    store.close()
    store.close()
    assert inside(tmp_path / "orders") == ["3"]
    zombie.kill()
    zombie.communicate()
    (await opened(process(tmp_path))).close()


async def test_several_can_have_a_store_beside_one_that_is_held_but_not_any_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SPARES_MAX", 2)
    stores = [await opened(process(tmp_path, patience_s=0)) for _ in range(3)]
    assert inside(tmp_path / "orders") == ["3", "3.1", "3.2"]
    with pytest.raises(StoreLocked, match="and so are 2 others beside it"):
        await opened(process(tmp_path, patience_s=0))
    for store in stores:
        store.close()


async def test_what_a_dead_process_left_beside_a_store_is_removed_but_not_what_is_in_use(
    tmp_path: Path,
) -> None:
    first, used = [await opened(process(tmp_path, patience_s=0)) for _ in range(2)]
    RocksEnvironment(1 << 20).open(tmp_path / "orders" / "3.2").close()
    first.close()
    again = await opened(process(tmp_path))
    assert inside(tmp_path / "orders") == ["3", "3.1"]
    used.write([(b"still", b"works")])
    used.close()
    again.close()


async def test_how_far_stores_have_come_is_known_without_opening_them(tmp_path: Path) -> None:
    directories = process(tmp_path)
    store = await opened(directories)
    come_to(store, totals=30, counts=12)
    assert directories.warm() == {TASK: 42}
    assert process(tmp_path).warm() == {}, "nothing is flushed yet"
    store.flush()
    assert process(tmp_path).warm() == {TASK: 42}
    come_to(store, totals=40)
    store.close()
    assert directories.warm() == process(tmp_path).warm() == {TASK: 52}


async def test_a_store_that_is_rebuilt_has_not_come_far(tmp_path: Path) -> None:
    directories = process(tmp_path)
    store = await opened(directories)
    come_to(store, totals=30)
    store.close()
    (tmp_path / "orders" / "3" / "CORRUPT").write_text("said so")
    (await directories.open(*TASK, rebuild=True)).close()
    assert directories.warm() == {TASK: 0}


async def test_a_file_about_progress_that_makes_no_sense_is_as_none(tmp_path: Path) -> None:
    (await opened(process(tmp_path))).close()
    (tmp_path / "orders" / "3" / "progress.json").write_text('{"offsets_tot')
    assert process(tmp_path).warm() == {}


async def test_who_shares_a_directory_names_it_alike_and_nobody_else_does(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    names: list[str] = []
    async with anyio.create_task_group() as tasks:
        for _ in range(8):
            tasks.start_soon(anyio.to_thread.run_sync, lambda: names.append(process(here).identity))
    assert len(names) == 8
    assert len(set(names)) == 1
    assert process(there).identity not in names
    shutil.copytree(here, tmp_path / "copy")
    assert process(tmp_path / "copy").identity not in names
    assert inside(here) == [".id"]
