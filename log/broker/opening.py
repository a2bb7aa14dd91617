"""Opens a broker with its coordinators, and ends what a crash may have left half done."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple
from uuid import UUID

from ..coordinator.group_table import GroupTable, replay
from ..model import Timestamp
from ..storage.disk import Disk
from .core import Broker
from .groups import Groups
from .members import GroupCoordinator
from .transactions import Transactions


class Opened(NamedTuple):
    """A broker, and the coordinators whose state it keeps."""

    broker: Broker
    group_offsets: Groups
    transactions: Transactions
    groups: GroupCoordinator


def open_broker(
    disk: Disk,
    *,
    now: Timestamp,
    new_topic_id: Callable[[], UUID],
    durable_reads: bool,
    read_only: bool = False,
) -> Opened:
    """Open what is on the disk.

    Args:
        disk: where everything is.
        now: the time.
        new_topic_id: makes an id that no topic, and no member of a group, has had before.
        durable_reads: whether readers see only what is durable.
        read_only: write nothing; another process may be at work.

    Raises:
        ConfigError: there is no log to be read.
        CorruptRecord: of a damaged partition.
    """
    broker = Broker.open(
        disk,
        now=now,
        new_topic_id=new_topic_id,
        durable_reads=durable_reads,
        read_only=read_only,
    )
    table: GroupTable = {}
    group_offsets = Groups(broker, partial(replay, table))
    groups = GroupCoordinator(group_offsets, table, new_topic_id)
    transactions = Transactions(broker, group_offsets)
    if not read_only:
        _go_on(broker, group_offsets, transactions, now)
    return Opened(broker, group_offsets, transactions, groups)


def _go_on(
    broker: Broker, group_offsets: Groups, transactions: Transactions, now: Timestamp
) -> None:
    """End open transactions, begin a leader epoch, forget offsets in topics that are gone.

    Markers that are written again take the places that lost ones had. Where readers saw only what
    was durable, nothing else can have been in those places; so that is still the history of the
    leader epoch before, and positions behind those markers stay good.
    """
    same_history = broker.metadata.durable_reads
    written = transactions.settle(now) if same_history else []
    broker.begin_epoch(now)
    if not same_history:
        written = transactions.settle(now)
    for log in written:
        log.flush()
    for logs in group_offsets.forget_topics(group_offsets.of_missing_topics(), now):
        for log in logs:
            log.flush()
