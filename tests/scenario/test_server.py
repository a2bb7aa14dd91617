"""A broker that listens: whatever comes over a connection is answered, in order, as it should be."""

import socket

import pytest
from millpond.log.broker.snapshot import snapshot
from millpond.log.wire.frames import encode_request
from millpond.log.wire.messages.api_versions import API_VERSIONS
from millpond.log.wire.messages.fetch import FETCH
from millpond.log.wire.messages.find_coordinator import FIND_COORDINATOR, FindCoordinatorRequest
from millpond.log.wire.messages.join_group import (
    JOIN_GROUP,
    JoinGroupRequest,
    JoinGroupRequestProtocol,
)
from millpond.log.wire.messages.list_offsets import LIST_OFFSETS, ListOffsetsRequest
from millpond.log.wire.messages.metadata import METADATA, MetadataRequest
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
from ..twins.running_broker import RunningBroker

UNSUPPORTED_VERSION = 35
FOR_EVER_MS = 60_000


def test_what_is_produced_can_be_fetched() -> None:
    with RunningBroker() as broker, broker.client() as client:
        make_topic(client, "orders")
        assert offset_of(client.ask(PRODUCE, PRODUCE_VERSION, produce_to("orders", [b"a"]))) == 0
        assert offset_of(client.ask(PRODUCE, PRODUCE_VERSION, produce_to("orders", [b"b"]))) == 1
        fetched = client.ask(FETCH, FETCH_VERSION, fetch_from("orders", 0))
        assert values_of(fetched) == [b"a", b"b"]


def test_a_fetch_waits_for_what_another_connection_produces() -> None:
    with RunningBroker() as broker, broker.client() as reader, broker.client() as writer:
        make_topic(writer, "orders")
        reader.send(FETCH, FETCH_VERSION, fetch_from("orders", 0, wait_ms=FOR_EVER_MS))
        writer.ask(PRODUCE, PRODUCE_VERSION, produce_to("orders", [b"late"]))
        assert values_of(reader.receive()) == [b"late"]


def test_requests_overlap_but_responses_keep_their_order() -> None:
    # The fetch can only be answered once the produce behind it has been handled; the produce must wait.
    with RunningBroker() as broker, broker.client() as client:
        make_topic(client, "orders")
        client.send(FETCH, FETCH_VERSION, fetch_from("orders", 0, wait_ms=FOR_EVER_MS))
        client.send(API_VERSIONS, 3, WHICH_APIS)
        client.send(PRODUCE, PRODUCE_VERSION, produce_to("orders", [b"a"]))
        assert values_of(client.receive()) == [b"a"]
        assert client.receive().api_keys
        assert offset_of(client.receive()) == 0


def test_a_thousand_requests_at_once_are_answered_in_order() -> None:
    with RunningBroker() as broker, broker.client() as client:
        make_topic(client, "orders")
        for number in range(1000):
            client.send(PRODUCE, PRODUCE_VERSION, produce_to("orders", [b"%d" % number]))
        assert [offset_of(client.receive()) for _ in range(1000)] == list(range(1000))


def test_acks_0_gets_no_response_and_holds_up_nobody() -> None:
    with RunningBroker() as broker, broker.client() as client:
        make_topic(client, "orders")
        silent = produce_to("orders", [b"a"], acks=0)
        client.send(PRODUCE, PRODUCE_VERSION, silent, expect_response=False)
        client.send(API_VERSIONS, 3, WHICH_APIS)
        assert client.receive().api_keys
        assert values_of(client.ask(FETCH, FETCH_VERSION, fetch_from("orders", 0))) == [b"a"]


def test_a_failure_that_has_no_response_closes_the_connection() -> None:
    with RunningBroker() as broker, broker.client() as client:
        nowhere = produce_to("no such topic", [b"a"], acks=0)
        client.send(PRODUCE, PRODUCE_VERSION, nowhere, expect_response=False)
        assert client.is_closed_by_broker()


def test_what_only_closing_can_answer_is_no_fault_of_ours(caplog: pytest.LogCaptureFixture) -> None:
    with RunningBroker() as broker, broker.client() as client:
        client.send(
            LIST_OFFSETS, 2, ListOffsetsRequest(replica_id=-1, isolation_level=99, topics=[])
        )
        assert client.is_closed_by_broker()
    (told,) = [record for record in caplog.records if record.name == "millpond.broker"]
    assert "isolation level 99" in told.getMessage()
    assert told.exc_info is None


def test_a_request_may_come_byte_by_byte() -> None:
    frame = encode_request(API_VERSIONS, 3, 7, "slow", WHICH_APIS)
    with RunningBroker() as broker, broker.client() as client, broker.client() as other:
        for byte in frame:
            client.send_bytes(bytes([byte]))
            assert other.ask(API_VERSIONS, 3, WHICH_APIS).api_keys
        assert client.receive_frame()[:4] == b"\0\0\0\7"


def test_a_request_larger_than_the_receive_buffer_arrives_whole() -> None:
    value = bytes(range(256)) * 3000
    with RunningBroker() as broker, broker.client() as client:
        make_topic(client, "orders")
        client.send(PRODUCE, PRODUCE_VERSION, produce_to("orders", [value]))
        client.send(PRODUCE, PRODUCE_VERSION, produce_to("orders", [b"next"]))
        assert [offset_of(client.receive()) for _ in range(2)] == [0, 1]
        assert values_of(client.ask(FETCH, FETCH_VERSION, fetch_from("orders", 0)))[0] == value


