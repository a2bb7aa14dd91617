"""Kafka's own command-line tools, as `bin/` of Apache Kafka starts them."""

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from confluent_kafka import Producer
from millpond.tests.clients import java_runtime
from millpond.tests.clients.features import feature
from millpond.tests.clients.java_runtime import Tools
from millpond.tests.clients.waiting import eventually

CLIENT = "Kafka's tools"
VERSION = java_runtime.kafka_version()
NO_TOOL = "no tool shows it; the Java client does"
MISSING = {
    "timestamps": "the console producer can't set them",
    "classic: static member": NO_TOOL,
    "classic: cooperative": NO_TOOL,
    "KIP-848: static member": NO_TOOL,
    "fenced member": NO_TOOL,
    "idempotence": NO_TOOL,
    "abort": NO_TOOL,
    "open transaction": NO_TOOL,
    "fencing": NO_TOOL,
    "zombie": NO_TOOL,
    "transaction timeout": NO_TOOL,
    "offsets in a transaction": NO_TOOL,
    "wrong leader epoch": NO_TOOL,
}

pytestmark = java_runtime.needs_jars()

TOPICS = "org.apache.kafka.tools.TopicCommand"
CONFIGS = "kafka.admin.ConfigCommand"
GROUPS = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand"
OFFSETS = "org.apache.kafka.tools.GetOffsetShell"
TRANSACTIONS = "org.apache.kafka.tools.TransactionsCommand"
PRODUCE = "org.apache.kafka.tools.ConsoleProducer"
CONSUME = "org.apache.kafka.tools.consumer.ConsoleConsumer"
PRODUCE_MUCH = "org.apache.kafka.tools.ProducerPerformance"
CONSUME_MUCH = "org.apache.kafka.tools.ConsumerPerformance"
VERIFIABLE_PRODUCER = "org.apache.kafka.tools.VerifiableProducer"
VERIFIABLE_CONSUMER = "org.apache.kafka.tools.VerifiableConsumer"

Tool = Callable[..., str]


@pytest.fixture(scope="module")
def tools() -> Iterator[Tools]:
    with Tools() as tools:
        yield tools


@pytest.fixture
def tool(tools: Tools, bootstrap: str) -> Tool:
    """Run a tool on the broker."""

    def run(main: str, *arguments: str, sent: str = "", fails: bool = False) -> str:
        return tools.run(main, "--bootstrap-server", bootstrap, *arguments, sent=sent, fails=fails)

    return run


@pytest.fixture
def produce(tool: Tool) -> Tool:
    return lambda topic, *lines, acks="all": tool(
        PRODUCE, "--topic", topic, "--request-required-acks", acks, sent="\n".join(lines) + "\n"
    )


@pytest.fixture
def consume(tool: Tool) -> Callable[..., list[str]]:
    def consume(topic: str, count: int, *options: str) -> list[str]:
        wanted = ["--max-messages", str(count), "--timeout-ms", "20000"]
        start = [] if "--offset" in options else ["--from-beginning"]
        printed = tool(CONSUME, "--topic", topic, *wanted, *start, *options)
        return [line for line in printed.splitlines() if not line.startswith("Processed a total")]

    return consume


Consume = Callable[..., list[str]]

# Produce, consume


@feature("no compression")
def test_what_is_sent_with_any_acks_is_read(produce: Tool, consume: Consume, topic: str) -> None:
    for acks in ("0", "1", "all"):
        produce(topic, *(f"{acks} {i}" for i in range(100)), acks=acks)
    assert sorted(consume(topic, 300)) == sorted(
        f"{acks} {i}" for acks in ("0", "1", "all") for i in range(100)
    )


@pytest.mark.parametrize(
    "codec", [pytest.param(name, marks=feature(name)) for name in ("gzip", "snappy", "lz4", "zstd")]
)
def test_much_is_sent_and_read_compressed(
    tools: Tools, tool: Tool, topic: str, bootstrap: str, codec: str
) -> None:
    size = ["--num-records", "20000", "--record-size", "100", "--throughput", "-1"]
    for acks in ("0", "1", "all"):
        settings = [f"bootstrap.servers={bootstrap}", f"compression.type={codec}", f"acks={acks}"]
        if acks != "all":
            settings.append("enable.idempotence=false")
        tools.run(PRODUCE_MUCH, "--topic", topic, *size, "--producer-props", *settings)
    much = ["--messages", "60000", "--timeout", "20000", "--hide-header"]
    figures = tool(CONSUME_MUCH, "--topic", topic, *much).split(", ")
    assert int(figures[4]) == 60000


