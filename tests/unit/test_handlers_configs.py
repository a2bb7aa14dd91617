"""DescribeConfigs, AlterConfigs and IncrementalAlterConfigs: settings, and where they come from."""

from collections.abc import Sequence
from typing import Any

import pytest
from millpond.log.broker.handlers.config_entries import ConfigSource
from millpond.log.broker.handlers.incremental_alter_configs import Operation
from millpond.log.broker.handlers.resources import ResourceType
from millpond.log.model import NewRecord, TopicPartition
from millpond.log.records import encode_batch
from millpond.log.wire.error_codes import ErrorCode
from millpond.log.wire.messages import alter_configs, incremental_alter_configs
from millpond.log.wire.messages.describe_configs import (
    DESCRIBE_CONFIGS,
    DescribeConfigsRequest,
    DescribeConfigsResource,
    DescribeConfigsResourceResult,
    DescribeConfigsResult,
)
from millpond.tests.twins.node_world import NodeWorld

TOPIC, BROKER = ResourceType.TOPIC, ResourceType.BROKER
SET, DELETE, APPEND, SUBTRACT = Operation


def described(
    world: NodeWorld,
    kind: int,
    name: str,
    *keys: str,
    version: int = 4,
    synonyms: bool = False,
    documentation: bool = False,
) -> DescribeConfigsResult:
    request = DescribeConfigsRequest(
        resources=[
            DescribeConfigsResource(
                resource_type=kind, resource_name=name, configuration_keys=list(keys) or None
            )
        ],
        include_synonyms=synonyms,
        include_documentation=documentation,
    )
    (result,) = world.ask(DESCRIBE_CONFIGS, version, request).results
    assert (result.resource_type, result.resource_name) == (kind, name)
    return result


def entry(
    world: NodeWorld, kind: int, name: str, key: str, *, synonyms: bool = False
) -> DescribeConfigsResourceResult:
    (only,) = described(world, kind, name, key, synonyms=synonyms).configs
    return only


def increment(
    world: NodeWorld,
    *resources: tuple[int, str, Sequence[tuple[str, int, str | None]]],
    version: int = 1,
    validate_only: bool = False,
) -> list[int]:
    request = incremental_alter_configs.IncrementalAlterConfigsRequest(
        resources=[
            incremental_alter_configs.AlterConfigsResource(
                resource_type=kind,
                resource_name=name,
                configs=[
                    incremental_alter_configs.AlterableConfig(
                        name=key, config_operation=operation, value=value
                    )
                    for key, operation, value in changes
                ],
            )
            for kind, name, changes in resources
        ],
        validate_only=validate_only,
    )
    api = incremental_alter_configs.INCREMENTAL_ALTER_CONFIGS
    return [one.error_code for one in world.ask(api, version, request).responses]


def replace(
    world: NodeWorld,
    *resources: tuple[int, str, Sequence[tuple[str, str | None]]],
    version: int = 2,
    validate_only: bool = False,
) -> list[int]:
    request = alter_configs.AlterConfigsRequest(
        resources=[
            alter_configs.AlterConfigsResource(
                resource_type=kind,
                resource_name=name,
                configs=[
                    alter_configs.AlterableConfig(name=key, value=value) for key, value in changes
                ],
            )
            for kind, name, changes in resources
        ],
        validate_only=validate_only,
    )
    return [
        one.error_code for one in world.ask(alter_configs.ALTER_CONFIGS, version, request).responses
    ]


def given(world: NodeWorld) -> dict[str, str]:
    return dict(world.node.broker.topic("orders").config.given)


def orders(**config: Any) -> NodeWorld:
    world = NodeWorld()
    world.create("orders", **config)
    return world


# -- describing ------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", range(1, 5))
def test_a_topic_s_settings_say_where_they_come_from(version: int) -> None:
    world = orders(retention_ms="5000", preallocate="true")
    configs = {one.name: one for one in described(world, TOPIC, "orders", version=version).configs}
    assert (configs["retention.ms"].value, configs["retention.ms"].config_source) == ("5000", 1)
    assert configs["segment.ms"].config_source == ConfigSource.DEFAULT
    assert configs["preallocate"].value == "true", "kept, though it has no effect"
    assert not any(one.read_only or one.is_sensitive or one.synonyms for one in configs.values())


