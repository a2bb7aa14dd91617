"""How a broker stops: in order, and when its disk fails."""

import socket
import time
from collections.abc import Callable

import pytest
from millpond.log.broker.metrics import ConnectionCounts
from millpond.log.errors import DiskFailed
from millpond.log.shell.memory_disk import MemoryDisk
from millpond.log.wire.messages.fetch import FETCH
from millpond.log.wire.messages.join_group import (
    JOIN_GROUP,
    JoinGroupRequest,
    JoinGroupRequestProtocol,
)
from millpond.log.wire.messages.produce import PRODUCE

from ..twins.plain_requests import (
    FETCH_VERSION,
    PRODUCE_VERSION,
    fetch_from,
    make_topic,
    offset_of,
    produce_to,
    values_of,
)
from ..twins.raw_client import ClosedByBroker, RawClient
from ..twins.running_broker import RunningBroker

FOR_EVER_MS = 60_000


def test_what_waits_is_answered_before_the_broker_stops() -> None:
    with RunningBroker() as broker:
        client = broker.client()
        make_topic(client, "orders")
        client.send(FETCH, FETCH_VERSION, fetch_from("orders", 0, wait_ms=FOR_EVER_MS))
        client.send(PRODUCE, PRODUCE_VERSION, produce_to("orders", [b"a"]))
        client.send(FETCH, FETCH_VERSION, fetch_from("orders", 1, wait_ms=FOR_EVER_MS))
        assert values_of(client.receive()) == [b"a"]
        broker.begin_to_stop()
        assert offset_of(client.receive()) == 0
        assert values_of(client.receive()) == []
        assert client.is_closed_by_broker()
        client.close()


def test_nothing_new_is_begun_while_the_broker_stops() -> None:
    with RunningBroker() as broker:
        client, port = broker.client(), broker.port
    assert client.is_closed_by_broker()
    with pytest.raises(ConnectionRefusedError):
        RawClient("127.0.0.1", port)
    client.close()


def test_a_large_answer_arrives_whole_though_the_broker_stops() -> None:
    value = bytes(range(256)) * 36_000  # more than the system keeps on the way
    with RunningBroker(settings={"message.max.bytes": "10000000"}) as broker:
        client = broker.client()
        make_topic(client, "orders")
        client.ask(PRODUCE, PRODUCE_VERSION, produce_to("orders", [value]))
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        client.send(FETCH, FETCH_VERSION, fetch_from("orders", 0, max_bytes=20_000_000))
        until(lambda: broker.do(lambda: counts_of(broker).held_bytes) > 1_000_000)
        broker.begin_to_stop()
        assert values_of(client.receive()) == [value]
        assert client.is_closed_by_broker()
        client.close()


def test_members_that_wait_for_each_other_do_not_hold_up_the_end() -> None:
    join = JoinGroupRequest(
        group_id="g",
        session_timeout_ms=30_000,
        rebalance_timeout_ms=30_000,
        member_id="",
        protocol_type="consumer",
        protocols=[JoinGroupRequestProtocol(name="range", metadata=b"")],
    )
    broker = RunningBroker(settings={"group.initial.rebalance.delay.ms": "30000"})
    with broker:
        client = broker.client()
        client.send(JOIN_GROUP, 3, join)
        until(lambda: broker.do(lambda: counts_of(broker).held_bytes) > 0)
        begun = time.monotonic()
    assert time.monotonic() - begun < 5
    assert client.is_closed_by_broker()
    client.close()


def test_records_are_there_after_the_next_start() -> None:
    disk = MemoryDisk()
    with RunningBroker(disk=disk) as broker, broker.client() as client:
        make_topic(client, "orders")
        client.ask(PRODUCE, PRODUCE_VERSION, produce_to("orders", [b"a", b"b"]))
        cluster_id = broker.server.node.cluster_id
    with RunningBroker(disk=disk) as broker, broker.client() as client:
        fetched = client.ask(FETCH, FETCH_VERSION, fetch_from("orders", 0))
        assert values_of(fetched) == [b"a", b"b"]
        assert broker.server.node.cluster_id == cluster_id


@pytest.mark.parametrize("operation", ["write", "sync"])
def test_when_the_disk_fails_nothing_more_is_acknowledged(operation: str) -> None:
    disk = MemoryDisk()
    with RunningBroker(disk=disk) as broker:
        client = broker.client()
        make_topic(client, "orders")
        broker.do(lambda: disk.fail_after(operation, 0))  # type: ignore[arg-type]
        client.send(PRODUCE, PRODUCE_VERSION, produce_to("orders", [b"lost"]))
        with pytest.raises(ClosedByBroker):
            client.receive()
        with pytest.raises(DiskFailed):
            broker.wait_for_failure()
        client.close()


def counts_of(broker: RunningBroker) -> ConnectionCounts:
    return broker.server.node.metrics.connections


def until(holds: Callable[[], bool]) -> None:
    """Wait until something holds."""
    for _ in range(1000):
        if holds():
            return
        time.sleep(0.01)
    raise AssertionError("it never came to that")
