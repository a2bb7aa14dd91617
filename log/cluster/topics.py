"""Topics of a cluster: made, altered, deleted, described; and what is remembered of them.

Kafka creates and alters topic by topic, while the interface promises all or none. So each change is
asked for twice: first only to be checked, then to be made. Another client in between may still spoil
it; then what was made stays.

A broker answers before all others know. So whoever changes something waits until it is seen.
"""

import time
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import anyio
from confluent_kafka import KafkaError, TopicCollection
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ConfigSource,
    NewPartitions,
    NewTopic,
)

from ..errors import ConfigError, LogError, RecordTooLarge, UnknownTopic
from ..interface import RecordsByPartition
from ..model import NewRecord, TopicDescription, TopicPartition, TopicSpec
from .client import Client
from .failures import ERRORS

REMEMBERED_S: Final = 30.0
SEEN_PAUSE_S: Final = 0.02
RECORD_BYTES_MAX: Final = 1_048_588
"""Kafka's default of max.message.bytes."""

BATCH_OVERHEAD: Final = 61
RECORD_OVERHEAD: Final = 30
"""More than a record's lengths, offset and timestamp take within a batch."""


@dataclass(frozen=True, slots=True)
class KnownTopic:
    """What is remembered of a topic until `until`, by the monotonic clock."""

    partitions: int
    batch_bytes_max: int
    until: float


