"""The power is cut before every disk operation of a change to what exists: it happens wholly or not at all.

And a change that was answered has happened. Afterwards no directory is missing, and none is left over.
"""

import contextlib
import copy
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from millpond.log.broker.metadata import METADATA_PARTITION
from millpond.log.model import CommittedOffset, NewRecord, TopicPartition
from millpond.log.records import encode_batch
from millpond.log.wire.messages.create_partitions import (
    CREATE_PARTITIONS,
    CreatePartitionsRequest,
    CreatePartitionsTopic,
)
from millpond.log.wire.messages.create_topics import (
    CREATE_TOPICS,
    CreatableTopic,
    CreatableTopicConfig,
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
from millpond.tests.scenario.embedded_world import CutDisk, PowerCut
from millpond.tests.twins.node_world import NodeWorld

ORDERS = TopicPartition("orders", 0)
Change = Callable[[NodeWorld], Any]


def create(world: NodeWorld) -> None:
    config = CreatableTopicConfig(name="retention.ms", value="5")
    topics = [
        CreatableTopic(
            name=name, num_partitions=count, replication_factor=1, assignments=[], configs=[config]
        )
        for name, count in (("clicks", 3), ("views", 1))
    ]
    world.ask(CREATE_TOPICS, 7, CreateTopicsRequest(topics=topics))


def delete(world: NodeWorld) -> None:
    topics = [DeleteTopicState(name="orders"), DeleteTopicState(name="other")]
    world.ask(DELETE_TOPICS, 6, DeleteTopicsRequest(topics=topics, timeout_ms=1000))


def grow(world: NodeWorld) -> None:
    topics = [
        CreatePartitionsTopic(name=name, count=4, assignments=None) for name in ("orders", "other")
    ]
    request = CreatePartitionsRequest(topics=topics, timeout_ms=1000, validate_only=False)
    world.ask(CREATE_PARTITIONS, 3, request)


def alter(kind: int, names: list[str], key: str) -> Change:
    resources = [
        AlterConfigsResource(
            resource_type=kind,
            resource_name=name,
            configs=[AlterableConfig(name=key, config_operation=0, value="7")],
        )
        for name in names
    ]
    request = IncrementalAlterConfigsRequest(resources=resources, validate_only=False)
    return lambda world: world.ask(INCREMENTAL_ALTER_CONFIGS, 1, request)


CHANGES: Mapping[str, Change] = {
    "create": create,
    "delete": delete,
    "grow": grow,
    "alter topics": alter(2, ["orders", "other"], "segment.ms"),
    "alter defaults": alter(4, [""], "log.roll.ms"),
}
LOSSES: Mapping[str, tuple[bool, int | None]] = {
    "process killed": (False, None),
    "unsynced lost": (True, None),
    "torn": (True, 7),
}


def beginning() -> CutDisk:
    """Two topics, one with a record and a group's offset in it."""
    disk = CutDisk()
    world = NodeWorld(disk=disk)
    world.create("orders", 2)
    world.create("other", 1)
    now = world.clock.now()
    log = world.node.broker.partition(ORDERS)
    log.append(encode_batch([NewRecord(None, b"v", now)]), leader_epoch=log.leader_epoch, now=now)
    log.flush()
    world.run(world.node.offsets.commit("readers", {ORDERS: CommittedOffset(1)}, now))
    disk.crash(lose_unsynced=True)
    return disk


def picture(world: NodeWorld) -> dict[str, Any]:
    """Return all that a client could find out, having checked that the directories fit it."""
    broker = world.node.broker
    topics = broker.metadata.topics.values()
    partitions = {
        TopicPartition(topic.name, n) for topic in topics for n in range(topic.partitions)
    }
    assert broker.partitions.keys() == partitions | {METADATA_PARTITION}
    directories = {name for name in world.disk.list("") if "-" in name and "checkpoint" not in name}
    assert directories == {str(partition) for partition in broker.partitions}
    return {
        "topics": {one.name: (one.partitions, one.config.to_mapping()) for one in topics},
        "ends": {
            each: broker.partition(each).log_end_offset
            for each in partitions
            if not each.topic.startswith("__")
        },
        "offsets": world.node.offsets.committed("readers"),
    }


@pytest.mark.parametrize("loss", LOSSES.values(), ids=list(LOSSES))
@pytest.mark.parametrize("change", CHANGES.values(), ids=list(CHANGES))
def test_a_change_happens_wholly_or_not_at_all(
    change: Change, loss: tuple[bool, int | None]
) -> None:
    before_disk = beginning()
    before = picture(NodeWorld(disk=copy.deepcopy(before_disk)))
    undisturbed = NodeWorld(disk=copy.deepcopy(before_disk))
    change(undisturbed)
    after = picture(undisturbed)
    assert before != after
    found: list[bool] = []
    survived = False
    while not survived:
        disk = copy.deepcopy(before_disk)
        world = NodeWorld(disk=disk)
        disk.arm(len(found))
        try:
            change(world)
            survived = True
        except PowerCut:
            pass
        disk.crash(lose_unsynced=loss[0], torn_seed=loss[1])
        again = picture(NodeWorld(disk=disk))
        assert again in (before, after)
        assert again == after or not survived
        found.append(again == after)
    assert found == sorted(found), "once it has happened, going further does not undo it"
    assert found[0] is False


@pytest.mark.parametrize("change", CHANGES.values(), ids=list(CHANGES))
@pytest.mark.parametrize("done", [1, 5])
def test_the_power_fails_again_while_the_broker_opens(change: Change, done: int) -> None:
    cut = beginning()
    before = picture(NodeWorld(disk=copy.deepcopy(cut)))
    world = NodeWorld(disk=cut)
    cut.arm(done)
    with contextlib.suppress(PowerCut):
        change(world)
    cut.crash(lose_unsynced=False)
    after = picture(NodeWorld(disk=copy.deepcopy(cut)))
    opened = False
    steps = 0
    while not opened:
        disk = copy.deepcopy(cut)
        disk.arm(steps)
        try:
            NodeWorld(disk=disk)
            opened = True
        except PowerCut:
            steps += 1
        disk.crash(lose_unsynced=True)
        assert picture(NodeWorld(disk=disk)) in (before, after)
    assert picture(NodeWorld(disk=disk)) == after, "what was served once stays"
