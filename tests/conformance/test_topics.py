"""Topics are made, described and deleted."""

from functools import partial

import anyio
import pytest
from millpond.log.cluster.cluster_log import ClusterLog
from millpond.log.errors import ConfigError, TopicExists, UnknownTopic
from millpond.log.interface import Log
from millpond.log.model import CommittedOffset, TopicPartition, TopicSpec
from millpond.tests.conformance.helpers import (
    ORDERS,
    OTHER,
    eventually,
    make_topic,
    some,
    values,
)

pytestmark = pytest.mark.anyio


async def test_a_made_topic_is_described(log: Log) -> None:
    await make_topic(log, partitions=3, cleanup_policy="compact")
    described = (await log.describe_topics())["orders"]
    assert (described.name, described.partitions, described.internal) == ("orders", 3, False)
    assert described.config["cleanup.policy"] == "compact"
    assert await log.end_offsets([ORDERS, OTHER]) == {ORDERS: 0, OTHER: 0}


async def test_describing_names_only_those_that_exist(log: Log) -> None:
    await make_topic(log)
    assert set(await log.describe_topics(["orders", "nothing"])) == {"orders"}
    assert await log.describe_topics([]) == {}


async def test_a_second_topic_of_the_same_name_is_refused(log: Log) -> None:
    await make_topic(log)
    with pytest.raises(TopicExists):
        await make_topic(log)


async def test_topics_are_created_all_or_none(log: Log) -> None:
    await make_topic(log)
    with pytest.raises(TopicExists):
        await log.create_topics([TopicSpec("fresh", 1), TopicSpec("orders", 1)])
    with pytest.raises(ConfigError):
        await log.create_topics([TopicSpec("fresh", 1), TopicSpec("bad name", 1)])
    assert set(await log.describe_topics()) == {"orders"}


@pytest.mark.parametrize(
    "spec",
    [
        TopicSpec("", 1),
        TopicSpec("..", 1),
        TopicSpec("a/b", 1),
        TopicSpec("x" * 250, 1),
        TopicSpec("none", 0),
        TopicSpec("negative", -1),
        TopicSpec("typo", 1, config={"cleanup.polizy": "compact"}),
        TopicSpec("word", 1, config={"retention.ms": "a week"}),
    ],
)
async def test_an_impossible_topic_is_the_users_mistake(log: Log, spec: TopicSpec) -> None:
    with pytest.raises(ConfigError):
        await log.create_topics([spec])
    assert await log.describe_topics() == {}


async def test_a_topic_named_twice_in_one_call_is_refused(log: Log) -> None:
    with pytest.raises(ConfigError):
        await log.create_topics([TopicSpec("orders", 1), TopicSpec("orders", 2)])


async def test_settings_are_replaced_by_others(log: Log) -> None:
    await make_topic(log, cleanup_policy="compact", retention_ms="5000")
    await log.alter_topics({"orders": {"retention.ms": "6000", "segment.ms": "70000"}})
    config = (await log.describe_topics())["orders"].config
    assert config == {"retention.ms": "6000", "segment.ms": "70000"}
    await log.alter_topics({"orders": {}})
    assert (await log.describe_topics())["orders"].config == {}


async def test_topics_are_altered_all_or_none(log: Log) -> None:
    await make_topic(log)
    await make_topic(log, "payments")
    with pytest.raises(UnknownTopic):
        await log.alter_topics({"orders": {"retention.ms": "1"}, "nothing": {}})
    for wrong in ({"retention.ms": "a week"}, {"retention.mz": "1"}):
        with pytest.raises(ConfigError):
            await log.alter_topics({"orders": {"retention.ms": "1"}, "payments": wrong})
    assert (await log.describe_topics())["orders"].config == {}


async def test_a_topic_grows_and_keeps_what_it_has(log: Log) -> None:
    await make_topic(log, partitions=1)
    producer = await log.producer()
    await producer.append({ORDERS: some(2)})
    before = (await log.describe_topics())["orders"].topic_id
    await log.add_partitions({"orders": 3})
    described = (await log.describe_topics())["orders"]
    assert (described.partitions, described.topic_id) == (3, before)
    last = TopicPartition("orders", 2)
    await producer.append({last: some(3, "w")})
    assert await values(log) == [b"v0", b"v1"]
    assert await values(log, last) == [b"w0", b"w1", b"w2"]


@pytest.mark.parametrize("count", [2, 1, 0, -1])
async def test_a_topic_does_not_shrink(log: Log, count: int) -> None:
    await make_topic(log, partitions=2)
    await make_topic(log, "payments", partitions=1)
    with pytest.raises(ConfigError):
        await log.add_partitions({"payments": 5, "orders": count})
    with pytest.raises(UnknownTopic):
        await log.add_partitions({"payments": 5, "nothing": 3})
    assert {t.name: t.partitions for t in (await log.describe_topics()).values()} == {
        "orders": 2,
        "payments": 1,
    }


async def test_a_deleted_topic_is_gone_with_its_records_and_offsets(log: Log) -> None:
    await make_topic(log)
    before = (await log.describe_topics())["orders"].topic_id
    await (await log.producer()).append({ORDERS: some(3)})
    await log.commit_offsets("readers", {ORDERS: CommittedOffset(3)})
    await log.delete_topics(["orders"])
    assert await log.describe_topics() == {}
    if isinstance(log, ClusterLog):
        await eventually(partial(has_committed_nothing, log))
    assert await log.committed_offsets("readers") == {}
    with pytest.raises(UnknownTopic):
        await log.end_offsets([ORDERS])
    await make_topic(log)
    assert (await log.describe_topics())["orders"].topic_id != before
    assert await values(log) == []


async def has_committed_nothing(log: Log) -> bool:
    return not await log.committed_offsets("readers")


async def test_deleting_an_unknown_topic_deletes_nothing(log: Log) -> None:
    await make_topic(log)
    with pytest.raises(UnknownTopic):
        await log.delete_topics(["orders", "nothing"])
    assert set(await log.describe_topics()) == {"orders"}


async def test_a_waiting_reader_hears_that_its_topic_was_deleted(log: Log) -> None:
    await make_topic(log)
    reader = log.reader()
    reader.assign({ORDERS: 0})

    async def delete_soon() -> None:
        await anyio.sleep(0.02)
        await log.delete_topics(["orders"])

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(delete_soon)
        with pytest.raises(UnknownTopic):
            await reader.read(wait_max_s=5)


@pytest.mark.parametrize("tp", [TopicPartition("nothing", 0), TopicPartition("orders", 2)])
async def test_what_does_not_exist_is_unknown_everywhere(log: Log, tp: TopicPartition) -> None:
    await make_topic(log)
    producer = await log.producer()
    transactional = await log.transactional_producer("t")
    with pytest.raises(UnknownTopic):
        await producer.append({ORDERS: some(1), tp: some(1)})
    with pytest.raises(UnknownTopic):
        await transactional.commit({ORDERS: some(1), tp: some(1)}, group="g", offsets={})
    with pytest.raises(UnknownTopic):
        await log.start_offsets([tp])
    with pytest.raises(UnknownTopic):
        await log.offsets_for_times({tp: 0})
    with pytest.raises(UnknownTopic):
        await log.epoch_end_offset(tp, 0)
    with pytest.raises(UnknownTopic):
        await log.delete_records({tp: 0})
    with pytest.raises(UnknownTopic):
        await log.commit_offsets("g", {tp: CommittedOffset(0)})
    reader = log.reader()
    reader.assign({tp: 0})
    with pytest.raises(UnknownTopic):
        await reader.read(wait_max_s=1)
    assert await values(log) == [], "nothing was appended"
