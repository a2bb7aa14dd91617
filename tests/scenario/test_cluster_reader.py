"""Readers of a cluster: how they share connections, and what nothing that befalls them may lose or repeat."""

import random
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, ExitStack
from pathlib import Path

import anyio
import pytest
from millpond.log.cluster.address import Settings, parse_address
from millpond.log.cluster.brokers import Brokers
from millpond.log.cluster.client import Client
from millpond.log.cluster.cluster_log import ClusterLog
from millpond.log.cluster.fetcher import Fetcher
from millpond.log.cluster.flow import ENOUGH_BYTES
from millpond.log.cluster.leader_fetcher import LANES_MAX
from millpond.log.cluster.offsets import Offsets
from millpond.log.cluster.reader import ClusterReader
from millpond.log.errors import ConfigError, UnknownTopic
from millpond.log.model import Isolation, TopicPartition
from millpond.log.shell.listeners import Listener
from millpond.log.wire.messages.fetch import FETCH
from millpond.tests.clients.faulty_network import FaultyNetwork
from millpond.tests.conformance.helpers import (
    ORDERS,
    OTHER,
    eventually,
    make_topic,
    read_values,
)
from millpond.tests.twins.numbered_records import Progress, append, numbered
from millpond.tests.twins.running_broker import RunningBroker

pytestmark = pytest.mark.anyio
on_both_loops = pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])

MANY = 50
KEEP = {"log.retention.ms": "-1"}  # records are of 2023
SMALL = 1 << 16
PARTITION_IN_REQUEST_BYTES = 33


@pytest.fixture
def broker() -> Iterator[RunningBroker]:
    with RunningBroker(settings=KEEP) as broker:
        yield broker


@pytest.fixture
async def log(broker: RunningBroker) -> AsyncIterator[ClusterLog]:
    async with open_log(broker) as log:
        yield log


def open_log(
    broker: RunningBroker, **settings: str | int
) -> AbstractAsyncContextManager[ClusterLog]:
    named = {name.replace("_", "."): value for name, value in settings.items()}
    return ClusterLog.open(f"kafka://127.0.0.1:{broker.port}", settings=named, timeout_s=10)


class Requests:
    """The fetches that a broker has answered."""

    def __init__(self, broker: RunningBroker) -> None:
        self._broker = broker
        self.count, self.size = self._now()

    def _now(self) -> tuple[int, int]:
        counts = self._broker.do(lambda: self._broker.server.node.metrics.api(FETCH.key))
        return counts.requests, counts.request_bytes

    async def bytes_of_next(self, several: int) -> float:
        """Return how large some requests are on average, once they were answered."""
        while self._now()[0] < self.count + several:  # noqa: ASYNC110 - a broker's counter
            await anyio.sleep(0.01)
        before, (self.count, self.size) = (self.count, self.size), self._now()
        return (self.size - before[1]) / (self.count - before[0])

    async def answered_in(self, wait_s: float) -> int:
        """Return how many were answered since the last question, and meanwhile."""
        await anyio.sleep(wait_s)
        before, (self.count, self.size) = self.count, self._now()
        return self.count - before


def connections(broker: RunningBroker) -> int:
    return broker.do(lambda: broker.server.node.metrics.connections.open)


# -- sharing -----------------------------------------------------------------------------------


async def test_many_readers_share_few_connections_and_in_the_end_one_request(
    broker: RunningBroker,
) -> None:
    places = [TopicPartition("many", number) for number in range(MANY)]
    async with open_log(broker, fetch_wait_max_ms=100) as log:
        await make_topic(log, "many", MANY)
        append(broker, *((place, [b"first"]) for place in places))
        before = connections(broker)
        readers = [log.reader() for _ in places]
        for reader, place in zip(readers, places, strict=True):
            reader.assign({place: 0})
        for reader in readers:
            assert await read_values(reader, 1) == [b"first"]
        assert connections(broker) - before <= LANES_MAX + 1, "one more asks who leads"

        requests = Requests(broker)
        with anyio.fail_after(10):  # until each request names all, so that no two overlap
            while await requests.bytes_of_next(4) < MANY * PARTITION_IN_REQUEST_BYTES:
                pass
        append(broker, (places[7], [b"second"]))
        assert await read_values(readers[7], 1) == [b"second"]


