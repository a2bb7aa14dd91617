"""What groups have committed, asked and said from outside of them.

A group that has members is left alone: the cluster refuses what others say of its offsets. Whoever
is a member commits as one; in a transaction, see `transactional_producer.py`.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Final

import anyio
from confluent_kafka import ConsumerGroupTopicPartitions, KafkaError
from confluent_kafka import TopicPartition as ClientPartition
from confluent_kafka.admin import AdminClient

from ..errors import GroupActive, RecordTooLarge
from ..model import CommittedOffset, TopicPartition
from .client import Client
from .topics import Topics

METADATA_BYTES_MAX: Final = 4095
"""Kafka's default of offset.metadata.max.bytes, less the zero byte that confluent-kafka appends to it.
Clients other than ours see that byte; confluent-kafka cuts it off."""

_ACTIVE: Final = {
    KafkaError.UNKNOWN_MEMBER_ID: GroupActive,
    KafkaError.ILLEGAL_GENERATION: GroupActive,
    KafkaError.STALE_MEMBER_EPOCH: GroupActive,
    KafkaError.NON_EMPTY_GROUP: GroupActive,
    KafkaError.REBALANCE_IN_PROGRESS: GroupActive,
}


class GroupOffsets:
    """The groups of one cluster."""

    def __init__(self, client: Client, topics: Topics) -> None:
        self._client = client
        self._topics = topics
        self._turns: defaultdict[str, anyio.Lock] = defaultdict(anyio.Lock)

    async def names(self) -> list[str]:
        """Return the groups that have committed offsets, sorted."""
        listed = await self._client.ask_all(
            lambda admin, left: {"groups": admin.list_consumer_groups(request_timeout=left)}
        )
        groups = [one.group_id for one in listed["groups"].valid]
        found = await self._committed(groups)
        return sorted(group for group, committed in found.items() if committed)

    async def committed(
        self, group: str, partitions: Iterable[TopicPartition] | None
    ) -> dict[TopicPartition, CommittedOffset]:
        found = (await self._committed([group]))[group]
        wanted = found if partitions is None else [each for each in partitions if each in found]
        return {each: found[each] for each in wanted}

    async def commit(self, group: str, offsets: Mapping[TopicPartition, CommittedOffset]) -> None:
        """Commit from outside of the group.

        Raises:
            GroupActive: it has members.
        """
        async with self._turns[group]:  # librdkafka may reorder what is asked at the same time
            await self.check(offsets)
            if not offsets:
                return
            request = ConsumerGroupTopicPartitions(group, to_client(offsets))
            answer = await self._client.ask_all(
                lambda admin, left: {
                    f"group {group!r}": future
                    for future in admin.alter_consumer_group_offsets(
                        [request], request_timeout=left
                    ).values()
                },
                _ACTIVE,
            )
            for done in answer.values():
                for one in done.topic_partitions:
                    if one.error is not None:
                        raise self._client.typed(one.error, f"group {group!r}", _ACTIVE)

    async def check(self, offsets: Mapping[TopicPartition, CommittedOffset]) -> None:
        """Raise what would spoil a commit: UnknownTopic, RecordTooLarge."""
        await self._topics.check(offsets.keys())
        for partition, committed in offsets.items():
            size = len(committed.metadata.encode())
            if size > METADATA_BYTES_MAX:
                raise RecordTooLarge(
                    f"{partition}: metadata of {size} bytes is larger than {METADATA_BYTES_MAX}"
                )

    async def _committed(
        self, groups: Iterable[str]
    ) -> dict[str, dict[TopicPartition, CommittedOffset]]:
        wanted = list(groups)

        def send(admin: AdminClient, left: float) -> dict[str, object]:
            return {  # librdkafka takes one group per call
                group: admin.list_consumer_group_offsets(
                    [ConsumerGroupTopicPartitions(group)], require_stable=True, request_timeout=left
                )[group]
                for group in wanted
            }

        answers = await self._client.ask_all(send)  # type: ignore[arg-type]
        return {
            group: {
                TopicPartition(one.topic, one.partition): CommittedOffset(
                    one.offset,
                    -1 if one.leader_epoch is None else one.leader_epoch,
                    one.metadata or "",
                )
                for one in answer.topic_partitions
                if one.error is None and one.offset >= 0
            }
            for group, answer in answers.items()
        }


def to_client(offsets: Mapping[TopicPartition, CommittedOffset]) -> list[ClientPartition]:
    """Return committed offsets as librdkafka takes them."""
    return [_to_client(partition, committed) for partition, committed in offsets.items()]


def _to_client(partition: TopicPartition, committed: CommittedOffset) -> ClientPartition:
    place = (*partition, committed.offset, committed.metadata)
    if committed.leader_epoch < 0:
        return ClientPartition(*place)
    return ClientPartition(*place, leader_epoch=committed.leader_epoch)
