"""All groups, by id, and how the records of `__consumer_offsets` add up to them.

`REPLAYS` says for each kind of record, by the number its key begins with, how it changes the table.
Kinds that are not named there are passed over: offsets, which `offsets.py` keeps, and groups of
protocols that this broker does not speak.
"""

from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from ..model import Record
from .classic_replay import replay_classic_group
from .consumer_group import replay_consumer_group
from .consumer_group_records import KINDS as CONSUMER_GROUP_KINDS
from .group import Group
from .group_records import GROUP_METADATA, version_of

GroupTable: TypeAlias = dict[str, Group]

REPLAYS: Final[Mapping[int, Callable[[GroupTable, bytes, bytes | None], None]]] = {
    GROUP_METADATA: replay_classic_group,
    **dict.fromkeys(CONSUMER_GROUP_KINDS, replay_consumer_group),
}


def replay(groups: GroupTable, record: Record) -> None:
    """Take in one record.

    Raises:
        LogError: its format is from the future.
    """
    assert record.key is not None
    change = REPLAYS.get(version_of(record.key))
    if change is not None:
        change(groups, record.key, record.value)