@on_both_loops
async def test_readers_of_the_same_partition_all_get_everything(
    broker: RunningBroker, log: ClusterLog
) -> None:
    await make_topic(log)
    append(broker, *numbered(ORDERS, 20))
    readers = [log.reader() for _ in range(LANES_MAX + 2)]
    for start, reader in enumerate(readers):
        reader.assign({ORDERS: start})
    all_progress = [Progress({ORDERS: start}) for start in range(len(readers))]
    for progress, reader in zip(all_progress, readers, strict=True):
        await progress.read_up_to(reader, {ORDERS: 60})
    await anyio.sleep(0.2)  # all wait
    append(broker, *numbered(ORDERS, 1, start=60))
    for progress, reader in zip(all_progress, readers, strict=True):
        await progress.read_up_to(reader, {ORDERS: 63})


@pytest.mark.parametrize("readers_of_each", [1, 2])
async def test_while_there_is_no_news_requests_stay_under_way(
    broker: RunningBroker, readers_of_each: int
) -> None:
    """They may wait for a minute here, so any that is answered is one too many."""
    async with open_log(broker, fetch_wait_max_ms=60_000) as log:
        await make_topic(log)
        readers = [log.reader() for _ in range(readers_of_each)]
        for reader in readers:
            reader.assign({ORDERS: 0, OTHER: 0})
        requests = Requests(broker)
        with anyio.fail_after(10):
            while await requests.answered_in(0.2):
                pass
        append(broker, *numbered(OTHER, 1))
        for reader in readers:
            await Progress({OTHER: 0}).read_up_to(reader, {OTHER: 3})


async def test_who_begins_with_others_does_not_wait_until_they_have_something(
    broker: RunningBroker,
) -> None:
    async with open_log(broker, fetch_wait_max_ms=60_000) as log:
        await make_topic(log)
        append(broker, *numbered(ORDERS, 1))
        positions = [3, 0, 3]
        readers = [log.reader() for _ in positions]
        for reader, position in zip(readers, positions, strict=True):
            reader.assign({ORDERS: position})
        await Progress({ORDERS: 0}).read_up_to(readers[1], {ORDERS: 3})


async def test_what_is_not_read_is_bounded_waits_and_keeps_nobody_waiting(
    broker: RunningBroker,
) -> None:
    slow, paused, fast = (TopicPartition(name, 0) for name in ("slow", "paused", "fast"))
    async with open_log(broker, fetch_message_max_bytes=SMALL) as log:
        for place in (slow, paused, fast):
            await make_topic(log, place.topic, 1)
            append(broker, *numbered(place, 100, size=10_000))
        readers = {place: log.reader() for place in (slow, paused, fast)}
        progress = {place: Progress({place: 0}) for place in readers}
        for place, reader in readers.items():
            reader.assign({place: 0})
        await progress[paused].read(readers[paused])
        readers[paused].pause([paused])
        await progress[fast].read_up_to(readers[fast], {fast: 300})
        with pytest.raises(TimeoutError), anyio.fail_after(0.05):
            await readers[paused].read()

        topics = broker.server.node.metrics.topics
        for place in (slow, paused):
            assert topics[place.topic].bytes_in > 2 * ENOUGH_BYTES
            assert topics[place.topic].bytes_out <= 2 * ENOUGH_BYTES
        readers[paused].resume([paused])
        for place in (slow, paused):
            await progress[place].read_up_to(readers[place], {place: 300})


