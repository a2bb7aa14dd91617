"""A compaction may take minutes: whoever creates does not wait for it, whoever removes does."""

import asyncio

import anyio
import pytest
from millpond.log.embedded import EmbeddedLog
from millpond.log.model import TopicSpec
from millpond.log.shell.memory_disk import MemoryDisk
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
from millpond.tests.twins.running_broker import RunningBroker


@pytest.mark.anyio
async def test_in_the_embedded_log() -> None:
    async with EmbeddedLog.open("", disk=MemoryDisk()) as log:
        deleted = anyio.Event()

        async def delete() -> None:
            await log.delete_topics(["orders"])
            deleted.set()

        async with anyio.create_task_group() as tasks:
            async with log.removing:  # as a compaction does
                await log.create_topics([TopicSpec("orders", 1)])
                tasks.start_soon(delete)
                await anyio.wait_all_tasks_blocked()
                await log.create_topics([TopicSpec("clicks", 1)])
                assert not deleted.is_set()
            await deleted.wait()
        assert list(await log.describe_topics()) == ["clicks"]


def test_in_a_broker() -> None:
    with RunningBroker() as broker, broker.client() as creating, broker.client() as deleting:
        released = asyncio.Event()

        async def compact() -> None:
            async with broker.server._log.removing:
                await released.wait()

        def create(name: str) -> int:
            topic = CreatableTopic(
                name=name, num_partitions=1, replication_factor=1, assignments=[], configs=[]
            )
            request = CreateTopicsRequest(topics=[topic])
            return creating.ask(CREATE_TOPICS, 7, request).topics[0].error_code

        compacting = broker.do(lambda: asyncio.ensure_future(compact()))
        assert create("orders") == 0
        state = DeleteTopicState(name="orders")
        deleting.send(DELETE_TOPICS, 6, DeleteTopicsRequest(topics=[state], timeout_ms=1000))
        assert create("clicks") == 0
        assert "orders" in broker.do(lambda: broker.server.node.broker.metadata.topics)
        broker.do(released.set)
        assert deleting.receive().responses[0].error_code == 0
        assert compacting.done()
