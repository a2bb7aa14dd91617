"""Both disks keep the same promises; the one in memory also breaks them on request."""

import errno
import resource
import threading
from pathlib import Path

import pytest
from millpond.log.errors import DiskFailed
from millpond.log.shell.disk import RealDisk
from millpond.log.shell.memory_disk import MemoryDisk
from millpond.log.storage.disk import Disk


@pytest.fixture(params=["real", "memory"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Disk:
    if request.param == "memory":
        return MemoryDisk()
    return RealDisk(tmp_path / "data")


def test_what_is_appended_is_read(disk: Disk) -> None:
    disk.make_directory("a/b")
    file = disk.open("a/b/f")
    file.append(b"hello")
    file.append(bytearray(b" world"))
    file.append(memoryview(b"!"))
    assert (file.size, file.path) == (12, "a/b/f")
    assert file.read_at(0, 100) == b"hello world!"
    assert file.read_at(6, 5) == b"world"
    assert file.read_at(12, 5) == b""
    file.sync()
    file.close()
    assert disk.read("a/b/f") == b"hello world!"
    assert disk.open("a/b/f").size == 12


def test_a_file_is_cut_and_goes_on(disk: Disk) -> None:
    file = disk.open("f")
    file.append(b"hello")
    file.truncate(2)
    assert file.size == 2
    file.append(b"y")
    assert file.read_at(0, 10) == b"hey"


def test_a_missing_file_is_made_only_if_wanted(disk: Disk) -> None:
    with pytest.raises(FileNotFoundError):
        disk.open("f", create=False)
    assert not disk.exists("f")
    with pytest.raises(FileNotFoundError):
        disk.read("f")
    with pytest.raises(FileNotFoundError):
        disk.open("no/such/directory")
    disk.open("f").close()
    assert disk.open("f", create=False).size == 0


def test_a_small_file_is_replaced_as_a_whole(disk: Disk) -> None:
    disk.replace("f", b"first")
    disk.replace("f", b"second")
    assert disk.read("f") == b"second"
    assert disk.list("") == ["f"]


def test_directories_list_sorted_and_go_with_what_is_in_them(disk: Disk) -> None:
    disk.make_directory("d/e")
    disk.make_directory("d/e")
    for name in ("z", "a"):
        disk.open(f"d/{name}").close()
    assert disk.list("d") == ["a", "e", "z"]
    assert disk.list("nothing") == []
    disk.remove("d/z")
    disk.remove("d/z")
    assert disk.list("d") == ["a", "e"]
    disk.remove("d")
    assert not disk.exists("d")
    assert not disk.exists("d/a")


def test_renaming_replaces_what_was_there(disk: Disk) -> None:
    disk.replace("old", b"1")
    disk.replace("new", b"2")
    disk.rename("old", "new")
    assert (disk.list(""), disk.read("new")) == (["new"], b"1")
    disk.make_directory("from")
    disk.replace("from/f", b"3")
    disk.make_directory("to")
    disk.replace("to/g", b"4")
    disk.rename("from", "to")
    disk.sync_directory("")
    assert (disk.list("to"), disk.read("to/f")) == (["f"], b"3")
    with pytest.raises(FileNotFoundError):
        disk.rename("from", "elsewhere")


def test_syncing_a_removed_file_is_no_error(disk: Disk) -> None:
    file = disk.open("f")
    file.append(b"x")
    file.close()
    disk.remove("f")
    file.sync()


# -- real files ------------------------------------------------------------------------------------


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_more_files_than_descriptors(tmp_path: Path) -> None:
    disk = RealDisk(tmp_path, open_files_max=3)
    files = [disk.open(f"f{n}") for n in range(10)]
    before = open_descriptors()
    for turn in range(3):
        for n, file in enumerate(files):
            file.append(b"%d%d" % (n, turn))
            file.sync()
    assert open_descriptors() == before
    assert [file.read_at(0, 100) for file in files] == [b"%d0%d1%d2" % (n, n, n) for n in range(10)]
    for file in files:
        file.close()
    assert open_descriptors() == before - 3


def test_descriptors_are_not_closed_under_a_thread_that_syncs(tmp_path: Path) -> None:
    disk = RealDisk(tmp_path, open_files_max=2)
    files = [disk.open(f"f{n}") for n in range(6)]
    stop = threading.Event()
    failures: list[BaseException] = []

    def keep_syncing() -> None:
        try:
            while not stop.is_set():
                for file in files:
                    file.sync()
        except BaseException as error:  # noqa: BLE001 - told to the test
            failures.append(error)

    thread = threading.Thread(target=keep_syncing)
    thread.start()
    for _turn in range(300):
        for file in files:
            file.append(b"x")
            file.close()
    stop.set()
    thread.join()
    assert not failures
    assert [file.read_at(0, 1000) for file in files] == [b"x" * 300] * 6


def test_a_short_write_is_cut_back(tmp_path: Path) -> None:
    """A limit on file size stands for the full disk: the kernel writes what fits, then refuses."""
    file = RealDisk(tmp_path).open("f")
    file.append(b"x" * 100)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (150, hard))
    try:
        with pytest.raises(DiskFailed, match="could not write to f"):
            file.append(b"y" * 100)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert file.size == 100
    assert (tmp_path / "f").read_bytes() == b"x" * 100
    file.append(b"z")
    assert (tmp_path / "f").read_bytes() == b"x" * 100 + b"z"


def test_an_error_of_the_system_names_the_file(tmp_path: Path) -> None:
    disk = RealDisk(tmp_path)
    (tmp_path / "f").write_bytes(b"")
    with pytest.raises(DiskFailed, match="f/g") as caught:
        disk.make_directory("f/g")
    assert isinstance(caught.value.__cause__, OSError)
    assert caught.value.__cause__.errno == errno.ENOTDIR


# -- the disk that forgets -------------------------------------------------------------------------


def test_a_power_cut_keeps_what_was_synced() -> None:
    disk = MemoryDisk()
    file = disk.open("f")
    disk.sync_directory("")
    file.append(b"kept")
    file.sync()
    file.append(b" lost")
    disk.crash(lose_unsynced=True)
    assert disk.read("f") == b"kept"


def test_a_killed_process_loses_nothing() -> None:
    disk = MemoryDisk()
    disk.open("f").append(b"written")
    disk.crash(lose_unsynced=False)
    assert disk.read("f") == b"written"


def test_a_name_needs_its_directory_synced() -> None:
    disk = MemoryDisk()
    disk.make_directory("d")
    disk.open("d/f").sync()
    disk.sync_directory("d")
    disk.crash(lose_unsynced=True)
    assert not disk.exists("d")  # nobody synced the root

    disk.make_directory("d")
    disk.sync_directory("")
    disk.open("d/f").sync()
    disk.crash(lose_unsynced=True)
    assert disk.list("d") == []


def test_a_rename_or_removal_that_was_not_synced_is_undone() -> None:
    disk = MemoryDisk()
    disk.replace("a", b"1")
    disk.replace("b", b"2")
    disk.rename("a", "b")
    disk.crash(lose_unsynced=True)
    assert (disk.read("a"), disk.read("b")) == (b"1", b"2")
    disk.remove("a")
    disk.crash(lose_unsynced=True)
    assert disk.list("") == ["a", "b"]
    disk.remove("a")
    disk.sync_directory("")
    disk.crash(lose_unsynced=True)
    assert disk.list("") == ["b"]


def test_a_torn_tail_begins_after_what_was_synced() -> None:
    survivors = set()
    for seed in range(100):
        disk = MemoryDisk()
        file = disk.open("f")
        disk.sync_directory("")
        file.append(b"kept")
        file.sync()
        file.append(b"torn")
        disk.crash(lose_unsynced=True, torn_seed=seed)
        survivors.add(disk.read("f"))
    assert all(survivor.startswith(b"kept") for survivor in survivors)
    assert {b"kept", b"kepttorn"} <= survivors
    assert any(not b"kepttorn".startswith(survivor) for survivor in survivors)


def test_a_chosen_step_fails_once() -> None:
    disk = MemoryDisk()
    file = disk.open("f")
    disk.fail_after("write", 1)
    file.append(b"first")
    with pytest.raises(DiskFailed):
        file.append(b"second")
    file.append(b"third")
    assert disk.read("f") == b"firstthird"
    disk.fail_after("sync")
    with pytest.raises(DiskFailed):
        file.sync()
    file.sync()
