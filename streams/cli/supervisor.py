"""Several processes as one: started together, kept running, told apart, stopped together.

    start    the broker, if there is one, until it is ready; then the workers
    run      who fails is started again, after a pause that doubles from half a second to 30 s; for
             ever, as the cause may be anywhere, but never without a word
    stop     SIGTERM to the workers; to the broker when they have ended

A worker that ends with the code of a wrong configuration ends everything: no repetition would help.
One that stops in order was asked to by somebody, and stays away.

One thread waits for all that can happen: pipes with news, children that end, pauses that are over.
Only signals are passed on by their handler itself, as the thread may hang in what it prints, when
nobody reads on. That no process outlives this one, however it ends, is the work of `supervised.py`.
"""

import os
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import FrameType
from typing import Final, Protocol

from .child import IN_ORDER, Child, Program
from .failures import EXIT_WRONG
from .relay import Relay

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
SUPERVISED: Final = (sys.executable, "-m", f"{__package__}.supervised")


class Broker(Program, Protocol):
    """What the workers need, before they start and until they have ended."""

    @property
    def ready(self) -> bool:
        """Whether it has been ready yet."""


@dataclass(frozen=True, slots=True)
class Pauses:
    """How long to wait before a process is started again."""

    first_s: float = 0.5
    longest_s: float = 30.0
    healthy_s: float = 60.0
    """After so long, a failure is the first one again."""

    def after(self, failures: int) -> float:
        """Return the pause after so many failures in a row."""
        return float(min(self.first_s * 2 ** min(failures - 1, 20), self.longest_s))


class Supervisor:
    """Runs processes until they are told to stop. Use it once, on the main thread."""

    def __init__(
        self, *, launcher: Sequence[str] = SUPERVISED, pauses: Pauses | None = None
    ) -> None:
        """Say how programs are started; whatever it is, it has to do as `supervised.py` does."""
        self._launcher = launcher
        self._pauses = pauses or Pauses()
        self._broker: Child | None = None
        self._workers: list[Child] = []
        self._outcome: int | None = None
        """The exit code, once all is to end."""
        self._signalled = False
        self._selector = selectors.DefaultSelector()
        self._line_to_workers = os.pipe()
        self._line_to_broker = os.pipe()

    def run(self, workers: Callable[[], Sequence[Program]], broker: Broker | None = None) -> int:
        """Run programs, and return the exit code.

        Args:
            workers: called when the broker is ready.
            broker: what they need, if they need one.
        """
        with self._woken_by_signals():
            held = None
            if broker is not None:
                self._broker = Child(broker, self._line_to_broker[0])
                self._bring_up(self._broker, lambda: broker.ready)
                if self._broker.is_over:
                    return self._broker.exit_code()
                held = self._line_to_broker[1]
            if self._outcome is None:
                line = self._line_to_workers[0]
                self._workers = [Child(program, line, held) for program in workers()]
                for child in self._workers:
                    self._start(child)
                self._work_until(self._has_no_work)
            self._stop(self._workers)
            if self._broker is not None:
                self._stop([self._broker])
        failed = [child.exit_code() for child in self._workers if child.code not in IN_ORDER]
        return self._outcome or (failed[0] if failed else 0)

    # -- the life of processes -----------------------------------------------------------------

    def _bring_up(self, child: Child, is_ready: Callable[[], bool]) -> None:
        """Start what the others need: until it is ready, its end is the end of all."""
        self._start(child)
        self._work_until(lambda: is_ready() or child.is_over or self._outcome is not None)
        child.is_needed = is_ready()

    def _has_no_work(self) -> bool:
        return self._outcome is not None or all(child.is_over for child in self._workers)

    def _start(self, child: Child) -> None:
        child.start(self._launcher)
        for relay in child.relays:
            self._selector.register(relay.pipe, selectors.EVENT_READ, relay)
        if self._signalled and child is not self._broker:
            child.stop()  # the handler may have come before

    def _on_end(self, child: Child) -> None:
        """Decide what comes of the end of a process."""
        if child is self._broker:
            if child.is_needed:
                self._start_later(child)
        elif self._outcome is not None:
            return
        elif child.code in IN_ORDER:
            _say(f"{self._name(child)} was stopped, and stays away")
        elif child.code == EXIT_WRONG:
            _say(f"{self._name(child)} can't work like this, so all of them stop")
            self._outcome = EXIT_WRONG
        else:
            self._start_later(child)

    def _start_later(self, child: Child) -> None:
        failures = child.fail(self._pauses.healthy_s)
        pause_s = self._pauses.after(failures)
        child.start_at = time.monotonic() + pause_s
        row = f", {failures} times in a row" if failures > 1 else ""
        how = child.how_it_ended()
        _say(f"{self._name(child)} ended {how}{row}: it is started again in {pause_s:g} s")

    def _stop(self, children: Sequence[Child]) -> None:
        """Let them stop in order, and wait for that."""
        for child in children:
            child.is_needed, child.start_at = False, None
            child.stop()
        self._work_until(lambda: not any(child.is_running for child in children))

    def _all(self) -> list[Child]:
        return [*self._workers, *([] if self._broker is None else [self._broker])]

    def _name(self, child: Child) -> str:
        return "the broker" if child is self._broker else f"worker {child.program.label}"

    # -- waiting -------------------------------------------------------------------------------

    def _work_until(self, holds: Callable[[], bool]) -> None:
        """Do what is to be done, until something holds."""
        while not holds():
            for key, _events in self._selector.select(self._until_next_start_s()):
                if not isinstance(key.data, Relay):
                    key.data.recv(4096)
                elif not key.data.pass_on():
                    self._selector.unregister(key.fileobj)
            for child in self._all():
                if child.has_ended():
                    self._hear_out(child)
                    self._on_end(child)
                elif child.start_at is not None and child.start_at <= time.monotonic():
                    self._start(child)

    def _hear_out(self, child: Child) -> None:
        for relay in child.relays:
            if relay.pipe in self._selector.get_map():
                self._selector.unregister(relay.pipe)
            relay.close()
        child.relays.clear()

    def _until_next_start_s(self) -> float | None:
        starts = [child.start_at for child in self._all() if child.start_at is not None]
        return max(min(starts) - time.monotonic(), 0) if starts else None

    # -- signals -------------------------------------------------------------------------------

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        """Handle a signal, between any two steps of the program."""
        if self._signalled:
            for child in self._all():
                child.kill()
            os.write(2, b"stopped at once\n")
            os._exit(128 + number)
        self._signalled = True
        if self._outcome is None:
            self._outcome = 0
        for child in self._workers:
            child.stop()

    @contextmanager
    def _woken_by_signals(self) -> Iterator[None]:
        """Let signals end the wait of the selector: those of children that end, too."""
        waking, woken = socket.socketpair()
        with waking, woken:
            waking.setblocking(False)
            self._selector.register(woken, selectors.EVENT_READ, woken)
            fd_before = signal.set_wakeup_fd(waking.fileno(), warn_on_full_buffer=False)
            before = {number: signal.signal(number, self._on_signal) for number in SIGNALS}
            before[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, _do_nothing)
            try:
                yield
            finally:
                for number, handler in before.items():
                    signal.signal(number, handler)
                signal.set_wakeup_fd(fd_before)
                self._selector.close()
                for descriptor in (*self._line_to_workers, *self._line_to_broker):
                    os.close(descriptor)


def _do_nothing(_number: int, _frame: FrameType | None) -> None:
    """Be there: a signal that nobody handles wakes nobody."""


def _say(text: str) -> None:
    with suppress(BrokenPipeError):
        print(f"millpond: {text}", file=sys.stderr, flush=True)
