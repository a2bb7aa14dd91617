"""From a Python type to the bytes of a record's key or value.

One rule for the wire: **text is written as it is, bytes are written as they are, all else is JSON.**
So `str`, but also `datetime`, `UUID`, `Decimal` and an Enum of strings, are UTF-8 without quotes,
as Kafka's StringSerializer writes them; an `int` is its decimal digits, as JSON writes it.

An int could have been eight bytes, as Kafka's LongSerializer writes it. We chose digits because
every tool shows them, `millpond send --key 42` and a JavaScript producer agree with them about the
partition, and because a wrong guess is noticed: binary is no number, while the eight digits of a
text key are a perfectly good binary integer. To share a topic with a Java service that uses
LongSerializer, say ``key=big_endian_int64``. Stores need keys that sort like their values:
`store_keys.py`.

A null key or value never reaches a codec: the engine hands it on as None. So ``Order | None`` is
encoded as `Order` is, and None itself is refused here.

Typed values are read by msgspec (0.2 µs an event), pydantic models by pydantic, which is imported
only by those who use it. Reading checks everything. Writing checks the outermost class, because
checking each field of what the user's own code just made would double its cost.
"""

import struct
import sys
from collections.abc import Callable
from typing import Any, Final

import msgspec
import orjson
from msgspec import inspect as shape

from ...log.errors import ConfigError
from ...state.codec import Codec
from ..errors import show_value
from .shapes import classes_of, fits, is_mutable, is_text, show_type, walk, without_none

raw: Final = bytes
"""``value=mp.raw``: the bytes as they stand in the log."""

SUPPORTED: Final = (
    "str, bytes (or mp.raw), int, float, bool; datetime, date, timedelta, UUID, Decimal, Enum; "
    "mp.Record, msgspec.Struct, dataclass, TypedDict, NamedTuple, pydantic.BaseModel; "
    "list[...], dict[str, ...], tuple[...], set[...] and X | None of these; "
    'dict, list or "json" for JSON of any shape; or a Codec of your own'
)

_ORJSON_OPTIONS = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME


def codec_for(wanted: Any, *, what: str) -> Codec[Any]:
    """Return the codec of a type.

    Args:
        wanted: a type, "json", or a Codec, which is returned as it is.
        what: whose codec this is, for messages: ``topic 'orders': value``.

    Raises:
        ConfigError: the type can't be encoded; says which part of it, and what can.
    """
    if isinstance(wanted, Codec):
        return wanted
    wanted = without_none(_resolved(wanted))[0]
    if wanted is bytes or (isinstance(wanted, str) and wanted == "raw"):
        return _bytes_codec(what)
    if wanted is str:
        return _str_codec(what)
    if wanted is dict or wanted is list:
        return _untyped_json_codec(wanted, what)
    if wanted is Any or wanted is object or (isinstance(wanted, str) and wanted == "json"):
        return _untyped_json_codec(object, what)
    info = describe(wanted, what=what)
    if _has_pydantic(info):
        return _pydantic_codec(wanted, info, what)
    if is_text(info):
        return _text_codec(wanted, info, what)
    return _json_codec(wanted, info, what)


def describe(wanted: Any, *, what: str) -> shape.Type:
    """Return msgspec's description of a type that it, or pydantic, can encode.

    Raises:
        ConfigError: it can't; or an annotation names what does not exist.
    """
    try:
        info = shape.type_info(wanted)
    except NameError as error:
        raise ConfigError(
            f"{what}: the annotations of {show_type(wanted)} can't be resolved: {error}. "
            "Define the types that it names at the top level of a module."
        ) from error
    except TypeError as error:
        raise _unsupported(wanted, what, str(error)) from error
    for part in walk(info):
        if isinstance(part, shape.CustomType) and not _is_known(part.cls):
            raise _unsupported(wanted, what, f"nothing is known about {show_type(part.cls)}")
    return info