def test_some_settings_can_be_picked() -> None:
    result = described(orders(), TOPIC, "orders", "segment.bytes", "nope")
    assert [one.name for one in result.configs] == ["segment.bytes"]
    everything = DescribeConfigsResource(
        resource_type=TOPIC, resource_name="orders", configuration_keys=[]
    )
    request = DescribeConfigsRequest(resources=[everything])
    assert len(orders().ask(DESCRIBE_CONFIGS, 4, request).results[0].configs) > 10


def test_types_and_words_for_people_are_told_on_demand() -> None:
    (one,) = described(orders(), TOPIC, "orders", "cleanup.policy", documentation=True).configs
    assert one.config_type == 7, "a list"
    assert "compact" in (one.documentation or "")
    (bare,) = described(orders(), TOPIC, "orders", "cleanup.policy").configs
    assert bare.documentation is None


def test_synonyms_are_all_that_would_give_the_value_in_their_order() -> None:
    world = NodeWorld(settings={"log.retention.hours": "1"})
    world.create("orders", retention_ms="5000")
    of_this = (BROKER, "1", [("log.retention.ms", SET, "5500")])
    of_all = (BROKER, "", [("log.retention.ms", SET, "6000")])
    assert increment(world, of_this, of_all) == [0, 0]
    found = entry(world, TOPIC, "orders", "retention.ms", synonyms=True).synonyms
    assert [(one.name, one.value, one.source) for one in found] == [
        ("retention.ms", "5000", ConfigSource.TOPIC),
        ("log.retention.ms", "5500", ConfigSource.DYNAMIC_BROKER),
        ("log.retention.ms", "6000", ConfigSource.DYNAMIC_DEFAULT_BROKER),
        ("log.retention.ms", "3600000", ConfigSource.STATIC_BROKER),
        ("log.retention.ms", "604800000", ConfigSource.DEFAULT),
    ]


def test_internal_topics_do_not_take_the_broker_s_defaults() -> None:
    world = NodeWorld(settings={"log.roll.ms": "10"})
    one = entry(world, TOPIC, "__consumer_offsets", "segment.ms", synonyms=True)
    assert (one.value, one.config_source) == ("604800000", ConfigSource.DEFAULT)


def test_the_broker_s_own_settings_are_read_only_and_its_defaults_for_topics_are_not() -> None:
    world = NodeWorld(settings={"num.partitions": "4", "log.segment.bytes": "5000"})
    partitions = entry(world, BROKER, "1", "num.partitions")
    assert (partitions.value, partitions.read_only) == ("4", True)
    assert partitions.config_source == ConfigSource.STATIC_BROKER
    segments = entry(world, BROKER, "1", "log.segment.bytes")
    assert (segments.value, segments.read_only) == ("5000", False)
    assert entry(world, BROKER, "1", "log.roll.ms").config_source == ConfigSource.DEFAULT
    assert entry(world, BROKER, "1", "auto.create.topics.enable").config_type == 1


def test_without_a_name_the_broker_tells_what_was_set_while_it_runs() -> None:
    world = NodeWorld(settings={"log.segment.bytes": "5000"})
    assert described(world, BROKER, "").configs == []
    increment(world, (BROKER, "", [("log.roll.ms", SET, "7")]))
    (one,) = described(world, BROKER, "").configs
    assert (one.name, one.value) == ("log.roll.ms", "7")
    assert one.config_source == ConfigSource.DYNAMIC_DEFAULT_BROKER


@pytest.mark.parametrize(
    ("kind", "name", "code"),
    [
        (TOPIC, "nope", ErrorCode.UNKNOWN_TOPIC_OR_PARTITION),
        (TOPIC, "a b", ErrorCode.INVALID_TOPIC_EXCEPTION),
        (TOPIC, "", ErrorCode.INVALID_TOPIC_EXCEPTION),
        (BROKER, "2", ErrorCode.INVALID_REQUEST),
        (BROKER, "one", ErrorCode.INVALID_REQUEST),
        (ResourceType.BROKER_LOGGER, "1", ErrorCode.INVALID_REQUEST),
        (ResourceType.CLIENT_METRICS, "x", ErrorCode.INVALID_REQUEST),
        (ResourceType.GROUP, "readers", ErrorCode.INVALID_REQUEST),
        (99, "x", ErrorCode.INVALID_REQUEST),
    ],
)
def test_what_has_no_settings_can_t_be_described(kind: int, name: str, code: ErrorCode) -> None:
    result = described(NodeWorld(), kind, name)
    assert (result.error_code, result.configs) == (code, [])


