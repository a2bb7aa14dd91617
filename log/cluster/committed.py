"""What groups have committed, asked over connections of our own.

confluent-kafka (2.16) takes the metadata of a committed offset for a text that ends with a zero byte,
which it is only where confluent-kafka itself has written it: of what anyone else has committed it
reads on into whatever memory follows. So the coordinators are asked with our own codec.
"""

from collections.abc import Collection, Iterable
from typing import Final

from ..errors import LogError
from ..model import CommittedOffset, TopicPartition
from ..wire.error_codes import ErrorCode
from ..wire.messages.find_coordinator import FIND_COORDINATOR, FindCoordinatorRequest
from ..wire.messages.offset_fetch import (
    OFFSET_FETCH,
    OffsetFetchRequest,
    OffsetFetchRequestTopic,
    OffsetFetchResponse,
)
from .direct import Direct

COORDINATOR_VERSION: Final = 3
FETCH_VERSION: Final = 7
GROUP_KEY: Final = 0


class NotSettled(LogError):
    """The answer depends on what is just being decided: ask again."""


class CommittedOffsets:
    """Asks coordinators, blocking."""

    def __init__(self, direct: Direct) -> None:
        self._direct = direct

    def of(
        self, groups: Iterable[str], partitions: Collection[TopicPartition] | None
    ) -> dict[str, dict[TopicPartition, CommittedOffset]]:
        """Return what each group has committed: of these partitions, or everything.

        Raises:
            NotSettled: a transaction that decides the answer is being completed, or a group is moving.
            Unreachable, LogError.
        """
        by_coordinator: dict[tuple[str, int], list[str]] = {}
        for group in groups:
            by_coordinator.setdefault(self._coordinator(group), []).append(group)
        found: dict[str, dict[TopicPartition, CommittedOffset]] = {}
        for (host, port), some in by_coordinator.items():
            with self._direct.connected(host, port) as connection:
                for group in some:
                    request = OffsetFetchRequest(
                        group_id=group, topics=_topics(partitions), require_stable=True
                    )
                    answer = self._direct.ask(connection, OFFSET_FETCH, FETCH_VERSION, request)
                    found[group] = _committed_in(answer, group)
        return found

    def _coordinator(self, group: str) -> tuple[str, int]:
        request = FindCoordinatorRequest(key=group, key_type=GROUP_KEY)
        answer = self._direct.ask_any(FIND_COORDINATOR, COORDINATOR_VERSION, request)
        _check(answer.error_code, group)
        return answer.host, answer.port


def _topics(
    partitions: Collection[TopicPartition] | None,
) -> list[OffsetFetchRequestTopic] | None:
    if partitions is None:
        return None
    indexes: dict[str, list[int]] = {}
    for topic, partition in partitions:
        indexes.setdefault(topic, []).append(partition)
    return [
        OffsetFetchRequestTopic(name=topic, partition_indexes=some)
        for topic, some in indexes.items()
    ]


def _committed_in(answer: OffsetFetchResponse, group: str) -> dict[TopicPartition, CommittedOffset]:
    _check(answer.error_code, group)
    found = {}
    for topic in answer.topics:
        for each in topic.partitions:
            if each.error_code != ErrorCode.UNKNOWN_TOPIC_OR_PARTITION:
                _check(each.error_code, group)
            if each.error_code == ErrorCode.NONE and each.committed_offset >= 0:
                metadata = (each.metadata or "").removesuffix("\0")  # confluent-kafka's own
                committed = CommittedOffset(
                    each.committed_offset, each.committed_leader_epoch, metadata
                )
                found[TopicPartition(topic.name, each.partition_index)] = committed
    return found


def _check(code: int, group: str) -> None:
    error = ErrorCode(code)
    if error.is_retriable:
        raise NotSettled(f"group {group!r}: {error.name}")
    if error is not ErrorCode.NONE:
        raise LogError(f"group {group!r}: {error.name}")
