"""Find the app that a command line names: ``millpond worker shop:app``.

What goes wrong here is nearly always in the user's own code or command, so each error shows that,
and not the way we took to find it out.
"""

import importlib
import os
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import Final, TypeVar

from ..log.errors import ConfigError

A = TypeVar("A")

_FRAMES_MAX: Final = 4
_OURS: Final = tuple(
    f"{Path(__file__).parents[1] / part}{os.sep}" for part in ("log", "state", "streams")
)
_MISSING: Final = object()


def load_app(target: str, app_type: type[A], *, directory: Path | None = None) -> A:
    """Import a module and return the app in it.

    Args:
        target: ``module:name``; or ``module`` alone, if there is one app in it.
        app_type: the class of apps; given in, as we know nothing of it.
        directory: where modules are looked for first; the current directory by default.

    Raises:
        ConfigError: there is no such module or app, or the module fails when it is imported.
    """
    module_name, _, name = target.partition(":")
    directory = directory or Path.cwd()
    _check_module_name(target, module_name, name)
    module = _import(module_name, directory)
    return _named_app(module, name, app_type) if name else _only_app(module, app_type)


def _check_module_name(target: str, module_name: str, name: str) -> None:
    parts = module_name.split(".")
    if all(part.isidentifier() for part in parts) and parts[-1] != "py":
        return
    guess = module_name.removesuffix(".py").strip("./").replace("/", ".").replace("\\", ".")
    hint = f": write {guess}:{name or 'app'}" if guess else ", as in shop:app"
    raise ConfigError(f"{target!r} does not name a module with dots between its parts{hint}")


def _import(module_name: str, directory: Path) -> ModuleType:
    if str(directory) not in sys.path:
        sys.path.insert(0, str(directory))
    importlib.invalidate_caches()
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{module_name}.".startswith(f"{error.name}."):
            raise ConfigError(_no_such_module(error.name, directory)) from None
        raise ConfigError(_import_failed(module_name, error)) from None
    except SystemExit as error:
        raise ConfigError(
            f"module {module_name!r} ended the program (sys.exit({error.code!r})) while it was "
            'imported: put what runs it under `if __name__ == "__main__":`'
        ) from None
    except Exception as error:  # noqa: BLE001 - it is the user's, and told as theirs
        raise ConfigError(_import_failed(module_name, error)) from None


def _no_such_module(module_name: str, directory: Path) -> str:
    found = sorted(
        {path.stem for path in directory.glob("*.py")}
        | {path.parent.name for path in directory.glob("*/__init__.py")}
    )
    there = f"there is {', '.join(found)}" if found else "there is no Python file"
    return f"no module named {module_name!r} was found: looked in {directory}, where {there}"


def _import_failed(module_name: str, error: Exception) -> str:
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename != importlib.__file__
        and not frame.filename.startswith(("<frozen importlib", *_OURS))
    ]
    told = traceback.format_list(frames[-_FRAMES_MAX:]) + traceback.format_exception_only(error)
    return f"module {module_name!r} failed while it was imported:\n{''.join(told).rstrip()}"


def _named_app(module: ModuleType, name: str, app_type: type[A]) -> A:
    found: object = module
    for part in name.split("."):
        found = getattr(found, part, _MISSING)
    if isinstance(found, app_type):
        return found
    there = [f"{module.__name__}:{name}" for name in _apps(module, app_type)]
    hint = f"there is {', '.join(there)}" if there else _how_to_make(app_type)
    if found is _MISSING:
        raise ConfigError(f"module {module.__name__!r} ({_file(module)}) has no {name!r}: {hint}")
    raise ConfigError(
        f"{module.__name__}:{name} is no {app_type.__name__}, it is of type {type(found).__name__}: {hint}"
    )


def _only_app(module: ModuleType, app_type: type[A]) -> A:
    apps = _apps(module, app_type)
    if len(apps) == 1:
        return next(iter(apps.values()))
    if not apps:
        raise ConfigError(
            f"module {module.__name__!r} ({_file(module)}) has no {app_type.__name__}: "
            f"{_how_to_make(app_type)}"
        )
    choices = " or ".join(f"{module.__name__}:{name}" for name in apps)
    raise ConfigError(f"module {module.__name__!r} has {len(apps)} apps: say {choices}")


def _apps(module: ModuleType, app_type: type[A]) -> dict[str, A]:
    """Return a module's apps by their first name."""
    apps: dict[str, A] = {}
    for name, value in vars(module).items():
        if isinstance(value, app_type) and not any(value is app for app in apps.values()):
            apps[name] = value
    return apps


def _how_to_make(app_type: type) -> str:
    return f'make one at the top level of the module, as in app = {app_type.__name__}("shop")'


def _file(module: ModuleType) -> str:
    return getattr(module, "__file__", None) or "a namespace package"
