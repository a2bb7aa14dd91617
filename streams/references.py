"""Which tables and topics an agent uses, read from its code and without running any of it.

Agents that share a table must run in one task, which has to be known before anything starts. Making
users declare what Python already says would be one more thing to get wrong, so we read the byte
code: each name it loads is looked up as Python would, attributes are followed (`shop.totals`), and
so are the functions it calls, as far as they are the user's own. What is found by looking only:
`inspect.getattr_static` runs no property and no `__getattr__`.

What this can't see is a table that comes out of a computation, such as ``tables[name()]()`` or
`getattr`; then the table itself says so when it is used, and `tables=[…]` declares it.
"""

import contextlib
import dis
import functools
import importlib.util
import inspect
import sys
import sysconfig
import types
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast

FUNCTIONS_MAX: Final = 2000
"""So many functions are followed from one agent; code that calls more is not looked through."""

CONTAINER_ITEMS_MAX: Final = 1000
"""A larger collection is data, and not a handful of tables."""

_UNKNOWN: Final = object()
_OURS: Final = __name__.partition(".")[0]


def references(function: Callable[..., Any], kinds: tuple[type, ...]) -> list[object]:
    """Return the objects of these types that a function's code refers to, each once.

    They come in the order in which the code names them, and then what called functions name, so
    the same code always gives the same answer.
    """
    search = _Search(kinds, own_package=_top_package(function))
    search.look_at(function)
    for _ in range(FUNCTIONS_MAX):
        if not search.waiting:
            break
        for value in _Reader(*search.waiting.popleft()).values():
            search.look_at(value)
    return list(search.found.values())


@dataclass(frozen=True, slots=True)
class _Bound:
    """What was found through an instance, which will be its `self`."""

    value: object
    owner: object


@dataclass
class _Search:
    """What has been found, and the functions that are still to be read."""

    kinds: tuple[type, ...]
    own_package: str
    found: dict[int, object] = field(default_factory=dict)
    waiting: deque[tuple[types.FunctionType, object]] = field(default_factory=deque)
    _seen: set[tuple[int, int]] = field(default_factory=set)

    def look_at(self, value: object, owner: object = _UNKNOWN) -> None:
        """Note a value that is of the kinds sought, or queue code that may use such values.

        Asks `type(value)` throughout, as `isinstance` would run a proxy's `__class__`.
        """
        cls = type(value)
        if value is _UNKNOWN:
            return
        if issubclass(cls, self.kinds):
            self.found.setdefault(id(value), value)
        elif cls is types.FunctionType:
            self._queue(cast("types.FunctionType", value), owner)
        elif issubclass(cls, type):
            self._look_at_class(cast("type", value))
        else:
            for part, part_owner in _parts(value, owner):
                self.look_at(part, part_owner)

    def _queue(self, function: types.FunctionType, owner: object) -> None:
        mark = (id(function), id(owner))
        if mark in self._seen:
            return
        first = not self._seen
        self._seen.add(mark)
        if first or self._is_users(function.__module__):
            self.waiting.append((function, owner))
        # A library's wrapper, such as contextmanager's, is not read, but what it wraps is.
        if "__wrapped__" in function.__dict__:
            self.look_at(function.__dict__["__wrapped__"], owner)

    def _look_at_class(self, cls: type) -> None:
        """Queue a class' methods: code that names a class may call them on what it makes."""
        if self._is_users(cls.__module__):
            for member in vars(cls).values():
                if isinstance(member, types.FunctionType | staticmethod | property):
                    self.look_at(member)
                elif isinstance(member, classmethod):
                    self.look_at(member, cls)

    def _is_users(self, module_name: str | None) -> bool:
        """Whether a module is the user's own code: not ours, and no library of somebody else.

        An app may be installed itself, so what lies in its own package is always the user's.
        """
        package = (module_name or "").partition(".")[0]
        if package in (_OURS, "builtins"):
            return False
        if package == self.own_package:
            return True
        file = getattr(sys.modules.get(module_name or ""), "__file__", None)
        return file is None or not _is_library(file)


class _Reader:
    """Reads the code of one function, as far as what it loads can be known without running it."""

    def __init__(self, function: types.FunctionType, owner: object) -> None:
        self._code = function.__code__
        self._globals = function.__globals__
        self._defaults = _defaults(function)
        self._names = _closure(function) | self._defaults
        if owner is not _UNKNOWN and self._code.co_argcount:
            self._names[self._code.co_varnames[0]] = owner

    def values(self) -> Iterator[object]:
        """Yield what the code loads, in its order, after the defaults of its parameters."""
        yield from self._defaults.values()
        yield from self._read(self._code, self._names)

    def _read(self, code: types.CodeType, names: dict[str, object]) -> Iterator[object]:
        """Follow the code from top to bottom, branches and loops as they stand there.

        `value` is what the step before has left on top of the stack, while that is known.
        """
        value: object = _UNKNOWN
        module: object = _UNKNOWN
        before: list[Any] = [None, None]
        steps = list(_steps(code))
        for (step, argument), (following, _) in zip(steps, [*steps[1:], _END], strict=True):
            used: object = _UNKNOWN
            match _KINDS.get(step):
                case "load":
                    used = value = names.get(argument, _UNKNOWN)
                case "load global":
                    is_local = argument in names and step != "LOAD_GLOBAL"
                    value = names[argument] if is_local else self._globals.get(argument, _UNKNOWN)
                    used = value
                case "attribute":
                    owner = module if step == "IMPORT_FROM" else value
                    value = _attribute(owner, argument)
                    used = _Bound(value, owner)
                case "import":
                    value = module = self._imported(argument, level=before[0], names=before[1])
                case "store":
                    names[argument] = value
                case None:
                    value = _UNKNOWN
            # A class that is only asked for one attribute is not used as a whole.
            if not (_KINDS.get(following) == "attribute" and issubclass(type(value), type)):
                yield used
            if isinstance(argument, types.CodeType):
                free = argument.co_freevars
                yield from self._read(argument, {n: names[n] for n in free if n in names})
            before = [before[1], argument]

    def _imported(self, name: str, *, level: Any, names: Any) -> object:
        """Return the module that an import statement in the code gives, if it is imported yet."""
        try:
            package = self._globals.get("__package__")
            whole = importlib.util.resolve_name("." * (level or 0) + name, package)
        except ImportError:
            return _UNKNOWN
        return sys.modules.get(whole if names else whole.partition(".")[0], _UNKNOWN)


