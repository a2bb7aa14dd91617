"""The logs that must all behave the same: each test here takes `log` and runs once for each of them."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from millpond.log.embedded import EmbeddedLog
from millpond.log.interface import Log, OpenLog
from millpond.log.shell.memory_disk import MemoryDisk
from millpond.tests.twins.list_log import ListLog

Opener = Callable[[Path], OpenLog]

LOGS: dict[str, Opener] = {
    "lists": lambda _: ListLog.open(),
    "files": lambda directory: EmbeddedLog.open(directory),
    "memory": lambda directory: EmbeddedLog.open(directory, disk=MemoryDisk()),
    "files-os": lambda directory: EmbeddedLog.open(directory, durability="os"),
    "files-interval": lambda directory: EmbeddedLog.open(directory, durability="interval"),
}


@pytest.fixture(params=LOGS)
async def log(
    request: pytest.FixtureRequest, tmp_path: Path, anyio_backend: str
) -> AsyncIterator[Log]:
    async with LOGS[request.param](tmp_path / "log") as log:
        yield log