@feature("headers", "null keys and values")
def test_headers_and_nulls(tool: Tool, consume: Consume, topic: str) -> None:
    parsed = ["parse.headers=true", "parse.key=true", "null.marker=NULL"]
    reading = [part for each in parsed for part in ("--property", each)]
    tool(PRODUCE, "--topic", topic, *reading, sent="a:1,a:2\tNULL\tNULL\nb:\t\tvalue\n")
    printed = ["print.headers=true", "print.key=true", "null.literal=NULL"]
    printing = [part for each in printed for part in ("--property", each)]
    assert consume(topic, 2, *printing) == ["a:1,a:2\tNULL\tNULL", "b:\t\tvalue"]


@feature("large records")
def test_records_of_almost_a_megabyte(
    tools: Tools, consume: Consume, topic: str, bootstrap: str
) -> None:
    size = ["--num-records", "3", "--record-size", "1000000", "--throughput", "-1"]
    settings = [f"bootstrap.servers={bootstrap}"]
    tools.run(PRODUCE_MUCH, "--topic", topic, *size, "--producer-props", *settings)
    assert [len(line) for line in consume(topic, 3)] == [1_000_000] * 3


@feature("automatic topics", "from the beginning")
def test_a_topic_is_made_when_somebody_writes_to_it(
    bootstrap: str, consume: Consume, unique: Callable[[str], str]
) -> None:
    topic = unique("automatic")
    options = ["--bootstrap-server", bootstrap, "--topic", topic, "--max-messages", "10"]
    command = java_runtime.run_command(VERIFIABLE_PRODUCER, *options)
    told = subprocess.run(command, capture_output=True, text=True, timeout=40).stdout
    assert '"acked":10' in told
    assert sorted(consume(topic, 10)) == [str(i) for i in range(10)]


