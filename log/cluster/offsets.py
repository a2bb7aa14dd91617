"""Where partitions begin and end, and at which offset a time or a leader epoch is found."""

import time
from collections.abc import Iterable, Mapping
from typing import Any, Final

from confluent_kafka import IsolationLevel, KafkaError
from confluent_kafka import TopicPartition as ClientPartition
from confluent_kafka.admin import OffsetSpec

from ..errors import OffsetOutOfRange
from ..model import Isolation, Offset, Timestamp, TopicPartition
from .client import Client
from .topics import Topics

EPOCH_REMEMBERED_S: Final = 10.0

_LEVELS: Final = {
    Isolation.READ_COMMITTED: IsolationLevel.READ_COMMITTED,
    Isolation.READ_UNCOMMITTED: IsolationLevel.READ_UNCOMMITTED,
}


class Offsets:
    """The offsets of one cluster's partitions."""

    def __init__(self, client: Client, topics: Topics) -> None:
        self._client = client
        self._topics = topics
        self._epochs: dict[TopicPartition, tuple[int, float]] = {}

    async def starts(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, Offset]:
        found = await self._ask(dict.fromkeys(partitions, OffsetSpec.earliest()))
        return {partition: one.offset for partition, one in found.items()}

    async def ends(
        self, partitions: Iterable[TopicPartition], isolation: Isolation
    ) -> dict[TopicPartition, Offset]:
        found = await self._ask(dict.fromkeys(partitions, OffsetSpec.latest()), isolation)
        return {partition: one.offset for partition, one in found.items()}

    async def for_times(
        self, times: Mapping[TopicPartition, Timestamp]
    ) -> dict[TopicPartition, Offset | None]:
        found = await self._ask(
            # A negative time would mean earliest, latest and the like.
            {each: OffsetSpec.for_timestamp(max(when, 0)) for each, when in times.items()}
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
            found = await self._ask(
                dict.fromkeys(missing, OffsetSpec.latest()), Isolation.READ_UNCOMMITTED
            )
            until = now + EPOCH_REMEMBERED_S
            self._epochs.update({each: (epoch_of(one), until) for each, one in found.items()})
        return {each: self._epochs[each][0] for each in wanted}

    async def _ask(
        self,
        specs: Mapping[TopicPartition, Any],
        isolation: Isolation = Isolation.READ_UNCOMMITTED,
    ) -> dict[TopicPartition, Any]:
        await self._topics.check(specs.keys())
        if not specs:
            return {}
        wanted = {ClientPartition(*partition): spec for partition, spec in specs.items()}
        answers = await self._client.ask(
            lambda admin, left: {
                TopicPartition(each.topic, each.partition): future
                for each, future in admin.list_offsets(
                    wanted, isolation_level=_LEVELS[isolation], request_timeout=left
                ).items()
            }
        )
        for partition, answer in answers.items():
            if isinstance(answer, KafkaError):
                self._topics.forget([partition.topic])
                raise self._client.typed(answer, partition)
        return answers


def epoch_of(found: Any) -> int:
    """Return the leader epoch in an answer of ListOffsets; -1 if a broker is too old to know it."""
    return -1 if found.leader_epoch is None else int(found.leader_epoch)
