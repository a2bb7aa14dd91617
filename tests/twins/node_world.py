"""A broker without a network, in virtual time: what tests of handlers talk to.

    world = NodeWorld()
    response = world.ask(PRODUCE, 9, ProduceRequest(…))       # through the codec, both ways
    waiting = world.send(FETCH, 12, FetchRequest(…))          # may have to wait
    world.sleep(500)
    assert waiting.response is None

It drives handlers as the server does, but alone: what must be durable is synced at once, unless the
disk has been told to fail; what waits for a change or a promise goes on as soon as that has come.
"""

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from uuid import UUID

from millpond.log.broker.existence import let_grow, remove_topics
from millpond.log.broker.growth import more_partitions
from millpond.log.broker.handlers.table import SERVED
from millpond.log.broker.node import Caller, Endpoint, Node
from millpond.log.broker.opening import open_broker
from millpond.log.broker.settings import BrokerSettings
from millpond.log.broker.waits import Aside, Change, Exclusive, Flush, Promise, Quiet
from millpond.log.model import TopicSpec
from millpond.log.shell.memory_disk import MemoryDisk
from millpond.log.wire.api import Api
from millpond.log.wire.frames import (
    encode_request,
    encode_response,
    read_request_header,
    read_response,
)
from millpond.log.wire.schema import Message

RequestT = TypeVar("RequestT", bound=Message)
ResponseT = TypeVar("ResponseT", bound=Message)


@dataclass
class VirtualClock:
    """Stands still, unless it is told otherwise."""

    wall_ms: int = 1_700_000_000_000
    ticks_ms: int = 0

    def now(self) -> int:
        return self.wall_ms

    def elapsed_ms(self) -> int:
        return self.ticks_ms

    def advance(self, ms: int) -> None:
        self.wall_ms += ms
        self.ticks_ms += ms


class Asked(Generic[ResponseT]):
    """A request on its way; `response` is None until it is answered, or for ever with acks=0."""

    def __init__(self) -> None:
        self.response: ResponseT | None = None
        self.done = False
        self.handling: Generator[Any, Any, Any] | None = None
        self.waits_for: Any = None
        self.until_ms: int | None = None
        self.ends: dict[Any, tuple[int, int, int]] = {}


