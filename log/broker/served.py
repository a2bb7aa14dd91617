"""An API as this broker offers it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..wire.api import Api


@dataclass(frozen=True, slots=True)
class Served:
    """An API, the versions that are answered, and by whom.

    `advertised_first` is given where older versions are named than are answered: some clients take
    what is missing there for the sign of a broker from long ago.
    """

    api: Api[Any, Any]
    first: int
    last: int
    handle: Callable[..., Any]
    advertised_first: int | None = None
