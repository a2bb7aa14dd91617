"""What an agent's code refers to is found without running any of it."""

import contextlib
import functools
import json
import sys
import types
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from millpond.streams.references import references


class Table:
    """Stands in for a table: something to be found."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.closed = Channel(f"{name}.closed")

    def __getitem__(self, key: str) -> int:
        raise AssertionError("nothing may be run")

    def __setitem__(self, key: str, value: int) -> None:
        raise AssertionError("nothing may be run")


@dataclass(frozen=True)
class Channel:
    name: str

    def send(self, value: object) -> None:
        raise AssertionError("nothing may be run")


totals = Table("totals")
counts = Table("counts")
users = Table("users")
revenue = Channel("revenue")
by_name = {"a": totals, "b": counts}
rebound = totals

shop = types.ModuleType("shop")
shop.totals = Table("shop.totals")  # type: ignore[attr-defined]
shop.stock = types.ModuleType("shop.stock")  # type: ignore[attr-defined]
shop.stock.levels = Table("shop.stock.levels")  # type: ignore[attr-defined]


def found(function: Callable[..., Any]) -> list[str]:
    return [each.name for each in references(function, (Table, Channel))]  # type: ignore[attr-defined]


def test_globals_are_found_in_the_order_of_the_code() -> None:
    async def agent(stream: AsyncIterator[str]) -> None:
        async for value in stream:
            if users[value]:
                totals[value] += 1
            counts[value] = totals[value]
            revenue.send(value)

    assert found(agent) == ["users", "totals", "counts", "revenue"]


def test_only_the_kinds_asked_for_are_found() -> None:
    async def agent(stream: AsyncIterator[str]) -> None:
        totals["x"] += 1
        revenue.send(1)

    assert references(agent, (Channel,)) == [revenue]
    assert references(agent, (int,)) == []


def test_code_that_refers_to_nothing_refers_to_nothing() -> None:
    async def agent(stream: AsyncIterator[str]) -> None:
        async for value in stream:
            print(json.dumps(value), unknown_name)  # type: ignore[name-defined]  # noqa: F821

    assert found(agent) == []


def test_attributes_of_modules_are_followed() -> None:
    async def agent(stream: AsyncIterator[str]) -> None:
        shop.totals["x"] += 1
        shop.stock.levels["y"] += 1

    assert found(agent) == ["shop.totals", "shop.stock.levels"]


def test_a_module_alone_is_not_all_that_is_in_it() -> None:
    async def agent(stream: AsyncIterator[str]) -> None:
        print(shop)

    assert found(agent) == []


def test_an_attribute_of_what_was_found_may_be_another_find() -> None:
    async def agent(stream: AsyncIterator[str]) -> None:
        totals.closed.send(1)

    assert found(agent) == ["totals", "totals.closed"]


def test_closures_defaults_and_local_names() -> None:
    inner, chosen = Table("inner"), Table("chosen")

    async def agent(stream: AsyncIterator[str], table: Table = chosen, *, also: Any = shop) -> None:
        inner["x"] += 1
        alias = also.stock
        alias.levels["x"] += 1

    assert found(agent) == ["chosen", "inner", "shop.stock.levels"]


def test_a_cell_that_is_still_empty_is_no_harm() -> None:
    async def agent(stream: AsyncIterator[str]) -> None:
        later["x"] += 1

    assert found(agent) == []
    later = Table("later")
    assert found(agent) == ["later"]


def test_lambdas_comprehensions_and_inner_functions() -> None:
    inner = Table("inner")

    async def agent(stream: AsyncIterator[str]) -> None:
        def work(value: str) -> list[int]:
            return [totals[value] for _ in range(3)]

        change = lambda value: inner[value]  # noqa: E731
        print(work, change, {name: counts[name] for name in "ab"})

    assert found(agent) == ["totals", "inner", "counts"]


def helper(value: str) -> None:
    deeper(value)
    counts[value] += 1


def deeper(value: str) -> None:
    helper(value)  # a cycle
    users[value] += 1


def test_functions_that_are_called_are_followed() -> None:
    async def agent(stream: AsyncIterator[str]) -> None:
        helper("x")
        totals["x"] += 1

    assert found(agent) == ["totals", "counts", "users"]


def test_containers_are_looked_into() -> None:
    async def agent(stream: AsyncIterator[str]) -> None:
        async for value in stream:
            by_name[value]["x"] += 1

    assert found(agent) == ["totals", "counts"]


def test_imports_inside_the_function(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "shop", shop)
    monkeypatch.setitem(sys.modules, "shop.stock", shop.stock)  # type: ignore[attr-defined]

    async def agent(stream: AsyncIterator[str]) -> None:
        import shop.stock as depot  # type: ignore[import-not-found]
        from shop import totals as all_of_them

        all_of_them["x"] += 1
        depot.levels["x"] += 1

    assert found(agent) == ["shop.totals", "shop.stock.levels"]


class Service:
    errors = Table("errors")

    def __init__(self, table: Table) -> None:
        self.table = table

    def record(self, value: str) -> None:
        self.table[value] += 1
        self.count()

    @property
    def current(self) -> int:
        raise AssertionError(f"nothing may be run, not even for {self.errors}")

    @functools.cached_property
    def cached(self) -> int:
        raise AssertionError(f"nothing may be run, not even for {self.errors}")

    @classmethod
    def fail(cls, value: str) -> None:
        cls.errors[value] += 1

    @staticmethod
    def count() -> None:
        counts["x"] += 1

    async def agent(self, stream: AsyncIterator[str]) -> None:
        self.record("x")


service = Service(Table("of service"))


def test_methods_know_their_self() -> None:
    async def agent(stream: AsyncIterator[str]) -> None:
        service.record("x")

    assert found(agent) == ["of service", "counts"]
    assert found(service.agent) == ["of service", "counts"]


def test_class_methods_static_methods_and_properties() -> None:
    async def by_class(stream: AsyncIterator[str]) -> None:
        service.fail("x")

    async def by_property(stream: AsyncIterator[str]) -> None:
        print(service.current)

    async def by_cached_property(stream: AsyncIterator[str]) -> None:
        print(service.cached)

    assert found(by_class) == ["errors"]
    assert found(by_property) == ["errors"]
    assert found(by_cached_property) == ["errors"]


def test_naming_a_class_is_using_its_methods() -> None:
    async def agent(stream: AsyncIterator[str]) -> None:
        maker = Service
        print(maker)

    assert set(found(agent)) == {"counts", "errors"}


def test_slots_are_read() -> None:
    @dataclass(frozen=True, slots=True)
    class Holder:
        table: Table

    holder = Holder(Table("slotted"))

    async def agent(stream: AsyncIterator[str]) -> None:
        holder.table["x"] += 1

    assert found(agent) == ["slotted"]


@contextlib.contextmanager
def scope() -> Iterator[None]:
    totals["x"] += 1
    yield


@functools.cache
def lookup(value: str) -> int:
    return users[value]


def decorated(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*args: Any) -> Any:
        counts["x"] += 1
        return function(*args)

    return wrapper


@decorated
def wrapped() -> None:
    revenue.send(1)


def test_decorated_functions_are_seen_through() -> None:
    async def agent(stream: AsyncIterator[str]) -> None:
        with scope():
            lookup("x")
            wrapped()

    assert found(agent) == ["totals", "users", "counts", "revenue"]


def test_partial_functions() -> None:
    async def agent(table: Table, stream: AsyncIterator[str], *, other: Table) -> None:
        users["x"] += 1

    assert found(functools.partial(agent, totals, other=counts)) == ["totals", "counts", "users"]


def test_libraries_are_not_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json, "hidden", totals, raising=False)
    code = compile("def call():\n    hidden['x'] += 1\n", json.__file__, "exec")
    exec(code, json.__dict__)
    try:

        async def agent(stream: AsyncIterator[str]) -> None:
            json.call()  # type: ignore[attr-defined]

        assert found(agent) == []
    finally:
        del json.call  # type: ignore[attr-defined]


def test_an_app_that_is_installed_like_a_library_is_still_followed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    package = types.ModuleType("installed_shop")
    package.__file__ = "/usr/lib/python3/site-packages/installed_shop.py"
    monkeypatch.setitem(sys.modules, "installed_shop", package)
    package.totals = totals  # type: ignore[attr-defined]
    source = "def helper():\n    totals['x'] += 1\nasync def agent(stream):\n    helper()\n"
    exec(compile(source, package.__file__, "exec"), package.__dict__)
    assert found(package.agent) == ["totals"]
    monkeypatch.setattr(sys.modules[__name__], "installed", package, raising=False)

    async def agent(stream: AsyncIterator[str]) -> None:
        installed.helper()  # type: ignore[name-defined]  # noqa: F821

    assert found(agent) == []


class Trap:
    """Anything that runs is a failure."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"nothing may be run, asked for {name}")

    @property
    def __class__(self) -> Any:
        raise AssertionError("nothing may be run")

    def __eq__(self, other: object) -> bool:
        raise AssertionError("nothing may be run")

    def __hash__(self) -> int:
        raise AssertionError("nothing may be run")


trap = Trap()
traps = [trap]


def test_nothing_is_run() -> None:
    async def agent(stream: AsyncIterator[str], given: Any = trap) -> None:
        print(trap, trap.anything, trap.anything.more, given.table, traps)
        totals["x"] += 1

    assert found(agent) == ["totals"]


def test_what_was_found_before_is_found_again_in_the_same_order() -> None:
    async def agent(stream: AsyncIterator[str]) -> None:
        helper("x")
        print(rebound, by_name, service.record, Service)

    first = found(agent)
    assert len(first) == len(set(first))
    assert all(found(agent) == first for _ in range(5))