def _steps(code: types.CodeType) -> Iterator[tuple[str, Any]]:
    """Yield the code's instructions, and those that do two things as the two."""
    for step in dis.get_instructions(code):
        if step.opname in _DOUBLE:
            yield from zip(_DOUBLE[step.opname], step.argval, strict=True)
        else:
            yield step.opname, step.argval


_END: Final = ("", None)

_DOUBLE: Final = {
    "LOAD_FAST_LOAD_FAST": ("LOAD_FAST", "LOAD_FAST"),
    "LOAD_FAST_BORROW_LOAD_FAST_BORROW": ("LOAD_FAST", "LOAD_FAST"),
    "STORE_FAST_LOAD_FAST": ("STORE_FAST", "LOAD_FAST"),
    "STORE_FAST_STORE_FAST": ("STORE_FAST", "STORE_FAST"),
}

_KINDS: Final = {
    "LOAD_FAST": "load",
    "LOAD_FAST_CHECK": "load",
    "LOAD_FAST_BORROW": "load",
    "LOAD_FAST_AND_CLEAR": "load",
    "LOAD_DEREF": "load",
    "LOAD_CLOSURE": "load",
    "LOAD_GLOBAL": "load global",
    "LOAD_NAME": "load global",
    "LOAD_CLASSDEREF": "load global",
    "LOAD_FROM_DICT_OR_DEREF": "load global",
    "LOAD_FROM_DICT_OR_GLOBALS": "load global",
    "LOAD_ATTR": "attribute",
    "LOAD_METHOD": "attribute",
    "IMPORT_FROM": "attribute",
    "IMPORT_NAME": "import",
    "STORE_FAST": "store",
    "STORE_DEREF": "store",
    "STORE_NAME": "store",
    "CACHE": "nothing",
    "COPY": "nothing",
    "EXTENDED_ARG": "nothing",
    "NOP": "nothing",
    "PUSH_NULL": "nothing",
}
"""What instructions mean here, in CPython 3.11 to 3.13 (tested) and 3.14 (by its documentation).

All others leave something unknown on the stack.
"""


def _attribute(owner: object, name: str) -> object:
    if owner is _UNKNOWN:
        return _UNKNOWN
    value = inspect.getattr_static(owner, name, _UNKNOWN)
    if isinstance(value, types.MemberDescriptorType) and not isinstance(owner, type):
        # The value of a slot: C code reads it, so nothing of the user's runs.
        try:
            return value.__get__(owner, type(owner))
        except AttributeError:
            return _UNKNOWN
    return value


def _parts(value: Any, owner: object) -> list[tuple[object, object]]:
    """Return what is in a value that is no function itself; each with its `self`, if known."""
    cls = type(value)
    if cls is _Bound:
        of_instance = not issubclass(type(value.owner), type | types.ModuleType)
        is_function = type(value.value) is types.FunctionType
        return [(value.value, value.owner if of_instance or not is_function else _UNKNOWN)]
    if cls is types.MethodType:
        return [(value.__func__, value.__self__)]
    if cls is staticmethod:
        return [(value.__func__, _UNKNOWN)]
    if cls is classmethod:
        return [(value.__func__, owner if issubclass(type(owner), type) else type(owner))]
    if cls is property:
        return [(value.fget, owner)]
    if cls is functools.cached_property:
        return [(value.func, owner)]
    if cls is functools.partial:
        return [(part, _UNKNOWN) for part in (value.func, *value.args, *value.keywords.values())]
    if cls in _CONTAINERS and len(value) <= CONTAINER_ITEMS_MAX:
        items = value.values() if cls is dict else value
        return [(item, _UNKNOWN) for item in items if type(item) not in _CONTAINERS]
    # What functools.cache and the like have made of a function.
    wrapped = inspect.getattr_static(value, "__wrapped__", None)
    return [(wrapped, owner)] if type(wrapped) is types.FunctionType else []


_CONTAINERS: Final = (list, tuple, set, frozenset, dict)


def _closure(function: types.FunctionType) -> dict[str, object]:
    names: dict[str, object] = {}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        with contextlib.suppress(ValueError):  # a cell that is not filled yet
            names[name] = cell.cell_contents
    return names


def _defaults(function: types.FunctionType) -> dict[str, object]:
    code = function.__code__
    defaults = function.__defaults__ or ()
    positional = code.co_varnames[: code.co_argcount]
    named = dict(zip(positional[len(positional) - len(defaults) :], defaults, strict=True))
    return named | (function.__kwdefaults__ or {})


def _top_package(function: object) -> str:
    while isinstance(function, functools.partial):
        function = function.func
    return (getattr(function, "__module__", None) or "").partition(".")[0]


def _is_library(file: str) -> bool:
    path = Path(file)
    if not {"site-packages", "dist-packages"}.isdisjoint(path.parts):
        return True
    paths = sysconfig.get_paths()
    return any(path.is_relative_to(paths[name]) for name in ("stdlib", "platstdlib"))
