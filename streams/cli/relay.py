"""What several processes print, passed on line by line, each with the name of who said it.

A process may end in the middle of a line, or print one without end: then a part of it is passed on as a
line. Nobody may be listening any more: then it is dropped, for a worker does not work in order to print.
"""

import os
from collections.abc import Callable
from typing import IO, BinaryIO, Final

LINE_BYTES_MAX: Final = 1 << 16
READ_BYTES: Final = 1 << 16


class Relay:
    """One pipe, from which somebody's lines come.

    Args:
        pipe: the end to read from, unbuffered; it is closed at the end.
        label: put in front of each line.
        sink: where the lines go.
        heard: is given each line, too.
    """

    def __init__(
        self, pipe: IO[bytes], label: str, sink: BinaryIO, heard: Callable[[str], None]
    ) -> None:
        os.set_blocking(pipe.fileno(), False)
        self.pipe = pipe
        self._label = f"[{label}] ".encode()
        self._sink: BinaryIO | None = sink
        self._heard = heard
        self._begun = b""

    def pass_on(self) -> bool:
        """Pass on the lines that are there by now; return whether more may come."""
        data = self._read()
        self._take(data or b"")
        return data != b""

    def close(self) -> None:
        """Pass on what is left: of a process that has ended, all that it has printed."""
        while data := self._read():
            self._take(data)
        self._tell([self._begun] if self._begun else [])
        self.pipe.close()

    def _read(self) -> bytes | None:
        """Return what is there: None if that is nothing for now, empty at the end."""
        try:
            return os.read(self.pipe.fileno(), READ_BYTES)
        except BlockingIOError:  # of a process that has ended, one that it has started may go on
            return None

    def _take(self, data: bytes) -> None:
        *lines, self._begun = (self._begun + data).split(b"\n")
        if len(self._begun) > LINE_BYTES_MAX:
            lines.append(self._begun)
            self._begun = b""
        self._tell(lines)

    def _tell(self, lines: list[bytes]) -> None:
        for line in lines:
            self._heard(line.decode(errors="replace"))
        if not lines or self._sink is None:
            return
        try:
            self._sink.write(b"".join(b"%b%b\n" % (self._label, line) for line in lines))
            self._sink.flush()
        except BrokenPipeError:
            self._sink = None
