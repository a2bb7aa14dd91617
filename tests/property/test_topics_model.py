"""Whatever is done to topics, a broker that stops, or loses its power, has it all afterwards."""

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from millpond.log.broker.handlers.incremental_alter_configs import Operation
from millpond.log.broker.metadata import METADATA_PARTITION
from millpond.log.model import NewRecord, TopicPartition
from millpond.log.records import encode_batch
from millpond.log.topic_settings import TOPIC_SETTINGS
from millpond.log.wire.error_codes import ErrorCode
from millpond.log.wire.messages.create_partitions import (
    CREATE_PARTITIONS,
    CreatePartitionsRequest,
    CreatePartitionsTopic,
)
from millpond.log.wire.messages.create_topics import (
    CREATE_TOPICS,
    CreatableTopic,
    CreateTopicsRequest,
)
from millpond.log.wire.messages.delete_topics import (
    DELETE_TOPICS,
    DeleteTopicsRequest,
    DeleteTopicState,
)
from millpond.log.wire.messages.incremental_alter_configs import (
    INCREMENTAL_ALTER_CONFIGS,
    AlterableConfig,
    AlterConfigsResource,
    IncrementalAlterConfigsRequest,
)
from millpond.tests.twins.node_world import NodeWorld

NAMES = st.sampled_from(["a", "b", "a.b", "a_b"])
SETTINGS = st.sampled_from(["segment.ms", "retention.ms", "max.message.bytes"])
VALUES = st.integers(1000, 1003).map(str)


class Topics(RuleBasedStateMachine):
    """A broker beside a dictionary of what topics there should be."""

    @initialize()
    def begin(self) -> None:
        self.world = NodeWorld()
        self.ends: dict[str, list[int]] = {}
        self.settings: dict[str, dict[str, str]] = {}
        self.defaults: dict[str, str] = {}
        self.ids: set[object] = set()

    @rule(name=NAMES, count=st.integers(1, 3))
    def create(self, name: str, count: int) -> None:
        topic = CreatableTopic(
            name=name, num_partitions=count, replication_factor=1, assignments=[], configs=[]
        )
        (result,) = self.world.ask(CREATE_TOPICS, 7, CreateTopicsRequest(topics=[topic])).topics
        if name in self.ends:
            assert result.error_code == ErrorCode.TOPIC_ALREADY_EXISTS
        elif {"a.b": "a_b", "a_b": "a.b"}.get(name) in self.ends:
            assert result.error_code == ErrorCode.INVALID_TOPIC_EXCEPTION
        else:
            assert result.error_code == 0
            assert result.topic_id not in self.ids, "each topic has an id of its own"
            self.ids.add(result.topic_id)
            self.ends[name] = [0] * count
            self.settings[name] = {}

    @rule(name=NAMES)
    def delete(self, name: str) -> None:
        request = DeleteTopicsRequest(topics=[DeleteTopicState(name=name)], timeout_ms=1000)
        (result,) = self.world.ask(DELETE_TOPICS, 6, request).responses
        assert (result.error_code == 0) == (name in self.ends)
        self.ends.pop(name, None)
        self.settings.pop(name, None)

    @rule(name=NAMES, count=st.integers(1, 5))
    def grow(self, name: str, count: int) -> None:
        topic = CreatePartitionsTopic(name=name, count=count, assignments=None)
        request = CreatePartitionsRequest(topics=[topic], timeout_ms=1000, validate_only=False)
        (result,) = self.world.ask(CREATE_PARTITIONS, 3, request).results
        present = len(self.ends.get(name, []))
        assert (result.error_code == 0) == (0 < present < count)
        if result.error_code == 0:
            self.ends[name] += [0] * (count - present)

    @rule(name=NAMES, key=SETTINGS, value=VALUES, put=st.booleans())
    def alter(self, name: str, key: str, value: str, put: bool) -> None:
        code = self._alter(2, name, key, value, put)
        assert (code == 0) == (name in self.ends)
        if name in self.ends:
            _put(self.settings[name], key, value, put)

    @rule(key=SETTINGS, value=VALUES, put=st.booleans())
    def alter_defaults(self, key: str, value: str, put: bool) -> None:
        assert self._alter(4, "", TOPIC_SETTINGS[key].broker_name, value, put) == 0
        _put(self.defaults, key, value, put)

    @rule(name=NAMES, number=st.integers(0, 4))
    def append(self, name: str, number: int) -> None:
        log = self.world.node.broker.partitions.get(TopicPartition(name, number))
        assert (log is not None) == (number < len(self.ends.get(name, [])))
        if log is not None:
            now = self.world.clock.now()
            batch = encode_batch([NewRecord(None, b"v", now)])
            log.append(batch, leader_epoch=log.leader_epoch, now=now)
            log.flush()
            self.ends[name][number] += 1

    @rule(crash=st.booleans())
    def restart(self, crash: bool) -> None:
        self.world.restart(crash=crash)

    @invariant()
    def all_is_there_and_nothing_else(self) -> None:
        broker = self.world.node.broker
        found = {each: log.log_end_offset for each, log in broker.partitions.items()}
        assert {each: end for each, end in found.items() if not each.topic.startswith("__")} == {
            TopicPartition(name, number): end
            for name, ends in self.ends.items()
            for number, end in enumerate(ends)
        }
        directories = {name for name in self.world.disk.list("") if name[0] in "ab"}
        assert directories == {str(each) for each in found if not each.topic.startswith("__")}
        assert METADATA_PARTITION in found
        for name, own in self.settings.items():
            log = broker.partition(TopicPartition(name, 0))
            assert log.config == broker.topic(name).config
            values = log.config.to_mapping()
            wanted = {**self.defaults, **own}
            assert {key: values[key] for key in wanted} == wanted

    def _alter(self, kind: int, name: str, key: str, value: str, put: bool) -> int:
        operation = Operation.SET if put else Operation.DELETE
        config = AlterableConfig(name=key, config_operation=operation, value=value)
        resource = AlterConfigsResource(resource_type=kind, resource_name=name, configs=[config])
        request = IncrementalAlterConfigsRequest(resources=[resource], validate_only=False)
        return self.world.ask(INCREMENTAL_ALTER_CONFIGS, 1, request).responses[0].error_code


def _put(settings: dict[str, str], key: str, value: str, put: bool) -> None:
    if put:
        settings[key] = value
    else:
        settings.pop(key, None)


TestTopics = Topics.TestCase
TestTopics.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)
