"""What a Python type looks like to a codec: its name, its classes, and whether values can change.

msgspec already understands dataclasses, TypedDicts, NamedTuples, generics, unions and forward
references, so we read its description of a type instead of reading annotations a second time.
"""

import datetime as dt
import decimal
import types
import uuid
from collections.abc import Iterator
from typing import Annotated, Any, Union, get_args, get_origin

from msgspec import inspect as shape

_TEXT = (
    shape.StrType,
    shape.DateTimeType,
    shape.DateType,
    shape.TimeType,
    shape.TimeDeltaType,
    shape.UUIDType,
    shape.DecimalType,
)
_UNCHANGEABLE = (
    *_TEXT,
    shape.NoneType,
    shape.BoolType,
    shape.IntType,
    shape.FloatType,
    shape.BytesType,
    shape.EnumType,
    shape.LiteralType,
)


_CLASSES: dict[type, tuple[type, ...]] = {
    shape.NoneType: (type(None),),
    shape.BoolType: (bool,),
    shape.IntType: (int,),
    shape.FloatType: (float, int),
    shape.StrType: (str,),
    shape.BytesType: (bytes,),
    shape.ByteArrayType: (bytearray,),
    shape.DateTimeType: (dt.datetime,),
    shape.DateType: (dt.date,),
    shape.TimeType: (dt.time,),
    shape.TimeDeltaType: (dt.timedelta,),
    shape.UUIDType: (uuid.UUID,),
    shape.DecimalType: (decimal.Decimal,),
    shape.ListType: (list,),
    shape.SetType: (set,),
    shape.FrozenSetType: (frozenset,),
    shape.TupleType: (tuple,),
    shape.VarTupleType: (tuple,),
    shape.DictType: (dict,),
    shape.TypedDictType: (dict,),
}
_ALSO_ANOTHER = ((bool, int), (dt.datetime, dt.date))
"""Subclasses in Python that are another type in JSON."""


def show_type(wanted: object) -> str:
    """Return a type's name as its author would write it, without modules.

    Without, because the module that runs as ``__main__`` is the same one under another name.
    """
    if wanted is type(None):
        return "None"
    arguments = get_args(wanted)
    origin = get_origin(wanted)
    if origin in (Union, types.UnionType):
        return " | ".join(map(show_type, arguments))
    if origin is Annotated:
        return show_type(arguments[0])
    if isinstance(origin, type) and arguments:
        return f"{origin.__qualname__}[{', '.join(map(show_type, arguments))}]"
    if isinstance(wanted, type):
        return wanted.__qualname__.rpartition("<locals>.")[2]
    if wanted is ...:
        return "..."
    return repr(wanted).replace("typing.", "")


def without_none(wanted: Any) -> tuple[Any, bool]:
    """Return the type without its ``| None``, and whether it had one."""
    if get_origin(wanted) not in (Union, types.UnionType):
        return wanted, False
    arguments = get_args(wanted)
    rest = tuple(argument for argument in arguments if argument is not type(None))
    if len(rest) == len(arguments) or not rest:
        return wanted, False
    return Union[rest], True  # noqa: UP007 - made at run time, of as many as there are


def is_text(info: shape.Type) -> bool:
    """Whether JSON would write every value of this type as one string."""
    if isinstance(info, shape.EnumType):
        return all(isinstance(member.value, str) for member in info.cls)
    if isinstance(info, shape.LiteralType):
        return all(isinstance(value, str) for value in info.values)
    return isinstance(info, _TEXT)


def is_mutable(info: shape.Type) -> bool:
    """Whether a value could be changed in place; False only where that is sure."""
    return any(_is_changeable(part) for part in walk(info))


def _is_changeable(info: shape.Type) -> bool:
    match info:
        case shape.StructType() | shape.DataclassType():
            return not is_frozen(info)
        case (
            shape.TupleType()
            | shape.VarTupleType()
            | shape.NamedTupleType()
            | shape.FrozenSetType()
            | shape.UnionType()
        ):
            return False
        case _:
            return not isinstance(info, _UNCHANGEABLE)


def is_frozen(info: shape.StructType | shape.DataclassType) -> bool:
    """Whether attributes of this class can't be assigned to."""
    cls: Any = class_of(info)
    if isinstance(info, shape.StructType):
        return bool(cls.__struct_config__.frozen)
    parameters = getattr(cls, "__dataclass_params__", None)  # what attrs makes has none
    return parameters is not None and parameters.frozen


def class_of(info: Any) -> type:
    """Return the class that is described, without the arguments of a generic one."""
    cls: type = get_origin(info.cls) or info.cls
    return cls


def walk(info: shape.Type) -> Iterator[shape.Type]:
    """Yield this description and all within it; each once, for a type may contain itself."""
    seen: set[int] = set()
    waiting = [info]
    while waiting:
        part = waiting.pop()
        if id(part) not in seen:
            seen.add(id(part))
            yield part
            waiting.extend(_parts(part))


def _parts(info: shape.Type) -> Iterator[shape.Type]:
    match info:
        case (
            shape.StructType()
            | shape.DataclassType()
            | shape.NamedTupleType()
            | shape.TypedDictType()
        ):
            yield from (field.type for field in info.fields)
        case shape.UnionType():
            yield from info.types
        case shape.TupleType():
            yield from info.item_types
        case shape.DictType():
            yield info.key_type
            yield info.value_type
        case shape.Metadata():
            yield info.type
        case shape.CollectionType():
            yield info.item_type


def classes_of(info: shape.Type) -> tuple[type, ...]:
    """Return the classes of which a value must be an instance; ``(object,)`` if any will do."""
    match info:
        case (
            shape.StructType()
            | shape.DataclassType()
            | shape.NamedTupleType()
            | shape.EnumType()
            | shape.CustomType()
        ):
            return (class_of(info),)
        case shape.UnionType():
            return tuple({cls: None for part in info.types for cls in classes_of(part)})
        case shape.LiteralType():
            return tuple({type(value): None for value in info.values})
        case shape.Metadata():
            return classes_of(info.type)
        case _:
            return _CLASSES.get(type(info), (object,))


def fits(value: object, classes: tuple[type, ...]) -> bool:
    """Whether a value is an instance, where a bool is no int and a datetime is no date."""
    if not isinstance(value, classes):
        return False
    if object in classes:
        return True
    return all(
        narrow in classes or wide not in classes or not isinstance(value, narrow)
        for narrow, wide in _ALSO_ANOTHER
    )