@feature("from the end")
def test_reading_from_the_end_sees_what_comes_later(
    produce: Tool, topic: str, bootstrap: str
) -> None:
    produce(topic, "before")
    settings = ["--bootstrap-server", bootstrap, "--topic", topic, "--partition", "0"]
    command = [CONSUME, *settings, "--offset", "latest", "--max-messages", "1"]
    reading = subprocess.Popen(
        java_runtime.run_command(*command), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    while reading.poll() is None:  # nothing tells when it has begun
        produce(topic, "later")
        time.sleep(0.2)
    assert reading.communicate()[0] == b"later\n"


@feature("from an offset", "from a time", "list offsets")
def test_reading_from_an_offset_that_was_found_by_time(
    tool: Tool, bootstrap: str, consume: Consume, topic: str
) -> None:
    producer = Producer({"bootstrap.servers": bootstrap})
    for i in range(10):
        producer.produce(topic, b"%d" % i, timestamp=1_000_000 + i * 1000)
    producer.flush(20)

    def found(at: str) -> str:
        return tool(OFFSETS, "--topic", topic, "--time", at).strip()

    assert [found(at) for at in ("earliest", "latest", "max-timestamp", "1003500")] == [
        f"{topic}:0:{offset}" for offset in (0, 10, 9, 4)
    ]
    assert consume(topic, 3, "--partition", "0", "--offset", "4") == ["4", "5", "6"]


# Groups


@pytest.fixture
def start_member(bootstrap: str, tmp_path: Path) -> Iterator[Callable[..., "Member"]]:
    """Start members of groups in processes of their own."""
    members: list[Member] = []

    def start(topic: str, group: str, protocol: str) -> Member:
        options = ["--topic", topic, "--group-id", group, "--group-protocol", protocol]
        if protocol == "classic":
            settings = tmp_path / "consumer.properties"
            settings.write_text("heartbeat.interval.ms=300\n")
            options += ["--session-timeout", "2000", "--consumer.config", str(settings)]
        members.append(Member([VERIFIABLE_CONSUMER, "--bootstrap-server", bootstrap, *options]))
        return members[-1]

    yield start
    for member in members:
        member.process.kill()
        member.process.communicate()


class Member:
    """A verifiable consumer, which tells in JSON what happens to it."""

    def __init__(self, command: list[str]) -> None:
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(
            java_runtime.run_command(*command), stdout=pipe, stderr=subprocess.DEVNULL
        )
        self.partitions: set[int] = set()
        Thread(target=self._follow, daemon=True).start()

    def _follow(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            told = json.loads(line)
            named = {each["partition"] for each in told.get("partitions", [])}
            if told["name"] == "partitions_assigned":
                self.partitions = self.partitions | named
            elif told["name"] == "partitions_revoked":
                self.partitions = self.partitions - named


def shared_out(*members: Member) -> bool:
    """Say whether each partition has one owner, and everybody has some."""
    owned = [member.partitions for member in members]
    return sorted(p for each in owned for p in each) == [0, 1, 2, 3] and all(owned)


@pytest.mark.parametrize(
    "protocol",
    [
        pytest.param("classic", marks=feature("classic: join and leave", "classic: crash")),
        pytest.param("consumer", marks=feature("KIP-848: join and leave", "KIP-848: crash")),
    ],
)
def test_members_take_over_from_who_leaves_and_from_who_crashes(
    start_member: Callable[..., Member], make_topic: Callable[..., str], group: str, protocol: str
) -> None:
    topic = make_topic(4)
    stays, leaves, crashes = (start_member(topic, group, protocol) for _ in range(3))
    eventually(lambda: shared_out(stays, leaves, crashes), within_s=40)
    leaves.process.terminate()
    eventually(lambda: shared_out(stays, crashes))
    crashes.process.kill()
    eventually(lambda: shared_out(stays))


@pytest.mark.parametrize(
    "protocol",
    [
        pytest.param("classic", marks=feature("classic: commit and resume")),
        pytest.param("consumer", marks=feature("KIP-848: commit and resume")),
    ],
)
def test_the_next_member_goes_on_from_the_commit(
    tool: Tool, produce: Tool, topic: str, group: str, protocol: str
) -> None:
    produce(topic, *map(str, range(10)))

    def consumed(count: int) -> list[dict[str, Any]]:
        options = ["--group-id", group, "--group-protocol", protocol, "--max-messages", str(count)]
        told = tool(VERIFIABLE_CONSUMER, "--topic", topic, *options, "--verbose")
        records = [json.loads(line) for line in told.splitlines()]
        return [each for each in records if each["name"] == "record_data"]

    assert [each["offset"] for each in consumed(6)] == list(range(6))
    assert [each["offset"] for each in consumed(4)] == list(range(6, 10))


# Exactly once


@feature("commit")
def test_committed_transactions_are_seen(
    tools: Tools, consume: Consume, topic: str, bootstrap: str, unique: Callable[[str], str]
) -> None:
    size = ["--num-records", "2000", "--record-size", "10", "--throughput", "-1"]
    how = ["--transactional-id", unique("id"), "--transaction-duration-ms", "50"]
    settings = ["--producer-props", f"bootstrap.servers={bootstrap}"]
    tools.run(PRODUCE_MUCH, "--topic", topic, *size, *how, *settings)
    assert len(consume(topic, 2000, "--isolation-level", "read_committed")) == 2000


# Administration


@feature("create topics", "describe topics", "list topics", "topic exists")
def test_created_topics_are_described_and_listed(tool: Tool, unique: Callable[[str], str]) -> None:
    topic = unique("created")
    creation = ["--create", "--topic", topic, "--partitions", "3", "--config", "retention.ms=12345"]
    assert f"Created topic {topic}." in tool(TOPICS, *creation)
    eventually(lambda: topic in tool(TOPICS, "--list").split())
    described = tool(TOPICS, "--describe", "--topic", topic)
    assert "PartitionCount: 3" in described
    assert "retention.ms=12345" in described
    assert "already exists" in tool(TOPICS, *creation, fails=True)


@feature("delete topics", "unknown topic")
def test_a_deleted_topic_is_unknown_and_can_be_made_anew(
    tool: Tool, produce: Tool, consume: Consume, topic: str
) -> None:
    produce(topic, "old")
    tool(TOPICS, "--delete", "--topic", topic)
    eventually(lambda: topic not in tool(TOPICS, "--list").split())
    assert "does not exist" in tool(TOPICS, "--describe", "--topic", topic, fails=True)
    tool(TOPICS, "--create", "--topic", topic)
    produce(topic, "new")
    assert consume(topic, 1) == ["new"]


@feature("add partitions")
def test_partitions_are_added(tool: Tool, topic: str) -> None:
    tool(TOPICS, "--alter", "--topic", topic, "--partitions", "3")
    eventually(lambda: "PartitionCount: 3" in tool(TOPICS, "--describe", "--topic", topic))
    tool(TOPICS, "--alter", "--topic", topic, "--partitions", "2", fails=True)


@feature("describe configs", "alter configs", "invalid config")
def test_configs_are_described_set_and_reset(tool: Tool, topic: str) -> None:
    of_topic = ["--entity-type", "topics", "--entity-name", topic]
    alter = ["--alter", *of_topic]
    assert " cleanup.policy=delete " in tool(CONFIGS, "--describe", *of_topic, "--all")
    tool(CONFIGS, *alter, "--add-config", "retention.ms=60000")
    eventually(lambda: "retention.ms=60000" in tool(CONFIGS, "--describe", *of_topic))
    tool(CONFIGS, *alter, "--delete-config", "retention.ms")
    eventually(lambda: "retention.ms" not in tool(CONFIGS, "--describe", *of_topic))
    tool(CONFIGS, *alter, "--add-config", "retention.ms=soon", fails=True)
    assert "log.retention" in tool(
        CONFIGS, "--describe", "--entity-type", "brokers", "--entity-name", "1", "--all"
    )


@feature("list groups", "describe groups", "delete groups", "group offsets")
def test_groups_are_listed_described_reset_and_deleted(
    tool: Tool, produce: Tool, consume: Consume, topic: str, group: str
) -> None:
    produce(topic, "0", "1", "2")
    consume(topic, 3, "--group", group)
    of_group = ["--group", group]
    assert [group, "Empty"] in [
        line.split() for line in tool(GROUPS, "--list", "--state").splitlines()
    ]
    described = tool(GROUPS, "--describe", *of_group).split()
    assert described[described.index(topic) : described.index(topic) + 5] == [
        topic,
        "0",
        "3",
        "3",
        "0",
    ]
    reset = ["--reset-offsets", *of_group, "--topic", topic, "--to-earliest", "--execute"]
    assert [group, topic, "0", "0"] in [line.split() for line in tool(GROUPS, *reset).splitlines()]
    tool(GROUPS, "--delete-offsets", *of_group, "--topic", topic)
    assert topic not in tool(GROUPS, "--describe", *of_group)
    tool(GROUPS, "--delete", *of_group)
    assert group not in tool(GROUPS, "--list").split()


@feature("delete records")
def test_records_are_deleted_up_to_an_offset(
    tool: Tool, produce: Tool, consume: Consume, topic: str, tmp_path: Path
) -> None:
    produce(topic, *map(str, range(10)))
    wanted = {"partitions": [{"topic": topic, "partition": 0, "offset": 4}], "version": 1}
    file = tmp_path / "records.json"
    file.write_text(json.dumps(wanted))
    told = tool("org.apache.kafka.tools.DeleteRecordsCommand", "--offset-json-file", str(file))
    assert "low_watermark: 4" in told
    assert consume(topic, 1) == ["4"]


@feature("describe cluster")
def test_the_cluster_is_described(tools: Tools, tool: Tool, topic: str, bootstrap: str) -> None:
    at = ["--bootstrap-server", bootstrap]
    cluster = "org.apache.kafka.tools.ClusterTool"
    assert tools.run(cluster, "cluster-id", *at).startswith("Cluster ID: ")
    assert bootstrap.split(":")[1] in tools.run(cluster, "list-endpoints", *at)
    assert "Fetch(1)" in tool("org.apache.kafka.tools.BrokerApiVersionsCommand")
    assert "Feature: group.version" in tool("org.apache.kafka.tools.FeatureCommand", "describe")
    told = tool("org.apache.kafka.tools.LogDirsCommand", "--describe", "--topic-list", topic)
    assert f'"partition":"{topic}-0"' in told


@feature("describe transactions")
def test_transactions_are_listed_and_described(
    tool: Tool, topic: str, bootstrap: str, unique: Callable[[str], str]
) -> None:
    transactional_id = unique("id")
    producer = Producer({"bootstrap.servers": bootstrap, "transactional.id": transactional_id})
    producer.init_transactions(20)
    producer.begin_transaction()
    producer.produce(topic, b"open", partition=0)
    producer.flush(20)
    listed = tool(TRANSACTIONS, "list").splitlines()
    assert any(line.split()[0] == transactional_id and "Ongoing" in line for line in listed)
    described = tool(TRANSACTIONS, "describe", "--transactional-id", transactional_id)
    assert f"{topic}-0" in described
    writing = tool(TRANSACTIONS, "describe-producers", "--topic", topic, "--partition", "0")
    assert writing.splitlines()[1].split()[-1] == "0"
    producer.commit_transaction(20)


# Errors


@feature("too large")
def test_a_record_that_is_too_large(produce: Tool, make_topic: Callable[..., str]) -> None:
    complaint = produce(make_topic(max_message_bytes="2000"), "x" * 3000)
    assert "RecordTooLargeException" in complaint


@feature("out of range")
def test_an_offset_that_does_not_exist(tool: Tool, topic: str) -> None:
    where = ["--topic", topic, "--partition", "0", "--offset", "17"]
    options = ["--consumer-property", "auto.offset.reset=none", "--timeout-ms", "20000"]
    assert "OffsetOutOfRangeException" in tool(CONSUME, *where, *options)


@feature("invalid topic name")
def test_a_topic_name_that_is_invalid(tool: Tool) -> None:
    assert "InvalidTopicException" in tool(TOPICS, "--create", "--topic", "with space", fails=True)
