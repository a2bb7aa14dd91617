"""The log on a cluster, over the Kafka protocol: the same interface as the log in this process.

    async with ClusterLog.open("kafka://localhost:9092", settings={"security.protocol": "ssl"}) as log:
        ...

Each part has a file of its own; here they are put together, opened and closed. Some promises of the
interface are weaker here, for neither the protocol nor librdkafka has a way to keep them:

- Topics are created, altered and deleted one by one, after all were checked. So are records.
- A commit is decided and durable when it returns, but Apache Kafka writes its markers afterwards:
  committed reads see it some milliseconds later. Its offsets are waited for when they are asked for
  by partition.
- What a group has committed in a topic that is deleted is forgotten some time later.
- A record of the timestamp 0 gets 1, unless it is in a transaction; the metadata of a committed
  offset holds 4095 bytes at most.
"""

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final

import anyio
import anyio.abc
import anyio.to_thread

from ..interface import Membership, ShareOut
from ..model import (
    CommittedOffset,
    Compression,
    Isolation,
    Offset,
    Timestamp,
    TopicDescription,
    TopicPartition,
    TopicSpec,
)
from .address import (
    TRANSACTION_TIMEOUT_MS,
    WORKER_TRANSACTION_TIMEOUT_MS,
    FetchLimits,
    Settings,
    parse_address,
)
from .at_least_once import AtLeastOnceProducer
from .brokers import Brokers
from .client import Client
from .coordinators import Coordinators
from .direct import Direct
from .fetcher import Fetcher
from .group_requests import Member
from .groups import GroupOffsets
from .membership import ClusterMembership, membership
from .offsets import Offsets
from .producer import ClusterProducer, SharedProducer
from .reader import ClusterReader
from .topics import Topics
from .transactional_producer import ClusterTransactionalProducer
from .transactions import Transactions
from .worker_producer import WorkerProducer

CONNECT_S: Final = 5.0
CLOSE_S: Final = 5.0


