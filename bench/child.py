"""The process of one measurement: ``python -m bench.child stateless floor DIRECTORY 0.1 0``.

Prints what it measured as one line of JSON. It collects garbage as a worker does, floors too.
"""

import dataclasses
import json
import sys
from pathlib import Path

import anyio
from millpond.streams.engine.process import collect_garbage_rarely

from .benchmarks import BENCHMARKS
from .measure import Measured, Work, pin_to_one_core


def work_of(name: str, directory: Path, scale: float, number: int = 0) -> Work:
    """Return how much of a benchmark is to be done at a scale."""
    benchmark = BENCHMARKS[name]
    count, keys = max(int(benchmark.count * scale), 1), max(int(benchmark.keys * scale), 1)
    return Work(directory, count, keys, number)


async def measure(name: str, role: str, work: Work) -> Measured | None:
    """Do one part of a benchmark: ``fill``, ``floor`` or ``run``."""
    benchmark = BENCHMARKS[name]
    if role == "fill":
        if benchmark.fill is not None:
            await benchmark.fill(work)
        return None
    chosen = benchmark.floor if role == "floor" else benchmark.run
    return None if chosen is None else await chosen(work)


def main(name: str, role: str, directory: str, scale: str, number: str) -> None:
    pin_to_one_core()
    collect_garbage_rarely()
    work = work_of(name, Path(directory), float(scale), int(number))
    measured = anyio.run(measure, name, role, work)
    print(json.dumps(measured and dataclasses.asdict(measured)))


if __name__ == "__main__":
    main(*sys.argv[1:])
