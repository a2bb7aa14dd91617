"""Who is who in a cluster: its brokers, who leads which partition, who coordinates.

Asked of any broker, and remembered until somebody finds that it is not so any longer. Those who ask at
the same time share an answer. Nothing here waits for a better one: each call is one attempt, and
whoever makes it knows for how long to try again.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple
from uuid import UUID

import anyio

from ..errors import UnknownTopic, Unreachable
from ..model import TopicPartition
from ..wire.api import Api, RequestT, ResponseT
from ..wire.error_codes import ErrorCode
from ..wire.messages.find_coordinator import FIND_COORDINATOR, FindCoordinatorRequest
from ..wire.messages.metadata import (
    METADATA,
    MetadataRequest,
    MetadataRequestTopic,
    MetadataResponse,
    MetadataResponseTopic,
)
from .address import ClusterAddress
from .connection import BrokerConnection
from .failures import refusal

ATTEMPT_S: Final = 5.0
"""How long one broker may take to be connected to, or to answer a question about others."""

ANSWER_S: Final = 30.0
IDLE_MAX: Final = 4
"""So many connections to a broker are kept for later questions."""

NOBODY: Final = -1
MISSING: Final = frozenset({ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, ErrorCode.UNKNOWN_TOPIC_ID})


class Unanswered(Unreachable):
    """A request was sent, and no answer came: whether it was carried out is not known."""


class NoLeader(Unreachable):
    """Nobody leads a partition now; others may be fine."""


class Leader(NamedTuple):
    """Who leads a partition, since which leader epoch (-1 if brokers are too old to say)."""

    node_id: int
    epoch: int


@dataclass(frozen=True, slots=True)
class KnownTopic:
    """What a broker has said of a topic; `leaders` is by partition, `node_id` -1 where there is none."""

    topic_id: UUID
    leaders: Mapping[int, Leader]


class Brokers:
    """The brokers of one cluster, as asked last."""

    def __init__(self, address: ClusterAddress) -> None:
        self._address = address
        self._nodes: dict[int, tuple[str, int]] = {}
        self._topics: dict[str, KnownTopic] = {}
        self._wanted: set[str] = set()
        self._turn = anyio.Lock()
        self._connection: BrokerConnection | None = None  # for questions about others
        self._idle: dict[int, list[BrokerConnection]] = {}

    async def topic(self, name: str) -> KnownTopic:
        """Return what is known of a topic.

        Raises:
            UnknownTopic: the broker that was asked does not know it.
            Unreachable: no broker answers.
        """
        known = self._topics.get(name)
        if known is None:
            self._wanted.add(name)
            async with self._turn:
                known = self._topics.get(name)
                if known is None:
                    await self._learn(name)
                    known = self._topics[name]
        return known

    async def leader(self, partition: TopicPartition) -> Leader:
        """Return who leads a partition.

        Raises:
            UnknownTopic: the broker that was asked does not know it.
            NoLeader: nobody leads it now.
            Unreachable: no broker answers.
        """
        known = await self.topic(partition.topic)
        if partition.partition not in known.leaders:  # maybe it has more by now
            self._topics.pop(partition.topic, None)
            known = await self.topic(partition.topic)
        leader = known.leaders.get(partition.partition)
        if leader is None:
            raise UnknownTopic(f"there is no {partition}")
        if leader.node_id == NOBODY:
            self._topics.pop(partition.topic, None)
            raise NoLeader(f"nobody leads {partition}")
        return leader

    def forget(self, partition: TopicPartition, leader: Leader) -> None:
        """Ask anew who leads this, unless somebody has done so since this answer."""
        known = self._topics.get(partition.topic)
        if known is not None and known.leaders.get(partition.partition) == leader:
            del self._topics[partition.topic]

    def _forget_led_by(self, node_id: int) -> None:
        """Ask anew about what a broker led: when it is back, it leads in a later epoch, if at all."""
        for name, known in list(self._topics.items()):
            if any(leader.node_id == node_id for leader in known.leaders.values()):
                del self._topics[name]

    async def connect(self, node_id: int, wait_s: float = ATTEMPT_S) -> BrokerConnection:
        """Return a new connection to a broker. It belongs to the caller.

        Raises:
            Unreachable: nobody is there, or it is not known where.
            NotAuthorized, ConfigError: as `BrokerConnection.open` has it.
        """
        if node_id not in self._nodes:
            async with self._turn:
                await self._ask_for(frozenset())
        if node_id not in self._nodes:
            raise Unreachable(f"broker {node_id} is not there any longer")
        return await BrokerConnection.open(self._address, *self._nodes[node_id], wait_s)

    async def ask(
        self,
        node_id: int,
        api: Api[RequestT, ResponseT],
        request: RequestT,
        wait_s: float = ANSWER_S,
    ) -> ResponseT:
        """Ask a broker once, over a connection that nobody else uses meanwhile.

        Raises:
            Unanswered: it has not answered, and may have carried out the request, or not.
            Unreachable: it has not got the request.
            LogError: the broker has no such request.
        """
        idle = self._idle.setdefault(node_id, [])
        connection = idle.pop() if idle else await self.connect(node_id)
        try:
            answer = await connection.ask(api, request, wait_s)
        except BaseException as error:
            await connection.close()
            while idle:  # most likely they are broken, too
                await idle.pop().close()
            if isinstance(error, Unreachable):
                self._forget_led_by(node_id)
                raise Unanswered(*error.args) from None
            raise
        if len(idle) < IDLE_MAX:
            idle.append(connection)
        else:
            await connection.close()
        return answer

    async def coordinator(self, key: str, kind: int) -> int:
        """Return the node id of who coordinates a group or a transactional id.

        Args:
            key: the group, or the transactional id.
            kind: 0 or 1, as FindCoordinator has it (KIP-98).

        Raises:
            Unreachable: there is none now.
            MillpondError: the cluster refuses to say.
        """
        request = FindCoordinatorRequest(key=key, key_type=kind, coordinator_keys=[key])
        async with self._turn:
            answer = await self._ask(FIND_COORDINATOR, request)
        found = answer.coordinators[0] if answer.coordinators else answer
        if found.error_code != ErrorCode.NONE:
            raise refusal(found.error_code, f"the coordinator of {key!r}")
        self._nodes[found.node_id] = (found.host, found.port)
        return found.node_id

    async def close(self) -> None:
        """Close all connections but those that belong to others."""
        await self._close_connection()
        for idle in self._idle.values():
            while idle:
                await idle.pop().close()

    async def _close_connection(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    # -- asking --------------------------------------------------------------------------------

    async def _learn(self, name: str) -> None:
        """Ask for all topics that somebody waits for; raise what the answer says of this one."""
        names = frozenset(self._wanted | {name})
        answer = await self._ask_for(names)
        self._wanted -= names
        for topic in answer.topics:
            if topic.error_code in {ErrorCode.NONE, ErrorCode.LEADER_NOT_AVAILABLE}:
                self._topics[topic.name or ""] = _known(topic)
            elif topic.name == name and topic.error_code in MISSING:
                raise UnknownTopic(f"there is no topic {name!r}")
            elif topic.name == name:
                raise refusal(topic.error_code, f"topic {name!r}")
        if name not in self._topics:
            raise UnknownTopic(f"there is no topic {name!r}")

    async def _ask_for(self, names: frozenset[str]) -> MetadataResponse:
        answer = await self._ask(
            METADATA,
            MetadataRequest(
                topics=[MetadataRequestTopic(name=name) for name in sorted(names)],
                allow_auto_topic_creation=False,
            ),
        )
        self._nodes.update({each.node_id: (each.host, each.port) for each in answer.brokers})
        return answer

    async def _ask(self, api: Api[RequestT, ResponseT], request: RequestT) -> ResponseT:
        """Ask whoever answers."""
        if self._connection is not None:
            try:
                return await self._ask_over(self._connection, api, request)
            except Unreachable:
                pass
        failed: Unreachable | None = None
        for host, port in self._candidates():
            try:
                connection = await BrokerConnection.open(self._address, host, port, ATTEMPT_S)
                self._connection = connection
                return await self._ask_over(connection, api, request)
            except Unreachable as error:
                failed = error
        assert failed is not None
        raise failed

    async def _ask_over(
        self, connection: BrokerConnection, api: Api[RequestT, ResponseT], request: RequestT
    ) -> ResponseT:
        try:
            return await connection.ask(api, request, ATTEMPT_S)
        except BaseException:
            await self._close_connection()
            raise

    def _candidates(self) -> Iterator[tuple[str, int]]:
        yield from list(self._nodes.values())
        yield from self._address.hosts_and_ports()


def _known(topic: MetadataResponseTopic) -> KnownTopic:
    return KnownTopic(
        topic.topic_id,
        {
            each.partition_index: Leader(each.leader_id, each.leader_epoch)
            for each in topic.partitions
        },
    )