class ClusterLog:
    """A `Log` on a cluster. Open it with `open`."""

    def __init__(self, client: Client, limits: FetchLimits, tasks: anyio.abc.TaskGroup) -> None:
        self.address = client.address
        self._client = client
        self._topics = Topics(client)
        self._brokers = Brokers(client.address)
        self._offsets = Offsets(client, self._brokers)
        self._direct = Direct(client.address)
        self._groups = GroupOffsets(client, self._topics, self._direct)
        self._shared: dict[Compression, SharedProducer] = {}
        self._limits = limits
        self._fetchers: dict[Isolation, Fetcher] = {}
        self._tasks = tasks
        self._coordinators = Coordinators(self._brokers)

    @staticmethod
    @asynccontextmanager
    async def open(
        url: str,
        *,
        settings: Settings | None = None,
        connect_timeout_s: float = CONNECT_S,
        timeout_s: float = 30.0,
    ) -> "AsyncIterator[ClusterLog]":
        """Connect to a cluster.

        Args:
            url: ``kafka://host:port``, or several such, separated by commas.
            settings: librdkafka's, such as ``security.protocol``; most pass through.
            connect_timeout_s: how long to wait for a broker that answers.
            timeout_s: how long any other call may take.

        Raises:
            ConfigError: the address or a setting won't do.
            Unreachable: no broker answers.
        """
        client = Client(parse_address(url, settings or {}, timeout_s))
        limits = client.address.fetch_limits()
        await client.connect(connect_timeout_s)
        failed: Exception | None = None
        async with anyio.create_task_group() as tasks:
            log = ClusterLog(client, limits, tasks)
            try:
                yield log
            except Exception as error:  # noqa: BLE001 - raised below, not wrapped in a group
                failed = error
            finally:
                tasks.cancel_scope.cancel()  # first: what still runs would connect again
                with anyio.CancelScope(shield=True):
                    await log.close()
        if failed is not None:
            raise failed

    async def close(self) -> None:
        """Let go of everything. What was not awaited may not have been appended."""
        await self._brokers.close()
        for shared in self._shared.values():
            await anyio.to_thread.run_sync(shared.close, CLOSE_S)

    # -- topics --------------------------------------------------------------------------------

    async def create_topics(self, specs: Iterable[TopicSpec]) -> None:
        await self._topics.create(specs)

    async def add_partitions(self, counts: Mapping[str, int]) -> None:
        await self._topics.grow(counts)

    async def alter_topics(self, configs: Mapping[str, Mapping[str, str]]) -> None:
        await self._topics.alter(configs)

    async def delete_topics(self, names: Iterable[str]) -> None:
        await self._topics.delete(names)

    async def describe_topics(
        self, names: Iterable[str] | None = None
    ) -> dict[str, TopicDescription]:
        return await self._topics.describe(names)

    async def sizes(self, topics: Mapping[str, int]) -> dict[TopicPartition, int]:
        """Return the bytes that partitions take on their leaders' disks.

        Args:
            topics: how many partitions each has.

        Raises:
            LogError: this can't be asked of this cluster.
        """
        return await self._client.insist(lambda: self._direct.sizes(topics))

    # -- partitions ----------------------------------------------------------------------------

    async def delete_records(self, before: Mapping[TopicPartition, Offset]) -> None:
        await self._offsets.delete_before(before)

    async def start_offsets(
        self, partitions: Iterable[TopicPartition]
    ) -> dict[TopicPartition, Offset]:
        return await self._offsets.starts(partitions)

    async def end_offsets(
        self,
        partitions: Iterable[TopicPartition],
        isolation: Isolation = Isolation.READ_COMMITTED,
    ) -> dict[TopicPartition, Offset]:
        return await self._offsets.ends(partitions, isolation)

    async def offsets_for_times(
        self, times: Mapping[TopicPartition, Timestamp]
    ) -> dict[TopicPartition, Offset | None]:
        return await self._offsets.for_times(times)

    async def epoch_end_offset(self, partition: TopicPartition, leader_epoch: int) -> Offset:
        await self._topics.check([partition])
        return await self._client.insist(
            lambda: self._direct.epoch_end_offset(partition, leader_epoch)
        )

    # -- groups --------------------------------------------------------------------------------

    async def groups(self) -> list[str]:
        return await self._groups.names()

    async def committed_offsets(
        self, group: str, partitions: Iterable[TopicPartition] | None = None
    ) -> dict[TopicPartition, CommittedOffset]:
        return await self._groups.committed(group, partitions)

    async def commit_offsets(
        self, group: str, offsets: Mapping[TopicPartition, CommittedOffset]
    ) -> None:
        await self._groups.commit(group, offsets)

    async def delete_groups(self, names: Iterable[str]) -> None:
        await self._groups.delete(names)

    def membership(
        self,
        group: str,
        share_out: ShareOut,
        *,
        instance_id: str | None = None,
        session_timeout_ms: int = 10_000,
        rebalance_timeout_ms: int = 60_000,
    ) -> AbstractAsyncContextManager[ClusterMembership]:
        member = Member(group, instance_id, session_timeout_ms, rebalance_timeout_ms)
        return membership(self.address, member, share_out)

    # -- readers and producers -----------------------------------------------------------------

    def reader(self, isolation: Isolation = Isolation.READ_COMMITTED) -> ClusterReader:
        return ClusterReader(isolation, lambda: self._fetcher(isolation), self._offsets)

    async def producer(self) -> ClusterProducer:
        return ClusterProducer(self._client, self._topics, self._offsets, self._shared_producer)

    async def transactional_producer(self, transactional_id: str) -> ClusterTransactionalProducer:
        return ClusterTransactionalProducer(
            await self._begun(transactional_id, TRANSACTION_TIMEOUT_MS)
        )

    async def worker_producer(
        self, transactional_id: str, membership: Membership
    ) -> WorkerProducer:
        return WorkerProducer(
            await self._begun(transactional_id, WORKER_TRANSACTION_TIMEOUT_MS), membership
        )

    async def fence(self, transactional_id: str) -> None:
        await self._begun(transactional_id, WORKER_TRANSACTION_TIMEOUT_MS)

    async def at_least_once_producer(self) -> AtLeastOnceProducer:
        return AtLeastOnceProducer(await self.producer(), self._groups)

    async def _begun(self, transactional_id: str, timeout_ms: int) -> Transactions:
        """Return the only transactions of this id; what was left open is decided."""
        transactions = Transactions(
            transactional_id,
            self.address.transaction_timeout_ms(timeout_ms),
            self.address,
            self._coordinators,
            self._topics,
            self._groups,
        )
        await transactions.init()
        return transactions

    def _fetcher(self, isolation: Isolation) -> Fetcher:
        if isolation not in self._fetchers:
            self._fetchers[isolation] = Fetcher(self._brokers, isolation, self._limits, self._tasks)
        return self._fetchers[isolation]

    def _shared_producer(self, compression: Compression) -> SharedProducer:
        shared = self._shared.get(compression)
        if shared is None or shared.failed is not None:
            shared = SharedProducer(self.address.producer(compression))
            self._shared[compression] = shared
        return shared
