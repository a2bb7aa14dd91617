"""How a worker tells how it is doing: a live table on a terminal, a line now and then elsewhere.

The lines go to stderr, so that stdout belongs to the app's own prints.
"""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Protocol

from ..app import App
from ..engine import Engine

LINE_INTERVAL_S: Final = 10.0


class Status(Protocol):
    """Somebody who watches a worker. Called on the event loop, so quick."""

    interval_s: float
    """How often `working` is to be called."""

    def restoring(self, engine: Engine) -> None:
        """Some task is not ready yet."""

    def ready(self, engine: Engine) -> None:
        """All tasks work now."""

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
    """Counts events and restored records between two looks."""

    def __init__(self) -> None:
        self._at = time.monotonic()
        self._seen: dict[str, int] = {}

    def rates(self, engine: Engine) -> dict[str, float]:
        """Return events per second since the last call, by subtopology."""
        now = time.monotonic()
        passed = max(now - self._at, 1e-3)
        events = dict(engine.metrics.events)
        rates = {
            sub.name: (events.get(sub.name, 0) - self._seen.get(sub.name, 0)) / passed
            for sub in engine.topology.subtopologies
        }
        self._at, self._seen = now, events
        return rates


class Lines:
    """Says what changed, at most every ten seconds."""

    interval_s = LINE_INTERVAL_S

    def __init__(self, app: App) -> None:
        self._app = app
        self._began = time.monotonic()
        self._told_at = self._began
        self._told_restore = False
        self._events = 0
        self._pace = Pace()

    def restoring(self, engine: Engine) -> None:
        restored, to_restore = restore_progress(engine)
        if to_restore and (not self._told_restore or self._is_time()):
            self._told_restore = True
            self._say(f"restoring state: {restored:,} of {to_restore:,} changelog records")

    def ready(self, engine: Engine) -> None:
        _, restored = restore_progress(engine)
        took = f"{time.monotonic() - self._began:.1f} s"
        state = f", {restored:,} changelog records restored" if restored else ""
        self._say(f"{describe(self._app, engine)}: ready after {took}{state}")
        self._pace.rates(engine)

    def working(self, engine: Engine) -> None:
        events = engine.metrics.events.total()
        lags = engine.lag()
        if events == self._events and not any(lags.values()):
            return
        self._events = events
        rates = self._pace.rates(engine)
        self._say(
            ", ".join(f"{n}: {rates[n]:,.0f} events/s, lag {lag:,}" for n, lag in lags.items())
        )

    def stopping(self, engine: Engine) -> None:
        self._events = engine.metrics.events.total()
        self._say("stopping: finishing current events; a second signal stops at once")

    def stopped(self) -> None:
        self._say(f"stopped in order after {self._events:,} events")

    def restore_terminal(self) -> None:
        pass

    def _is_time(self) -> bool:
        return time.monotonic() - self._told_at >= LINE_INTERVAL_S

    def _say(self, text: str) -> None:
        self._told_at = time.monotonic()
        print(f"millpond: {text}", file=sys.stderr, flush=True)


def describe(app: App, engine: Engine) -> str:
    """Return what runs where, in a few words."""
    subs = len(engine.topology.subtopologies)
    tasks = len(engine.runners)
    return (
        f"app {app.name} on {app.data.absolute()}, {tasks} task{'s' * (tasks != 1)} of "
        f"{subs} subtopolog{'ies' if subs != 1 else 'y'}"
    )


def restore_progress(engine: Engine) -> tuple[int, int]:
    """Return how many changelog records are restored, of how many."""
    stores = [runner.stores for runner in engine.runners]
    return sum(store.restored for store in stores), sum(store.to_restore for store in stores)