def test_api_versions_from_the_future_are_told_what_there_is() -> None:
    with RunningBroker() as broker, broker.client() as client:
        body = b"\0\x12\x7f\xff\0\0\0\1" + b"whatever a later version may say"
        client.send_frame(body)
        frame = client.receive_frame()
        response = API_VERSIONS.read_response(0, memoryview(frame), 4)
        assert response.error_code == UNSUPPORTED_VERSION
        assert {18, 0, 1} <= {one.api_key for one in response.api_keys}
        assert client.ask(API_VERSIONS, 3, WHICH_APIS).error_code == 0


def test_other_versions_and_apis_that_are_not_served_close_the_connection() -> None:
    unknown_api, unknown_version = b"\x03\xe7\0\0\0\0\0\1\xff\xff", b"\0\3\x03\xe7\0\0\0\1\xff\xff"
    with RunningBroker() as broker:
        for body in (unknown_api, unknown_version):
            with broker.client() as client:
                client.send_frame(body)
                assert client.is_closed_by_broker()
        counts = broker.do(lambda: broker.server.node.metrics.connections)
        assert counts.closed_for_misbehaving == 2


def test_a_request_after_a_bad_one_is_not_handled() -> None:
    with RunningBroker() as broker, broker.client() as client, broker.client() as other:
        make_topic(other, "orders")
        good = encode_request(PRODUCE, PRODUCE_VERSION, 2, "x", produce_to("orders", [b"a"]))
        client.send_bytes(b"\0\0\0\x0a\x03\xe7\0\0\0\0\0\1\xff\xff" + good)
        assert client.is_closed_by_broker()
        assert values_of(other.ask(FETCH, FETCH_VERSION, fetch_from("orders", 0))) == []


def test_who_will_send_no_more_is_still_answered() -> None:
    with RunningBroker() as broker, broker.client() as client:
        make_topic(client, "orders")
        client.send(PRODUCE, PRODUCE_VERSION, produce_to("orders", [b"a"]))
        client.send(FETCH, FETCH_VERSION, fetch_from("orders", 1, wait_ms=FOR_EVER_MS))
        client.close_for_sending()
        assert offset_of(client.receive()) == 0
        assert values_of(client.receive()) == []
        assert client.is_closed_by_broker()


def test_what_was_begun_before_the_client_left_is_done() -> None:
    with RunningBroker() as broker:
        with broker.client() as client:
            make_topic(client, "orders")
            client.send(PRODUCE, PRODUCE_VERSION, produce_to("orders", [b"last words"]))
            client.send(FETCH, FETCH_VERSION, fetch_from("orders", 1, wait_ms=FOR_EVER_MS))
            offset_of(client.receive())
        with broker.client() as other:
            fetched = other.ask(FETCH, FETCH_VERSION, fetch_from("orders", 0))
            assert values_of(fetched) == [b"last words"]


def test_a_group_forms_without_anything_else_going_on() -> None:
    protocol = JoinGroupRequestProtocol(name="range", metadata=b"")
    join = JoinGroupRequest(
        group_id="g",
        session_timeout_ms=30_000,
        rebalance_timeout_ms=30_000,
        member_id="",
        protocol_type="consumer",
        protocols=[protocol],
    )
    soon = {"group.initial.rebalance.delay.ms": "100"}
    with RunningBroker(settings=soon) as broker, broker.client(timeout_seconds=5) as client:
        assert client.ask(JOIN_GROUP, 3, join).generation_id == 1


def test_clients_are_told_the_address_that_they_came_to() -> None:
    with RunningBroker() as broker, broker.client() as client:
        (told,) = client.ask(METADATA, 9, MetadataRequest(topics=[])).brokers
        assert (told.node_id, told.host, told.port) == (1, "127.0.0.1", broker.port)
        request = FindCoordinatorRequest(coordinator_keys=["group"])
        (found,) = client.ask(FIND_COORDINATOR, 4, request).coordinators
        assert (found.host, found.port) == ("127.0.0.1", broker.port)


def test_everything_is_counted() -> None:
    with RunningBroker() as broker, broker.client() as client:
        make_topic(client, "orders")
        client.ask(PRODUCE, PRODUCE_VERSION, produce_to("orders", [b"a", b"b"]))
        client.ask(FETCH, FETCH_VERSION, fetch_from("orders", 0))
        seen = broker.do(lambda: snapshot(broker.server.node))
        assert seen.apis["Produce"].requests == 1
        assert seen.apis["Produce"].request_bytes > 60
        assert sum(seen.apis["Fetch"].latency.counts) == 1
        assert seen.connections.open == 1
        (partition,) = [seen.partitions[each] for each in seen.partitions if each.topic == "orders"]
        assert (partition.log_start_offset, partition.high_watermark) == (0, 2)
        assert partition.size_bytes > 60


def test_a_client_that_reads_nothing_is_not_read_from_either() -> None:
    with RunningBroker() as broker, broker.client() as client, broker.client() as other:
        make_topic(client, "orders")
        client.ask(PRODUCE, PRODUCE_VERSION, produce_to("orders", [bytes(900_000)]))
        request = encode_request(FETCH, FETCH_VERSION, 1, "deaf", fetch_from("orders", 0))
        client.socket.settimeout(1)
        try:
            client.send_bytes(request * 100_000)
        except TimeoutError:
            pass
        else:
            raise AssertionError(
                "the broker has read 8 MB of requests to which nobody reads answers"
            )
        held = broker.do(lambda: broker.server.node.metrics.connections.held_bytes)
        assert held < 4_000_000
        assert other.ask(API_VERSIONS, 3, WHICH_APIS).api_keys
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