class Topics:
    """The topics of one cluster."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._known: dict[str, KnownTopic] = {}

    async def create(self, specs: Iterable[TopicSpec]) -> None:
        new = list(specs)
        if not new:
            return
        for name in _repeated(spec.name for spec in new):
            raise ConfigError(f"topic {name!r} is named twice in one request")
        for spec in new:
            if not spec.name or spec.partitions < 1:  # -1 would mean the broker's default
                raise ConfigError(
                    f"topic {spec.name!r} with {spec.partitions} partitions won't do: "
                    "it takes a name and at least one partition"
                )
        topics = [
            NewTopic(
                spec.name,
                spec.partitions,
                replication_factor=spec.replication,
                config={**spec.config},
            )
            for spec in new
        ]
        await self._checked(
            lambda admin, left, only_check: admin.create_topics(
                topics, operation_timeout=left, request_timeout=left, validate_only=only_check
            )
        )
        names = [spec.name for spec in new]
        await self._until(lambda: self._all_have_leaders(names), f"topics {names} are there")

    async def delete(self, names: Iterable[str]) -> None:
        wanted = list(dict.fromkeys(names))
        self.forget(wanted)
        await self._require(wanted)
        if not wanted:
            return
        await self._client.ask_all(
            lambda admin, left: admin.delete_topics(
                wanted, operation_timeout=left, request_timeout=left
            ),
            changes=True,
        )
        await self._until(lambda: self._none_is_left(wanted), f"topics {wanted} are gone")

    async def alter(self, configs: Mapping[str, Mapping[str, str]]) -> None:
        before = await self._require(configs)
        resources = []
        for name, wanted in configs.items():
            put = [_entry(each, value, AlterConfigOpType.SET) for each, value in wanted.items()]
            unset = [
                _entry(each, None, AlterConfigOpType.DELETE)
                for each in before[name].config
                if each not in wanted
            ]
            if put or unset:
                resources.append(
                    ConfigResource(
                        ConfigResource.Type.TOPIC, name, incremental_configs=[*put, *unset]
                    )
                )
        if resources:
            await self._checked(
                lambda admin, left, only_check: {
                    resource.name: future
                    for resource, future in admin.incremental_alter_configs(
                        resources, request_timeout=left, validate_only=only_check
                    ).items()
                }
            )
        self.forget(configs)

    async def grow(self, counts: Mapping[str, int]) -> None:
        before = await self._require(counts)
        for name, count in counts.items():
            if count <= before[name].partitions:
                raise ConfigError(
                    f"topic {name!r} has {before[name].partitions} partitions, so {count} won't do: "
                    "partitions can only be added"
                )
        new = [NewPartitions(name, count) for name, count in counts.items()]
        if new:
            await self._checked(
                lambda admin, left, only_check: admin.create_partitions(
                    new, operation_timeout=left, request_timeout=left, validate_only=only_check
                )
            )
        self.forget(counts)
        await self._until(lambda: self._all_have_leaders(counts, counts), "partitions are there")

    async def describe(self, names: Iterable[str] | None) -> dict[str, TopicDescription]:
        """Return the topics that exist, of those named; or all that are not internal."""
        wanted = await self._names() if names is None else [name for name in names if name]
        found = {
            name: told
            for name, told in (await self._describe(wanted)).items()
            if names is not None or not told.is_internal
        }
        configs = await self._configs(found)
        return {
            name: TopicDescription(
                name, _uuid(told), len(told.partitions), configs[name], told.is_internal
            )
            for name, told in found.items()
            if name in configs  # else deleted meanwhile
        }

    async def ids(self, names: Iterable[str]) -> dict[str, UUID]:
        """Return the ids of those topics that exist."""
        return {name: _uuid(told) for name, told in (await self._describe(set(names))).items()}

    async def check(self, partitions: Collection[TopicPartition]) -> None:
        """Raise UnknownTopic if one of them does not exist, as far as is known."""
        for topic in {partition.topic for partition in partitions}:
            numbers = [each.partition for each in partitions if each.topic == topic]
            known = self._known.get(topic)
            if known is None or known.until < time.monotonic() or known.partitions <= max(numbers):
                known = await self._learn(topic)
            for number in numbers:
                if not 0 <= number < known.partitions:
                    raise UnknownTopic(
                        f"topic {topic!r} has {known.partitions} partitions, "
                        f"so there is no partition {number}"
                    )

    async def split(self, records: RecordsByPartition) -> list[RecordsByPartition]:
        """Return records as what can be sent at once, so that each topic's limit is kept.

        Nearly always that is all of them: librdkafka's own batches are smaller than Kafka's default
        limit. Where a topic's limit is smaller, what is sent at once must fit into one batch.

        Raises:
            UnknownTopic, RecordTooLarge: of one of them.
        """
        await self.check(records)
        parts: list[dict[TopicPartition, list[NewRecord]]] = [{}]
        for partition, new in records.items():
            limit = self._known[partition.topic].batch_bytes_max
            for number, one in enumerate(_batches(partition, new, limit)):
                if number == len(parts):
                    parts.append({})
                parts[number][partition] = one
        return [part for part in parts if part]

    def has_small_batches(self, partition: TopicPartition) -> bool:
        """Whether librdkafka's batches may be larger than the topic's limit."""
        known = self._known.get(partition.topic)
        return known is not None and known.batch_bytes_max < RECORD_BYTES_MAX

    def batch_bytes_max(self, topic: str) -> int:
        """Return how large a batch may be, as far as is known."""
        known = self._known.get(topic)
        return RECORD_BYTES_MAX if known is None else known.batch_bytes_max

    def forget(self, names: Iterable[str]) -> None:
        """Ask again, next time."""
        for name in names:
            self._known.pop(name, None)

    async def _checked(
        self, send: Callable[[AdminClient, float, bool], Mapping[str, "Future[Any]"]]
    ) -> None:
        """Ask whether it would be done, of all; then that it be done."""
        await self._client.ask_all(lambda admin, left: send(admin, left, True))
        await self._client.ask_all(lambda admin, left: send(admin, left, False), changes=True)

    async def _learn(self, topic: str) -> KnownTopic:
        described = (await self._require([topic]))[topic]
        limit = int(described.config.get("max.message.bytes", RECORD_BYTES_MAX))
        known = KnownTopic(described.partitions, limit, time.monotonic() + REMEMBERED_S)
        self._known[topic] = known
        return known

    async def _require(self, names: Collection[str]) -> dict[str, TopicDescription]:
        found = await self.describe(list(names))
        for name in names:
            if name not in found:
                self.forget([name])
                raise UnknownTopic(f"there is no topic {name!r}")
        return found

    async def _names(self) -> list[str]:
        timeout_s = self._client.address.timeout_s
        told = await self._client.metadata(timeout_s)
        return [name for name, topic in told.topics.items() if topic.error is None]

    async def _describe(self, names: Iterable[str]) -> dict[str, Any]:
        wanted = list(dict.fromkeys(names))
        if not wanted:
            return {}
        answers = await self._client.ask(
            lambda admin, left: admin.describe_topics(TopicCollection(wanted), request_timeout=left)
        )
        found = {}
        for name, answer in answers.items():
            if not isinstance(answer, KafkaError):
                found[name] = answer
            elif ERRORS.get(answer.code()) not in {UnknownTopic, ConfigError}:
                raise self._client.typed(answer, f"topic {name!r}")
        return found

    async def _configs(self, names: Collection[str]) -> dict[str, dict[str, str]]:
        """Return what was set on each topic itself."""
        if not names:
            return {}
        resources = [ConfigResource(ConfigResource.Type.TOPIC, name) for name in names]
        answers = await self._client.ask(
            lambda admin, left: {
                resource.name: future
                for resource, future in admin.describe_configs(
                    resources, request_timeout=left
                ).items()
            }
        )
        configs = {}
        for name, answer in answers.items():
            if not isinstance(answer, KafkaError):
                configs[name] = {
                    entry.name: entry.value
                    for entry in answer.values()
                    if entry.source == ConfigSource.DYNAMIC_TOPIC_CONFIG.value
                }
            elif ERRORS.get(answer.code()) is not UnknownTopic:
                raise self._client.typed(answer, f"topic {name!r}")
        return configs

    async def _all_have_leaders(
        self, names: Collection[str], counts: Mapping[str, int] | None = None
    ) -> bool:
        found = await self._describe(names)
        return len(found) == len(names) and all(
            len(told.partitions) >= (counts or {}).get(name, 1)
            and all(one.leader is not None and one.leader.id >= 0 for one in told.partitions)
            for name, told in found.items()
        )

    async def _none_is_left(self, names: Collection[str]) -> bool:
        return not await self._describe(names)

    async def _until(self, seen: Callable[[], Awaitable[bool]], what: str) -> None:
        deadline = time.monotonic() + self._client.address.timeout_s
        while not await seen():
            if time.monotonic() > deadline:
                raise LogError(f"it was accepted, but still not all brokers say that {what}")
            await anyio.sleep(SEEN_PAUSE_S)


def _batches(
    partition: TopicPartition, records: Iterable[NewRecord], limit: int
) -> Iterable[list[NewRecord]]:
    """Yield records of one partition, together as far as the limit or librdkafka allows."""
    one: list[NewRecord] = []
    size = BATCH_OVERHEAD
    small = limit < RECORD_BYTES_MAX
    for record in records:
        key, value, _timestamp, headers = record
        more = RECORD_OVERHEAD + len(key or b"") + len(value or b"")
        if headers:
            more += sum(10 + 4 * len(name) + len(data or b"") for name, data in headers)
        if BATCH_OVERHEAD + more - RECORD_OVERHEAD > limit:
            raise RecordTooLarge(
                f"{partition}: a record of {more - RECORD_OVERHEAD} bytes is larger than the "
                f"topic's max.message.bytes={limit} allows"
            )
        if small and one and size + more > limit:
            yield one
            one, size = [], BATCH_OVERHEAD
        one.append(record)
        size += more
    if one:
        yield one


def _entry(name: str, value: str | None, operation: AlterConfigOpType) -> ConfigEntry:
    return ConfigEntry(name, value, incremental_operation=operation)


def _repeated(names: Iterable[str]) -> list[str]:
    return [name for name, count in Counter(names).items() if count > 1]


def _uuid(told: Any) -> UUID:
    told_id = told.topic_id
    high, low = told_id.get_most_significant_bits(), told_id.get_least_significant_bits()
    return UUID(int=((high & (1 << 64) - 1) << 64) | (low & (1 << 64) - 1))
