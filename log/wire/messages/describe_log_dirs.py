"""DescribeLogDirs (35): where partitions lie, and how much room they and their disks have.

    2   flexible
    3   an error of the whole response
    4   total and usable bytes of each directory (KIP-827)

Source: the Kafka protocol, as of 4.1; KIP-113.
"""

from typing import Annotated, Final

from ..api import Api
from ..schema import Bool, Int16, Int32, Int64, Message, Since, String


class DescribableLogDirTopic(Message):
    """One of `DescribeLogDirsRequest.topics`."""

    topic: String
    partitions: list[Int32]


class DescribeLogDirsRequest(Message):
    """What a client asks."""

    topics: list[DescribableLogDirTopic] | None


class DescribeLogDirsPartition(Message):
    """One of `DescribeLogDirsTopic.partitions`."""

    partition_index: Int32
    partition_size: Int64
    offset_lag: Int64
    is_future_key: Bool


class DescribeLogDirsTopic(Message):
    """One of `DescribeLogDirsResult.topics`."""

    name: String
    partitions: list[DescribeLogDirsPartition]


class DescribeLogDirsResult(Message):
    """One of `DescribeLogDirsResponse.results`."""

    error_code: Int16 = 0
    log_dir: String
    topics: list[DescribeLogDirsTopic]
    total_bytes: Annotated[Int64, Since(4)] = -1
    usable_bytes: Annotated[Int64, Since(4)] = -1


class DescribeLogDirsResponse(Message):
    """What the broker answers."""

    throttle_time_ms: Int32 = 0
    error_code: Annotated[Int16, Since(3)] = 0
    results: list[DescribeLogDirsResult]


DESCRIBE_LOG_DIRS: Final = Api(
    key=35,
    name="DescribeLogDirs",
    request=DescribeLogDirsRequest,
    response=DescribeLogDirsResponse,
    first=1,
    last=4,
    flexible_since=2,
)
"""DescribeLogDirs, as both sides know it."""
