"""Classic groups as their records tell of them: replay, when a broker opens."""

from .classic_group import ClassicGroup
from .classic_members import Member
from .group import Group
from .group_records import GroupMetadataValue, decode_group


def replay_classic_group(groups: dict[str, Group], key: bytes, value: bytes | None) -> None:
    """Take in a record of a classic group."""
    group_id, written = decode_group(key, value)
    if written is not None:
        groups[group_id] = restored(group_id, written)
    elif isinstance(groups.get(group_id), ClassicGroup):
        del groups[group_id]


def restored(group_id: str, value: GroupMetadataValue) -> ClassicGroup:
    """Make a group of what was written of it. Of its members' protocols one is known, the chosen."""
    members = [
        Member(
            written.member_id,
            written.group_instance_id,
            written.client_id,
            written.client_host,
            written.session_timeout,
            written.rebalance_timeout
            if written.rebalance_timeout >= 0
            else written.session_timeout,
            {value.protocol or "": written.subscription},
            written.assignment,
        )
        for written in value.members
    ]
    since = value.current_state_timestamp
    group = ClassicGroup(group_id)
    group.go_on_from(
        generation=value.generation,
        protocol_type=value.protocol_type,
        protocol_name=value.protocol,
        leader=value.leader,
        members=members,
        since=since if since >= 0 else None,
    )
    return group
