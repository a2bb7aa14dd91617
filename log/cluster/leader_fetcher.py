"""Fetches flows from the one broker that leads their partitions, in few requests.

One request asks for all flows that want more, and the broker holds it back until one of them has
something. What wants more meanwhile would have to wait for that, so there are several *lanes*, each with
a connection of its own and at most one request under way. Only the first one asks with patience. The
others ask for a moment, again and again, until the first lane is back and takes over what they have:
so in the long run there is one request under way, however many partitions are read.

A partition is named once in a request. So the second of two readers of the same ones is left to another
lane for good. That may be patient, too, as long as a third one is free for what wants more meanwhile.

Source: KIP-74 (limits of a response), KIP-219 (throttling), KIP-320 (leader epochs), KIP-516.
"""

from collections.abc import Callable, Collection, Iterable
from typing import Final
from uuid import UUID

import anyio
import anyio.abc

from ..errors import MillpondError, OffsetOutOfRange, Unreachable
from ..model import Isolation, TopicPartition
from ..wire.error_codes import RETRIABLE, ErrorCode
from ..wire.messages.fetch import (
    FETCH,
    FetchPartition,
    FetchRequest,
    FetchResponse,
    FetchTopic,
    PartitionData,
)
from ..wire.schema import NO_UUID
from .address import FetchLimits
from .brokers import Brokers, Leader
from .connection import BrokerConnection
from .failures import refusal
from .flow import Flow
from .gaps import pass_gaps
from .offsets import failure_of

LANES_MAX: Final = 3
SECOND: Final = 1
"""The lane that asks for other readers of what the first one, 0, asks for."""

IMPATIENT_MS: Final = 50
"""How long a broker may hold back what only bridges the time until the first lane is back."""

ANSWER_S: Final = 30.0
"""How much later than that an answer may come, before the connection is given up."""

PARTITION_BYTES_MIN: Final = 64 << 10
WAITING_BYTES_MAX: Final = 64 << 20
"""About this much of all partitions of a broker may wait to be read, shared evenly."""

IDS_SINCE: Final = 13

NOT_NOW: Final = RETRIABLE - {ErrorCode.CORRUPT_MESSAGE}
"""After these, it is found out anew who leads a partition."""


