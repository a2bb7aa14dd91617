"""What the administrators of confluent-kafka and kafka-python do to topics of a running broker.

How every client fares is told in `tests/clients`; here is what must hold in the default suite.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import millpond
import pytest
from confluent_kafka import KafkaException, TopicCollection
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    ResourceType,
)
from kafka.admin import AlterConfigOp, KafkaAdminClient
from kafka.admin import ConfigResource as KafkaPythonResource
from kafka.errors import KafkaError
from millpond.log.wire.error_codes import ErrorCode
from millpond.tests.twins.running_broker import RunningBroker


@pytest.fixture(scope="module")
def broker() -> Iterator[RunningBroker]:
    with RunningBroker(settings={"num.partitions": "3"}) as running:
        yield running


@pytest.fixture(scope="module")
def confluent(broker: RunningBroker) -> AdminClient:
    return AdminClient({"bootstrap.servers": f"127.0.0.1:{broker.port}", "log_level": 0})


@pytest.fixture(scope="module")
def kafka_python(broker: RunningBroker) -> Iterator[KafkaAdminClient]:
    client = KafkaAdminClient(bootstrap_servers=f"127.0.0.1:{broker.port}")
    yield client
    client.close()


def code_of(futures: dict[Any, Any]) -> int:
    """Return the code with which the only one was refused."""
    (future,) = futures.values()
    with pytest.raises(KafkaException) as caught:
        future.result(10)
    code: int = caught.value.args[0].code()
    return code


def done(futures: dict[Any, Any]) -> Any:
    (future,) = futures.values()
    return future.result(10)


def test_confluent_kafka_makes_a_topic_and_removes_it(confluent: AdminClient) -> None:
    new = NewTopic("orders", 2, 1, config={"retention.ms": "5000"})
    done(confluent.create_topics([new], validate_only=True))
    assert done(confluent.create_topics([new])) is None
    assert code_of(confluent.create_topics([new])) == ErrorCode.TOPIC_ALREADY_EXISTS
    described = done(confluent.describe_topics(TopicCollection(["orders"])))
    assert [each.id for each in described.partitions] == [0, 1]
    done(confluent.create_partitions([NewPartitions("orders", 4)]))
    few = confluent.create_partitions([NewPartitions("orders", 2)])
    assert code_of(few) == ErrorCode.INVALID_PARTITIONS
    again = done(confluent.describe_topics(TopicCollection(["orders"])))
    assert (len(again.partitions), str(again.topic_id)) == (4, str(described.topic_id))
    done(confluent.delete_topics(["orders"]))
    assert code_of(confluent.delete_topics(["orders"])) == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    done(confluent.create_topics([NewTopic("orders")]))
    anew = done(confluent.describe_topics(TopicCollection(["orders"])))
    assert len(anew.partitions) == 3, "as many as the broker gives"
    assert str(anew.topic_id) != str(described.topic_id)


def test_confluent_kafka_changes_settings(confluent: AdminClient) -> None:
    done(confluent.create_topics([NewTopic("settled", 1, 1)]))

    def settings() -> dict[str, str]:
        resource = ConfigResource(ResourceType.TOPIC, "settled")
        entries = done(confluent.describe_configs([resource]))
        return {name: entry.value for name, entry in entries.items() if not entry.is_default}

    def change(name: str, value: str, operation: AlterConfigOpType) -> ConfigResource:
        entry = ConfigEntry(name, value, incremental_operation=operation)
        return ConfigResource(ResourceType.TOPIC, "settled", incremental_configs=[entry])

    append, set_ = AlterConfigOpType.APPEND, AlterConfigOpType.SET
    done(confluent.incremental_alter_configs([change("cleanup.policy", "compact", append)]))
    done(confluent.incremental_alter_configs([change("segment.ms", "9000", set_)]))
    assert settings() == {"cleanup.policy": "delete,compact", "segment.ms": "9000"}
    wrong = confluent.incremental_alter_configs([change("segment.ms", "soon", set_)])
    assert code_of(wrong) == ErrorCode.INVALID_CONFIG
    whole = ConfigResource(ResourceType.TOPIC, "settled", set_config={"retention.ms": "7"})
    with pytest.warns(DeprecationWarning, match="incremental_alter_configs"):
        done(confluent.alter_configs([whole]))
    assert settings() == {"retention.ms": "7"}


def test_confluent_kafka_describes_the_cluster(
    confluent: AdminClient, broker: RunningBroker
) -> None:
    cluster = confluent.describe_cluster().result(10)
    assert [(node.id, node.port) for node in cluster.nodes] == [(1, broker.port)]
    assert cluster.controller.id == 1


def test_kafka_python_makes_a_topic_and_removes_it(kafka_python: KafkaAdminClient) -> None:
    options = {"num_partitions": 2, "configs": {"retention.ms": "5000"}}
    kafka_python.create_topics({"clicks": options})
    with pytest.raises(KafkaError, match="TopicAlreadyExists"):
        kafka_python.create_topics({"clicks": options})
    kafka_python.create_partitions({"clicks": 4})
    page = kafka_python.describe_topic_partitions(["clicks"], response_partition_limit=3)
    assert len(page["topics"][0]["partitions"]) == 3
    assert page["next_cursor"]["partition_index"] == 3
    rest = kafka_python.describe_topic_partitions(["clicks"], cursor=page["next_cursor"])
    assert (len(rest["topics"][0]["partitions"]), rest["next_cursor"]) == (1, None)
    kafka_python.delete_topics([page["topics"][0]["topic_id"]])
    assert "clicks" not in kafka_python.list_topics()


def test_kafka_python_changes_settings(kafka_python: KafkaAdminClient) -> None:
    kafka_python.create_topics({"tuned": {}})

    def settings() -> dict[str, str]:
        asked = KafkaPythonResource("TOPIC", "tuned")
        found = kafka_python.describe_configs([asked])["topic"]["tuned"]
        return {name: entry["value"] for name, entry in found.items()}

    def resource(**configs: tuple[AlterConfigOp, str | None]) -> KafkaPythonResource:
        named = {name.replace("_", "."): change for name, change in configs.items()}
        return KafkaPythonResource("TOPIC", "tuned", named)

    change = resource(
        segment_ms=(AlterConfigOp.SET, "9000"), cleanup_policy=(AlterConfigOp.APPEND, "compact")
    )
    kafka_python.alter_configs([change])
    assert settings() == {"segment.ms": "9000", "cleanup.policy": "delete,compact"}
    kafka_python.reset_configs([KafkaPythonResource("TOPIC", "tuned", {"segment.ms": None})])
    assert settings() == {"cleanup.policy": "delete,compact"}
    defaults = KafkaPythonResource("BROKER", "1", {"log.roll.ms": (AlterConfigOp.SET, "8000")})
    kafka_python.alter_configs([defaults])
    changed = kafka_python.describe_configs([KafkaPythonResource("BROKER", "1")])["broker"]["1"]
    assert changed["log.roll.ms"]["value"] == "8000"


def test_kafka_python_looks_around(kafka_python: KafkaAdminClient) -> None:
    kafka_python.create_topics({"seen": {"num_partitions": 2}})
    assert kafka_python.describe_cluster()["controller_id"] == 1
    assert "seen" in kafka_python.list_config_resources()["topic"]
    (on_broker,) = kafka_python.describe_log_dirs({"seen": [0, 1]})
    (topic,) = on_broker["log_dirs"][0]["topics"]
    assert [each["partition_size"] for each in topic["partitions"]] == [0, 0]


def test_the_example_of_the_documentation_works(
    confluent: AdminClient, broker: RunningBroker
) -> None:
    page = (Path(millpond.__path__[0]) / "docs" / "topics.md").read_text()
    example = page.partition("```python\n")[2].partition("```")[0]
    done(confluent.create_topics([NewTopic("orders-example", 1)]))
    here = example.replace("127.0.0.1:9092", f"127.0.0.1:{broker.port}")
    exec(here.replace('"orders"', '"orders-example"'), {})
    config = broker.do(lambda: broker.server.node.broker.topic("orders-example").config)
    assert (config.cleanup_compact, config.cleanup_delete) == (True, False)
