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
    "memory": lambda path: EmbeddedLog.open(path, disk=MemoryDisk()),
    "memory-interval": lambda path: EmbeddedLog.open(
        path, disk=MemoryDisk(), durability="interval", flush_interval_s=0.01
    ),
    "files": lambda path: EmbeddedLog.open(path),
    "files-os": lambda path: EmbeddedLog.open(path, durability="os"),
}

SETTINGS = [
    ("asyncio", "lists"),
    ("asyncio", "memory"),
    ("trio", "memory"),
    ("asyncio", "memory-interval"),
    ("asyncio", "files"),
    pytest.param(("trio", "files"), marks=pytest.mark.long),
    pytest.param(("asyncio", "files-os"), marks=pytest.mark.long),
]


@pytest.fixture(params=SETTINGS, ids="-".join)
def setting(request: pytest.FixtureRequest) -> tuple[str, str]:
    chosen: tuple[str, str] = request.param
    return chosen


@pytest.fixture
def anyio_backend(setting: tuple[str, str]) -> str:
    return setting[0]


@pytest.fixture
async def log(setting: tuple[str, str], tmp_path: Path) -> AsyncIterator[Log]:
    async with LOGS[setting[1]](tmp_path / "log") as log:
        yield log
