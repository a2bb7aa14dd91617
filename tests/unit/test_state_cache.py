"""The caches of all stores together keep to their budget, and keep what is used."""

import tracemalloc

from millpond.state.cache import CacheBudget
from millpond.state.memory import MemoryBackend
from millpond.state.task_state import TaskState
from millpond.tests.twins.state_world import INT, LIST, TEXT, Changelog, World

KEYS = 8_000


def many(world: World) -> None:
    """Fill the stores, and leave the caches empty."""
    for number in range(KEYS):
        world.totals.put(f"key-{number:06}", number)
        world.lists.put(f"key-{number:06}", [number])
        world.minutes.put(60 * (number % 10), f"key-{number:06}", number)
    world.commit()
    world.restart()


def read_all(world: World) -> None:
    for number in range(KEYS):
        world.totals.get(f"key-{number:06}")
        world.minutes.get(60 * (number % 10), f"key-{number:06}")


def memory_taken_by_reading(budget_bytes: int) -> int:
    world = World(cache_bytes=budget_bytes)
    many(world)
    tracemalloc.start()
    read_all(world)
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return taken


def test_caches_take_about_what_they_may() -> None:
    taken = memory_taken_by_reading(1 << 20)
    assert (1 << 20) / 4 < taken < (1 << 20) * 1.5


def test_cache_without_a_budget_keeps_nothing() -> None:
    assert memory_taken_by_reading(0) < 100_000


def test_cached_bytes_of_mutable_values_count_too() -> None:
    world = World(cache_bytes=1 << 20)
    many(world)
    tracemalloc.start()
    for number in range(KEYS):
        world.lists.get(f"key-{number:06}")
        if number % 500 == 0:
            world.state.rollback()
    world.state.rollback()
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert taken < (1 << 20) * 1.5


def test_what_is_used_stays() -> None:
    world = World(cache_bytes=1 << 20)
    many(world)
    hot = [f"key-{number:06}" for number in range(100)]
    for key in hot:
        world.totals.get(key)
    reads = 0
    backend_get = world.backend.get

    def counting_get(key: bytes) -> bytes | None:
        nonlocal reads
        reads += 1
        return backend_get(key)

    world.backend.get = counting_get  # type: ignore[method-assign]
    for number in range(100, KEYS):
        world.totals.get(f"key-{number:06}")
        world.totals.get(hot[number % 100])
    assert world.budget.generation > 1
    assert reads == KEYS - 100


def test_writes_are_cached_within_the_budget() -> None:
    world = World(cache_bytes=1 << 20)
    tracemalloc.start()
    for number in range(KEYS):
        world.totals.put(f"key-{number:06}", number)
        if number % 500 == 0:
            drained = world.state.drain(0)
            del drained
            world.state.apply({}, 0)
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    stored = sum(len(key) + len(value) + 33 * 2 + 250 for key, value in world.data().items())
    assert taken < stored + (1 << 20) * 1.5


def test_closed_task_and_closed_window_give_their_share_back() -> None:
    budget = CacheBudget(1 << 20)
    state = TaskState(MemoryBackend(), partitions=1, budget=budget)
    facts = {name: Changelog(name).facts(None) for name in ("x", "y")}
    state.key_value("x", changelog="x", key=TEXT, value=LIST)
    windows = state.windowed("y", changelog="y", key=TEXT, value=INT, window="tumbling")
    state.restore(facts, 0).finish(0)
    before = budget.member_count
    for start in range(10):
        windows.put(start, "a", 1)
    assert budget.member_count == before + 10
    state.drain(0)
    state.apply({}, 0)
    windows.close_before(9)
    state.drain(0)
    state.apply({}, 0)
    assert budget.member_count == before + 1
    state.close()
    assert budget.member_count == 0
