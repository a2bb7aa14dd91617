"""All that can be told of a broker at one moment: what it has counted, and how its log and groups stand.

Whoever exports metrics reads this; nothing is kept up to date for it in between.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from ..model import Offset, TopicPartition
from .metrics import ApiCounts, ConnectionCounts, TopicCounts
from .node import Node


@dataclass(frozen=True, slots=True)
class PartitionGauges:
    """How a partition stands."""

    log_start_offset: Offset
    high_watermark: Offset
    log_end_offset: Offset
    size_bytes: int
    segments: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that is known at one moment. The counts go on counting: read them at once.

    Attributes:
        apis: by name.
        topics: by name; internal ones too.
        partitions: all of them.
        lags: records between what a group has committed and the high watermark.
    """

    apis: Mapping[str, ApiCounts]
    topics: Mapping[str, TopicCounts]
    connections: ConnectionCounts
    partitions: Mapping[TopicPartition, PartitionGauges]
    lags: Mapping[str, Mapping[TopicPartition, int]]


def snapshot(node: Node) -> Snapshot:
    """Read everything off a node. Takes time in proportion to partitions and committed offsets."""
    metrics, broker = node.metrics, node.broker
    for gone in metrics.topics.keys() - broker.metadata.topics.keys():
        del metrics.topics[gone]
    partitions = {
        partition: PartitionGauges(
            log_start_offset=log.log_start_offset,
            high_watermark=log.high_watermark,
            log_end_offset=log.log_end_offset,
            size_bytes=sum(segment.size for segment in log.segments),
            segments=len(log.segments),
        )
        for partition, log in broker.partitions.items()
    }
    lags = {
        group: {
            partition: max(partitions[partition].high_watermark - committed.offset, 0)
            for partition, committed in node.offsets.committed(group).items()
            if partition in partitions
        }
        for group in node.offsets.groups()
    }
    apis = {node.served[key].api.name: counts for key, counts in metrics.apis.items()}
    return Snapshot(apis, metrics.topics, metrics.connections, partitions, lags)
