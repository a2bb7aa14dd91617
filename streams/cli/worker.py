"""`millpond worker`: an app from start to stop, under signals, with somebody watching.

    first signal    while it starts: cancel. Nothing was promised yet.
                    later: leave the app's block, so that it finishes its events and commits
    second signal   leave the process. What was not committed is read again after the next start.

The handlers are Python's own and not the event loop's, so that the second signal also works while
an agent blocks the loop.
"""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Final

import anyio

from ..app import App
from ..engine.engine import Engine
from ..engine.process import collect_garbage_rarely
from ..errors import StreamError
from ..loader import load_app
from . import INSTANCE_VARIABLE
from .failures import perform, reported
from .place import place_of_app
from .status import Status, make_status

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
LOOK_S: Final = 0.02
"""How often we look whether the app has begun to restore, and how far it is."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What the command line says of an app: of what it leaves out, the environment or the app decides."""

    data: str | Path | None = None
    log: str | None = None
    instance: str | None = None


def configured(app: App, choice: Choice) -> App:
    """Let an app run where it was chosen to, under the name that was chosen.

    Raises:
        ConfigError: the address or the name won't do.
    """
    place = place_of_app(app, choice.data, choice.log, os.environ)
    app.data, app.log = place.data, place.url
    instance = choice.instance or os.environ.get(INSTANCE_VARIABLE)
    if instance:
        app.settings = replace(app.settings, instance=instance)
    return app


def run_worker(target: str, choice: Choice) -> int:
    """Load an app, run it until it is stopped, and return the exit code.

    Args:
        target: ``module:app``.
        choice: where it runs.
    """
    with reported() as outcome:
        app = configured(load_app(target, App), choice)
        collect_garbage_rarely()
        outcome.code = perform(work, app)
    return outcome.code


async def work(app: App) -> None:
    """Run the app until a signal stops it.

    Raises:
        MillpondError: whatever ends the app; or an exception of its own tasks and timers.
    """
    with make_status(app) as status, _stopped_by_signals(status) as stop:
        async with anyio.create_task_group() as watching:
            ready = anyio.Event()
            watching.start_soon(_watch, app, status, ready)
            with stop.starting:
                async with app.run() as engine:
                    stop.starting = anyio.CancelScope()
                    ready.set()
                    status.ready(engine)
                    await stop.wanted.wait()
                    status.stopping(engine)
            watching.cancel_scope.cancel()
        status.stopped()


async def _watch(app: App, status: Status, ready: anyio.Event) -> None:
    """Tell how the app is doing: first how restoring goes, then how work goes."""
    engine = await _engine_of(app)
    while not ready.is_set():
        status.restoring(engine)
        await anyio.sleep(LOOK_S)
    while True:
        await anyio.sleep(status.interval_s)
        status.working(engine)


async def _engine_of(app: App) -> Engine:
    """Wait until the app has an engine."""
    while True:
        with contextlib.suppress(StreamError):
            return app.running
        await anyio.sleep(LOOK_S)


class _Stop:
    """What signals set off.

    Attributes:
        starting: covers the time until the app is ready; later, an empty scope.
        wanted: set once the app is to stop.
    """

    def __init__(self, status: Status) -> None:
        self.starting = anyio.CancelScope()
        self.wanted = anyio.Event()
        self._status = status
        self._loop = asyncio.get_running_loop()
        self._received = False

    def on_signal(self, number: int, _frame: FrameType | None) -> None:
        """Handle a signal, between any two steps of the program."""
        if self._received:
            self._status.restore_terminal()
            print("stopped at once", file=sys.stderr, flush=True)
            os._exit(128 + number)
        self._received = True
        self._loop.call_soon_threadsafe(self._begin)

    def _begin(self) -> None:
        self.wanted.set()
        self.starting.cancel()


@contextlib.contextmanager
def _stopped_by_signals(status: Status) -> Iterator[_Stop]:
    stop = _Stop(status)
    before = {number: signal.signal(number, stop.on_signal) for number in SIGNALS}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
