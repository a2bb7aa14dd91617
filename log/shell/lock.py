"""One process at a time writes to a data directory.

The lock is the kernel's (`flock` on ``.lock``), so it goes when its holder does, however that ends.
What the file says about the holder is only for the message that the next one gets.
"""

import fcntl
import os
import shlex
import socket
import sys
from datetime import datetime
from pathlib import Path

from ..errors import ConfigError, LogLocked

LOCK_FILE = ".lock"


class DirectoryLock:
    """The right to write to a directory, held until `release`."""

    def __init__(self, directory: Path) -> None:
        """Take the lock.

        Raises:
            LogLocked: another process, or another log in this one, has it.
            ConfigError: the directory can't be written to.
        """
        self._path = directory / LOCK_FILE
        try:
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise ConfigError(
                f"log directory {str(directory)!r} cannot be written to: {error.strerror}"
            ) from error
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(self._descriptor, 4096, 0).decode(errors="replace").strip()
            os.close(self._descriptor)
            raise LogLocked(
                f"log directory {str(directory)!r} is in use by another process "
                f"({holder.replace(chr(10), ', ') or 'which has not said who it is'}). "
                "Stop that one first, or choose another directory; meanwhile the log can be read: "
                "`millpond topics`, `tail`, `groups` and `table` work beside it."
            ) from None
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, _this_process().encode(), 0)

    def release(self) -> None:
        """Let others in. The file stays: removing it would let two in at once."""
        os.ftruncate(self._descriptor, 0)
        os.close(self._descriptor)


def directory_for_reading(path: str | Path) -> Path:
    """Return the absolute path of a directory that must exist.

    Raises:
        ConfigError: it does not.
    """
    directory = Path(path).absolute()
    if not directory.is_dir():
        raise ConfigError(f"there is no log directory {str(directory)!r}, so nothing can be read")
    return directory


def prepare_directory(path: str | Path) -> Path:
    """Make the directory, and its parent, where they are missing; return its absolute path.

    No more than that: a path that is missing further up is more likely mistyped than meant.

    Raises:
        ConfigError: that can't be done.
    """
    directory = Path(path).absolute()
    if directory.is_dir():
        return directory
    try:
        directory.parent.mkdir(exist_ok=True)
        directory.mkdir()
    except FileNotFoundError:
        raise ConfigError(
            f"log directory {str(directory)!r} cannot be made: "
            f"{str(directory.parent.parent)!r} does not exist. Make it, or mend the path."
        ) from None
    except (FileExistsError, NotADirectoryError):
        raise ConfigError(
            f"log directory {str(directory)!r} cannot be made: there is a file in its place"
        ) from None
    except OSError as error:
        raise ConfigError(
            f"log directory {str(directory)!r} cannot be made: {error.strerror}"
        ) from error
    return directory


def _this_process() -> str:
    started = datetime.now().astimezone().isoformat(timespec="seconds")
    return (
        f"pid {os.getpid()}\nhost {socket.gethostname()}\n"
        f"command {shlex.join(sys.argv)[:500]}\nstarted {started}\n"
    )
