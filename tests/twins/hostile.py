"""An arena: a broker in its own process, a neighbour that behaves well, and whoever does not.

    with Arena(tmp_path) as arena:
        …                       # whatever no proper client would send, to arena.broker.port
        arena.check()           # the broker is well, has grown no fatter, and its neighbour was answered

The neighbour produces, reads back what it has produced, and sends heartbeats, all the while. At the end
the directory is opened as an app would open it, and holds what the neighbour was promised.
"""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import anyio
from millpond.log.broker.checkpoints import CLEAN_SHUTDOWN, RECOVERY_POINTS
from millpond.log.embedded import EmbeddedLog
from millpond.log.model import TopicPartition
from millpond.log.wire.messages.fetch import FETCH
from millpond.log.wire.messages.heartbeat import HEARTBEAT, HeartbeatRequest
from millpond.log.wire.messages.produce import PRODUCE

from .broker_process import BrokerProcess
from .plain_requests import (
    FETCH_VERSION,
    PRODUCE_VERSION,
    fetch_from,
    make_topic,
    offset_of,
    produce_to,
    values_of,
)
from .raw_client import RawClient

NEIGHBOURS_TOPIC = "neighbour"
ANSWERED_S_MAX = 30.0
RSS_BYTES_MAX = 150 * 1024 * 1024


class Neighbour:
    """A proper client that is to notice nothing of what goes on beside it."""

    def __init__(self, port: int) -> None:
        self.promised: list[bytes] = []
        """What was acknowledged, at the offset that is its place here."""
        self.failure: BaseException | None = None
        self._port = port
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="neighbour", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(2 * ANSWERED_S_MAX)

    def wait_for_answers(self, count: int = 3) -> None:
        """Wait until it was answered some times more."""
        before = len(self.promised)
        for _ in range(6000):
            if self.failure is not None:
                raise self.failure
            if len(self.promised) >= before + count:
                return
            self._stop.wait(0.01)
        raise AssertionError("the neighbour is no longer answered")

    def _run(self) -> None:
        try:
            with RawClient("127.0.0.1", self._port, timeout_seconds=ANSWERED_S_MAX) as client:
                make_topic(client, NEIGHBOURS_TOPIC)
                while not self._stop.is_set():
                    self._live(client)
                    self._stop.wait(0.005)
        except BaseException as error:  # noqa: BLE001 - raised in the test's thread
            self.failure = error

    def _live(self, client: RawClient) -> None:
        value = b"%d" % len(self.promised)
        now = int(time.time() * 1000)  # for records from long ago do not stay
        request = produce_to(NEIGHBOURS_TOPIC, [value], timestamp=now)
        offset = offset_of(client.ask(PRODUCE, PRODUCE_VERSION, request))
        assert offset == len(self.promised)
        fetched = client.ask(FETCH, FETCH_VERSION, fetch_from(NEIGHBOURS_TOPIC, offset))
        assert values_of(fetched) == [value]
        self.promised.append(value)
        heartbeat = HeartbeatRequest(group_id="neighbours", generation_id=1, member_id="nobody")
        client.ask(HEARTBEAT, 4, heartbeat)


def faults_in(told: str) -> list[str]:
    """Return the tracebacks, each with the line that says what has failed."""
    lines = told.splitlines()
    begins = [number for number, line in enumerate(lines) if line.startswith("Traceback")]
    return ["\n".join(lines[begin - 1 : begin + 20]) for begin in begins]


class Arena:
    """A context manager; what is wrong at the end fails the test."""

    def __init__(self, data: Path, *options: str) -> None:
        self._data = data
        self.broker = BrokerProcess(data, *options)

    def __enter__(self) -> Self:
        self.broker.__enter__()
        self.neighbour = Neighbour(self.broker.port)
        self.neighbour.start()
        self.neighbour.wait_for_answers()
        return self

    def client(self) -> RawClient:
        return self.broker.client()

    @contextmanager
    def socket(self) -> Iterator[socket.socket]:
        """Connect; that the broker closes the connection is no error."""
        address = ("127.0.0.1", self.broker.port)
        with socket.create_connection(address, 10) as connected, suppress(ConnectionError):
            yield connected

    def check(self, rss_bytes_max: int = RSS_BYTES_MAX) -> None:
        """Fail unless all is well."""
        self.neighbour.wait_for_answers()
        assert self.broker.process.poll() is None
        assert faults_in(self.broker.told()) == []
        assert self.broker.rss_bytes() < rss_bytes_max

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self.neighbour.stop()
            if error is None:
                code, told = self.broker.stop()
                assert code == 0, told
                assert faults_in(told) == []
                (self._data / "log" / CLEAN_SHUTDOWN).unlink()
                (self._data / "log" / RECOVERY_POINTS).unlink()
                values = anyio.run(self._read)
                promised = self.neighbour.promised
                assert values[: len(promised)] == promised
        finally:
            self.broker.__exit__(kind, error, trace)

    async def _read(self) -> list[bytes | None]:
        """Open the directory, looking at every batch in it; return what the neighbour's topic holds."""
        values: list[bytes | None] = []
        async with EmbeddedLog.open(self._data / "log") as log:
            reader = log.reader()
            reader.assign({TopicPartition(NEIGHBOURS_TOPIC, 0): 0})
            while fetched := await reader.read(wait_max_s=0):
                values += [record.value for one in fetched for record in one.records]
        return values
