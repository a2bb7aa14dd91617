"""A broker that listens, in a thread of this process: what blocking clients of tests talk to.

    with RunningBroker() as broker, broker.client() as client:
        client.ask(METADATA, 12, …)

It is the real server on a real loop; only its disk is in memory, unless it is given a directory.
`do` runs something on its loop, where everything else happens, and returns the result.
"""

import asyncio
import ssl
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from millpond.log.broker.node import Endpoint
from millpond.log.broker.settings import BrokerSettings
from millpond.log.server import Server, serve
from millpond.log.shell.flusher import Durability
from millpond.log.shell.listeners import Listener
from millpond.log.shell.memory_disk import MemoryDisk

from .raw_client import RawClient

T = TypeVar("T")


class RunningBroker:
    """A context manager: accepts connections inside, is drained at the end."""

    def __init__(
        self,
        directory: Path | None = None,
        *,
        disk: MemoryDisk | None = None,
        listeners: Sequence[Listener] = (Listener("127.0.0.1:0"),),
        settings: Mapping[str, str] | None = None,
        durability: Durability = "fsync",
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.disk = (disk or MemoryDisk()) if directory is None else None
        self.server: Server
        self.failure: BaseException | None = None
        self._directory = directory or Path("memory")
        self._listeners = listeners
        self._settings = BrokerSettings.parse(settings or {})
        self._durability = durability
        self._tls = tls
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="broker")

    @property
    def addresses(self) -> list[Endpoint | str]:
        return self.server.addresses

    @property
    def port(self) -> int:
        first = self.addresses[0]
        assert isinstance(first, Endpoint)
        return first.port

    def client(self, **options: object) -> RawClient:
        """Connect to the first listener."""
        return RawClient("127.0.0.1", self.port, **options)  # type: ignore[arg-type]

    def do(self, action: Callable[[], T]) -> T:
        """Run something on the broker's loop."""

        async def run() -> T:
            return action()

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(10)

    def wait_for_failure(self) -> None:
        """Wait until the broker can't go on; raise why."""
        asyncio.run_coroutine_threadsafe(self.server.until_failed(), self._loop).result(10)

    def begin_to_stop(self) -> None:
        """Let the broker drain, without waiting for it."""
        self._loop.call_soon_threadsafe(self._stop.set)

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait()
        if self.failure is not None:
            self._thread.join()
            raise self.failure
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._thread.is_alive():
            self.begin_to_stop()
        self._thread.join(30)
        assert not self._thread.is_alive(), "the broker does not stop"
        if self.failure is not None and error is None:
            raise self.failure

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except Exception as error:  # noqa: BLE001 - raised in the test's thread
            self.failure = error
        finally:
            self._ready.set()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        async with serve(
            self._directory,
            listeners=self._listeners,
            settings=self._settings,
            durability=self._durability,
            tls=self._tls,
            disk=self.disk,
        ) as self.server:
            self._ready.set()
            await self._stop.wait()
