"""Who takes part: how each is started, which guarantee it gives, and how many of the events it is given."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .contestants import millpond_app
from .environments import ROOT, python_of
from .race import Entry

SCRIPTS: Final = Path(__file__).parent / "contestants"
PIPELINES: Final = ("stateless", "count", "window-sum")


@dataclass(frozen=True, slots=True)
class Course:
    """What is to be done.

    Attributes:
        name: no other run has it; groups and topics are named for it.
        core: the one that a process may use; several processes share none.
    """

    pipeline: str
    address: str
    source: str
    sink: str
    name: str
    directory: Path
    count: int
    cores: Sequence[int]


@dataclass(frozen=True, slots=True)
class Contestant:
    """A way to do the pipelines.

    Attributes:
        guarantee: what it was set up for, which is the strongest that it has.
        share: of the events: less for the slow, so that nobody takes all day.
    """

    name: str
    guarantee: str
    share: float
    enter: Callable[[Course], Entry]


def by_script(
    environment: str, script: str, *, tells_itself: bool = False
) -> Callable[[Course], Entry]:
    """Return how a script is run, in an environment of its own."""

    def enter(course: Course) -> Entry:
        python = python_of(environment) if environment else sys.executable
        command = [python, str(SCRIPTS / script), course.pipeline, course.address, course.source]
        command += [course.sink, course.name, str(course.directory), str(course.count)]
        groups = () if tells_itself else (course.name,)
        return Entry([(command, {course.cores[0]})], groups)

    return enter


def millpond(course: Course) -> Entry:
    """Return how workers are run, one on each core."""
    target = "millpond.bench.cluster.contestants.millpond_app:app"
    commands = []
    for number, core in enumerate(course.cores):
        command = [sys.executable, "-m", "millpond.streams.cli", "worker", target]
        command += ["--log", f"kafka://{course.address}"]
        command += ["--data", str(course.directory / str(number))]
        commands.append((command, {core}))
    environment = {
        millpond_app.PIPELINE: course.pipeline,
        millpond_app.NAME: course.name,
        millpond_app.SOURCE: course.source,
        millpond_app.SINK: course.sink,
        "PYTHONPATH": str(ROOT),
    }
    groups = [f"{course.name}.{agent}" for agent in millpond_app.GROUPS[course.pipeline]]
    return Entry(commands, groups, environment)


FIELD: Final = {
    each.name: each
    for each in (
        Contestant(
            "bare loop",
            "none: a checkpoint of offsets and a dict each second; repeats after a crash",
            1.0,
            by_script("", "bare.py"),
        ),
        Contestant(
            "millpond",
            "exactly once; transactions each 100 ms, or a tenth of the time",
            1.0,
            millpond,
        ),
        Contestant(
            "bytewax",
            "state exactly once by snapshots each second; outputs at least once",
            0.2,
            by_script("bytewax", "bytewax_flow.py", tells_itself=True),
        ),
        Contestant(
            "pathway",
            "at least once by kept inputs and positions each second; state is made again from them",
            0.5,
            by_script("pathway", "pathway_flow.py", tells_itself=True),
        ),
        Contestant(
            "quixstreams",
            "exactly-once; a checkpoint each second",
            0.2,
            by_script("quixstreams", "quix.py"),
        ),
        Contestant(
            "faust-streaming",
            "processing_guarantee exactly_once; a commit each second; windows close by the wall clock",
            0.02,
            by_script("faust-streaming", "faust_streaming.py"),
        ),
    )
}
