"""Questions over a connection of their own, to a broker that has only just begun to lead."""

from functools import partial

import pytest
from millpond.log.cluster.address import parse_address
from millpond.log.cluster.client import Client
from millpond.log.cluster.direct import Direct
from millpond.log.model import TopicPartition
from millpond.log.wire.error_codes import ErrorCode
from millpond.log.wire.messages.metadata import (
    METADATA,
    MetadataResponse,
    MetadataResponseBroker,
    MetadataResponsePartition,
    MetadataResponseTopic,
)
from millpond.log.wire.messages.offset_for_leader_epoch import (
    OFFSET_FOR_LEADER_EPOCH,
    EpochEndOffset,
    OffsetForLeaderEpochResponse,
    OffsetForLeaderTopicResult,
)
from millpond.tests.twins.scripted_broker import ScriptedBroker, in_turn

pytestmark = pytest.mark.anyio


def ended(error: ErrorCode, end_offset: int = -1) -> OffsetForLeaderEpochResponse:
    result = EpochEndOffset(error_code=error, partition=0, leader_epoch=3, end_offset=end_offset)
    return OffsetForLeaderEpochResponse(
        topics=[OffsetForLeaderTopicResult(topic="orders", partitions=[result])]
    )


async def test_a_partition_whose_leader_has_not_begun_yet_is_asked_for_again() -> None:
    answers = in_turn(ended(ErrorCode.NOT_LEADER_OR_FOLLOWER), ended(ErrorCode.NONE, 17))
    partitions = [
        MetadataResponsePartition(
            partition_index=0, leader_id=1, leader_epoch=3, replica_nodes=[1], isr_nodes=[1]
        )
    ]
    topics = [MetadataResponseTopic(name="orders", partitions=partitions)]

    def led(_request: object) -> MetadataResponse:
        here = MetadataResponseBroker(node_id=1, host="127.0.0.1", port=broker.port)
        return MetadataResponse(brokers=[here], topics=topics)

    async with ScriptedBroker({METADATA: led, OFFSET_FOR_LEADER_EPOCH: answers}) as broker:
        address = parse_address(f"kafka://127.0.0.1:{broker.port}", {}, 30)
        ask = partial(Direct(address).epoch_end_offset, TopicPartition("orders", 0), 3)
        assert await Client(address).insist(ask) == 17