def test_a_resource_named_a_thousand_times_is_described_once() -> None:
    again = DescribeConfigsResource(
        resource_type=TOPIC, resource_name="orders", configuration_keys=None
    )
    request = DescribeConfigsRequest(resources=[again] * 1000)
    assert len(orders().ask(DESCRIBE_CONFIGS, 4, request).results) == 1


# -- changing single settings ----------------------------------------------------------------------


@pytest.mark.parametrize("version", [0, 1])
def test_single_settings_are_set_and_deleted_and_the_others_stay(version: int) -> None:
    world = orders(retention_ms="5000")
    change = [("segment.ms", SET, "9"), ("segment.bytes", SET, "2000")]
    assert increment(world, (TOPIC, "orders", change), version=version) == [0]
    assert increment(world, (TOPIC, "orders", [("segment.ms", DELETE, None)])) == [0]
    assert increment(world, (TOPIC, "orders", [("no.such", DELETE, None)])) == [0], "as in Kafka"
    world.restart()
    assert given(world) == {"retention.ms": "5000", "segment.bytes": "2000"}
    assert world.node.broker.partition(TopicPartition("orders", 0)).config.segment_bytes == 2000


def test_lists_are_appended_to_and_subtracted_from_beginning_with_the_default() -> None:
    world = orders()
    policies = []
    for operation, value in (
        (APPEND, "compact"),
        (APPEND, "compact,delete"),
        (SUBTRACT, "delete"),
        (SUBTRACT, "nothing"),
        (SUBTRACT, "compact"),
    ):
        assert increment(world, (TOPIC, "orders", [("cleanup.policy", operation, value)])) == [0]
        policies.append(given(world)["cleanup.policy"])
    assert policies == ["delete,compact", "delete,compact", "compact", "compact", ""]


def test_validating_changes_nothing() -> None:
    world = orders()
    good = (TOPIC, "orders", [("segment.ms", SET, "9")])
    bad = (TOPIC, "nope", [("segment.ms", SET, "9")])
    defaults = (BROKER, "", [("log.roll.ms", SET, "9")])
    codes = increment(world, good, bad, defaults, validate_only=True)
    assert codes == [0, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, 0]
    assert given(world) == {}
    assert world.node.broker.metadata.dynamic_defaults == {}


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ([("retention.ms", SET, "long")], ErrorCode.INVALID_CONFIG),
        ([("no.such", SET, "1")], ErrorCode.INVALID_CONFIG),
        ([("cleanup.policy", APPEND, "compcat")], ErrorCode.INVALID_CONFIG),
        ([("retention.ms", APPEND, "1")], ErrorCode.INVALID_CONFIG),
        ([("retention.ms", SUBTRACT, "1")], ErrorCode.INVALID_CONFIG),
        ([("retention.ms", SET, None)], ErrorCode.INVALID_REQUEST),
        ([("retention.ms", SET, "1"), ("retention.ms", SET, "2")], ErrorCode.INVALID_REQUEST),
        ([("retention.ms", 9, "1")], ErrorCode.INVALID_REQUEST),
    ],
)
def test_a_change_that_won_t_do_is_refused_with_all_that_came_with_it(
    changes: list[tuple[str, int, str | None]], code: ErrorCode
) -> None:
    world = orders()
    assert increment(world, (TOPIC, "orders", [("segment.ms", SET, "9"), *changes])) == [code]
    assert given(world) == {}


