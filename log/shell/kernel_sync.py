"""Lets the Linux kernel sync files by itself and tell the event loop: no thread, no switch to one.

A thread that syncs has to have Python's lock before and behind it, and under load waits for it longer
than for the disk: with a record a millisecond that made 1.5 ms of 2 (`python -m bench.brokers`).
Native AIO (`io_submit`) knows `fdatasync` since Linux 4.18; its workers call the same function of the
file system, and an eventfd says when they are done. There is no wrapper for it in Python or libc, so
these are system calls by number. Where anything about it is missing, `sync_thread.py` does as well.

Source: io_setup(2), io_submit(2), io_getevents(2), eventfd(2); include/uapi/linux/aio_abi.h.
"""

import asyncio
import ctypes
import errno
import os
import platform
import struct
import sys
from collections.abc import Callable, Collection
from typing import Final, NamedTuple

FILES_MAX: Final = 16
"""That can be synced together."""

_FDSYNC: Final = 3
_TELL_EVENTFD: Final = 1
_IOCB: Final = struct.Struct("<QIiHhIQQqQII")
"""data, key, flags; operation, priority, descriptor; buffer, length, offset; reserved, what to tell, whom."""
_EVENT: Final = struct.Struct("<QQqq")
"""data, iocb; result, second result."""


class _Calls(NamedTuple):
    """Numbers of system calls."""

    setup: int
    destroy: int
    get_events: int
    submit: int


_CALLS: Final = {"x86_64": _Calls(206, 207, 208, 209), "aarch64": _Calls(0, 1, 4, 2)}


class KernelSync:
    """Syncs some files at a time, on the loop that it is made on. Make it with `make`."""

    def __init__(self, calls: _Calls, loop: asyncio.AbstractEventLoop) -> None:
        self._calls = calls
        self._loop = loop
        self._library = ctypes.PyDLL(None, use_errno=True)  # none of the calls waits for anything
        self._context = ctypes.c_ulong(0)
        self._call(calls.setup, FILES_MAX, ctypes.byref(self._context))
        self._blocks = ctypes.create_string_buffer(_IOCB.size * FILES_MAX)
        start = ctypes.addressof(self._blocks)
        self._pointers = (ctypes.c_void_p * FILES_MAX)(
            *(start + _IOCB.size * number for number in range(FILES_MAX))
        )
        self._events = ctypes.create_string_buffer(_EVENT.size * FILES_MAX)
        self._eventfd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._left = 0
        self._error: OSError | None = None
        self._ended: Callable[[OSError | None], None]
        loop.add_reader(self._eventfd, self._look)

    @staticmethod
    def make() -> "KernelSync | None":
        """Make one for the running event loop, or return None where that can't be done."""
        calls = _CALLS.get(platform.machine())
        if sys.platform != "linux" or sys.byteorder != "little" or calls is None:
            return None
        try:
            return KernelSync(calls, asyncio.get_running_loop())
        except (RuntimeError, OSError, NotImplementedError):
            return None  # another event loop; or the system does not let us

    def submit(self, descriptors: Collection[int], ended: Callable[[OSError | None], None]) -> bool:
        """Have all that was written to these files synced, then have the loop call `ended`.

        The descriptors may be closed at once. Nothing else may be in flight.

        Args:
            descriptors: of `FILES_MAX` files at most; there must be one.
            ended: is told when all are synced, or what went wrong with one.

        Returns:
            False when the kernel won't: then nothing is in flight.
        """
        assert descriptors
        assert not self._left
        for number, descriptor in enumerate(descriptors):
            _IOCB.pack_into(
                self._blocks,
                _IOCB.size * number,
                *(0, 0, 0),
                *(_FDSYNC, 0, descriptor),
                *(0, 0, 0),
                *(0, _TELL_EVENTFD, self._eventfd),
            )
        self._error, self._ended = None, ended
        try:
            self._left = self._call(
                self._calls.submit, self._context, len(descriptors), self._pointers
            )
        except OSError:
            return False
        assert self._left == len(descriptors), "there is room for all"
        return True

    def close(self) -> None:
        """Let go of what the kernel keeps; nothing may be in flight."""
        self._loop.remove_reader(self._eventfd)
        self._call(self._calls.destroy, self._context)
        os.close(self._eventfd)

    def _look(self) -> None:
        """Take what is done."""
        try:
            os.eventfd_read(self._eventfd)
        except BlockingIOError:
            return
        done = self._call(self._calls.get_events, self._context, 0, FILES_MAX, self._events, None)
        for _, _, result, _ in _EVENT.iter_unpack(self._events.raw[: done * _EVENT.size]):
            if result < 0:
                self._error = OSError(-result, os.strerror(-result))
        self._left -= done
        if done and not self._left:
            self._ended(self._error)

    def _call(self, number: int, *arguments: object) -> int:
        result: int = self._library.syscall(number, *arguments)
        if result < 0:
            code = ctypes.get_errno() or errno.EIO
            raise OSError(code, os.strerror(code))
        return result
