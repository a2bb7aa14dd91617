"""Syncs all of a file system at once, where the system can."""

import ctypes
import os
from pathlib import Path

from ..errors import DiskFailed


class FileSystem:
    """Syncs everything at once where the system can (Linux `syncfs`)."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._library = ctypes.CDLL(None, use_errno=True)
        self.can_sync = hasattr(self._library, "syncfs")

    def sync(self) -> None:
        """Make all data of the file system that holds `root` durable.

        Raises:
            DiskFailed: the system reports an error.
        """
        descriptor = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            if self._library.syncfs(descriptor) != 0:
                code = ctypes.get_errno()
                raise DiskFailed(f"syncfs of {self._root} failed: {os.strerror(code)}")
        finally:
            os.close(descriptor)