@pytest.mark.parametrize(
    ("kind", "name", "code"),
    [
        (TOPIC, "nope", ErrorCode.UNKNOWN_TOPIC_OR_PARTITION),
        (TOPIC, "a b", ErrorCode.INVALID_TOPIC_EXCEPTION),
        (TOPIC, "", ErrorCode.INVALID_REQUEST),
        (BROKER, "1", ErrorCode.INVALID_REQUEST),
        (BROKER, "2", ErrorCode.INVALID_REQUEST),
        (BROKER, "", ErrorCode.INVALID_REQUEST),
        (ResourceType.BROKER_LOGGER, "1", ErrorCode.INVALID_REQUEST),
        (ResourceType.GROUP, "readers", ErrorCode.INVALID_REQUEST),
        (99, "x", ErrorCode.INVALID_REQUEST),
    ],
)
def test_what_can_t_be_changed_is_refused_by_itself(kind: int, name: str, code: ErrorCode) -> None:
    world = orders()
    good = (TOPIC, "orders", [("segment.ms", SET, "9")])
    assert increment(world, (kind, name, [("segment.ms", SET, "9")]), good) == [code, 0]
    assert given(world) == {"segment.ms": "9"}


def test_a_resource_named_twice_is_refused_twice() -> None:
    world = orders()
    once = (TOPIC, "orders", [("segment.ms", SET, "9")])
    assert increment(world, once, once) == [ErrorCode.INVALID_REQUEST] * 2
    assert given(world) == {}


def test_defaults_for_all_topics_take_effect_at_once_and_stay() -> None:
    world = orders()
    for key, value, code in (
        ("log.roll.ms", "9", 0),
        ("log.cleanup.policy", "compact", 0),
        ("log.roll.ms", "soon", ErrorCode.INVALID_REQUEST),
        ("num.partitions", "9", ErrorCode.INVALID_REQUEST),
    ):
        operation = APPEND if key == "log.cleanup.policy" else SET
        assert increment(world, (BROKER, "", [(key, operation, value)])) == [code]
    for _ in range(2):
        config = world.node.broker.partition(TopicPartition("orders", 0)).config
        assert (config.segment_ms, config.cleanup_delete, config.cleanup_compact) == (9, True, True)
        world.restart()


def test_a_new_setting_holds_for_the_next_record() -> None:
    world = orders()
    log = world.node.broker.partition(TopicPartition("orders", 0))
    now = world.clock.now()

    def append(timestamp: int) -> int:
        batch = encode_batch([NewRecord(None, b"v", timestamp)])
        return log.append(batch, leader_epoch=log.leader_epoch, now=now).append_time

    assert append(now) == -1
    changes = [("message.timestamp.type", SET, "LogAppendTime"), ("segment.bytes", SET, "100")]
    assert increment(world, (TOPIC, "orders", changes)) == [0]
    assert append(1) == now
    assert len(log.segments) == 2


# -- replacing all settings ------------------------------------------------------------------------


@pytest.mark.parametrize("version", range(3))
def test_replacing_forgets_what_is_not_named(version: int) -> None:
    world = orders(retention_ms="5000")
    assert replace(world, (TOPIC, "orders", [("segment.ms", "9")]), version=version) == [0]
    assert given(world) == {"segment.ms": "9"}
    assert replace(world, (TOPIC, "orders", []), validate_only=True) == [0]
    assert given(world) == {"segment.ms": "9"}
    assert replace(world, (TOPIC, "orders", [])) == [0]
    assert given(world) == {}


def test_replacing_with_what_won_t_do_is_refused() -> None:
    world = orders(retention_ms="5000")
    codes = replace(
        world,
        (TOPIC, "nope", [("segment.ms", "9")]),
        (TOPIC, "orders", [("segment.ms", "9"), ("no.such", "1")]),
        (BROKER, "", [("num.partitions", "3")]),
        (ResourceType.GROUP, "readers", []),
    )
    assert codes == [
        ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
        ErrorCode.INVALID_CONFIG,
        ErrorCode.INVALID_REQUEST,
        ErrorCode.INVALID_REQUEST,
    ]
    for wrong in ([("segment.ms", None)], [("segment.ms", "1"), ("segment.ms", "2")]):
        assert replace(world, (TOPIC, "orders", wrong)) == [ErrorCode.INVALID_REQUEST]
    assert given(world) == {"retention.ms": "5000"}
