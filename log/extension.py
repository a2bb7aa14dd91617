"""aiokafka's record codec, without the client around it.

Importing anything of a package runs its `__init__` first, and aiokafka's brings a whole client: a
fifth of the time in which a worker should reach its first record. So the packages above the codec
are put into `sys.modules` unexecuted: their submodules can be imported, and whoever asks them for
anything else gets it, as they are executed then. An aiokafka that is there already is left alone.
"""

import importlib.util
import sys
from types import ModuleType
from typing import Any, Final

PACKAGES: Final = ("aiokafka", "aiokafka.record")


class Postponed(ModuleType):
    """A package whose `__init__` runs when an attribute is missed for the first time."""

    def __getattr__(self, name: str) -> Any:
        assert self.__spec__ is not None
        assert self.__spec__.loader is not None
        self.__class__ = ModuleType  # type: ignore[assignment]
        self.__spec__.loader.exec_module(self)
        return getattr(self, name)


def postpone_client() -> None:
    """Let the codec be imported by itself. Does nothing where aiokafka is missing, or imported."""
    for name in PACKAGES:
        if name in sys.modules:
            return
        spec = importlib.util.find_spec(name)
        if spec is None:
            return
        module = importlib.util.module_from_spec(spec)
        module.__class__ = Postponed
        sys.modules[name] = module
        parent, _, child = name.rpartition(".")
        if parent:
            setattr(sys.modules[parent], child, module)
