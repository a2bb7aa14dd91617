"""What a user hands to an app is looked at at once, so that an error points at the user's own line."""

import inspect
from typing import TYPE_CHECKING, Any

from .errors import ConfigError
from .table import Table
from .topic import Topic

if TYPE_CHECKING:
    from .app import App


def check_topic(app: "App", topic: object, what: str) -> None:
    """Refuse what is not one of the app's topics."""
    if not isinstance(topic, Topic):
        raise ConfigError(f"{what}: {topic!r} is no topic, as `app.topic(…)` returns it")
    check_owner(app, topic, what)


def own_tables(app: "App", tables: object) -> tuple[Table[Any, Any], ...]:
    """Return what an agent names with `tables=[…]`; refuse what are not tables of the app."""
    if not isinstance(tables, list | tuple | set):
        raise ConfigError(f"@app.agent(…, tables={tables!r}): expected a list, as in [totals]")
    for table in tables:
        if not isinstance(table, Table):
            raise ConfigError(f"@app.agent(…, tables=[…]): {table!r} is no table")
        check_owner(app, table, "@app.agent(…, tables=[…])")
    return tuple(tables)


def check_owner(app: "App", item: Topic[Any, Any] | Table[Any, Any], what: str) -> None:
    """Refuse what was declared for another app."""
    if item.app is not app:
        raise ConfigError(
            f"{what}: {item!r} belongs to app {item.app.name!r}, not to {app.name!r}. Apps share "
            "topics by their names: declare one of that name here as well."
        )


def check_function(function: Any, name: str) -> None:
    """Refuse a function that is not a coroutine function."""
    if inspect.iscoroutinefunction(function):
        return
    where = ""
    code = getattr(function, "__code__", None)
    if code is not None:
        where = f" ({code.co_filename}:{code.co_firstlineno})"
    kind = "yields" if inspect.isasyncgenfunction(function) else "is not async"
    raise ConfigError(
        f"{name!r}{where} {kind}: write `async def {name}(…):`"
        + (", and send results with `await topic.send(…)`" if kind == "yields" else "")
    )
