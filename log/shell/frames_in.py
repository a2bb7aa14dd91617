"""Cuts what is received into frames.

Bytes land in one buffer that all connections share: a connection's turn to receive is over before the
next one's begins. A frame that has arrived whole is copied out of it, as a request may have to wait, and
its record batches are views of its frame. (To copy 1 kB takes 0.1 µs; not to copy would mean to know
of each handler when it is done with its request.) A frame that has not arrived whole is received
further into a buffer of its own, so of a large one only the beginning is copied. An idle connection
holds no buffer.

No length is believed: a frame's own buffer grows with what has really come.
"""

import struct
from collections.abc import Callable
from typing import Final

from ..wire.errors import MalformedMessage

RECEIVE_BYTES: Final = 64 * 1024
FIRST_GROWTH: Final = 4
"""What a frame's own buffer is at first, in terms of what has come: most frames then fit."""
GROWTH: Final = 2
FRAME_BYTES_MIN: Final = 8
"""API key, version and correlation id."""

_LENGTH_AND_KEY: Final = struct.Struct(">ih")
_LENGTH_BYTES: Final = 4


class FrameReceiver:
    """The frames of one connection.

    Ask for a `buffer`, put bytes into it, say how many with `received`, take frames with `next_frame`
    until there is none or no more are wanted; then call `keep_rest`, before others use the buffer.
    """

    __slots__ = ("_filled", "_frame", "_frame_bytes_max", "_position", "_shared", "_size", "_view")

    def __init__(self, shared: memoryview, frame_bytes_max: Callable[[int], int]) -> None:
        """Make a receiver.

        Args:
            shared: the buffer of all connections.
            frame_bytes_max: returns how large a request of this API key may be.
        """
        self._shared = shared
        self._frame_bytes_max = frame_bytes_max
        self._view: memoryview | bytes = b""
        """Received and not yet looked at, from `_position` on."""
        self._position = 0
        self._frame: bytearray | None = None
        """A frame of `_size` bytes of which `_filled` are there. It may still have to grow."""
        self._size = 0
        self._filled = 0

    @property
    def buffered_bytes(self) -> int:
        """How much memory is held for what has not become a frame yet."""
        return len(self._view) - self._position + len(self._frame or b"")

    @property
    def next_api_key(self) -> int | None:
        """The API key of what `next_frame` would return, where that much has arrived."""
        if self._frame is not None:
            return int.from_bytes(self._frame[:2], signed=True)
        if len(self._view) < self._position + _LENGTH_AND_KEY.size:
            return None
        return int(_LENGTH_AND_KEY.unpack_from(self._view, self._position)[1])

    def buffer(self) -> memoryview:
        """Return where the next bytes belong."""
        if self._frame is None:
            kept = len(self._view)
            self._shared[:kept] = self._view
            return self._shared[kept:]
        return memoryview(self._frame)[self._filled :]

    def received(self, count: int) -> None:
        """Note that so many bytes have been put into the buffer."""
        if self._frame is None:
            self._view = self._shared[: len(self._view) + count]
        else:
            self._filled += count

    def next_frame(self) -> memoryview | None:
        """Return the next frame without its length; None: it has not arrived whole.

        Raises:
            MalformedMessage: its length is no length, or too much.
        """
        if self._frame is not None:
            if self._filled < self._size:
                self._grow()
                return None
            frame, self._frame = self._frame, None
            return memoryview(frame)
        start = self._position + _LENGTH_BYTES
        if len(self._view) < self._position + _LENGTH_AND_KEY.size:
            return None
        size = self._checked_size()
        if len(self._view) >= start + size:
            self._position = start + size
            return memoryview(bytearray(self._view[start : start + size]))
        arrived = len(self._view) - start
        self._frame = bytearray(min(size, max(arrived, 1024) * FIRST_GROWTH))
        self._frame[:arrived] = self._view[start:]
        self._size, self._filled = size, arrived
        self._view, self._position = b"", 0
        return None

    def keep_rest(self) -> None:
        """Copy what has not been taken out of the shared buffer."""
        self._view = bytes(self._view[self._position :])
        self._position = 0

    def _grow(self) -> None:
        """Make room for more of the frame, now rather than when it comes: what we hold is counted."""
        assert self._frame is not None
        if self._filled == len(self._frame):
            grown = bytearray(min(self._size, self._filled * GROWTH))
            grown[: self._filled] = self._frame
            self._frame = grown

    def _checked_size(self) -> int:
        size, api_key = _LENGTH_AND_KEY.unpack_from(self._view, self._position)
        if size < FRAME_BYTES_MIN:
            raise MalformedMessage(f"a request of {size} bytes is none")
        bytes_max = self._frame_bytes_max(api_key)
        if size > bytes_max:
            raise MalformedMessage(
                f"a request of {size} bytes to API {api_key}, where {bytes_max} are allowed"
            )
        return int(size)