class NodeWorld:
    """One broker on a disk in memory."""

    def __init__(
        self,
        *,
        disk: MemoryDisk | None = None,
        settings: Mapping[str, str] | None = None,
        clock: VirtualClock | None = None,
    ) -> None:
        self.disk = disk or MemoryDisk()
        self.clock = clock or VirtualClock()
        self.settings = dict(settings or {})
        self.waiting: list[Asked[Any]] = []
        self.hold_syncs = False
        """Let what must be durable wait, until this is unset and time passes."""
        self._ids = 0
        self.open()

    def open(self) -> None:
        """Open the broker on what the disk holds."""
        opened = open_broker(
            self.disk, now=self.clock.now(), new_topic_id=self._new_id, durable_reads=True
        )
        self.node = Node(
            served=SERVED,
            settings=BrokerSettings.parse(self.settings),
            cluster_id="world",
            clock=self.clock,
            broker=opened.broker,
            offsets=opened.group_offsets,
            transactions=opened.transactions,
            groups=opened.groups,
        )

    def restart(self, *, crash: bool = True) -> None:
        """Stop, cleanly or by a power cut, and open again. Requests on their way are gone."""
        for asked in self.waiting:
            if asked.handling is not None:
                asked.handling.close()
        self.waiting.clear()
        if crash:
            self.disk.crash(lose_unsynced=True)
        else:
            self.node.broker.close(self.clock.now())
        self.open()

    def create(self, name: str, partitions: int = 1, **config: str) -> None:
        """Make a topic; settings with underscores for dots."""
        given = {key.replace("_", "."): value for key, value in config.items()}
        self.node.broker.create_topics(
            [TopicSpec(name, partitions, config=given)], self.clock.now()
        )

    def grow(self, name: str, partitions: int) -> None:
        """Let a topic have more partitions."""
        growth = more_partitions(self.node.broker.metadata, {name: partitions})
        self.run(let_grow(self.node.broker, growth, self.clock.now()))

    def remove(self, name: str) -> None:
        """Remove a topic."""
        node = self.node
        self.run(remove_topics(node.broker, node.offsets, [name], self.clock.now()))

    def ask(
        self,
        api: Api[RequestT, ResponseT],
        version: int,
        request: RequestT,
        *,
        client_id: str = "tester",
    ) -> ResponseT:
        """Send a request that is answered without time passing, and return the response."""
        asked = self.send(api, version, request, client_id=client_id)
        assert asked.done, f"{api.name} is still waiting for {asked.waits_for}"
        assert asked.response is not None, f"{api.name} got no response"
        return asked.response

    def send(
        self,
        api: Api[RequestT, ResponseT],
        version: int,
        request: RequestT,
        *,
        client_id: str = "tester",
    ) -> Asked[ResponseT]:
        """Send a request; it may be answered later, as things happen and time passes."""
        frame = memoryview(encode_request(api, version, 1, client_id, request))[4:]
        header = read_request_header(frame, flexible=api.is_flexible(version))
        read = api.read_request(version, frame, header.body_position)
        caller = Caller(version, header.client_id or "", "127.0.0.1", Endpoint("127.0.0.1", 9092))
        result = SERVED[api.key].handle(self.node, read, caller)
        asked: Asked[ResponseT] = Asked()
        if isinstance(result, Generator):
            asked.handling = result
            self._go_on(asked, api, version, None)
        else:
            self._answer(asked, api, version, result)
        self._settle()
        return asked

    def run(self, handling: Generator[Any, Any, Any]) -> Any:
        """Drive a handling or steps that do not wait for others; return its result."""
        value = None
        try:
            while True:
                value = self._now(handling.send(value))
        except StopIteration as done:
            return done.value

    def sleep(self, ms: int) -> None:
        """Let time pass, doing everything on the way that falls due."""
        end = self.clock.ticks_ms + ms
        while True:
            due = [at for timed in self.node.timed if (at := timed.next_due_ms()) is not None]
            due += [asked.until_ms for asked in self.waiting if asked.until_ms is not None]
            next_due = min((at for at in due if at <= end), default=None)
            if next_due is None:
                break
            self.clock.advance(max(next_due - self.clock.ticks_ms, 0))
            for timed in self.node.timed:
                at = timed.next_due_ms()
                if at is not None and at <= self.clock.ticks_ms:
                    self.run(timed.on_time(self.node))
                    again = timed.next_due_ms()
                    assert again is None or again > self.clock.ticks_ms, f"{timed} is due for ever"
            self._settle()
        self.clock.advance(end - self.clock.ticks_ms)
        self._settle()

    # -- driving -------------------------------------------------------------------------------

    def _go_on(self, asked: Asked[Any], api: Api[Any, Any], version: int, value: Any) -> None:
        assert asked.handling is not None
        try:
            while True:
                wait = asked.handling.send(value)
                if self._must_wait(wait):
                    break
                value = wait.value if isinstance(wait, Promise) else self._now(wait)
        except StopIteration as done:
            self._answer(asked, api, version, done.value)
            return
        asked.waits_for = wait
        asked.until_ms = None
        if isinstance(wait, Change):
            asked.until_ms = self.clock.ticks_ms + wait.wait_ms
            asked.ends = self._ends(wait)
        asked.api, asked.version = api, version  # type: ignore[attr-defined]
        self.waiting.append(asked)

    def _must_wait(self, wait: Any) -> bool:
        match wait:
            case Promise():
                return not wait.kept
            case Change():
                return True
            case Quiet() | Aside() | Exclusive() | Flush():
                return False
            case logs:
                return self.hold_syncs and any(log.needs_sync for log in logs)

    def _now(self, wait: Any) -> Any:
        """Do what needs no waiting here."""
        match wait:
            case Quiet(act) | Aside(act):
                return act()
            case Exclusive():
                return None
            case Promise():
                assert wait.kept, "nobody else is there to keep this promise"
                return wait.value
            case Flush(logs):
                pass
            case logs:
                pass
        for log in logs:
            log.flush()
        return None

    def _settle(self) -> None:
        """Let everything go on that has what it waits for."""
        moved = True
        while moved:
            moved = False
            for asked in list(self.waiting):
                wait = asked.waits_for
                if isinstance(wait, Promise):
                    ready, value = wait.kept, wait.value
                elif not isinstance(wait, Change):
                    ready, value = not self.hold_syncs, None
                    if ready:
                        self._now(wait)
                else:
                    assert asked.until_ms is not None
                    value = self._ends(wait) != asked.ends
                    ready = value or asked.until_ms <= self.clock.ticks_ms
                if ready:
                    self.waiting.remove(asked)
                    self._go_on(asked, asked.api, asked.version, value)
                    moved = True

    def _ends(self, wait: Change) -> dict[Any, tuple[int, int, int]]:
        logs = {each: self.node.broker.partitions.get(each) for each in wait.partitions}
        return {
            each: (log.high_watermark, log.last_stable_offset, log.log_start_offset)
            for each, log in logs.items()
            if log is not None
        }

    def _answer(self, asked: Asked[Any], api: Api[Any, Any], version: int, response: Any) -> None:
        asked.done = True
        if response is not None:
            frame = memoryview(encode_response(api, version, 1, response))[4:]
            _correlation_id, asked.response = read_response(api, version, frame)

    def _new_id(self) -> UUID:
        self._ids += 1
        return UUID(int=0xABC0000 + self.clock.now() * 1000 + self._ids)
