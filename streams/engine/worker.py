"""An app on this machine: the embedded log, RocksDB, the machine's clock."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import anyio.to_thread

from ...log.embedded import EmbeddedLog
from ...state.backend import Backend
from ...state.errors import StoreFailed
from ...state.rocks import RocksEnvironment
from .clock import SystemClock
from .engine import Engine
from .failures import plain_errors

if TYPE_CHECKING:
    from ..app import App


@asynccontextmanager
async def run_app(app: "App") -> AsyncIterator[Engine]:
    """Run an app on the embedded log in its data directory."""
    topology = app.topology()
    with suppress(OSError):  # The log says better what is wrong with its directory.
        app.data.mkdir(parents=True, exist_ok=True)
    rocks = RocksEnvironment(app.settings.state_memory_bytes)
    root = app.data.absolute() / "state" / app.name

    async def open_backend(subtopology: str, partition: int, *, rebuild: bool) -> Backend:
        path = root / subtopology / str(partition)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            return await anyio.to_thread.run_sync(lambda: rocks.open(path, rebuild=rebuild))
        except OSError as error:
            raise StoreFailed(str(path), error.strerror or str(error)) from None

    with plain_errors():
        async with EmbeddedLog.open(app.data / "log", durability=app.settings.durability) as log:
            engine = Engine(app, topology, log, SystemClock(), open_backend)
            async with app.entered(engine):
                yield engine