class LeaderFetcher:
    """Brings flows from one broker."""

    def __init__(
        self,
        node_id: int,
        brokers: Brokers,
        isolation: Isolation,
        limits: FetchLimits,
        tasks: anyio.abc.TaskGroup,
        give_back: Callable[[Iterable[Flow]], None],
    ) -> None:
        """Fetch from a broker.

        Args:
            node_id: the broker's.
            brokers: how to reach it.
            isolation: what is seen of transactions.
            limits: of each request.
            tasks: where lanes run.
            give_back: takes flows that the broker does not lead, or can't be asked for.
        """
        self._node_id = node_id
        self._brokers = brokers
        self._isolation = isolation
        self._limits = limits
        self._tasks = tasks
        self._give_back = give_back
        self._flows: dict[Flow, Leader] = {}  # in the order in which it is their turn
        self._bridged: set[Flow] = set()
        self._wait_ms: list[int] = []  # of each lane's request that is under way; 0 if none is
        self._first_asks: set[TopicPartition] = set()  # for these
        self._news = anyio.Event()

    def add(self, flow: Flow, leader: Leader) -> None:
        """Fetch this, too."""
        self._flows[flow] = leader
        flow.wanted = self._look
        self._look()

    def drop_left(self) -> None:
        """Fetch no more what readers have given up."""
        for flow in [flow for flow in self._flows if flow.has_left]:
            self._forget(flow)

    def _forget(self, flow: Flow) -> None:
        self._flows.pop(flow, None)
        self._bridged.discard(flow)

    def _look(self) -> None:
        """Let somebody ask for what is wanted."""
        if all(self._wait_ms) and len(self._wait_ms) < LANES_MAX:
            self._wait_ms.append(0)
            self._tasks.start_soon(self._run_lane, len(self._wait_ms) - 1)
        self._news.set()

    # -- a lane --------------------------------------------------------------------------------

    async def _run_lane(self, lane: int) -> None:
        connection: BrokerConnection | None = None
        try:
            while True:
                asked = self._to_ask(lane)
                if not asked:
                    if self._news.is_set():
                        self._news = anyio.Event()
                    await self._news.wait()
                    continue
                self._begin(lane, asked)
                try:
                    if connection is None:
                        connection = await self._brokers.connect(self._node_id)
                    await self._ask(lane, connection, asked)
                except MillpondError as error:
                    if connection is not None:
                        await connection.close()
                        connection = None
                    self._could_not_ask(asked, error)
                finally:
                    self._end(lane, asked)
        finally:
            if connection is not None:
                await connection.close()

    def _to_ask(self, lane: int) -> list[Flow]:
        """Return what wants more and is nobody else's business; each partition once."""
        first_ms = self._wait_ms[0]
        if lane and not first_ms:
            return []
        bridged = self._bridged if lane and first_ms <= IMPATIENT_MS else ()
        is_full = sum(flow.waiting_bytes for flow in self._flows) > WAITING_BYTES_MAX
        asked: dict[TopicPartition, Flow] = {}
        for flow in self._flows:
            if (
                flow.is_hungry
                and not flow.is_asked_for
                and not (is_full and flow.waiting_bytes)
                and flow not in bridged
            ):
                asked.setdefault(flow.partition, flow)
        return list(asked.values())

    def _begin(self, lane: int, asked: Iterable[Flow]) -> None:
        for flow in asked:
            flow.is_asked_for = True
        patient_ms = self._limits.wait_max_ms
        partitions = {flow.partition for flow in asked}
        if lane:
            is_patient = lane == SECOND and partitions <= self._first_asks
        else:
            is_patient = all(wait_ms in {0, patient_ms} for wait_ms in self._wait_ms[SECOND:])
            self._first_asks = partitions
            self._bridged.difference_update(asked)
        self._wait_ms[lane] = patient_ms if is_patient else min(IMPATIENT_MS, patient_ms)
        if any(flow.is_hungry and not flow.is_asked_for for flow in self._flows):
            self._look()

    def _end(self, lane: int, asked: Iterable[Flow]) -> None:
        self._wait_ms[lane] = 0
        for flow in asked:
            flow.is_asked_for = False
        self._news.set()  # others may have left these to this lane, or now leave this one theirs

    async def _ask(self, lane: int, connection: BrokerConnection, asked: list[Flow]) -> None:
        asked = [flow for flow in asked if flow in self._flows]  # some left during the connect
        if not asked:
            return
        wait_ms = self._wait_ms[lane]
        request = self._request(asked, wait_ms)
        has_ids = all(topic.topic_id != NO_UUID for topic in request.topics)
        version = connection.version(FETCH, FETCH.last if has_ids else IDS_SINCE - 1)
        answer = await connection.ask(FETCH, request, wait_ms / 1000 + ANSWER_S, version)
        if answer.error_code != ErrorCode.NONE:
            raise failure_of(answer.error_code, connection.broker)
        came = self._hand_out(asked, answer, has_ids=version >= IDS_SINCE)
        if not any(data.records for _, data in came):
            if lane:
                self._bridged.update(flow for flow in asked if flow in self._flows)
            await self._pass_gaps(connection, came)
        await anyio.sleep(answer.throttle_time_ms / 1000)

    def _request(self, asked: Collection[Flow], wait_ms: int) -> FetchRequest:
        waiting = sum(flow.waiting_bytes for flow in self._flows)
        share = max((WAITING_BYTES_MAX - waiting) // len(asked), PARTITION_BYTES_MIN)
        bytes_max = min(self._limits.partition_bytes_max, share)
        topics: dict[tuple[str, UUID], FetchTopic] = {}  # one that was made anew is another one
        for flow in asked:
            assert flow.topic_id is not None
            name, number = flow.partition
            topic = topics.setdefault(
                (name, flow.topic_id),
                FetchTopic(topic=name, topic_id=flow.topic_id, partitions=[]),
            )
            topic.partitions.append(
                FetchPartition(
                    partition=number,
                    current_leader_epoch=self._flows[flow].epoch,
                    fetch_offset=flow.fetch_offset,
                    partition_max_bytes=bytes_max,
                )
            )
        return FetchRequest(
            max_wait_ms=wait_ms,
            min_bytes=1,
            max_bytes=self._limits.bytes_max,
            isolation_level=self._isolation.value,
            topics=list(topics.values()),
        )

    # -- what comes of it ----------------------------------------------------------------------

    def _hand_out(
        self, asked: list[Flow], answer: FetchResponse, *, has_ids: bool
    ) -> list[tuple[Flow, PartitionData]]:
        """Give flows what has come for them; return that."""
        flows = {
            (flow.topic_id if has_ids else flow.partition.topic, flow.partition.partition): flow
            for flow in asked
        }
        came = [
            (flow, data)
            for topic in answer.responses
            for data in topic.partitions
            if (
                flow := flows.get(
                    (topic.topic_id if has_ids else topic.topic, data.partition_index)
                )
            )
            and not flow.has_left
        ]
        has_records = [flow for flow, data in came if data.records]
        for flow in (*asked, *has_records):
            if flow in self._flows:
                self._flows[flow] = self._flows.pop(flow)
        for flow, data in came:
            self._came(flow, data)
        return came

    async def _pass_gaps(
        self, connection: BrokerConnection, came: Iterable[tuple[Flow, PartitionData]]
    ) -> None:
        """Let flows go on at their ends if there is nothing before, as nothing has come of any."""
        stuck = {
            flow: self._flows[flow]
            for flow, data in came
            if flow in self._flows
            and flow.error is None
            and flow.has_gap
            and data.preferred_read_replica < 0  # else it was sent on to another broker (KIP-392)
        }
        if stuck:
            await pass_gaps(connection, stuck, ANSWER_S)

    def _came(self, flow: Flow, data: PartitionData) -> None:
        if data.error_code == ErrorCode.NONE:
            flow.came(data)
        elif data.error_code in NOT_NOW:
            self._move_away(flow)
        elif data.error_code == ErrorCode.OFFSET_OUT_OF_RANGE:
            flow.fail(OffsetOutOfRange(flow.partition, flow.fetch_offset, -1, -1))
        else:
            flow.fail(refusal(data.error_code, flow.partition))

    def _could_not_ask(self, asked: Iterable[Flow], error: MillpondError) -> None:
        for flow in asked:
            if isinstance(error, Unreachable):
                self._move_away(flow)
            else:
                flow.fail(error)

    def _move_away(self, flow: Flow) -> None:
        if flow in self._flows:
            self._brokers.forget(flow.partition, self._flows[flow])
            self._forget(flow)
            self._give_back([flow])
