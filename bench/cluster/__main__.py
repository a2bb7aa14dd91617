"""`python -m bench.cluster`: Millpond's workers beside other frameworks, on one broker, over the same events.

    python -m bench.cluster --broker kafka --events 1000000 --only millpond --only "bare loop"

Each contestant has one core, and the broker the others; on two cores that is one. All read JSON of about 100
bytes from one partition. Then workers of Millpond share two partitions: one worker, and two, each with a core,
the broker with no core of its own. Writes `bench/cluster.json`.
"""

import argparse
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Final
from uuid import uuid4

from rich.console import Console
from rich.table import Table

from ..brokers.__main__ import JARS
from ..brokers.subjects import Running, apache_kafka
from ..brokers.subjects import millpond as our_broker
from .data import fill, make_topic
from .field import FIELD, PIPELINES, Contestant, Course
from .race import BEGUN_SHARE, DidNotFinish, Figures, race

ROOT: Final = Path(__file__).parents[2]
TOGETHER_SHARE: Final = 0.3
"""How much of each partition is read before the clock begins, when workers share: until then they gather."""

BROKERS: Final[Mapping[str, Callable[[Path], AbstractContextManager[Running]]]] = {
    "millpond": our_broker,
    "kafka": partial(apache_kafka, jars=JARS, flush=False),
}


@dataclass(frozen=True, slots=True)
class Result:
    """What came out of one race; `figures` is None if nothing did, `why` then says why."""

    broker: str
    contestant: str
    pipeline: str
    processes: int
    figures: Figures | None
    why: str = ""


def main(arguments: Sequence[str] | None = None) -> None:
    chosen = parse(arguments)
    console = Console()
    results: list[Result] = []
    for name in chosen.broker or BROKERS:
        with (
            tempfile.TemporaryDirectory(dir=chosen.directory) as directory,
            BROKERS[name](Path(directory, "broker")) as broker,
        ):
            for result in results_of(name, broker, chosen):
                console.print(line_of(result), highlight=False, soft_wrap=True)
                results.append(result)
    for name in chosen.broker or BROKERS:
        console.print(table_of(name, results))
    for contestant in FIELD.values():
        console.print(f"{contestant.name}: {contestant.guarantee}", highlight=False, soft_wrap=True)
    Path(chosen.output).write_text(json.dumps([told(each) for each in results], indent=2) + "\n")


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.cluster", description=__doc__)
    parser.add_argument("--broker", action="append", choices=list(BROKERS))
    parser.add_argument("--events", type=int, default=2_000_000, help="the slow are given fewer")
    parser.add_argument("--only", metavar="NAME", action="append", choices=list(FIELD))
    parser.add_argument("--pipeline", action="append", choices=PIPELINES)
    parser.add_argument("--no-speed-up", action="store_true", help="leave out the two workers")
    parser.add_argument("--directory", default=None, help="on the disk to be measured")
    parser.add_argument("--output", default=str(ROOT / "bench" / "cluster.json"))
    return parser.parse_args(arguments)


def results_of(name: str, broker: Running, chosen: argparse.Namespace) -> Iterator[Result]:
    """Let everybody run on one broker."""
    cores = sorted(os.sched_getaffinity(0))
    with pinned(broker.pid, set(cores[:-1]) or set(cores)):
        for contestant in [FIELD[each] for each in chosen.only or FIELD]:
            count = max(int(chosen.events * contestant.share), 1000)
            for pipeline in chosen.pipeline or PIPELINES:
                yield run(name, broker, contestant, pipeline, count, cores[-1:], chosen.directory)
    if chosen.no_speed_up or "millpond" not in (chosen.only or FIELD) or len(cores) < 2:
        return
    with pinned(broker.pid, set(cores)):
        for processes in (1, 2):
            yield run(
                name,
                broker,
                FIELD["millpond"],
                "count",
                chosen.events * 2,
                cores[-processes:],
                chosen.directory,
                partitions=2,
            )


def run(
    name: str,
    broker: Running,
    contestant: Contestant,
    pipeline: str,
    count: int,
    cores: Sequence[int],
    parent: str | None,
    partitions: int = 1,
) -> Result:
    """Let one contestant do one pipeline."""
    source = fill(broker.address, count, partitions)
    run_name = f"bench-{uuid4().hex[:8]}"
    sink = f"{run_name}-out"
    make_topic(broker.address, sink, partitions)
    with tempfile.TemporaryDirectory(dir=parent) as directory:
        course = Course(
            pipeline, broker.address, source, sink, run_name, Path(directory), count, cores
        )
        try:
            figures = race(
                contestant.enter(course),
                broker.address,
                source,
                count,
                partitions,
                BEGUN_SHARE if partitions == 1 else TOGETHER_SHARE,
            )
        except DidNotFinish as failure:
            return Result(name, contestant.name, pipeline, len(cores), None, str(failure))
    return Result(name, contestant.name, pipeline, len(cores), figures)


@contextmanager
def pinned(pid: int, cores: set[int]) -> Iterator[None]:
    """Let all threads of a process use some cores only."""
    threads = [int(each.name) for each in Path(f"/proc/{pid}/task").iterdir()]
    before = os.sched_getaffinity(pid)
    _pin(threads, cores)
    try:
        yield
    finally:
        _pin(threads, before)


def _pin(threads: Sequence[int], cores: set[int]) -> None:
    for thread in threads:
        try:
            os.sched_setaffinity(thread, cores)
        except ProcessLookupError:
            continue


def line_of(result: Result) -> str:
    what = (
        f"{result.broker}: {result.contestant}, {result.pipeline}, {result.processes} process(es)"
    )
    if result.figures is None:
        return f"{what}: did not finish: {result.why}"
    figures = result.figures
    return f"{what}: {figures.rate:,.0f}/s, {figures.cpu_s_per_million:.1f} CPU s per million"


def told(result: Result) -> dict[str, object]:
    return {**asdict(result), "rate": result.figures and round(result.figures.rate)}


def table_of(broker: str, results: Sequence[Result]) -> Table:
    """Return events/s, CPU seconds per million events, and megabytes at most."""
    title = f"On {broker}: thousands of events/s, CPU s per million, MB"
    table = Table("", *PIPELINES, title=title)
    mine = [each for each in results if each.broker == broker]
    for contestant, processes in dict.fromkeys((each.contestant, each.processes) for each in mine):
        cells = []
        for pipeline in PIPELINES:
            found = [
                cell_of(each.figures)
                for each in mine
                if (each.contestant, each.processes, each.pipeline)
                == (contestant, processes, pipeline)
            ]
            cells.append(" | ".join(found))
        table.add_row(contestant if processes == 1 else f"{contestant} × {processes}", *cells)
    return table


def cell_of(figures: Figures | None) -> str:
    if figures is None:
        return "did not finish"
    return (
        f"{figures.rate / 1000:,.1f}  {figures.cpu_s_per_million:,.1f}  "
        f"{figures.peak_bytes / 1e6:,.0f}"
    )


if __name__ == "__main__":
    main()
