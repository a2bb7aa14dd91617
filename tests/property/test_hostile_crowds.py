"""Crowds of clients that are slow, silent or gone, for minutes: run with `make test-long`."""

import random
import resource
import socket
import time
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from millpond.log.wire.messages.api_versions import API_VERSIONS
from millpond.log.wire.messages.metadata import METADATA, MetadataRequest

from ..twins.hostile import Arena
from ..twins.plain_requests import WHICH_APIS
from ..twins.raw_client import RawClient

pytestmark = pytest.mark.long

CROWD = 10_000
FILES = 2 * CROWD


@pytest.fixture(autouse=True)
def _many_files() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < FILES:
        pytest.skip(f"{FILES} open files are needed, {hard} are allowed (ulimit -Hn)")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, FILES), hard))


def test_ten_thousand_connections(tmp_path: Path) -> None:
    with Arena(tmp_path, "--set", f"max.connections={CROWD}") as arena, ExitStack() as stack:
        crowd: list[RawClient] = []
        while len(crowd) < CROWD - 200:  # in groups: the system keeps only some until it is asked
            crowd += [stack.enter_context(arena.client()) for _ in range(200)]
            assert crowd[-1].ask(API_VERSIONS, 3, WHICH_APIS).api_keys
        crowd += [stack.enter_context(arena.client()) for _ in range(199)]  # and the neighbour
        assert crowd[-1].ask(API_VERSIONS, 3, WHICH_APIS).api_keys
        with arena.client() as one_too_many:
            assert one_too_many.is_closed_by_broker()
        for client in crowd:
            client.send(API_VERSIONS, 3, WHICH_APIS)
        assert all(client.receive().api_keys for client in crowd)
        arena.check(rss_bytes_max=250 << 20)
        for client in crowd[::2]:
            client.send_bytes((1000).to_bytes(4) + b"\0\3")  # the beginning of a request
        arena.check(rss_bytes_max=300 << 20)
        for client in crowd[1::2]:
            client.send(METADATA, 9, MetadataRequest(topics=[]))
        assert all(client.receive().brokers for client in crowd[1::2])
        stack.close()
        arena.check(rss_bytes_max=300 << 20)


def test_who_sends_a_byte_now_and_then_is_sent_away(tmp_path: Path) -> None:
    with Arena(tmp_path, "--set", "connections.max.idle.ms=5000") as arena:
        crowd = []
        for _ in range(2000):
            slow = socket.create_connection(("127.0.0.1", arena.broker.port))
            slow.sendall((100_000).to_bytes(4) + b"\0\0")
            crowd.append(slow)
        begun = time.monotonic()
        while time.monotonic() - begun < 12:
            for slow in crowd:
                with suppress(OSError):
                    slow.send(b"\0")
            time.sleep(0.5)
            arena.neighbour.wait_for_answers()
        assert not any(is_open(slow) for slow in crowd)
        arena.check()


def test_coming_and_going(tmp_path: Path) -> None:
    chance = random.Random(3)
    linger = b"\1\0\0\0\0\0\0\0"  # closing sends a reset
    with Arena(tmp_path) as arena:
        for turn in range(20_000):
            with arena.socket() as connected:
                if turn % 3:
                    connected.sendall(
                        b"\0\0\0\x0a\0\x12\0\0\0\0\0\1\xff\xff"[: chance.randrange(15)]
                    )
                if turn % 5 == 0:
                    connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        arena.check()


def test_uploads_that_never_end(tmp_path: Path) -> None:
    limits = ("--set", "queued.max.request.bytes=50000000")
    with Arena(tmp_path, *limits) as arena:
        crowd = []
        for _ in range(50):
            greedy = socket.create_connection(("127.0.0.1", arena.broker.port))
            greedy.setblocking(False)
            greedy.send((100_000_000).to_bytes(4) + b"\0\0")
            crowd.append(greedy)
        begun, some = time.monotonic(), bytes(200_000)
        while time.monotonic() - begun < 20:
            for greedy in crowd:
                with suppress(OSError):
                    greedy.send(some)
            arena.check(rss_bytes_max=250 << 20)
        for greedy in crowd:
            greedy.close()
        arena.check(rss_bytes_max=250 << 20)


def is_open(connected: socket.socket) -> bool:
    """Say whether the other side still listens, and close."""
    with connected:
        try:
            for _ in range(3):
                connected.send(b"\0")
                time.sleep(0.001)
        except OSError:
            return False
        return True