def wrong_value(what: str, wanted: str, value: object) -> TypeError:
    """Return the error for a value that user code sent and that is not of the declared type."""
    if value is None:
        return TypeError(
            f"{what}: expected {wanted}, got None. None is sent as a null record, which is not "
            "encoded; in a list or a field, declare it as `| None`."
        )
    cls = type(value)
    got = show_type(cls)
    if got == wanted:
        got = f"another class of that name, in module {cls.__module__}"
    return TypeError(f"{what}: expected {wanted}, got {show_value(value)} ({got}).")


def _unsupported(wanted: object, what: str, why: str) -> ConfigError:
    return ConfigError(
        f"{what}: {show_type(wanted)} is not supported: {why}. What works: {SUPPORTED}."
    )


def _resolved(wanted: Any) -> Any:
    """See through NewType, and through `type X = ...` of Python 3.12."""
    while (inner := getattr(wanted, "__supertype__", None)) or (
        type(wanted).__name__ == "TypeAliasType" and (inner := wanted.__value__)
    ):
        wanted = inner
    return wanted


# ---------------------------------------------------------------------------------- text and bytes


def _bytes_codec(what: str) -> Codec[bytes]:
    def encode(value: bytes) -> bytes:
        if value.__class__ is bytes:
            return value
        if isinstance(value, bytes | bytearray | memoryview):
            return bytes(value)
        raise wrong_value(what, "bytes", value)

    return Codec("bytes", encode, _unchanged, mutable=False)


def _unchanged(data: bytes) -> bytes:
    return data


def _str_codec(what: str) -> Codec[str]:
    def encode(value: str) -> bytes:
        if isinstance(value, str):
            return value.encode()
        raise wrong_value(what, "str", value)

    return Codec("str", encode, bytes.decode, mutable=False)


def _text_codec(wanted: Any, info: shape.Type, what: str) -> Codec[Any]:
    classes = classes_of(info)
    name = show_type(wanted)
    convert, to_builtins = msgspec.convert, msgspec.to_builtins
    # Whether a text is one of the Literal's, or obeys Meta(pattern=...), only converting tells.
    restricted = isinstance(info, shape.LiteralType | shape.StrType)

    def encode(value: Any) -> bytes:
        if not fits(value, classes):
            raise wrong_value(what, name, value)
        text: str = to_builtins(value)
        if restricted:
            try:
                convert(text, wanted)
            except ValueError as error:
                raise ValueError(f"{what}: {show_value(value)} is no {name}: {error}") from error
        return text.encode()

    def decode(data: bytes) -> Any:
        return convert(data.decode(), wanted)

    return Codec(f"text:{name}", encode, decode, mutable=False)


def _encode_int64(value: int) -> bytes:
    if value.__class__ is not int:
        raise wrong_value("big_endian_int64", "int", value)
    try:
        return _INT64.pack(value)
    except struct.error:
        raise ValueError(f"big_endian_int64: {value} does not fit into 64 bits") from None


def _decode_int64(data: bytes) -> int:
    try:
        value: int = _INT64.unpack(data)[0]
    except struct.error:
        raise ValueError(f"a 64-bit integer has 8 bytes, not {len(data)}") from None
    return value


_INT64 = struct.Struct(">q")

big_endian_int64: Final[Codec[int]] = Codec("int64", _encode_int64, _decode_int64, mutable=False)
"""Eight bytes, two's complement: what Kafka's LongSerializer writes."""


# -------------------------------------------------------------------------------------------- JSON


