"""A process that a supervisor starts, maybe again and again: how it is started, stopped and killed.

Each process is in a group of its own: Ctrl-C, which a terminal sends to the whole group in its
foreground, is then heard by the supervisor alone, and passed on once.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Final, Protocol

from .relay import Relay
from .supervised import HOLDING

IN_ORDER: Final = (0, -signal.SIGTERM)
"""How a process ends that was told to stop; the latter, if it had not begun to listen."""


class Program(Protocol):
    """What a process is to run."""

    @property
    def label(self) -> str:
        """What its lines are told apart by."""

    def arguments(self) -> Sequence[str]:
        """Return what it is to be told; asked at each start."""

    def hear(self, line: str) -> None:
        """Note a line that it has printed."""


class Child:
    """A program, and the process that runs it, if one does.

    Attributes:
        relays: what its process prints; to be closed by who reads them.
        code: how its process before ended.
        failures: how many there were in a row.
        start_at: when it is to be started again.
        is_needed: whether it is to be started again, however it ends.
    """

    def __init__(self, program: Program, line: int, held: int | None = None) -> None:
        """Say what to run.

        Args:
            program: that.
            line: a pipe to be its stdin; it ends when the pipe does.
            held: the end of another pipe, which the process is to hold open.
        """
        self.program = program
        self.relays: list[Relay] = []
        self.code = 0
        self.failures = 0
        self.start_at: float | None = None
        self.is_needed = False
        self._line = line
        self._held = held
        self._process: subprocess.Popen[bytes] | None = None
        self._began_at = 0.0
        self._stop_signals: list[int] = []
        """What it takes to stop it; taken out by whoever sends it, so that it is sent once."""

    @property
    def is_running(self) -> bool:
        return self._process is not None

    @property
    def is_over(self) -> bool:
        return self._process is None and self.start_at is None

    def start(self, launcher: Sequence[str]) -> None:
        """Start a process; `launcher` is the beginning of its command."""
        held = [] if self._held is None else [self._held]
        options = [word for each in held for word in (HOLDING, str(each))]
        self._began_at, self.start_at = time.monotonic(), None
        self._process = process = subprocess.Popen(  # noqa: S603 - no shell
            [*launcher, *options, *self.program.arguments()],
            bufsize=0,
            stdin=self._line,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=held,
            process_group=0,
        )
        for pipe, stream in ((process.stdout, sys.stdout), (process.stderr, sys.stderr)):
            assert pipe is not None
            label, hear = self.program.label, self.program.hear
            self.relays.append(Relay(pipe, label, stream.buffer, hear))
        self._stop_signals = [signal.SIGTERM]

    def has_ended(self) -> bool:
        """Say whether its process has ended just now; then `code` says how."""
        code = None if self._process is None else self._process.poll()
        if code is None:
            return False
        self._process, self._stop_signals = None, []
        self.code = code
        return True

    def fail(self, healthy_s: float) -> int:
        """Count a failure; return how many there were in a row, each within so many seconds."""
        in_a_row = time.monotonic() - self._began_at < healthy_s
        self.failures = self.failures + 1 if in_a_row else 1
        return self.failures

    def stop(self) -> None:
        """Let its process stop in order. A second signal would end it at once."""
        with suppress(IndexError):
            number = self._stop_signals.pop()
            if self._process is not None:
                self._process.send_signal(number)

    def kill(self) -> None:
        """End its process, and what that has started."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def how_it_ended(self) -> str:
        return (
            f"by {signal.Signals(-self.code).name}" if self.code < 0 else f"with code {self.code}"
        )

    def exit_code(self) -> int:
        """Return what a shell would: 128 + n for a process that signal n has ended."""
        return self.code if self.code >= 0 else 128 - self.code
