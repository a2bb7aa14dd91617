"""How a worker tells how it is doing: a live table on a terminal, a line now and then elsewhere.

The lines go to stderr, so that stdout belongs to the app's own prints.
"""

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final, Protocol

from ..app import App
from ..engine.engine import Engine
from ..engine.runner import TaskRunner

LINE_INTERVAL_S: Final = 10.0
LOOK_INTERVAL_S: Final = 1.0
PACE_MIN_S: Final = 0.2


class Status(Protocol):
    """Somebody who watches a worker. Called on the event loop, so quick."""

    interval_s: float
    """How often `working` is to be called."""

    def restoring(self, engine: Engine) -> None:
        """Some task is not ready yet."""

    def ready(self, engine: Engine) -> None:
        """The worker does what it is to do; on a cluster, tasks come and go from now on."""

    def working(self, engine: Engine) -> None:
        """Some time has passed."""

    def stopping(self, engine: Engine) -> None:
        """A signal has come."""

    def stopped(self) -> None:
        """All is committed and closed."""

    def restore_terminal(self) -> None:
        """The process is about to end without further ado."""


@contextmanager
def make_status(app: App) -> Iterator[Status]:
    """Return what suits stdout."""
    if not sys.stdout.isatty():
        yield Lines(app)
        return
    from .live import LiveStatus

    with LiveStatus(app) as live:
        yield live


class Pace:
    """Turns counts of events into rates, from one look to the next."""

    def __init__(self) -> None:
        self._at = time.monotonic()
        self._seen: Mapping[str, int] = {}
        self._rates: Mapping[str, float] = {}

    def rates(self, engine: Engine) -> Mapping[str, float]:
        """Return events per second since the look before, by subtopology.

        Two looks that follow at once would tell of chance, so the second gets the same answer.
        """
        passed = time.monotonic() - self._at
        if self._rates and passed < PACE_MIN_S:
            return self._rates
        events = dict(engine.metrics.events)
        self._rates = {
            sub.name: (events.get(sub.name, 0) - self._seen.get(sub.name, 0)) / max(passed, 1e-3)
            for sub in engine.topology.subtopologies
        }
        self._at, self._seen = time.monotonic(), events
        return self._rates


class Lines:
    """Says what changed: of tasks at once, of events at most every ten seconds."""

    interval_s = LOOK_INTERVAL_S

    def __init__(self, app: App) -> None:
        self._app = app
        self._began = time.monotonic()
        self._told_at = self._began
        self._told_restore = False
        self._engine: Engine | None = None
        self._tasks = ""
        self._events = 0
        self._pace = Pace()

    def restoring(self, engine: Engine) -> None:
        restored, to_restore = restore_progress(engine)
        if to_restore and (not self._told_restore or self._is_time()):
            self._told_restore = True
            self._say(f"restoring state: {restored:,} of {to_restore:,} changelog records")

    def ready(self, engine: Engine) -> None:
        self._engine = engine
        self._tasks = tasks_of(engine)
        self._pace.rates(engine)
        self._say(ready_line(self._app, engine, self._began))

    def working(self, engine: Engine) -> None:
        tasks = tasks_of(engine)
        if tasks != self._tasks:
            self._tasks = tasks
            self._say(f"{tasks} now")
        if restoring_in(engine):
            self.restoring(engine)
        if not self._is_time():
            return
        events, lags = engine.metrics.events.total(), engine.lag()
        rates = self._pace.rates(engine)
        if events == self._events and not any(lags.values()):
            return
        self._events = events
        parts = [f"{name} {rates[name]:,.0f} events/s, lag {lag:,}" for name, lag in lags.items()]
        parts += [f"{agent} passed over {n:,}" for agent, n in engine.metrics.passed.items()]
        self._say("; ".join(parts))

    def stopping(self, engine: Engine) -> None:
        self._say("stopping: current events are finished first; a second signal stops at once")

    def stopped(self) -> None:
        self._say(stopped_line(self._engine))

    def restore_terminal(self) -> None:
        pass

    def _is_time(self) -> bool:
        return time.monotonic() - self._told_at >= LINE_INTERVAL_S

    def _say(self, text: str) -> None:
        self._told_at = time.monotonic()
        print(f"millpond: {text}", file=sys.stderr, flush=True)


def ready_line(app: App, engine: Engine, began: float) -> str:
    """Return that all is ready, after how long, and what was restored."""
    restored, _ = restore_progress(engine)
    state = f", {restored:,} changelog records restored" if restored else ""
    return f"{describe(app, engine)}: ready after {time.monotonic() - began:.1f} s{state}"


def stopped_line(engine: Engine | None) -> str:
    """Return what was done until the stop; there is no engine if it came before the start."""
    if engine is None:
        return "stopped before it was ready"
    return f"stopped in order after {engine.metrics.events.total():,} events"


def describe(app: App, engine: Engine) -> str:
    """Return what runs where, in a few words."""
    place = f"{app.log}, state in {app.data.absolute()}" if app.log else str(app.data.absolute())
    subs = len(engine.topology.subtopologies)
    return (
        f"app {app.name} on {place}, {tasks_of(engine)} of "
        f"{subs} {'subtopology' if subs == 1 else 'subtopologies'}"
    )


def tasks_of(engine: Engine) -> str:
    """Return how many tasks the worker has, and how many of them do not work yet."""
    count, restoring = len(engine.runners), len(restoring_in(engine))
    text = "1 task" if count == 1 else f"{count or 'no'} tasks"
    return f"{text} ({restoring} restoring)" if restoring else text


def restoring_in(engine: Engine) -> list[TaskRunner]:
    """Return the tasks whose state is being restored."""
    return [
        runner
        for runner in engine.runners
        if runner.stores.to_restore and not runner.ready.is_set()
    ]


def restore_progress(engine: Engine) -> tuple[int, int]:
    """Return how many changelog records are restored, of how many."""
    stores = [runner.stores for runner in engine.runners]
    return sum(store.restored for store in stores), sum(store.to_restore for store in stores)