@on_both_loops
async def test_a_reader_that_has_enough_leaves_the_others_to_somebody(
    broker: RunningBroker, log: ClusterLog
) -> None:
    """When the first lane came back and had nothing to ask for, the others waited for it."""
    full, waiting = TopicPartition("full", 0), TopicPartition("waiting", 0)
    readers = {}
    for place in (full, waiting):
        await make_topic(log, place.topic, 1)
        readers[place] = log.reader()
        readers[place].assign({place: 0})
        assert await readers[place].read(wait_max_s=0.2) == []
    append(broker, *numbered(full, 2, size=ENOUGH_BYTES // 4))
    await anyio.sleep(0.3)  # all that was under way is answered
    append(broker, *numbered(waiting, 1))
    await Progress({waiting: 0}).read_up_to(readers[waiting], {waiting: 3})


# -- what befalls them -------------------------------------------------------------------------


@on_both_loops
async def test_reads_that_are_cancelled_lose_and_repeat_nothing(
    broker: RunningBroker, log: ClusterLog
) -> None:
    await make_topic(log)
    append(broker, *numbered(ORDERS, 100), *numbered(OTHER, 100))
    chance = random.Random(5)
    reader = log.reader()
    reader.assign({ORDERS: 0, OTHER: 0})
    progress = Progress({ORDERS: 0, OTHER: 0})
    ends = {ORDERS: 300, OTHER: 300}
    with anyio.fail_after(20):
        while progress.positions != ends:
            with anyio.move_on_after(chance.choice([0, 0.0005, 0.002])):
                await progress.read(reader, bytes_max=chance.choice([1, 500]))


async def test_connections_that_break_lose_and_repeat_nothing(
    broker: RunningBroker, log: ClusterLog
) -> None:
    await make_topic(log)
    for place in (ORDERS, OTHER):
        append(broker, *numbered(place, 40, size=2_000))
    ends = {ORDERS: 120, OTHER: 120}
    url = f"127.0.0.1:{broker.port}"
    with FaultyNetwork(url, seed=4, cuts_max=10, bytes_between_cuts=40_000) as network:
        settings: Settings = {"fetch.message.max.bytes": 20_000, "log_level": 0}
        async with ClusterLog.open(f"kafka://{network.address}", settings=settings) as far:
            readers = [far.reader() for _ in range(3)]
            for reader in readers:
                reader.assign({ORDERS: 0, OTHER: 0})
            async with anyio.create_task_group() as tasks:
                for reader in readers:
                    tasks.start_soon(Progress({ORDERS: 0, OTHER: 0}).read_up_to, reader, ends)
        assert network.cuts >= 5


async def test_a_broker_that_is_gone_for_a_while_is_waited_for(tmp_path: Path) -> None:
    with ExitStack() as running:
        broker = running.enter_context(RunningBroker(tmp_path, settings=KEEP, durability="os"))
        address = f"127.0.0.1:{broker.port}"
        async with ClusterLog.open(f"kafka://{address}", settings={"log_level": 0}) as log:
            await make_topic(log)
            append(broker, *numbered(ORDERS, 3))
            reader, progress = log.reader(), Progress({ORDERS: 0})
            reader.assign(progress.positions)
            await progress.read_up_to(reader, {ORDERS: 9})
            await anyio.to_thread.run_sync(running.close)
            await progress.read(reader, wait_max_s=0.1)
            again = RunningBroker(
                tmp_path, listeners=[Listener(address)], settings=KEEP, durability="os"
            )
            broker = running.enter_context(again)
            append(broker, *numbered(ORDERS, 3, start=9))
            await progress.read_up_to(reader, {ORDERS: 18})


async def test_a_topic_that_is_deleted_is_told_however_busy_others_are(
    broker: RunningBroker, log: ClusterLog
) -> None:
    await make_topic(log)
    await make_topic(log, "doomed", 1)
    doomed = TopicPartition("doomed", 0)
    append(broker, *numbered(ORDERS, 500))
    reader, progress = log.reader(), Progress({ORDERS: 0, doomed: 0})
    reader.assign(progress.positions)
    await progress.read(reader, bytes_max=1)
    await log.delete_topics(["doomed"])

    async def read_with_patience() -> None:
        while True:
            await progress.read(reader, bytes_max=1)
            await anyio.sleep(0.003)

    with pytest.raises(UnknownTopic):
        await read_with_patience()
    assert progress.positions.pop(doomed) == 0
    assert progress.positions[ORDERS] < 1500, "it was told before all else was read"
    reader.assign(progress.positions)
    await progress.read_up_to(reader, {ORDERS: 1500})


async def test_a_topic_made_anew_is_read_by_who_is_assigned_it_anew(
    broker: RunningBroker, log: ClusterLog
) -> None:
    await make_topic(log)
    append(broker, (ORDERS, [b"old", b"older"]))
    reader = log.reader()
    reader.assign({ORDERS: 0})
    assert await read_values(reader, 2) == [b"old", b"older"]
    await log.delete_topics(["orders"])
    await make_topic(log)
    with pytest.raises(UnknownTopic):
        await reader.read(wait_max_s=5)
    append(broker, (ORDERS, [b"new"]))
    reader.assign({ORDERS: 0})
    assert await read_values(reader, 1) == [b"new"]


async def test_a_partition_is_read_once_the_topic_has_grown(
    broker: RunningBroker, log: ClusterLog
) -> None:
    await make_topic(log, partitions=1)
    reader = log.reader()
    reader.assign({OTHER: 0})
    with pytest.raises(UnknownTopic, match="orders-1"):
        await reader.read(wait_max_s=5)
    await log.add_partitions({"orders": 2})
    append(broker, (OTHER, [b"here"]))
    reader.assign({OTHER: 0})
    assert await read_values(reader, 1) == [b"here"]


# -- coming and going --------------------------------------------------------------------------


@on_both_loops
async def test_readers_may_leave_at_any_time(broker: RunningBroker, log: ClusterLog) -> None:
    """One that left while its lane was still connecting took the whole log with it."""
    await make_topic(log)
    append(broker, (ORDERS, [b"v"]))
    chance = random.Random(2)
    address = parse_address(f"kafka://127.0.0.1:{broker.port}", {}, 5)
    client = Client(address)
    for _ in range(30):
        brokers = Brokers(address)
        async with anyio.create_task_group() as tasks:
            fetcher = Fetcher(brokers, Isolation.READ_COMMITTED, address.fetch_limits(), tasks)
            leaves, stays = (reader_of(fetcher, Offsets(client, brokers)) for _ in range(2))
            leaves.assign({ORDERS: 0})
            await anyio.sleep(chance.random() * 0.006)
            await leaves.aclose()
            stays.assign({ORDERS: 0})
            assert await read_values(stays, 1) == [b"v"]
            tasks.cancel_scope.cancel()
        await brokers.close()


def reader_of(fetcher: Fetcher, offsets: Offsets) -> ClusterReader:
    return ClusterReader(Isolation.READ_COMMITTED, lambda: fetcher, offsets)


@on_both_loops
async def test_a_log_is_closed_while_fetches_are_under_way(broker: RunningBroker) -> None:
    async with open_log(broker) as log:
        await make_topic(log, partitions=4)
        readers = [log.reader() for _ in range(4)]
        for number, reader in enumerate(readers):
            reader.assign({TopicPartition("orders", number): 0})
            assert await reader.read(wait_max_s=0.01) == []
        unused = log.reader()
    await unused.aclose()
    for reader in readers:
        await reader.aclose()
    del log, readers, unused

    async def nobody_is_connected() -> bool:
        return connections(broker) <= 2  # of librdkafka, which closes them when it likes

    await eventually(nobody_is_connected)


# -- settings ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "fetch.wait.max.ms",
        "fetch.max.bytes",
        "fetch.message.max.bytes",
        "max.partition.fetch.bytes",
    ],
)
@pytest.mark.parametrize("value", [0, -1, "many", "", 1.5, True, 2**31, "９"])
async def test_settings_of_fetches_that_will_not_do(name: str, value: str | float) -> None:
    with pytest.raises(ConfigError, match=name):
        parse_address("kafka://nobody", {name: value}, 1).fetch_limits()


async def test_a_setting_that_will_not_do_is_told_before_anybody_is_connected_to() -> None:
    with pytest.raises(ConfigError, match=r"fetch\.wait\.max\.ms"):
        async with ClusterLog.open("kafka://127.0.0.1:1", settings={"fetch.wait.max.ms": 0}):
            raise AssertionError("there is nothing to open")


async def test_settings_of_fetches() -> None:
    named = {"fetch.wait.max.ms": "10", "max.partition.fetch.bytes": 2000}
    assert parse_address("kafka://a", named, 1).fetch_limits() == (10, 16 << 20, 2000)
