"""What a coordinator writes of a classic group: Kafka's GroupMetadataKey and GroupMetadataValue v3.

The number at the head of a key says what kind of record it is. A value begins with the version of its
format; older ones are read, and version 4, whose fields are the same in compact form.

A record is written when a generation's assignment is decided, and when the last member has gone. It
holds all that is needed to go on in that generation; nothing is written of a rebalance under way.

Source: `GroupMetadataValue.json` of Kafka 4.1.
"""

import struct
from typing import Annotated, Final, TypeVar

from ..errors import LogError
from ..model import NewRecord, Timestamp
from ..wire.api import read_message, write_message
from ..wire.schema import Bytes, Int32, Int64, Message, Since, String

MessageT = TypeVar("MessageT", bound=Message)

GROUP_METADATA: Final = 2
"""The number of this kind of record."""

_VERSION: Final = 3
_LAST_VERSION_READ: Final = 4
_INT16: Final = struct.Struct(">h")


class GroupMetadataKey(Message):
    """Names the group."""

    group: String


class MemberMetadata(Message):
    """A member, with what it asked for and what it was given."""

    member_id: String
    group_instance_id: Annotated[String | None, Since(3)] = None
    client_id: String
    client_host: String
    rebalance_timeout: Annotated[Int32, Since(1)] = -1
    session_timeout: Int32
    subscription: Bytes
    assignment: Bytes


class GroupMetadataValue(Message):
    """A group in one generation."""

    protocol_type: String
    generation: Int32
    protocol: String | None
    leader: String | None
    current_state_timestamp: Annotated[Int64, Since(2)] = -1
    members: list[MemberMetadata]


def encode_group(group_id: str, value: GroupMetadataValue | None, now: Timestamp) -> NewRecord:
    """Make the record of a classic group; None makes the tombstone."""
    key = encode_versioned(GroupMetadataKey(group=group_id), GROUP_METADATA, message_version=0)
    data = None if value is None else encode_versioned(value, _VERSION, message_version=_VERSION)
    return NewRecord(key, data, now)


def decode_group(key: bytes, value: bytes | None) -> tuple[str, GroupMetadataValue | None]:
    """Read such a record: the group's name, and what it says, None for a tombstone.

    Raises:
        LogError: a version from the future.
    """
    group_id = decode_body(GroupMetadataKey, key, version=0, flexible=False).group
    if value is None:
        return group_id, None
    version = version_of(value)
    if not 0 <= version <= _LAST_VERSION_READ:
        raise LogError(
            f"group {group_id!r}: its record has version {version}; this Millpond reads up to "
            f"{_LAST_VERSION_READ}"
        )
    return group_id, decode_body(
        GroupMetadataValue, value, version=version, flexible=version >= _LAST_VERSION_READ
    )


# -- what all records of group coordinators share --------------------------------------------------


def version_of(data: bytes) -> int:
    """Return the number that a key or value begins with: of a key, the kind of the record."""
    if len(data) < _INT16.size:
        raise LogError(f"a coordinator's record is cut short: {data!r}")
    (version,) = _INT16.unpack_from(data)
    return int(version)


def encode_versioned(
    message: Message, number: int, *, message_version: int, flexible: bool = False
) -> bytes:
    """Write a key or a value: a number, then the message."""
    chunks = [_INT16.pack(number)]
    write_message(message, message_version, chunks, flexible=flexible)
    return b"".join(chunks)


def decode_body(message: type[MessageT], data: bytes, *, version: int, flexible: bool) -> MessageT:
    """Read what follows the number. Fields that only a later writer knows are passed over."""
    read, _end = read_message(message, version, memoryview(data), _INT16.size, flexible=flexible)
    return read
