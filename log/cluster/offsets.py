"""Where partitions begin and end, and at which offset a time or a leader epoch is found."""

import time
from collections.abc import Iterable, Mapping
from typing import Final, TypeAlias

import anyio
from confluent_kafka import TopicPartition as ClientPartition

from ..errors import MillpondError, OffsetOutOfRange, Unreachable
from ..model import Isolation, Offset, Timestamp, TopicPartition
from ..wire.error_codes import RETRIABLE, ErrorCode
from ..wire.messages.list_offsets import (
    LIST_OFFSETS,
    ListOffsetsPartition,
    ListOffsetsPartitionResponse,
    ListOffsetsRequest,
    ListOffsetsResponse,
    ListOffsetsTopic,
)
from .brokers import ATTEMPT_S, Brokers, Leader
from .client import Client
from .failures import refusal

EARLIEST: Final = -2
LATEST: Final = -1
"""What ListOffsets takes in place of a time."""

CONSUMER: Final = -1
"""The replica id of whoever is no replica."""

EPOCH_REMEMBERED_S: Final = 10.0
RETRY_PAUSE_S: Final = 0.02

Found: TypeAlias = ListOffsetsPartitionResponse


class Offsets:
    """The offsets of one cluster's partitions."""

    def __init__(self, client: Client, brokers: Brokers) -> None:
        self._client = client
        self._brokers = brokers
        self._epochs: dict[TopicPartition, tuple[int, float]] = {}

    async def starts(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, Offset]:
        found = await self._ask(dict.fromkeys(partitions, EARLIEST))
        return {partition: one.offset for partition, one in found.items()}

    async def ends(
        self, partitions: Iterable[TopicPartition], isolation: Isolation
    ) -> dict[TopicPartition, Offset]:
        found = await self._ask(dict.fromkeys(partitions, LATEST), isolation)
        return {partition: one.offset for partition, one in found.items()}

    async def for_times(
        self, times: Mapping[TopicPartition, Timestamp]
    ) -> dict[TopicPartition, Offset | None]:
        found = await self._ask(
            # A negative time would mean earliest, latest and the like.
            {each: max(when, 0) for each, when in times.items()}
        )
        return {each: None if one.offset < 0 else one.offset for each, one in found.items()}

    async def delete_before(self, before: Mapping[TopicPartition, Offset]) -> None:
        wanted = list(before)
        starts, ends = (
            await self.starts(wanted),
            await self.ends(wanted, Isolation.READ_UNCOMMITTED),
        )
        for partition, offset in before.items():
            if not 0 <= offset <= ends[partition]:
                raise OffsetOutOfRange(partition, offset, starts[partition], ends[partition])
        moved = [
            ClientPartition(*partition, offset)
            for partition, offset in before.items()
            if offset > starts[partition]
        ]
        if moved:
            await self._client.ask_all(
                lambda admin, left: admin.delete_records(
                    moved, operation_timeout=left, request_timeout=left
                )
            )

    async def leader_epochs(
        self, partitions: Iterable[TopicPartition]
    ) -> dict[TopicPartition, int]:
        """Return under which leader epochs appends go on, or did a few seconds ago.

        librdkafka does not say under which epoch a record was appended. One that is too old does no
        harm: a position with it is taken to be on another history, so it is rebuilt from.
        """
        now = time.monotonic()
        wanted = list(partitions)
        missing = [each for each in wanted if self._epochs.get(each, (0, 0.0))[1] < now]
        if missing:
            found = await self._ask(dict.fromkeys(missing, LATEST))
            until = now + EPOCH_REMEMBERED_S
            self._epochs.update({each: (one.leader_epoch, until) for each, one in found.items()})
        return {each: self._epochs[each][0] for each in wanted}

    async def _ask(
        self,
        times: Mapping[TopicPartition, Timestamp],
        isolation: Isolation = Isolation.READ_UNCOMMITTED,
    ) -> dict[TopicPartition, Found]:
        """Ask the leaders; again, until the deadline, those that moved or that were away.

        Raises:
            UnknownTopic: one does not exist.
            Unreachable: not all have answered in time.
        """
        deadline = time.monotonic() + self._client.address.timeout_s
        found: dict[TopicPartition, Found] = {}
        while True:
            left_s = deadline - time.monotonic()
            missing = {each: when for each, when in times.items() if each not in found}
            if not missing:
                return {each: found[each] for each in times}
            try:
                await self._ask_leaders(missing, isolation, found, max(left_s, ATTEMPT_S))
            except Unreachable:
                if left_s <= 0:
                    raise
                await anyio.sleep(RETRY_PAUSE_S)

    async def _ask_leaders(
        self,
        times: Mapping[TopicPartition, Timestamp],
        isolation: Isolation,
        found: dict[TopicPartition, Found],
        wait_s: float,
    ) -> None:
        """Ask each leader once, all at the same time; add what they answer to `found`.

        Raises:
            Unreachable: not all have answered, but may do so later.
            MillpondError: what the question has come to otherwise.
        """
        by_node: dict[int, dict[TopicPartition, Leader]] = {}
        for each in times:
            leader = await self._brokers.leader(each)
            by_node.setdefault(leader.node_id, {})[each] = leader
        failures: list[MillpondError] = []

        async def ask(node_id: int, leaders: Mapping[TopicPartition, Leader]) -> None:
            request = list_offsets_request(times, leaders, isolation)
            try:
                answer = await self._brokers.ask(node_id, LIST_OFFSETS, request, wait_s)
            except MillpondError as error:
                failures.append(error)
                answer = ListOffsetsResponse(topics=[])
            answered = {
                TopicPartition(topic.name, one.partition_index): one
                for topic in answer.topics
                for one in topic.partitions
            }
            for each, leader in leaders.items():
                one = answered.get(each)
                if one is not None and one.error_code == ErrorCode.NONE:
                    found[each] = one
                    continue
                self._brokers.forget(each, leader)
                if one is not None:
                    failures.append(failure_of(one.error_code, each))
                else:
                    failures.append(Unreachable(f"{each}: its leader does not answer for it"))

        async with anyio.create_task_group() as tasks:
            for node_id, leaders in by_node.items():
                tasks.start_soon(ask, node_id, leaders)
        if failures:
            raise min(failures, key=lambda failure: isinstance(failure, Unreachable))


def list_offsets_request(
    times: Mapping[TopicPartition, Timestamp],
    leaders: Mapping[TopicPartition, Leader],
    isolation: Isolation,
) -> ListOffsetsRequest:
    """Return what a leader is asked of all its partitions."""
    topics: dict[str, ListOffsetsTopic] = {}
    for each, leader in leaders.items():
        topic = topics.setdefault(each.topic, ListOffsetsTopic(name=each.topic, partitions=[]))
        topic.partitions.append(
            ListOffsetsPartition(
                partition_index=each.partition,
                current_leader_epoch=leader.epoch,
                timestamp=times[each],
            )
        )
    return ListOffsetsRequest(
        replica_id=CONSUMER, isolation_level=isolation.value, topics=list(topics.values())
    )


def failure_of(code: int, subject: object) -> MillpondError:
    """Return what a broker has refused; `Unreachable` if it, or another one, may not do so later."""
    refused = refusal(code, subject)
    return Unreachable(str(refused)) if code in RETRIABLE else refused
