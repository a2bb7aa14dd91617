"""From a table's key to bytes that sort like the keys do, so that stores can be scanned by range.

On the wire a key should be readable by others; in a store nobody looks, and what counts is the
order: 9 before 10, which as text would come after. So stores have their own codec for keys.

    str      UTF-8, which sorts by code point, as Python does
    bytes    as they are
    int      64 bits, big-endian, sign bit flipped; so are datetime, date and timedelta, in microseconds
    float    IEEE 754, big-endian, the sign bit flipped, or all bits of a negative number
    bool     one byte
    UUID     its 16 bytes
    Enum     as its values
    tuple, NamedTuple, frozen Record, Struct or dataclass: its fields one after another; a text
             or bytes field ends with 00 00, and a 00 in it is written 00 FF, so that no key is
             the beginning of another

Equal keys must have equal bytes, so what is equal in more than one spelling is refused or made one:
-0.0 is 0.0, and 12:00 UTC is 13:00 CET; Decimal and whatever can change in place are refused.
"""

import datetime as dt
import struct
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from msgspec import inspect as shape

from ...log.errors import ConfigError
from ...state.codec import Codec
from .codecs import codec_for, describe, wrong_value
from .shapes import class_of, classes_of, fits, is_frozen, show_type

_WORKS: Final = (
    "str, bytes, int, float, bool, datetime with a time zone, date, timedelta, UUID, an Enum of "
    "text or of numbers, and tuple, NamedTuple, frozen mp.Record or frozen dataclass of these"
)
_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_EPOCH_DAY: Final = dt.date(1970, 1, 1).toordinal()
_MICROSECOND: Final = dt.timedelta(microseconds=1)

_UINT64: Final = struct.Struct(">Q")
_FLOAT64: Final = struct.Struct(">d")
_SIGN: Final = 1 << 63
_ALL: Final = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class _Part:
    """How one field of a key is written, and read back from a position: (value, next position).

    `name` tells the layout of the bytes, whatever the type is called in Python.
    """

    name: str
    encode: Callable[[Any], bytes]
    read: Callable[[bytes, int], tuple[Any, int]]


def store_key_codec_for(wanted: Any, *, what: str) -> Codec[Any]:
    """Return an order-preserving codec for a table's keys.

    Args:
        wanted: a type; or a Codec, whose bytes then decide the order.
        what: whose codec this is, for messages: ``table 'totals': key``.

    Raises:
        ConfigError: the type can't be a key; says what can.
    """
    if isinstance(wanted, Codec):
        return wanted
    info = describe(wanted, what=what)
    name = show_type(wanted)
    if isinstance(info, shape.StrType | shape.BytesType):
        return codec_for(wanted, what=what)
    part = _part(info, _Context(what, name))

    def decode(data: bytes) -> Any:
        try:
            value, end = part.read(data, 0)
        except (struct.error, IndexError, OverflowError):
            raise ValueError(f"{data!r} is no key of type {name}") from None
        if end != len(data):
            raise ValueError(f"{data!r} is longer than a key of type {name}")
        return value

    return Codec(f"ordered:{part.name}", part.encode, decode, mutable=False)


@dataclass(frozen=True, slots=True)
class _Context:
    what: str
    name: str

    def refuse(self, why: str) -> ConfigError:
        return ConfigError(f"{self.what}: {self.name} can't be a key: {why}. What works: {_WORKS}.")


def _part(info: shape.Type, context: _Context) -> _Part:
    match info:
        case shape.IntType():
            return _int_part(context)
        case shape.StrType() | shape.BytesType():
            return _text_part(info, context)
        case shape.EnumType():
            return _enum_part(info, context)
        case shape.LiteralType():
            return _literal_part(info, context)
        case shape.TupleType():
            return _fields_part(tuple, info.item_types, lambda values: values, iter, context)
        case shape.NamedTupleType():
            cls, types = class_of(info), [field.type for field in info.fields]
            return _fields_part(cls, types, lambda values: cls(*values), iter, context)
        case shape.StructType() | shape.DataclassType():
            return _object_part(info, context)
        case _:
            make = _PLAIN.get(type(info))
            if make is None:
                raise context.refuse(_why_not(info))
            return _plain_part(info, make, context)


