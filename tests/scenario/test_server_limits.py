"""What one client may cost a broker, and that others go on beside it."""

import time
from collections.abc import Callable
from contextlib import ExitStack

import pytest
from millpond.log.broker.metrics import ConnectionCounts
from millpond.log.wire.frames import encode_request
from millpond.log.wire.messages.api_versions import API_VERSIONS
from millpond.log.wire.messages.fetch import FETCH
from millpond.log.wire.messages.heartbeat import HEARTBEAT, HeartbeatRequest
from millpond.log.wire.messages.produce import PRODUCE

from ..twins.plain_requests import (
    FETCH_VERSION,
    PRODUCE_VERSION,
    WHICH_APIS,
    fetch_from,
    make_topic,
    offset_of,
    produce_to,
    values_of,
)
from ..twins.raw_client import RawClient
from ..twins.running_broker import RunningBroker

UNKNOWN_MEMBER_ID = 25


def counts_of(broker: RunningBroker) -> ConnectionCounts:
    return broker.do(lambda: broker.server.node.metrics.connections)


def answers(client: RawClient) -> bool:
    return bool(client.ask(API_VERSIONS, 3, WHICH_APIS).api_keys)


@pytest.mark.parametrize("size", [b"\xff\xff\xff\xff", b"\x80\0\0\0", b"\0\0\0\0", b"\0\0\0\7"])
def test_a_length_that_is_none_closes_the_connection(size: bytes) -> None:
    with RunningBroker() as broker, broker.client() as client:
        client.send_bytes(size + b"\0\x12\0\3")
        assert client.is_closed_by_broker()


def test_only_produce_may_be_large() -> None:
    settings = {"request.max.bytes.but.produce": "1000", "socket.request.max.bytes": "100000"}
    with RunningBroker(settings=settings) as broker:
        with broker.client() as client:
            make_topic(client, "orders")
            large = produce_to("orders", [bytes(50_000)])
            assert offset_of(client.ask(PRODUCE, PRODUCE_VERSION, large)) == 0
            client.send_bytes((100_001).to_bytes(4) + b"\0\0")  # Produce
            assert client.is_closed_by_broker()
        with broker.client() as client:
            client.send_bytes((1001).to_bytes(4) + b"\0\3")  # Metadata
            assert client.is_closed_by_broker()


def test_a_length_alone_takes_no_memory() -> None:
    with RunningBroker() as broker, broker.client() as client, broker.client() as other:
        client.send_bytes((100_000_000).to_bytes(4) + b"\0\0\0\x09")
        assert answers(other)
        assert counts_of(broker).held_bytes < 10_000


def test_connections_beyond_the_limit_are_closed_at_once() -> None:
    with RunningBroker(settings={"max.connections": "3"}) as broker, ExitStack() as stack:
        clients = [stack.enter_context(broker.client()) for _ in range(3)]
        assert all(answers(client) for client in clients)
        with broker.client() as one_more:
            assert one_more.is_closed_by_broker()
        assert counts_of(broker).refused == 1
        clients[0].close()
        until(lambda: counts_of(broker).open == 2)
        with broker.client() as instead:
            assert answers(instead)


def test_an_idle_connection_is_closed() -> None:
    with RunningBroker(settings={"connections.max.idle.ms": "200"}) as broker:
        with broker.client() as client:
            assert answers(client)
            assert client.is_closed_by_broker()
        assert counts_of(broker).closed_for_idling == 1


def test_a_request_that_never_ends_is_idleness() -> None:
    with RunningBroker(settings={"connections.max.idle.ms": "300"}) as broker:
        with broker.client() as client:
            client.send_bytes((1000).to_bytes(4) + b"\0\3")
            with pytest.raises(ConnectionError):
                trickle(client)
        assert counts_of(broker).closed_for_idling == 1


def test_waiting_for_an_answer_is_not_idleness() -> None:
    impatient = RunningBroker(settings={"connections.max.idle.ms": "100"})
    with impatient as broker, broker.client() as client, broker.client() as other:
        make_topic(client, "orders")
        client.send(FETCH, FETCH_VERSION, fetch_from("orders", 0, wait_ms=600))
        assert other.is_closed_by_broker()
        assert values_of(client.receive()) == []


def test_requests_in_flight_are_bounded() -> None:
    # All wait for the fetch before them; each holds at least 1 kB.
    settings = {"connection.bytes.in.flight": "20000"}
    with RunningBroker(settings=settings) as broker, broker.client() as client:
        make_topic(client, "orders")
        client.send(FETCH, FETCH_VERSION, fetch_from("orders", 0, wait_ms=500))
        for _ in range(200):
            client.send(API_VERSIONS, 3, WHICH_APIS)
        with broker.client() as other:
            assert answers(other)
            assert counts_of(broker).held_bytes < 40_000
        assert values_of(client.receive()) == []
        assert all(client.receive().api_keys for _ in range(200))


def test_a_flood_costs_others_neither_heartbeats_nor_small_records() -> None:
    settings = {"queued.max.request.bytes": "1000000", "connections.max.idle.ms": "600000"}
    unfinished = (10_000_000).to_bytes(4) + b"\0\0" + bytes(300_000)
    with RunningBroker(settings=settings) as broker, ExitStack() as stack:
        proper = stack.enter_context(broker.client())
        make_topic(proper, "orders")
        hostile = [stack.enter_context(broker.client()) for _ in range(5)]
        for client in hostile:
            client.socket.setblocking(False)
            client.socket.send(unfinished)
        until(lambda: counts_of(broker).held_bytes >= 1_000_000)
        heartbeat = HeartbeatRequest(group_id="g", generation_id=1, member_id="m")
        assert proper.ask(HEARTBEAT, 4, heartbeat).error_code == UNKNOWN_MEMBER_ID
        assert offset_of(proper.ask(PRODUCE, PRODUCE_VERSION, produce_to("orders", [b"a"]))) == 0
        # A fetch may have a large answer, so it has to wait until somebody was sent away.
        assert values_of(proper.ask(FETCH, FETCH_VERSION, fetch_from("orders", 0))) == [b"a"]
        assert counts_of(broker).closed_for_memory >= 1
        assert counts_of(broker).held_bytes < 1_100_000


def test_who_does_not_read_has_to_go_when_memory_is_short() -> None:
    settings = {"queued.max.request.bytes": "3000000"}
    with RunningBroker(settings=settings) as broker, ExitStack() as stack:
        proper = stack.enter_context(broker.client())
        make_topic(proper, "orders")
        proper.ask(PRODUCE, PRODUCE_VERSION, produce_to("orders", [bytes(900_000)]))
        for number in range(20):
            # What is held of an answer is what the kernel's buffers leave, so sizes are to differ.
            name = f"orders-{number}"
            make_topic(proper, name)
            proper.ask(
                PRODUCE, PRODUCE_VERSION, produce_to(name, [bytes(900_000 - 37_000 * number)])
            )
            request = encode_request(FETCH, FETCH_VERSION, 1, "deaf", fetch_from(name, 0))
            deaf = stack.enter_context(broker.client())
            deaf.send_bytes(request * 40)
        until(lambda: counts_of(broker).closed_for_memory >= 1)
        assert len(values_of(proper.ask(FETCH, FETCH_VERSION, fetch_from("orders", 0)))) == 1


def trickle(client: RawClient) -> None:
    for _ in range(1000):
        client.send_bytes(b"\0")
        time.sleep(0.01)


def until(holds: Callable[[], bool]) -> None:
    """Wait until something holds."""
    for _ in range(1500):
        if holds():
            return
        time.sleep(0.01)
    raise AssertionError("it never came to that")
