"""A task's stores against plain dicts, through commits, rollbacks, restarts and crashes.

Hypothesis looks for short stories; long seeded walks find what takes a long one. The caches are so
small that they forget all the time, except where they are to remember.
"""

from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from millpond.state.rocks import RocksEnvironment
from millpond.tests.twins.state_twin import ACTIONS, StateTwin
from millpond.tests.twins.state_world import MemoryDisk, RocksDisk

CACHE_BYTES = [0, 2_000, 1 << 20]

stories = st.lists(
    st.one_of(
        [
            st.tuples(st.just(name), *[st.sampled_from(choices) for choices in arguments])
            for name, arguments in ACTIONS.items()
        ]
    ),
    min_size=10,
    max_size=60,
)


@settings(max_examples=100, deadline=None)
@given(story=stories, cache_bytes=st.sampled_from(CACHE_BYTES))
def test_stores_agree_with_dicts_in_memory(story: list[tuple], cache_bytes: int) -> None:
    twin = StateTwin(MemoryDisk(), cache_bytes)
    for name, *arguments in story:
        getattr(twin, name)(*arguments)
    twin.finish()


@pytest.mark.parametrize("seed", range(24))
def test_stores_agree_with_dicts_on_a_long_walk_in_memory(seed: int) -> None:
    walk(StateTwin(MemoryDisk(), CACHE_BYTES[seed % 3]), Random(seed), steps=3000)


@pytest.mark.parametrize("seed", range(3))
def test_stores_agree_with_dicts_on_a_walk_in_rocks(seed: int, tmp_path: Path) -> None:
    disk = RocksDisk(tmp_path, RocksEnvironment(8 << 20))
    walk(StateTwin(disk, CACHE_BYTES[seed % 3]), Random(seed), steps=400)


def walk(twin: StateTwin, random: Random, steps: int) -> None:
    """Do random things; what is rare in life is rare here."""
    weights = [1 if name in {"crash", "crash_again_while_restoring"} else 6 for name in ACTIONS]
    for name in random.choices(list(ACTIONS), weights, k=steps):
        getattr(twin, name)(*[random.choice(choices) for choices in ACTIONS[name]])
    twin.finish()
