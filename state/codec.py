"""How a store turns a value into bytes and back.

`streams/types/codecs.py` makes codecs from types; stores only use them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Codec(Generic[T]):
    """A pair of functions, and what a store must know about the values.

    Attributes:
        name: identifies type and encoding, such as ``int`` or ``json:shop.Order``; a store whose
            codec's name has changed is rebuilt from its changelog.
        encode: value to bytes. Raises TypeError or ValueError for a value of another type.
        decode: bytes to value. Raises ValueError when the bytes do not fit the type.
        mutable: whether a value handed to a user could be changed in place. Stores then compare it
            with its stored bytes at commit, so that such a change is never lost.
    """

    name: str
    encode: Callable[[T], bytes]
    decode: Callable[[bytes], T]
    mutable: bool