def _why_not(info: shape.Type) -> str:
    match info:
        case shape.DecimalType():
            return "Decimal('1') and Decimal('1.0') are equal but not the same; take int or str"
        case shape.UnionType():
            return "a union has no order, and None is no key"
        case shape.ListType() | shape.DictType() | shape.SetType() | shape.TypedDictType():
            return "it could change; take a tuple"
        case _:
            return f"{type(info).__name__.removesuffix('Type').lower()} has no order here"


# ----------------------------------------------------------------------------------------- numbers


def _encode_ordered(number: int) -> bytes:
    return _UINT64.pack(number + _SIGN)


def _read_ordered(data: bytes, position: int) -> tuple[int, int]:
    return _UINT64.unpack_from(data, position)[0] - _SIGN, position + 8


def _int_part(context: _Context) -> _Part:
    pack = _UINT64.pack

    def encode(value: int) -> bytes:
        if value.__class__ is not int and not fits(value, (int,)):
            raise wrong_value(context.what, "int", value)
        try:
            return pack(value + _SIGN)
        except struct.error:
            raise ValueError(
                f"{context.what}: {value} does not fit into 64 bits; take str for larger numbers"
            ) from None

    return _Part("int64", encode, _read_ordered)


def _encode_float(value: float) -> bytes:
    if value != value:
        raise ValueError("NaN can't be a key: it is not equal to itself")
    bits: int = _UINT64.unpack(_FLOAT64.pack(value + 0.0))[0]  # -0.0 + 0.0 is 0.0
    return _UINT64.pack(bits ^ _ALL if bits & _SIGN else bits | _SIGN)


def _read_float(data: bytes, position: int) -> tuple[float, int]:
    bits: int = _UINT64.unpack_from(data, position)[0]
    bits = bits ^ _SIGN if bits & _SIGN else bits ^ _ALL
    value: float = _FLOAT64.unpack(_UINT64.pack(bits))[0]
    return value, position + 8


def _encode_bool(value: bool) -> bytes:
    return b"\x01" if value else b"\x00"


def _read_bool(data: bytes, position: int) -> tuple[bool, int]:
    return data[position] == 1, position + 1


