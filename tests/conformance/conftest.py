"""The logs that must all behave the same: each test here takes `log` and runs once for each of them."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from millpond.log.cluster.cluster_log import ClusterLog
from millpond.log.cluster.producer import SharedProducer
from millpond.log.embedded import EmbeddedLog
from millpond.log.interface import Log, OpenLog
from millpond.log.model import Compression
from millpond.log.shell.memory_disk import MemoryDisk
from millpond.tests.clients.brokers import apache_kafka
from millpond.tests.clients.java_runtime import JARS
from millpond.tests.twins.list_log import ListLog
from millpond.tests.twins.running_broker import RunningBroker

Opener = Callable[[Path], OpenLog]


class Cluster:
    """A broker that runs for all tests; each finds no topics in it.

    librdkafka takes up to a second to get a producer id, so logs hand their producers on.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self._producers: dict[Compression, SharedProducer] = {}

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Log]:
        async with ClusterLog.open(f"kafka://{self.address}") as log:
            await log.delete_topics(await log.describe_topics())
            log._shared.update(self._producers)
            yield log
            self._producers.update(log._shared)
            log._shared.clear()

    def close(self) -> None:
        for producer in self._producers.values():
            producer.close(1)


LOGS: dict[str, Opener] = {
    "lists": lambda _: ListLog.open(),
    "memory": lambda path: EmbeddedLog.open(path, disk=MemoryDisk()),
    "memory-interval": lambda path: EmbeddedLog.open(
        path, disk=MemoryDisk(), durability="interval", flush_interval_s=0.01
    ),
    "files": lambda path: EmbeddedLog.open(path),
    "files-os": lambda path: EmbeddedLog.open(path, durability="os"),
}

"""Those in this process. Another one is `cluster`, over a network."""

SETTINGS = [
    ("asyncio", "lists"),
    ("asyncio", "memory"),
    ("trio", "memory"),
    ("asyncio", "memory-interval"),
    ("asyncio", "files"),
    ("asyncio", "cluster"),
    pytest.param(("trio", "files"), marks=pytest.mark.long),
    pytest.param(("trio", "cluster"), marks=pytest.mark.long),
    pytest.param(("asyncio", "files-os"), marks=pytest.mark.long),
]


@pytest.fixture(params=SETTINGS, ids="-".join)
def setting(request: pytest.FixtureRequest) -> tuple[str, str]:
    chosen: tuple[str, str] = request.param
    return chosen


@pytest.fixture
def anyio_backend(setting: tuple[str, str]) -> str:
    return setting[0]


@pytest.fixture(scope="session")
def cluster(
    pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cluster]:
    """Serve a cluster: a broker of ours in this process, or Apache Kafka with --cluster=kafka."""
    if pytestconfig.getoption("--cluster") == "kafka":
        with apache_kafka(tmp_path_factory.mktemp("kafka"), JARS) as kafka:
            yield from served(kafka.address)
    else:
        with RunningBroker(settings={"log.retention.ms": "-1"}) as broker:  # records are of 2023
            yield from served(f"127.0.0.1:{broker.port}")


def served(address: str) -> Iterator[Cluster]:
    cluster = Cluster(address)
    yield cluster
    cluster.close()


@pytest.fixture
async def log(
    setting: tuple[str, str], tmp_path: Path, request: pytest.FixtureRequest
) -> AsyncIterator[Log]:
    if setting[1] == "cluster":
        opening = request.getfixturevalue("cluster").open()
    else:
        opening = LOGS[setting[1]](tmp_path / "log")
    async with opening as log:
        yield log
