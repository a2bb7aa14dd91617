"""How a protocol message is described: as a typed class whose annotations also say how it travels.

    class OffsetCommitRequestPartition(Message):
        partition_index: Int32
        committed_offset: Int64
        committed_leader_epoch: Annotated[Int32, Since(6)] = -1
        committed_metadata: String | None = None

One class stands for all versions of a message. A field that a version lacks keeps its default when
it is read, and is left out when written. What `readers.py` and `writers.py` make of a class for one
version is a plain function that knows nothing of annotations any more.

    X | None            may be null, in every version; `NullableSince(n)`: from that version on
    Annotated[X, …]     `Since(n)`, `Until(n)`: the versions that have the field;
                        `Tagged(n)`: sent only where it differs from its default, under that tag

Messages are `msgspec.Struct`s: their constructors are C, cost a tenth of a microsecond, and mypy
knows them. We rejected reading Kafka's own JSON descriptions at run time: nobody could type-check
what a handler does with them.

Source: the Kafka protocol guide; KIP-482 (tagged fields).
"""

import enum
import types
from dataclasses import dataclass
from functools import cache
from typing import (
    Annotated,
    Any,
    Final,
    Self,
    TypeAlias,
    Union,
    dataclass_transform,
    get_args,
    get_origin,
    get_type_hints,
)
from uuid import UUID

import msgspec

VERSION_MAX: Final = 2**15 - 1
NO_UUID: Final = UUID(int=0)
"""What stands for *no topic id*."""


class Kind(enum.Enum):
    """How a value without parts is written."""

    BOOL = "?"
    INT8 = "b"
    INT16 = "h"
    UINT16 = "H"
    INT32 = "i"
    UINT32 = "I"
    INT64 = "q"
    FLOAT64 = "d"
    UUID = "16s"
    STRING = "string"
    BYTES = "bytes"
    RECORDS = "records"


Bool: TypeAlias = Annotated[bool, Kind.BOOL]
Int8: TypeAlias = Annotated[int, Kind.INT8]
Int16: TypeAlias = Annotated[int, Kind.INT16]
UInt16: TypeAlias = Annotated[int, Kind.UINT16]
Int32: TypeAlias = Annotated[int, Kind.INT32]
UInt32: TypeAlias = Annotated[int, Kind.UINT32]
Int64: TypeAlias = Annotated[int, Kind.INT64]
Float64: TypeAlias = Annotated[float, Kind.FLOAT64]
Uuid: TypeAlias = Annotated[UUID, Kind.UUID]
String: TypeAlias = Annotated[str, Kind.STRING]
Bytes: TypeAlias = Annotated[bytes, Kind.BYTES]
Records: TypeAlias = Annotated[bytes | memoryview, Kind.RECORDS]
"""Record batches. Reading gives a view into the request, which is valid as long as that is."""


class _MessageType(msgspec.StructMeta):
    def __new__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any]) -> Self:  # type: ignore[misc]
        return super().__new__(cls, name, bases, namespace, frozen=True, kw_only=True)


@dataclass_transform(kw_only_default=True)
class Message(msgspec.Struct, metaclass=_MessageType):
    """A request, a response, or a part of one: frozen, its fields named when it is constructed."""


@dataclass(frozen=True, slots=True)
class Since:
    """The field exists from this version on."""

    version: int


@dataclass(frozen=True, slots=True)
class Until:
    """The field exists up to this version, itself included."""

    version: int


@dataclass(frozen=True, slots=True)
class NullableSince:
    """The field may be null from this version on."""

    version: int


@dataclass(frozen=True, slots=True)
class Tagged:
    """The field is one of the tagged fields at the end of its message."""

    tag: int


@dataclass(frozen=True, slots=True)
class Field:
    """What the annotation of one field says."""

    name: str
    kind: Kind | type[Message]
    is_array: bool
    nullable_since: int | None
    since: int
    until: int
    tag: int | None
    default: Any

    def in_version(self, version: int) -> bool:
        """Say whether a version of the message has this field."""
        return self.since <= version <= self.until

    def nullable_in(self, version: int) -> bool:
        """Say whether the field may be null in a version."""
        return self.nullable_since is not None and version >= self.nullable_since


@cache
def fields_of(message: type[Message]) -> tuple[Field, ...]:
    """Return what a message consists of, in the order in which it is written."""
    hints = get_type_hints(message, include_extras=True)
    return tuple(
        _field(known.name, hints[known.name], _default_of(known))
        for known in msgspec.structs.fields(message)
    )


def _default_of(field: msgspec.structs.FieldInfo) -> Any:
    """Return a field's default; `msgspec.NODEFAULT` where there is none."""
    if field.default_factory is not msgspec.NODEFAULT:
        return field.default_factory()
    return field.default


def _field(name: str, hint: Any, default: Any) -> Field:
    since, until, nullable_since, tag = 0, VERSION_MAX, None, None
    hint, marks = _unwrap(hint)
    nullable = get_origin(hint) in (Union, types.UnionType) and type(None) in get_args(hint)
    if nullable:
        (hint,) = [part for part in get_args(hint) if part is not type(None)]
        hint, more = _unwrap(hint)
        marks += more
        nullable_since = 0
    is_array = get_origin(hint) is list
    if is_array:
        hint, more = _unwrap(get_args(hint)[0])
        marks += more
    kind: Kind | type[Message] | None = hint if _is_message(hint) else None
    for mark in marks:
        match mark:
            case Since(version):
                since = version
            case Until(version):
                until = version
            case NullableSince(version):
                nullable_since = version
            case Tagged(number):
                tag = number
            case Kind():
                kind = mark
    assert kind is not None, f"{name}: {hint!r} is no type of the protocol"
    return Field(name, kind, is_array, nullable_since, since, until, tag, default)


def _unwrap(hint: Any) -> tuple[Any, list[Any]]:
    if get_origin(hint) is Annotated:
        inner, *marks = get_args(hint)
        if Kind.RECORDS in marks:  # its own type is a union too
            return bytes, marks
        return inner, marks
    return hint, []


def _is_message(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, Message)
