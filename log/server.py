"""The log served over the Kafka protocol.

    async with serve("data/log", listeners=[Listener("127.0.0.1:9092")]) as server:
        print(server.addresses)
        await server.until_failed()

An embedded log, which holds the directory, syncs and keeps up, and around it a node with all its
coordinators, which answers what comes over connections (`shell/connection.py`). Runs on asyncio: its
transports call back into the protocol without a task per connection.
"""

import asyncio
import resource
import ssl
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Final

import anyio

from .broker.handlers.table import SERVED
from .broker.identity import cluster_id_of
from .broker.node import Endpoint, Node, NodeClock
from .broker.settings import BrokerSettings
from .embedded import EmbeddedLog
from .errors import DiskFailed
from .shell.acceptor import Acceptor
from .shell.alarm import Alarm
from .shell.clock import SystemClock
from .shell.connection import Connection
from .shell.connections import Connections
from .shell.driver import Driver
from .shell.flusher import Durability
from .shell.listeners import Bound, Listener, bound
from .storage.disk import Disk

DRAIN_S_MAX: Final = 10.0
"""How long a server that stops waits for what it has begun to answer."""

CONNECT_S_MAX: Final = 0.5
"""How long it then waits for connections that are being made."""


class Server:
    """A broker that answers. Make it with `serve`.

    Attributes:
        node: what it works on.
        addresses: where it listens.
    """

    def __init__(self, log: EmbeddedLog, node: Node) -> None:
        self.node = node
        self.addresses: list[Endpoint | str] = []
        self._log = log
        self._driver = Driver(node, log, on_disk_failed=self._on_disk_failed)
        files_max, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self._connections = Connections(self._driver, node.settings, files_max)
        self._acceptors: list[Acceptor] = []
        self._failed = asyncio.get_running_loop().create_future()
        self._alarm = Alarm(self._driver)

    def listen(self, bound: Bound, tls: ssl.SSLContext | None) -> None:
        """Accept connections at a socket."""
        make = partial(Connection, self._connections, bound.endpoint)
        acceptor = Acceptor(
            bound.socket,
            make,
            tls,
            may_accept=self._connections.expect,
            on_not_made=self._connections.not_made,
        )
        self._acceptors.append(acceptor)
        self.addresses.append(bound.address)

    async def until_failed(self) -> None:
        """Wait until the disk fails, which may be never.

        Raises:
            DiskFailed: it has.
        """
        await asyncio.shield(self._failed)

    async def stop(self) -> None:
        """Accept no more connections, answer what is in flight, and close."""
        for acceptor in self._acceptors:
            await acceptor.close(CONNECT_S_MAX)
        self._connections.end()
        await self._connections.closed_by(asyncio.get_running_loop().time() + DRAIN_S_MAX)
        self._connections.abort()
        await asyncio.sleep(0)  # for transports to tell their protocols
        self._alarm.close()
        await self._driver.close()

    def _on_disk_failed(self, error: DiskFailed) -> None:
        if not self._failed.done():
            self._failed.set_exception(error)
            self._failed.exception()  # else asyncio complains where nobody waits


@asynccontextmanager
async def serve(
    directory: str | Path,
    *,
    listeners: Sequence[Listener],
    settings: BrokerSettings | None = None,
    durability: Durability = "fsync",
    tls: ssl.SSLContext | None = None,
    disk: Disk | None = None,
) -> AsyncIterator[Server]:
    """Serve a directory; accept connections on entry, drain on exit.

    Args:
        directory: the log's. Ignored when `disk` is given.
        listeners: where to listen.
        settings: the broker's.
        durability: as for `EmbeddedLog.open`.
        tls: if given, all listeners speak TLS.
        disk: another kind of disk, such as one in memory.

    Raises:
        ConfigError: an address, the directory or a setting won't do.
        LogLocked: another process has the directory.
        CorruptRecord: bytes that were once durable are damaged.
    """
    settings, clock = settings or BrokerSettings(), SystemClock()
    with bound(listeners) as sockets:
        async with EmbeddedLog.open(
            directory, durability=durability, disk=disk, clock=clock
        ) as log:
            server = Server(log, make_node(log, settings, clock))
            try:
                for one in sockets:
                    server.listen(one, tls)
                yield server
            finally:
                with anyio.CancelScope(shield=True):
                    await server.stop()


def make_node(log: EmbeddedLog, settings: BrokerSettings, clock: NodeClock) -> Node:
    """Make what handlers work on, of a log that is open."""
    return Node(
        served=SERVED,
        settings=settings,
        cluster_id=cluster_id_of(log.disk, settings.node_id, uuid.uuid4),
        clock=clock,
        broker=log.broker,
        offsets=log.group_offsets,
        transactions=log.transactions,
        groups=log.group_coordinator,
    )
