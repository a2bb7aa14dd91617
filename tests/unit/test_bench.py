"""Every benchmark measures something, at a size that takes no time, and says it in the agreed form."""

import json
import subprocess
import sys
from pathlib import Path

import anyio
import pytest
from millpond.bench import __main__ as bench
from millpond.bench.benchmarks import BENCHMARKS
from millpond.bench.child import measure, work_of
from millpond.bench.measure import Measured

ROOT = Path(__file__).parents[2]
NAMES = ["stateless", "count-10k", "count-1m", "window-sum"]
NAMES += ["append-fsync", "append-os", "fetch", "start", "restore"]
TINY = 0.001


def measured(rate: float) -> Measured:
    return Measured(count=1000, wall_s=1000 / rate, cpu_s=0.5, peak_bytes=50_000_000)


def test_names_are_those_that_others_rely_on() -> None:
    assert list(BENCHMARKS) == NAMES


@pytest.mark.parametrize("name", [name for name in NAMES if name != "start"])
def test_benchmark_measures_all_of_its_work(name: str, tmp_path: Path) -> None:
    work = work_of(name, tmp_path, TINY)
    anyio.run(measure, name, "fill", work)
    floor = anyio.run(measure, name, "floor", work)
    run = anyio.run(measure, name, "run", work)
    assert run is not None
    assert run.count == work.count
    assert run.wall_s > 0
    assert run.peak_bytes > 10_000_000
    assert (floor is None) == (BENCHMARKS[name].floor is None)
    assert floor is None or floor.count == work.count


def test_repetitions_share_a_directory(tmp_path: Path) -> None:
    anyio.run(measure, "window-sum", "fill", work_of("window-sum", tmp_path, TINY))
    for number in range(2):
        work = work_of("window-sum", tmp_path, TINY, number)
        assert anyio.run(measure, "window-sum", "floor", work)
        assert anyio.run(measure, "window-sum", "run", work)


def test_median_counts_and_ratios_are_taken_pair_by_pair() -> None:
    # The machine was half as fast in the second pair, and the third run was unlucky.
    pairs = [(measured(1000), measured(600)), (measured(500), measured(300))]
    pairs.append((measured(1000), measured(100)))
    figure = bench.Row(BENCHMARKS["stateless"], pairs).figure()
    assert figure == {
        "name": "stateless",
        "value": 300.0,
        "unit": "events/s",
        "floor_ratio": 0.6,
    }


def test_command_starts_a_worker_and_writes_the_figures(tmp_path: Path) -> None:
    output = tmp_path / "latest.json"
    command = [sys.executable, "-m", "bench", "--only", "start", "--repeat", "1"]
    command += ["--directory", str(tmp_path / "data"), "--output", str(output)]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert "open log and store" in done.stdout
    (figure,) = json.loads(output.read_text())
    assert figure["name"] == "start"
    assert figure["unit"] == "s"
    assert 0.05 < figure["value"] < 30
    assert figure["floor_ratio"] is None
