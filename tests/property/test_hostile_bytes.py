"""Bytes that are no requests, or hardly: the broker closes their connection and goes on."""

import random
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from millpond.log.broker.handlers.table import SERVED
from millpond.log.wire.frames import encode_request
from millpond.log.wire.messages.api_versions import API_VERSIONS
from millpond.log.wire.messages.fetch import FETCH
from millpond.log.wire.messages.metadata import METADATA, MetadataRequest
from millpond.log.wire.messages.produce import PRODUCE

from ..twins.hostile import Arena
from ..twins.plain_requests import (
    FETCH_VERSION,
    PRODUCE_VERSION,
    WHICH_APIS,
    fetch_from,
    make_topic,
    produce_to,
)

CREATES_TOPICS = {19, 37}
"""CreateTopics and CreatePartitions: what mutated ones ask for may be proper, and much."""


@pytest.fixture(scope="module")
def arena(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Arena]:
    with Arena(tmp_path_factory.mktemp("hostile")) as arena:
        yield arena


def test_noise(arena: Arena) -> None:
    chance = random.Random(1)
    for length in [1, 3, 4, 5, 6, 8, 12, 100, 70_000] * 3:
        with arena.socket() as connected:
            connected.sendall(chance.randbytes(length))
    for other in (
        b"GET / HTTP/1.1\r\nHost: mill\r\n\r\n",
        b"\x16\x03\x01\x02\0\1\0\1\xfc\3\3",
        b"\n" * 99,
    ):
        with arena.socket() as connected:
            connected.sendall(other)
            assert connected.recv(10) == b""
    arena.check()


def test_requests_cut_off_anywhere(arena: Arena) -> None:
    with arena.client() as client:
        make_topic(client, "cut")
    for frame in proper_frames("cut"):
        for end in {*range(0, len(frame), max(len(frame) // 25, 1)), len(frame) - 1}:
            with arena.socket() as connected:
                connected.sendall(frame[:end])
                if end % 3 == 0:
                    connected.shutdown(socket.SHUT_WR)
    arena.check()


def test_frames_shorter_than_their_requests(arena: Arena) -> None:
    for frame in proper_frames("cut"):
        for end in range(8, len(frame) - 4, max(len(frame) // 25, 1)):
            with arena.socket() as connected:
                connected.sendall(end.to_bytes(4) + frame[4 : 4 + end])
    arena.check()


@pytest.mark.parametrize(
    "filling",
    [
        pytest.param(b"\0", marks=pytest.mark.long),
        pytest.param(b"\x01", marks=pytest.mark.long),
        b"\x7f",
        pytest.param(b"\xff", marks=pytest.mark.long),
        pytest.param(b"\x7f\xff\xff\xff", marks=pytest.mark.long),
        b"\xff\xff\xff\xff\x0f",
    ],
)
def test_every_api_and_version_with_lengths_out_of_bounds(arena: Arena, filling: bytes) -> None:
    # Wherever the message has a length or a count, it is one of these: huge, negative, or none.
    for key, served in SERVED.items():
        if key in CREATES_TOPICS:
            continue
        for version in range(served.first, served.last + 1):
            head = key.to_bytes(2) + version.to_bytes(2) + b"\0\0\0\1\0\0"
            for start in (b"", b"\0", b"\0\0\0\1", b"\x02"):
                body = head + start + filling * (60 // len(filling))
                with arena.socket() as connected:
                    connected.sendall(len(body).to_bytes(4) + body)
    arena.check()


def test_client_ids_of_any_length(arena: Arena) -> None:
    for length in (b"\xff\xff", b"\xff\xfe", b"\x80\0", b"\x7f\xff", b"\0\x05"):
        for text in (b"", b"abc", b"\xff\xfe\xfd\xfc\xfb", bytes(40_000)):
            with arena.socket() as connected:
                body = b"\0\x12\0\0\0\0\0\1" + length + text
                connected.sendall(len(body).to_bytes(4) + body)
                connected.shutdown(socket.SHUT_WR)
                connected.recv(1)
    with arena.client() as client:
        for number in range(500):  # a client that calls itself something else each time
            client.client_id = f"{number}" * 50
            assert client.ask(API_VERSIONS, 3, WHICH_APIS).api_keys
    arena.check()


def test_noise_behind_proper_requests(arena: Arena) -> None:
    chance = random.Random(2)
    for _ in range(50):
        with arena.client() as client:
            before = chance.randrange(3)
            for _ in range(before):
                client.send(API_VERSIONS, 3, WHICH_APIS)
            client.send_bytes(b"\0\0\0\x20\x03\xe7" + chance.randbytes(64))
            assert all(client.receive().api_keys for _ in range(before))
            assert client.is_closed_by_broker()
    arena.check()


def test_answers_that_nobody_fetches(arena: Arena) -> None:
    with arena.client() as client:
        make_topic(client, "unread")
        for _ in range(8):
            client.ask(PRODUCE, PRODUCE_VERSION, produce_to("unread", [bytes(500_000)]))
    fetch = encode_request(
        FETCH, FETCH_VERSION, 1, None, fetch_from("unread", 0, max_bytes=50_000_000)
    )
    deaf = [arena.client() for _ in range(20)]
    for client in deaf:
        client.send_bytes(fetch * 50)
    arena.check(rss_bytes_max=400 * 1024 * 1024)
    for client in deaf:
        client.close()


def test_many_connections(arena: Arena) -> None:
    clients = [arena.client() for _ in range(400)]
    for client in clients[::2]:
        client.send_bytes(b"\0\0\1\0\0\3")  # the beginning of something
    for client in clients[1::2]:
        client.send(API_VERSIONS, 3, WHICH_APIS)
    assert all(client.receive().api_keys for client in clients[1::2])
    arena.check()
    for client in clients:
        client.close()


def proper_frames(topic: str) -> list[bytes]:
    return [
        encode_request(API_VERSIONS, 3, 1, "me", WHICH_APIS),
        encode_request(METADATA, 9, 2, "me", MetadataRequest(topics=[])),
        encode_request(PRODUCE, PRODUCE_VERSION, 3, "me", produce_to(topic, [b"value"])),
        encode_request(FETCH, FETCH_VERSION, 4, "me", fetch_from(topic, 0, wait_ms=50)),
    ]


@pytest.mark.long
def test_the_directory_of_such_a_broker_can_be_opened(tmp_path: Path) -> None:
    with Arena(tmp_path) as arena:
        for frame in proper_frames("own"):
            for position in range(4, len(frame), 4):
                with arena.socket() as connected:
                    connected.sendall(frame[:position] + b"\xff" + frame[position + 1 :])
        arena.check()
