"""What one measurement is: wall time, CPU time of all threads, peak memory of the process.

Each measurement has a process of its own, so the peak is its own too. The process and all its
threads (those that sync files and those of RocksDB included) are pinned to one core: figures are
per core, and what runs in the background is not free.
"""

import os
import resource
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self


@dataclass(frozen=True, slots=True)
class Work:
    """What a process is to measure on.

    Attributes:
        directory: for the data; filled already, if the benchmark has something to fill.
        count: events, records or changes.
        keys: different keys among them, where that matters.
        number: of the repetition; each one uses names of its own in the directory.
    """

    directory: Path
    count: int
    keys: int = 1
    number: int = 0


@dataclass(frozen=True, slots=True)
class Measured:
    """What a process has measured. `parts` says where the time went, in seconds, if that is known."""

    count: int
    wall_s: float
    cpu_s: float
    peak_bytes: int
    bytes: int = 0
    parts: dict[str, float] = field(default_factory=dict)


class Meter:
    """Measures what happens between `start` and `stop`."""

    def start(self) -> Self:
        self._cpu_s = time.process_time()
        self._wall_s = time.perf_counter()
        return self

    def stop(self, count: int, size: int = 0) -> Measured:
        wall_s = time.perf_counter() - self._wall_s
        cpu_s = time.process_time() - self._cpu_s
        return Measured(count, wall_s, cpu_s, peak_bytes(), size)


def peak_bytes() -> int:
    """Return the most memory that this process has had."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak << 10


def pin_to_one_core() -> None:
    """Let all threads of this process share the last of its cores, where the system can do that."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
