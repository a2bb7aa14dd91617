"""Finds out whether a partition has nothing from an offset up to its end, though the end is further on.

Compaction may leave nothing there. A fetch then brings nothing until more is appended, and who reads up to
the end, as a restore does, would wait for that. But a fetch that brings nothing is no proof: a broker that
has older records in tiered storage answers so, too, while it still looks for them there (KIP-405). So its
leader is asked from where on it has all itself. Older brokers can't say, and are believed nothing.

Rejected: to believe the answer to a fetch, which passes over all that is slow to come from tiered storage.

Source: KIP-405 (ListOffsets, timestamp -4).
"""

from collections.abc import Mapping
from typing import Final

from ..model import Isolation
from ..wire.error_codes import ErrorCode
from ..wire.messages.list_offsets import LIST_OFFSETS
from .brokers import Leader
from .connection import BrokerConnection
from .flow import Flow
from .offsets import list_offsets_request

EARLIEST_LOCAL: Final = -4
EARLIEST_LOCAL_SINCE: Final = 8


async def pass_gaps(
    connection: BrokerConnection, leaders: Mapping[Flow, Leader], wait_s: float
) -> None:
    """Let flows go on at their ends, if their leader has nothing before.

    Args:
        connection: to the leader.
        leaders: by flow whose last fetch brought nothing, though its end is further on; none of a
            partition twice, and no fetch is under way.
        wait_s: how long the answer may take.

    Raises:
        Unreachable: there is none.
    """
    if connection.version(LIST_OFFSETS) < EARLIEST_LOCAL_SINCE:
        return
    request = list_offsets_request(
        dict.fromkeys((flow.partition for flow in leaders), EARLIEST_LOCAL),
        {flow.partition: leader for flow, leader in leaders.items()},
        Isolation.READ_UNCOMMITTED,
    )
    answer = await connection.ask(LIST_OFFSETS, request, wait_s)
    found = {
        (topic.name, one.partition_index): one.offset
        for topic in answer.topics
        for one in topic.partitions
        if one.error_code == ErrorCode.NONE
    }
    for flow in leaders:
        start = found.get(flow.partition, -1)
        if 0 <= start <= flow.fetch_offset:
            flow.pass_gap()
