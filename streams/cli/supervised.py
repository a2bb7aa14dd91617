"""A command of ours in a process that a supervisor has started: it ends when the supervisor does.

    python -m millpond.streams.cli.supervised worker shop:app --log kafka://…

Its stdin is a pipe into which nobody ever writes. Once the last process that could is gone, however
it ended, the kernel lets the pipe end; a thread here waits for that, and asks this process to stop as
the supervisor would have, by SIGTERM. A worker then finishes its events and commits. One that does
not come to an end leaves all the same, which is safe: what was not committed is read again.

The broker of a supervisor has to outlive its workers, which commit through it to the last. So with
`--holding FD` they keep open the writing end of the pipe that the broker waits for.

Rejected: PR_SET_PDEATHSIG. Only Linux has it, it is about the thread that started a process, it is
lost if the parent dies before it is asked for, and it can't wait for several processes to be gone.
"""

import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from io import TextIOWrapper
from typing import Final

from . import run

LEAVE_S: Final = 60.0
"""So long a process may take to stop in order once its supervisor is gone."""

HOLDING: Final = "--holding"


def main() -> int:
    """Run the command line of this process under its supervisor, and return the exit code."""
    arguments = end_with_supervisor(sys.argv[1:])
    sys.argv = ["millpond", *arguments, f"(supervised by pid {os.getppid()})"]  # as locks tell it
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(line_buffering=True)  # into a pipe, Python would gather 8 KiB
    return run(arguments)


def end_with_supervisor(arguments: Sequence[str]) -> Sequence[str]:
    """End when the pipe does that is stdin; return the arguments that are not for us."""
    if arguments[:1] == [HOLDING]:
        os.set_inheritable(int(arguments[1]), False)  # ours alone, not of what the app may start
        arguments = arguments[2:]
    line = os.dup(0)
    _point_at_nothing(0)
    threading.Thread(target=_end_with, args=(line,), name="supervised", daemon=True).start()
    return arguments


def _end_with(line: int) -> None:
    while os.read(line, 1):
        pass
    _point_at_nothing(1, 2)  # nobody reads them any more: to print would fail
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(LEAVE_S)
    os._exit(128 + signal.SIGTERM)


def _point_at_nothing(*descriptors: int) -> None:
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in descriptors:
        os.dup2(nothing, descriptor)
    os.close(nothing)


if __name__ == "__main__":
    sys.exit(main())
