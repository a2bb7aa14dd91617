"""What groups have committed, asked and said from outside of them.

A group that has members is left alone: the cluster refuses what others say of its offsets. Whoever
is a member commits as one; in a transaction, see `transactional_producer.py`.
"""

import time
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from typing import Final

import anyio
from confluent_kafka import ConsumerGroupTopicPartitions, KafkaError
from confluent_kafka import TopicPartition as ClientPartition

from ..errors import GroupActive, RecordTooLarge, Unreachable
from ..model import CommittedOffset, TopicPartition
from .client import RETRY_PAUSE_S, Client
from .committed import CommittedOffsets, NotSettled
from .direct import Direct
from .failures import TRANSIENT
from .topics import Topics

METADATA_BYTES_MAX: Final = 4095
"""Kafka's default of offset.metadata.max.bytes, less the zero byte that confluent-kafka appends to it.
Others see that byte; we cut it off (`committed.py`)."""

_ACTIVE: Final = {
    KafkaError.UNKNOWN_MEMBER_ID: GroupActive,
    KafkaError.ILLEGAL_GENERATION: GroupActive,
    KafkaError.STALE_MEMBER_EPOCH: GroupActive,
    KafkaError.NON_EMPTY_GROUP: GroupActive,
    KafkaError.REBALANCE_IN_PROGRESS: GroupActive,
}


class GroupOffsets:
    """The groups of one cluster."""

    def __init__(self, client: Client, topics: Topics, direct: Direct) -> None:
        self._client = client
        self._topics = topics
        self._asked = CommittedOffsets(direct)
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
        wanted = None if partitions is None else list(partitions)
        if wanted == []:
            return {}
        return (await self._committed([group], wanted))[group]

    async def commit(self, group: str, offsets: Mapping[TopicPartition, CommittedOffset]) -> None:
        """Commit from outside of the group.

        Raises:
            GroupActive: it has members.
        """
        async with self._turns[group]:  # librdkafka may reorder what is asked at the same time
            await self.check(offsets)
            if not offsets:
                return
            deadline = time.monotonic() + self._client.address.timeout_s
            request = ConsumerGroupTopicPartitions(group, to_client(offsets))
            while (error := await self._commit(group, request)) is not None:
                if error.code() not in TRANSIENT or time.monotonic() > deadline:
                    raise self._client.typed(error, f"group {group!r}", _ACTIVE)
                await anyio.sleep(RETRY_PAUSE_S)

    async def _commit(self, group: str, request: ConsumerGroupTopicPartitions) -> KafkaError | None:
        """Commit once; return what the coordinator says of a partition, if it refuses one."""
        answers = await self._client.ask_all(
            lambda admin, left: {
                f"group {group!r}": future
                for future in admin.alter_consumer_group_offsets(
                    [request], request_timeout=left
                ).values()
            },
            _ACTIVE,
        )
        refused = (one.error for done in answers.values() for one in done.topic_partitions)
        return next((error for error in refused if error is not None), None)

    async def delete(self, groups: Iterable[str]) -> None:
        """Forget groups and their offsets; those that do not exist are passed over.

        Raises:
            GroupActive: one has members.
        """
        names = list(dict.fromkeys(groups))
        if not names:
            return
        answers = await self._client.ask(
            lambda admin, left: admin.delete_consumer_groups(names, request_timeout=left)
        )
        for group, answer in answers.items():
            if isinstance(answer, KafkaError) and answer.code() != KafkaError.GROUP_ID_NOT_FOUND:
                raise self._client.typed(answer, f"group {group!r}", _ACTIVE)

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
        self, groups: Iterable[str], partitions: Collection[TopicPartition] | None = None
    ) -> dict[str, dict[TopicPartition, CommittedOffset]]:
        """Ask until no transaction that decides the answer is still being completed; past a broker's restart, too.

        Where no partitions are named, Apache Kafka passes over one whose first commit is just that.
        """
        wanted = list(groups)
        deadline = time.monotonic() + self._client.address.timeout_s
        while True:
            try:
                return await self._client.insist(lambda: self._asked.of(wanted, partitions))
            except (NotSettled, Unreachable):
                if time.monotonic() > deadline:
                    raise
            await anyio.sleep(RETRY_PAUSE_S)


def merged_by_group(
    commits: Iterable[tuple[str, Mapping[TopicPartition, CommittedOffset]]],
) -> dict[str, dict[TopicPartition, CommittedOffset]]:
    """Return what is left to be committed of several commits, the later ones counting."""
    merged: dict[str, dict[TopicPartition, CommittedOffset]] = {}
    for group, offsets in commits:
        if offsets:
            merged.setdefault(group, {}).update(offsets)
    return merged


def to_client(offsets: Mapping[TopicPartition, CommittedOffset]) -> list[ClientPartition]:
    """Return committed offsets as librdkafka takes them."""
    return [_to_client(partition, committed) for partition, committed in offsets.items()]


def _to_client(partition: TopicPartition, committed: CommittedOffset) -> ClientPartition:
    place = (*partition, committed.offset, committed.metadata)
    if committed.leader_epoch < 0:
        return ClientPartition(*place)
    return ClientPartition(*place, leader_epoch=committed.leader_epoch)