def _untyped_json_codec(wanted: type, what: str) -> Codec[Any]:
    """JSON of any shape, through orjson.

    What would come back as something else is refused: a dict with keys that are no text, and
    datetimes and dataclasses, which would come back as text and dict after a restart only.
    """
    anything = wanted is object
    name = "JSON" if anything else show_type(wanted)
    dumps = orjson.dumps

    def encode(value: Any) -> bytes:
        if value is None or not isinstance(value, wanted):
            raise wrong_value(what, name, value)
        try:
            return dumps(value, None, _ORJSON_OPTIONS)
        except TypeError as error:
            raise TypeError(
                f"{what}: {show_value(value)} is not JSON: {error}. "
                "Give a type in place of plain JSON to have more than text, numbers, lists and "
                "dicts with text keys."
            ) from error

    decode = orjson.loads if anything else msgspec.json.Decoder(wanted).decode
    return Codec("json" if anything else f"json:{name}", encode, decode, mutable=True)


def _json_codec(wanted: Any, info: shape.Type, what: str) -> Codec[Any]:
    try:
        decode = msgspec.json.Decoder(wanted).decode
    except TypeError as error:
        raise _unsupported(wanted, what, str(error)) from error
    encode = _checked_encode(wanted, info, what, msgspec.json.Encoder().encode, decode)
    plain = isinstance(info, shape.IntType | shape.FloatType | shape.BoolType)
    name = show_type(wanted)
    return Codec(name if plain else f"json:{name}", encode, decode, is_mutable(info))


def _checked_encode(
    wanted: Any,
    info: shape.Type,
    what: str,
    encode_json: Callable[[Any], bytes],
    decode: Callable[[bytes], Any],
) -> Callable[[Any], bytes]:
    classes = classes_of(info)
    usual = classes[0]
    name = show_type(wanted)
    # JSON has no NaN or infinity, and msgspec writes null in its place: what nobody could read
    # back. Looking for "null" costs 0.1 µs, and only where it is found we look closer. `find`,
    # because `in` takes twice as long: it first asks whether it was given a number.
    has_float = any(isinstance(part, shape.FloatType) for part in walk(info))

    def encode(value: Any) -> bytes:
        if value.__class__ is not usual and not fits(value, classes):
            raise wrong_value(what, name, value)
        try:
            data = encode_json(value)
        except TypeError as error:
            raise TypeError(f"{what}: {show_value(value)} can't be encoded: {error}") from error
        if has_float and data.find(b"null") >= 0:
            _refuse_nan(value, data)
        return data

    def _refuse_nan(value: Any, data: bytes) -> None:
        try:
            decode(data)
        except ValueError as error:
            raise ValueError(
                f"{what}: {show_value(value)} can't be read back: {error}. "
                "JSON has no NaN and no infinity; use None for what is unknown."
            ) from error

    return encode


# ---------------------------------------------------------------------------------------- pydantic


def _is_known(cls: type) -> bool:
    return cls is object or _is_pydantic(cls)


def _is_pydantic(cls: Any) -> bool:
    """Whether this is a pydantic model, asked without importing pydantic.

    Who made a model has imported it.
    """
    pydantic = sys.modules.get("pydantic")
    return pydantic is not None and isinstance(cls, type) and issubclass(cls, pydantic.BaseModel)


def _has_pydantic(info: shape.Type) -> bool:
    return any(isinstance(part, shape.CustomType) and _is_pydantic(part.cls) for part in walk(info))


def _pydantic_codec(wanted: Any, info: shape.Type, what: str) -> Codec[Any]:
    from pydantic import TypeAdapter

    adapter: TypeAdapter[Any] = TypeAdapter(wanted)
    dump = adapter.dump_json
    classes = classes_of(info)
    name = show_type(wanted)

    def encode(value: Any) -> bytes:
        if not fits(value, classes):
            raise wrong_value(what, name, value)
        # By alias, because that is how validation reads it.
        return dump(value, by_alias=True, warnings="error")

    return Codec(f"json:{name}", encode, adapter.validate_json, not _is_frozen_model(wanted))


def _is_frozen_model(wanted: Any) -> bool:
    if not _is_pydantic(wanted) or not wanted.model_config.get("frozen"):
        return False
    return all(
        _is_frozen_model(field.annotation) or not is_mutable(shape.type_info(field.annotation))
        for field in wanted.model_fields.values()
    )
