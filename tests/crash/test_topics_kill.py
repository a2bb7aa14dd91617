"""A broker is killed while it makes, widens and removes topics; what it has answered is there, and no more.

The one change that was under way has happened, or it has not.
"""

import random
import threading
from pathlib import Path

import pytest
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
from millpond.log.wire.messages.metadata import METADATA, MetadataRequest
from millpond.tests.twins.broker_process import BrokerProcess
from millpond.tests.twins.raw_client import ClosedByBroker, RawClient

WIDE = 150
"""More partitions than are made with one sync."""


class Administrator:
    """Changes topics at random, and knows what there must be."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.partitions: dict[str, int] = {}
        self.under_way: tuple[str, int | None] | None = None

    def check(self, client: RawClient) -> None:
        """Hold the topics that exist against those that must."""
        topics = client.ask(METADATA, 12, MetadataRequest(topics=None)).topics
        found = {str(one.name): len(one.partitions) for one in topics if not one.is_internal}
        if self.under_way is not None:
            name, wanted = self.under_way
            if found.get(name) == wanted:
                self._note(name, wanted)
            self.under_way = None
        assert found == self.partitions

    def change_something(self, client: RawClient) -> None:
        name = f"topic-{self.chance.randrange(12)}"
        present = self.partitions.get(name)
        if present is None:
            code = self._create(client, name, self.chance.choice([1, 3, WIDE]))
        elif self.chance.random() < 0.5:
            code = self._delete(client, name)
        else:
            code = self._grow(client, name, present + self.chance.randrange(1, 5))
        assert code == 0
        assert self.under_way is not None
        self._note(*self.under_way)
        self.under_way = None

    def change_without_end(self, client: RawClient) -> None:
        while True:
            self.change_something(client)

    def _create(self, client: RawClient, name: str, count: int) -> int:
        self.under_way = (name, count)
        topic = CreatableTopic(
            name=name, num_partitions=count, replication_factor=1, assignments=[], configs=[]
        )
        request = CreateTopicsRequest(topics=[topic])
        return client.ask(CREATE_TOPICS, 7, request).topics[0].error_code

    def _delete(self, client: RawClient, name: str) -> int:
        self.under_way = (name, None)
        request = DeleteTopicsRequest(topics=[DeleteTopicState(name=name)], timeout_ms=1000)
        return client.ask(DELETE_TOPICS, 6, request).responses[0].error_code

    def _grow(self, client: RawClient, name: str, count: int) -> int:
        self.under_way = (name, count)
        topic = CreatePartitionsTopic(name=name, count=count, assignments=None)
        request = CreatePartitionsRequest(topics=[topic], timeout_ms=1000, validate_only=False)
        return client.ask(CREATE_PARTITIONS, 3, request).results[0].error_code

    def _note(self, name: str, count: int | None) -> None:
        if count is None:
            self.partitions.pop(name, None)
        else:
            self.partitions[name] = count


@pytest.mark.parametrize("kills", [2, pytest.param(15, marks=pytest.mark.long)])
def test_a_broker_killed_while_topics_change(tmp_path: Path, kills: int) -> None:
    administrator = Administrator(random.Random(kills))
    for _ in range(kills):
        with BrokerProcess(tmp_path) as broker, broker.client() as client:
            administrator.check(client)
            administrator.change_something(client)
            killer = threading.Timer(administrator.chance.uniform(0, 0.4), broker.process.kill)
            killer.start()
            with pytest.raises((ClosedByBroker, ConnectionError)):
                administrator.change_without_end(client)
            killer.join()
    with BrokerProcess(tmp_path) as broker, broker.client() as client:
        administrator.check(client)
