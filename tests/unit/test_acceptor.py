"""What a listening socket brings becomes connections, but for what the system or a limit refuses."""

import asyncio
import errno
import socket

import pytest
from millpond.log.shell import acceptor
from millpond.log.shell.acceptor import Acceptor

pytestmark = pytest.mark.anyio


class Tired(socket.socket):
    """A socket of a process that has too many open files, for a while."""

    refusals = 0

    def accept(self) -> tuple[socket.socket, object]:
        if self.refusals:
            self.refusals -= 1
            raise OSError(errno.EMFILE, "Too many open files")
        return super().accept()


class Greeter(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(b"hello")
        transport.close()


async def hear(port: int) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        return await reader.read()
    finally:
        writer.close()


def bound() -> tuple[Tired, int]:
    listening = Tired(socket.AF_INET, socket.SOCK_STREAM)
    listening.bind(("127.0.0.1", 0))
    return listening, listening.getsockname()[1]


async def test_a_system_without_files_is_asked_again_later(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(acceptor, "PAUSE_S", 0.01)
    listening, port = bound()
    listening.refusals = 3
    accepting = Acceptor(
        listening, Greeter, None, may_accept=lambda: True, on_not_made=lambda: None
    )
    assert await hear(port) == b"hello"
    assert caplog.text.count("Too many open files") == 3
    await accepting.close(1)


async def test_what_may_not_be_accepted_is_closed_at_once() -> None:
    listening, port = bound()
    accepting = Acceptor(
        listening, Greeter, None, may_accept=lambda: False, on_not_made=lambda: None
    )
    assert await hear(port) == b""
    await accepting.close(1)


async def test_a_connection_that_comes_at_the_end_is_not_lost() -> None:
    listening, port = bound()
    accepted = asyncio.Event()

    def note() -> bool:
        accepted.set()
        return True

    accepting = Acceptor(listening, Greeter, None, may_accept=note, on_not_made=lambda: None)
    heard = asyncio.create_task(hear(port))
    await accepted.wait()
    await accepting.close(1)
    assert await heard == b"hello"
