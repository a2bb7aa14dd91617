"""The demo: fills the log and runs the pipeline in one process, and tells what came out."""

import argparse
import shutil
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import millpond as mp
from millpond.log.shell.lock import LOCK_FILE, DirectoryLock
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from . import report, source
from .ingest import ingest
from .pipeline import DATA, Pipeline, make_pipeline

SAMPLE_EVERY_S = 0.25
DATABASE_AGENT = "to_sqlite"


@dataclass
class Watch:
    """Looks at the running pipeline a few times a second, for the progress bars and the report."""

    pipeline: Pipeline
    progress: Progress
    rows: int
    started: float = field(default_factory=time.monotonic)
    lag: list[tuple[float, int]] = field(default_factory=list)
    caught_up: float = 0.0
    """When all but the slow database had seen everything."""

    def __post_init__(self) -> None:
        self._log = self.progress.add_task("flights in the log", total=self.rows)
        self._agents = self.progress.add_task("seen by all agents", total=self.rows)
        self._database = self.progress.add_task("rows waiting for the database", total=None)

    def in_log(self, count: int) -> None:
        """Note how many flights the log has."""
        self.caught_up = time.monotonic() - self.started
        self.progress.update(self._log, completed=count)

    def look(self) -> None:
        """Note where everybody is."""
        lags = dict(self.pipeline.app.running.lag())
        waiting = lags.pop(DATABASE_AGENT)
        behind = max(lags.values())
        seconds = time.monotonic() - self.started
        if behind:
            self.caught_up = seconds
        self.lag.append((seconds, waiting))
        in_log = self.progress.tasks[self._log].completed
        self.progress.update(self._agents, completed=max(0, in_log - behind))
        self.progress.update(self._database, completed=waiting)

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            self.look()
            await anyio.sleep(SAMPLE_EVERY_S)


async def demo(pipeline: Pipeline, rows: int, console: Console) -> None:
    """Run everything to its end and print the report."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=console) as progress:
        async with pipeline.app.run():
            watch = Watch(pipeline, progress, rows)
            async with anyio.create_task_group() as watching:
                watching.start_soon(watch.run)
                sent = await ingest(pipeline, source.flights(rows), on_progress=watch.in_log)
                await pipeline.finished()
                watching.cancel_scope.cancel()
            watch.look()
            results = await report.gather(pipeline, sent, watch.caught_up, watch.lag)
    report.show(results, pipeline.data, console)


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m examples.flights", description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA, help="directory (default: %(default)s)")
    parser.add_argument("--rows", type=int, default=source.FLIGHTS_IN_ALL, help="flights to read")
    parser.add_argument("--partitions", type=int, default=3, help="of each topic")
    parser.add_argument("--resume", action="store_true", help="go on where the last run was killed")
    return parser.parse_args()


def main() -> None:
    """Run the demo from a clean start, or from where it was killed."""
    options, console = arguments(), Console()
    pipeline = make_pipeline(partitions=options.partitions, data=options.data)
    pipeline.data.mkdir(parents=True, exist_ok=True)
    try:
        if not options.resume and remove_last_run(pipeline):
            console.print(f"Starting anew: the last run in [cyan]{pipeline.data}[/] is removed.")
        anyio.run(demo, pipeline, options.rows, console)
    except mp.MillpondError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("Stopped. Nothing is lost: go on with --resume.")


def remove_last_run(pipeline: Pipeline) -> bool:
    """Remove what an earlier run made, and nothing else; return whether there was something.

    Raises:
        LogLocked: another run is at work there.
    """
    log = pipeline.data / "log"
    if not log.is_dir():
        return False
    lock = DirectoryLock(log)
    try:
        for folder in (pipeline.data / "state", *(path for path in log.iterdir() if path.is_dir())):
            shutil.rmtree(folder, ignore_errors=True)
        for file in (
            pipeline.database,
            *(path for path in log.iterdir() if path.name != LOCK_FILE),
        ):
            file.unlink(missing_ok=True)
    finally:
        lock.release()
    return True


if __name__ == "__main__":
    main()
