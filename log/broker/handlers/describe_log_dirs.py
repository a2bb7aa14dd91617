"""DescribeLogDirs, versions 1 to 4: how much the partitions take on disk.

There is one directory, and no replica lags behind or is about to move. Partitions that do not exist
are left out, as in Kafka; what the broker keeps for itself besides is not listed.

Source: KIP-113; KIP-827 (total and usable bytes).
"""

from ...model import TopicPartition
from ...wire.messages.describe_log_dirs import (
    DescribeLogDirsPartition,
    DescribeLogDirsRequest,
    DescribeLogDirsResponse,
    DescribeLogDirsResult,
    DescribeLogDirsTopic,
)
from ..node import Caller, Node


def describe_log_dirs(
    node: Node, request: DescribeLogDirsRequest, caller: Caller
) -> DescribeLogDirsResponse:
    """Measure what was asked for: everything, where no topics are given."""
    del caller
    topics = node.broker.metadata.topics
    if request.topics is None:
        wanted = {topic.name: set(range(topic.partitions)) for topic in topics.values()}
    else:
        wanted = {}
        for asked in request.topics:
            wanted.setdefault(asked.topic, set()).update(asked.partitions)
    measured = [_measured(node, name, sorted(numbers)) for name, numbers in wanted.items()]
    space = node.broker.space()
    return DescribeLogDirsResponse(
        results=[
            DescribeLogDirsResult(
                log_dir=space.path,
                topics=[topic for topic in measured if topic.partitions],
                total_bytes=space.total_bytes,
                usable_bytes=space.usable_bytes,
            )
        ]
    )


def _measured(node: Node, name: str, numbers: list[int]) -> DescribeLogDirsTopic:
    logs = node.broker.partitions
    return DescribeLogDirsTopic(
        name=name,
        partitions=[
            DescribeLogDirsPartition(
                partition_index=number,
                partition_size=logs[TopicPartition(name, number)].size,
                offset_lag=0,
                is_future_key=False,
            )
            for number in numbers
            if name in node.broker.metadata.topics and TopicPartition(name, number) in logs
        ],
    )
