"""All APIs that are served: a line for each, in the order of their numbers."""

from collections.abc import Mapping
from typing import Final

from ...wire.messages.add_offsets_to_txn import ADD_OFFSETS_TO_TXN
from ...wire.messages.add_partitions_to_txn import ADD_PARTITIONS_TO_TXN
from ...wire.messages.api_versions import API_VERSIONS
from ...wire.messages.consumer_group_describe import CONSUMER_GROUP_DESCRIBE
from ...wire.messages.consumer_group_heartbeat import CONSUMER_GROUP_HEARTBEAT
from ...wire.messages.delete_groups import DELETE_GROUPS
from ...wire.messages.delete_records import DELETE_RECORDS
from ...wire.messages.describe_groups import DESCRIBE_GROUPS
from ...wire.messages.describe_producers import DESCRIBE_PRODUCERS
from ...wire.messages.describe_transactions import DESCRIBE_TRANSACTIONS
from ...wire.messages.end_txn import END_TXN
from ...wire.messages.fetch import FETCH
from ...wire.messages.find_coordinator import FIND_COORDINATOR
from ...wire.messages.heartbeat import HEARTBEAT
from ...wire.messages.init_producer_id import INIT_PRODUCER_ID
from ...wire.messages.join_group import JOIN_GROUP
from ...wire.messages.leave_group import LEAVE_GROUP
from ...wire.messages.list_groups import LIST_GROUPS
from ...wire.messages.list_offsets import LIST_OFFSETS
from ...wire.messages.metadata import METADATA
from ...wire.messages.offset_commit import OFFSET_COMMIT
from ...wire.messages.offset_delete import OFFSET_DELETE
from ...wire.messages.offset_fetch import OFFSET_FETCH
from ...wire.messages.offset_for_leader_epoch import OFFSET_FOR_LEADER_EPOCH
from ...wire.messages.produce import PRODUCE
from ...wire.messages.sync_group import SYNC_GROUP
from ...wire.messages.txn_offset_commit import TXN_OFFSET_COMMIT
from ..served import Served
from .add_offsets_to_txn import add_offsets_to_txn
from .add_partitions_to_txn import add_partitions_to_txn
from .api_versions import api_versions
from .consumer_group_describe import consumer_group_describe
from .consumer_group_heartbeat import consumer_group_heartbeat
from .delete_groups import delete_groups
from .delete_records import delete_records
from .describe_groups import describe_groups
from .describe_producers import describe_producers
from .describe_transactions import describe_transactions
from .end_txn import end_txn
from .fetch import fetch
from .find_coordinator import find_coordinator
from .heartbeat import heartbeat
from .init_producer_id import init_producer_id
from .join_group import join_group
from .leave_group import leave_group
from .list_groups import list_groups
from .list_offsets import list_offsets
from .metadata import metadata
from .offset_commit import offset_commit
from .offset_delete import offset_delete
from .offset_fetch import offset_fetch
from .offset_for_leader_epoch import offset_for_leader_epoch
from .produce import produce
from .sync_group import sync_group
from .txn_offset_commit import txn_offset_commit

SERVED: Final[Mapping[int, Served]] = {
    one.api.key: one
    for one in (
        Served(PRODUCE, 3, 11, produce, advertised_first=0),
        Served(FETCH, 4, 17, fetch),
        Served(LIST_OFFSETS, 1, 10, list_offsets),
        Served(METADATA, 0, 13, metadata),
        Served(OFFSET_COMMIT, 2, 9, offset_commit),
        Served(OFFSET_FETCH, 1, 9, offset_fetch),
        Served(FIND_COORDINATOR, 0, 6, find_coordinator),
        Served(JOIN_GROUP, 0, 9, join_group),
        Served(HEARTBEAT, 0, 4, heartbeat),
        Served(LEAVE_GROUP, 0, 5, leave_group),
        Served(SYNC_GROUP, 0, 5, sync_group),
        Served(DESCRIBE_GROUPS, 0, 6, describe_groups),
        Served(LIST_GROUPS, 0, 5, list_groups),
        Served(API_VERSIONS, 0, 4, api_versions),
        Served(DELETE_RECORDS, 0, 2, delete_records),
        Served(INIT_PRODUCER_ID, 0, 5, init_producer_id),
        Served(OFFSET_FOR_LEADER_EPOCH, 2, 4, offset_for_leader_epoch),
        Served(ADD_PARTITIONS_TO_TXN, 0, 3, add_partitions_to_txn),
        Served(ADD_OFFSETS_TO_TXN, 0, 4, add_offsets_to_txn),
        Served(END_TXN, 0, 4, end_txn),
        Served(DELETE_GROUPS, 0, 2, delete_groups),
        Served(OFFSET_DELETE, 0, 0, offset_delete),
        Served(DESCRIBE_PRODUCERS, 0, 0, describe_producers),
        Served(DESCRIBE_TRANSACTIONS, 0, 0, describe_transactions),
        Served(CONSUMER_GROUP_HEARTBEAT, 0, 1, consumer_group_heartbeat),
        Served(CONSUMER_GROUP_DESCRIBE, 0, 1, consumer_group_describe),
        Served(TXN_OFFSET_COMMIT, 0, 4, txn_offset_commit),
    )
}
