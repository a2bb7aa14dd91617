"""What members of a group tell and are given, in the wrapping in which Kafka's consumers send theirs.

Brokers and Kafka's tools look into what members of a group of the type "consumer" say, to know which
topics it reads. Ours subscribe to none: what they tell and are given is the data of their own that
the format has room for.

Source: `ConsumerProtocolSubscription.json` and `ConsumerProtocolAssignment.json` of Kafka 4.1. All
versions of both begin with the fields of version 0, so later ones are read as well.
"""

import struct
from typing import Annotated, Final, TypeVar

from ..wire.api import read_message, write_message
from ..wire.errors import MalformedMessage
from ..wire.schema import Bytes, Int32, Message, Since, String

PROTOCOL_TYPE: Final = "consumer"
VERSION: Final = 1
"""The first with owned partitions, which Kafka's own cooperative consumers send."""

_VERSION: Final = struct.Struct(">h")

MessageT = TypeVar("MessageT", bound=Message)


class TopicPartitions(Message):
    """Partitions of one topic."""

    topic: String
    partitions: list[Int32]


class Subscription(Message):
    """What a member tells."""

    topics: list[String]
    user_data: Bytes | None
    owned_partitions: Annotated[list[TopicPartitions], Since(1)] = []  # noqa: RUF012 - msgspec copies it


class Assignment(Message):
    """What a member is given."""

    assigned_partitions: list[TopicPartitions]
    user_data: Bytes | None


def encode_told(told: bytes) -> bytes:
    """Wrap what a member tells."""
    return _encode(Subscription(topics=[], user_data=told))


def decode_told(data: bytes) -> bytes:
    """Return what a member has told. Raises MalformedMessage."""
    return _decode(Subscription, data).user_data or b""


def encode_given(given: bytes) -> bytes:
    """Wrap what a member is given."""
    return _encode(Assignment(assigned_partitions=[], user_data=given))


def decode_given(data: bytes) -> bytes:
    """Return what a member is given: nothing, if the leader has not named it. Raises MalformedMessage."""
    return (_decode(Assignment, data).user_data or b"") if data else b""


def _encode(message: Message) -> bytes:
    chunks = [_VERSION.pack(VERSION)]
    write_message(message, VERSION, chunks, flexible=False)
    return b"".join(chunks)


def _decode(kind: type[MessageT], data: bytes) -> MessageT:
    try:
        (version,) = _VERSION.unpack_from(data)
    except struct.error:
        raise MalformedMessage(f"{kind.__name__}: {data!r} has no version") from None
    if version < 0:
        raise MalformedMessage(f"{kind.__name__} has version {version}")
    message, _end = read_message(
        kind, min(version, VERSION), memoryview(data), _VERSION.size, flexible=False
    )
    return message
