"""`python -m bench`: measures, prints a table, writes `bench/latest.json`.

Floor and Millpond are measured in turn, each in a process of its own, so that a machine whose speed
drifts is as unfair to the one as to the other. Of several repetitions the median counts; the ratio is
the median of the ratios within each pair. What the floors are is told in `floors.py` and `logs.py`.
"""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from .benchmarks import BENCHMARKS, Benchmark
from .measure import Measured

LATEST = Path(__file__).parent / "latest.json"


def main(arguments: Sequence[str] | None = None) -> None:
    chosen = parse(arguments)
    console = Console()
    directory = Path(chosen.directory)
    rows = [
        measure(BENCHMARKS[name], directory / name, chosen.scale, chosen.repeat, console)
        for name in chosen.only or BENCHMARKS
    ]
    console.print(table_of(rows))
    for row in rows:
        if row.run.parts:
            parts = ", ".join(f"{what} {seconds:.3f}" for what, seconds in row.run.parts.items())
            console.print(f"{row.benchmark.name}: {parts} s", soft_wrap=True)
    figures = [row.figure() for row in rows]
    Path(chosen.output).write_text(json.dumps(figures, indent=2) + "\n")


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--only", metavar="NAME", action="append", choices=list(BENCHMARKS))
    parser.add_argument("--scale", type=float, default=1.0, help="of the amount of data")
    parser.add_argument("--repeat", type=int, default=3, help="of which the median counts")
    parser.add_argument("--directory", default="data/bench", help="on the disk to be measured")
    parser.add_argument("--output", default=str(LATEST), help="for the figures as JSON")
    return parser.parse_args(arguments)


class Row:
    """The repetitions of one benchmark, in pairs."""

    def __init__(
        self, benchmark: Benchmark, pairs: Sequence[tuple[Measured | None, Measured]]
    ) -> None:
        self.benchmark = benchmark
        by_value = sorted((run for _, run in pairs), key=benchmark.value)
        self.value = statistics.median(benchmark.value(run) for run in by_value)
        self.run = by_value[len(by_value) // 2]
        compared = [(floor, run) for floor, run in pairs if floor]
        self.floor_ratio = _median(
            [benchmark.value(run) / benchmark.value(floor) for floor, run in compared]
        )
        # By CPU time the ratio holds on a busy machine too.
        self.cpu_ratio = _median([floor.cpu_s / run.cpu_s for floor, run in compared])

    def figure(self) -> dict[str, object]:
        """Return what `latest.json` says of it."""
        return {
            "name": self.benchmark.name,
            "value": round(self.value, 4),
            "unit": self.benchmark.unit,
            "floor_ratio": self.floor_ratio and round(self.floor_ratio, 4),
        }

    def cells(self) -> list[str]:
        run, per_million = self.run, self.run.cpu_s / self.run.count * 1e6
        is_rate = self.benchmark.unit != "s"
        return [
            self.benchmark.name,
            f"{self.value:,.0f}/s" if is_rate else f"{self.value:.2f} s",
            f"{run.bytes / run.wall_s / 1e6:,.0f}" if run.bytes else "",
            f"{per_million:.2f}" if run.count > 1 else f"{run.cpu_s:.2f} in all",
            f"{run.peak_bytes / 1e6:,.0f}",
            "" if self.floor_ratio is None else f"{self.floor_ratio:.0%}",
            "" if self.cpu_ratio is None else f"{self.cpu_ratio:.0%}",
        ]


def _median(values: Sequence[float]) -> float | None:
    return statistics.median(values) if values else None


def measure(
    benchmark: Benchmark, directory: Path, scale: float, repeat: int, console: Console
) -> Row:
    """Measure one benchmark, repeatedly, in a directory that is removed afterwards."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    pairs = []
    try:
        with console.status(f"{benchmark.name}: filling"):
            in_process(benchmark, "fill", directory, scale, 0)
        for number in range(repeat):
            with console.status(f"{benchmark.name}: {number + 1} of {repeat}"):
                floor = in_process(benchmark, "floor", directory, scale, number)
                run = in_process(benchmark, "run", directory, scale, number)
            assert run is not None
            pairs.append((floor, run))
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    return Row(benchmark, pairs)


def in_process(
    benchmark: Benchmark, role: str, directory: Path, scale: float, number: int
) -> Measured | None:
    """Let a process of its own do one part."""
    command = [sys.executable, "-m", f"{__package__}.child", benchmark.name, role]
    command += [str(directory), str(scale), str(number)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    measured = json.loads(done.stdout)
    return None if measured is None else Measured(**measured)


def table_of(rows: Sequence[Row]) -> Table:
    table = Table("benchmark", title="One core; all of Millpond exactly once, synced to disk")
    for title in ("value", "MB/s", "CPU s per million", "peak MB", "of the floor", "in CPU"):
        table.add_column(title, justify="right")
    for row in rows:
        table.add_row(*row.cells())
    return table


if __name__ == "__main__":
    main()
