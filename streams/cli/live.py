"""The worker's status on a terminal: a bar while state is restored, then a table that keeps up.

What the app prints meanwhile appears above it.
"""

import time
from types import TracebackType
from typing import Final, Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ..app import App
from ..engine.engine import Engine
from .status import (
    Pace,
    describe,
    ready_line,
    restore_progress,
    restoring_in,
    stopped_line,
    tasks_of,
)

REFRESH_S: Final = 0.5
RESTORE_REFRESH_S: Final = 0.1
BAR_WIDTH: Final = 40


class LiveStatus:
    """Draws over its own last drawing. Refreshed by `working`, not by a thread of its own."""

    interval_s = REFRESH_S

    def __init__(self, app: App) -> None:
        self._app = app
        self._began = time.monotonic()
        self._console = Console()
        self._live = Live(console=self._console, auto_refresh=False)
        self._pace = Pace()
        self._engine: Engine | None = None
        self._footer = "Ctrl-C stops the worker."
        self._next_draw_at = self._began

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._live.stop()

    def restoring(self, engine: Engine) -> None:
        restored, to_restore = restore_progress(engine)
        now = time.monotonic()
        if not to_restore or now < self._next_draw_at:
            return
        self._next_draw_at = now + RESTORE_REFRESH_S
        bar = Table.grid(padding=(0, 1))
        bar.add_row(
            "restoring state",
            ProgressBar(total=max(to_restore, 1), completed=restored, width=BAR_WIDTH),
            f"{restored:,} of {to_restore:,} changelog records",
        )
        self._draw(Group(describe(self._app, engine), bar))

    def ready(self, engine: Engine) -> None:
        self._engine = engine
        self._pace.rates(engine)
        self._console.print(ready_line(self._app, engine, self._began), highlight=False)
        self.working(engine)

    def working(self, engine: Engine) -> None:
        passed = ", ".join(f"{agent} {count:,}" for agent, count in engine.metrics.passed.items())
        notes = [Text(f"passed over: {passed}", style="yellow")] if passed else []
        if restoring_in(engine):
            restored, to_restore = restore_progress(engine)
            restoring = f"restoring: {restored:,} of {to_restore:,} changelog records"
            notes.append(Text(f"{tasks_of(engine)}, {restoring}", style="cyan"))
        self._draw(Group(self._table(engine), *notes, Text(self._footer, style="dim")))

    def stopping(self, engine: Engine) -> None:
        self._footer = "Stopping: current events are finished first. Ctrl-C again stops at once."
        self.working(engine)

    def stopped(self) -> None:
        self._draw(Text(stopped_line(self._engine)))

    def restore_terminal(self) -> None:
        self._live.stop()

    def _table(self, engine: Engine) -> Table:
        table = Table("subtopology", box=None, header_style="bold", padding=(0, 2, 0, 0))
        for title in ("tasks", "events", "events/s", "lag"):
            table.add_column(title, justify="right")
        metrics, rates = engine.metrics, self._pace.rates(engine)
        tasks: dict[str, int] = {}
        for runner in engine.runners:
            name = runner.task.subtopology.name
            tasks[name] = tasks.get(name, 0) + 1
        for name, lag in engine.lag().items():
            table.add_row(
                name,
                f"{tasks.get(name, 0):,}",
                f"{metrics.events[name]:,}",
                f"{rates[name]:,.0f}",
                Text(f"{lag:,}", style="yellow" if lag else "green"),
            )
        return table

    def _draw(self, what: Table | Text | Group) -> None:
        self._live.update(what, refresh=True)
