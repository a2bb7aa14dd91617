"""What an embedded log does by itself, beside what it is asked for.

Every pass looks at each partition: retention, then compaction, whose long part runs in a thread on
segments that nobody changes any more. Between partitions others get their turn.
"""

from collections.abc import Callable

import anyio
import anyio.lowlevel
import anyio.to_thread

from ..broker.core import Broker
from ..model import Timestamp, TopicPartition
from ..storage.partition_log import PartitionLog
from .flusher import Flusher


async def clean_partitions(
    broker: Broker,
    flusher: Flusher,
    now: Callable[[], Timestamp],
    wake: Callable[[list[TopicPartition]], None],
    removing: anyio.Lock,
    *,
    retention: bool = True,
) -> None:
    """Apply retention and compaction to all partitions once.

    Args:
        broker: whose partitions.
        flusher: files are removed only while it is quiet.
        now: tells the time.
        wake: tells readers that a partition's beginning has moved.
        removing: held by whoever removes topics or records, which must not happen under a compaction.
        retention: whether records that are too old, or too many, go now.
    """
    for partition, log in list(broker.partitions.items()):
        async with removing:
            if broker.partitions.get(partition) is not log:
                continue
            if retention:
                async with flusher.quiet():
                    if log.clean(now()):
                        wake([partition])
            if log.config.cleanup_compact:
                await _compact(log, flusher, now())
        await anyio.lowlevel.checkpoint()


async def _compact(log: PartitionLog, flusher: Flusher, now: Timestamp) -> None:
    plan = log.plan_compaction(now)
    if plan is None:
        return
    with anyio.CancelScope(shield=True):  # a thread can't be stopped, and its files must be settled
        await anyio.to_thread.run_sync(plan.run)
        async with flusher.quiet():
            log.finish_compaction(plan)
