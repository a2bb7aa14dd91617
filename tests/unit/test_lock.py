"""One process at a time, in a directory that can be used."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from millpond.log.errors import ConfigError, LogLocked
from millpond.log.shell.lock import DirectoryLock, directory_for_reading, prepare_directory


def test_the_second_is_told_who_the_first_is_and_what_to_do(tmp_path: Path) -> None:
    first = DirectoryLock(tmp_path)
    with pytest.raises(LogLocked) as refused:
        DirectoryLock(tmp_path)
    message = str(refused.value)
    assert f"pid {os.getpid()}" in message
    assert str(tmp_path) in message
    assert "`millpond topics`" in message
    first.release()
    DirectoryLock(tmp_path).release()


def test_the_lock_goes_when_its_process_is_killed(tmp_path: Path) -> None:
    hold = (
        "import sys; from pathlib import Path; from millpond.log.shell.lock import DirectoryLock\n"
        "lock = DirectoryLock(Path(sys.argv[1])); print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", hold, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        with pytest.raises(LogLocked, match=f"pid {process.pid}"):
            DirectoryLock(tmp_path)
        process.kill()
        process.wait()
    DirectoryLock(tmp_path).release()


def test_the_directory_and_its_parent_are_made(tmp_path: Path) -> None:
    directory = tmp_path / "data" / "log"
    assert prepare_directory(directory) == directory
    assert directory.is_dir()
    assert prepare_directory(directory) == directory, "an existing one is fine"


def test_a_path_that_is_missing_further_up_is_a_mistake(tmp_path: Path) -> None:
    directory = tmp_path / "no" / "such" / "log"
    with pytest.raises(ConfigError, match=str(directory)):
        prepare_directory(directory)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("path", ["file", "file/log", "file/data/log"])
def test_a_file_in_the_way_is_a_mistake(tmp_path: Path, path: str) -> None:
    (tmp_path / "file").write_text("not a directory")
    with pytest.raises(ConfigError, match=str(tmp_path / path)):
        prepare_directory(tmp_path / path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_that_cannot_be_written_to_is_a_mistake(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(ConfigError, match=str(tmp_path)):
        DirectoryLock(tmp_path)
    with pytest.raises(ConfigError, match=str(tmp_path)):
        prepare_directory(tmp_path / "log")


def test_only_what_exists_can_be_read(tmp_path: Path) -> None:
    assert directory_for_reading(str(tmp_path)) == tmp_path
    with pytest.raises(ConfigError, match="nothing"):
        directory_for_reading(tmp_path / "nothing")
