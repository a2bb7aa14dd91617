"""An app on this machine: a log, RocksDB, the machine's clock."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

from ...log.embedded import EmbeddedLog
from ...state.rocks import RocksEnvironment
from .clock import SystemClock
from .directories import StoreDirectories
from .engine import Engine
from .failures import plain_errors

if TYPE_CHECKING:
    from ..app import App


@asynccontextmanager
async def run_app(app: "App") -> AsyncIterator[Engine]:
    """Run an app: all its tasks on the embedded log, or a share of them on a cluster."""
    with suppress(
        OSError
    ):  # Who opens something there says better what is wrong with the directory.
        app.data.mkdir(parents=True, exist_ok=True)
    with plain_errors():
        async with _engine(app) as engine, app.entered(engine):
            yield engine


@asynccontextmanager
async def _engine(app: "App") -> AsyncIterator[Engine]:
    topology, clock = app.topology(), SystemClock()
    rocks = RocksEnvironment(app.settings.state_memory_bytes)
    directories = StoreDirectories(app.data.absolute() / "state" / app.name, rocks)
    if app.log is None:
        durability = app.settings.durability
        async with EmbeddedLog.open(app.data / "log", durability=durability) as log:
            yield Engine(app, topology, log, clock, directories.open)
        return
    from ...log.cluster.cluster_log import ClusterLog
    from .sharing import SharedTasks

    async with ClusterLog.open(app.log, settings=app.settings.client) as cluster:
        tasks = SharedTasks(cluster, directories)
        yield Engine(app, topology, cluster, clock, directories.open, tasks)
