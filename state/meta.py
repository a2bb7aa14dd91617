"""What a task's backend says about itself: its format, its stores, and how far they have come.

Written into the same backend as the data, so one write batch changes both or neither.
"""

import struct
from dataclasses import dataclass
from typing import Final, NamedTuple
from uuid import UUID

import msgspec

from ..log.model import Offset, Timestamp
from .backend import Backend, Change
from .errors import UnknownFormat
from .keys import META_FORMAT, META_POSITION, META_STORE, STORE_ID_MAX, successor

FORMAT: Final = 1
_POSITION: Final = struct.Struct(">16siqq")


class Position(NamedTuple):
    """The next offset to read of a changelog, and what tells whether it is still on its history.

    An offset alone can't tell that a log was truncated and has grown again past it (KIP-101), nor
    that the topic was deleted and made anew. A negative epoch means that the log tells none.
    """

    topic_id: UUID
    leader_epoch: int
    offset: Offset


@dataclass(frozen=True, slots=True)
class StoredPosition:
    """A position as stored. All of the changelog up to it was seen, and at `as_of` it was the end.

    While a rebuild is under way, `as_of` is when it began.
    """

    position: Position
    as_of: Timestamp


class StoreMeta(msgspec.Struct, frozen=True):
    """One store: the id that its keys begin with, and a description of what it was made for."""

    id: int
    made_for: str


class _Format(msgspec.Struct, frozen=True):
    format: int
    partitions: int


def encode_position(changelog: str, stored: StoredPosition) -> Change:
    """Return the change that stores the position."""
    topic_id, leader_epoch, offset = stored.position
    return (
        META_POSITION + changelog.encode(),
        _POSITION.pack(topic_id.bytes, leader_epoch, offset, stored.as_of),
    )


def forget_position(changelog: str) -> Change:
    """Return the change that forgets the position."""
    return META_POSITION + changelog.encode(), None


def read_positions(backend: Backend) -> dict[str, StoredPosition]:
    """Return all positions by changelog."""
    positions = {}
    for name, data in _read(backend, META_POSITION):
        topic_id, leader_epoch, offset, as_of = _POSITION.unpack(data)
        position = Position(UUID(bytes=topic_id), leader_epoch, offset)
        positions[name] = StoredPosition(position, as_of)
    return positions


def read_stores(backend: Backend) -> dict[str, StoreMeta]:
    """Return all stores by name."""
    return {
        name: msgspec.json.decode(data, type=StoreMeta) for name, data in _read(backend, META_STORE)
    }


def encode_store(name: str, meta: StoreMeta) -> Change:
    """Return the change that registers a store."""
    return META_STORE + name.encode(), msgspec.json.encode(meta)


def next_store_id(stores: dict[str, StoreMeta]) -> int:
    """Return an id that no store ever had."""
    store_id = max((meta.id for meta in stores.values()), default=0) + 1
    assert store_id < STORE_ID_MAX
    return store_id


def check_format(backend: Backend, where: str, partitions: int) -> bool:
    """Return whether the backend's data is of use for a task of `partitions` partitions.

    Raises:
        UnknownFormat: another version of Millpond wrote it.
    """
    data = backend.get(META_FORMAT)
    if data is None:
        return False
    found = msgspec.json.decode(data, type=_Format)
    if found.format != FORMAT:
        raise UnknownFormat(f"the store at {where}", found.format, FORMAT)
    return found.partitions == partitions


def encode_format(partitions: int) -> Change:
    """Return the change that marks the backend as of this format."""
    return META_FORMAT, msgspec.json.encode(_Format(FORMAT, partitions))


def _read(backend: Backend, prefix: bytes) -> list[tuple[str, bytes]]:
    top = successor(prefix)
    assert top is not None
    return [(key[len(prefix) :].decode(), data) for key, data in backend.range(prefix, top)]