def _encode_datetime(value: dt.datetime) -> bytes:
    if value.tzinfo is None:
        raise ValueError(f"{value.isoformat()} can't be a key: it has no time zone")
    return _encode_ordered((value - _EPOCH) // _MICROSECOND)


def _read_datetime(data: bytes, position: int) -> tuple[dt.datetime, int]:
    number, end = _read_ordered(data, position)
    return _EPOCH + dt.timedelta(microseconds=number), end


def _encode_date(value: dt.date) -> bytes:
    return _encode_ordered(value.toordinal() - _EPOCH_DAY)


def _read_date(data: bytes, position: int) -> tuple[dt.date, int]:
    number, end = _read_ordered(data, position)
    return dt.date.fromordinal(number + _EPOCH_DAY), end


def _encode_timedelta(value: dt.timedelta) -> bytes:
    return _encode_ordered(value // _MICROSECOND)


def _read_timedelta(data: bytes, position: int) -> tuple[dt.timedelta, int]:
    number, end = _read_ordered(data, position)
    return dt.timedelta(microseconds=number), end


def _encode_uuid(value: uuid.UUID) -> bytes:
    return value.bytes


def _read_uuid(data: bytes, position: int) -> tuple[uuid.UUID, int]:
    end = position + 16
    if len(data) < end:
        raise IndexError(position)
    return uuid.UUID(bytes=data[position:end]), end


_PLAIN: Final[dict[type, _Part]] = {
    shape.FloatType: _Part("float", _encode_float, _read_float),
    shape.BoolType: _Part("bool", _encode_bool, _read_bool),
    shape.DateTimeType: _Part("datetime", _encode_datetime, _read_datetime),
    shape.DateType: _Part("date", _encode_date, _read_date),
    shape.TimeDeltaType: _Part("timedelta", _encode_timedelta, _read_timedelta),
    shape.UUIDType: _Part("uuid", _encode_uuid, _read_uuid),
}


def _plain_part(info: shape.Type, plain: _Part, context: _Context) -> _Part:
    """Put a type check around one of `_PLAIN`."""
    classes = classes_of(info)
    name = show_type(classes[0])
    encode_plain = plain.encode

    def encode(value: Any) -> bytes:
        if not fits(value, classes):
            raise wrong_value(context.what, name, value)
        return encode_plain(value)

    return _Part(plain.name, encode, plain.read)


# ------------------------------------------------------------------------------------------- texts


def _text_part(info: shape.Type, context: _Context) -> _Part:
    """Text or bytes within a composite key: escaped, and with an end."""
    is_str = isinstance(info, shape.StrType)
    plain = codec_for(str if is_str else bytes, what=context.what)

    def encode(value: Any) -> bytes:
        return plain.encode(value).replace(b"\x00", b"\x00\xff") + b"\x00\x00"

    def read(data: bytes, position: int) -> tuple[Any, int]:
        zero = data.index(b"\x00", position)
        while data[zero + 1] == 0xFF:
            zero = data.index(b"\x00", zero + 2)
        return plain.decode(data[position:zero].replace(b"\x00\xff", b"\x00")), zero + 2

    return _Part(plain.name, encode, read)


def _enum_part(info: shape.EnumType, context: _Context) -> _Part:
    of_value = _literal_part(shape.LiteralType(tuple(member.value for member in info.cls)), context)
    cls = info.cls

    def encode(value: Any) -> bytes:
        if value.__class__ is not cls:
            raise wrong_value(context.what, show_type(cls), value)
        return of_value.encode(value.value)

    def read(data: bytes, position: int) -> tuple[Any, int]:
        value, end = of_value.read(data, position)
        return cls(value), end

    return _Part(of_value.name, encode, read)


def _literal_part(info: shape.LiteralType, context: _Context) -> _Part:
    """A text or number out of a few."""
    allowed = frozenset(info.values)
    classes = {type(value) for value in allowed}
    if classes == {str}:
        part = _text_part(shape.StrType(), context)
    elif classes == {int}:
        part = _int_part(context)
    else:
        raise context.refuse("its values are not all text, and not all numbers")

    def encode(value: Any) -> bytes:
        data = part.encode(value)
        if value not in allowed:
            raise ValueError(f"{context.what}: {value!r} is none of {info.values}")
        return data

    return _Part(part.name, encode, part.read)


# -------------------------------------------------------------------------------------- composites


def _fields_part(
    cls: type,
    types: Sequence[shape.Type],
    make: Callable[[tuple[Any, ...]], Any],
    split: Callable[[Any], Any],
    context: _Context,
) -> _Part:
    parts = [_part(each, context) for each in types]
    encoders = [part.encode for part in parts]
    readers = [part.read for part in parts]
    count = len(parts)

    def encode(value: Any) -> bytes:
        if not isinstance(value, cls):
            raise wrong_value(context.what, context.name, value)
        fields = tuple(split(value))
        if len(fields) != count:
            raise wrong_value(context.what, context.name, value)
        return b"".join([encode(field) for encode, field in zip(encoders, fields, strict=True)])

    def read(data: bytes, position: int) -> tuple[Any, int]:
        fields = []
        for read in readers:
            field, position = read(data, position)
            fields.append(field)
        return make(tuple(fields)), position

    name = f"({','.join(part.name for part in parts)})"
    return _Part(name, encode, read)


def _object_part(info: shape.StructType | shape.DataclassType, context: _Context) -> _Part:
    cls = class_of(info)
    if not is_frozen(info):
        raise context.refuse(f"{show_type(cls)} could change; make it frozen=True")
    names = [field.name for field in info.fields]

    def make(values: tuple[Any, ...]) -> Any:
        return cls(**dict(zip(names, values, strict=True)))

    def split(value: Any) -> list[Any]:
        return [getattr(value, name) for name in names]

    return _fields_part(cls, [field.type for field in info.fields], make, split, context)
