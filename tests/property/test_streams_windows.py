"""Windows come to what plain loops over the input say, however the work is cut up or cut off.

Hypothesis looks for short stories: clicks out of order, with ties, far too late; and between them
crashes, restarts and pauses at any moment. Whatever the sizes of fetches and batches and the commit
interval, the tables, the closed windows with their order, and the late clicks depend on the log alone.
"""

from collections.abc import Sequence
from random import Random
from typing import TypeAlias

import anyio
import anyio.lowlevel
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from millpond.streams.testing import AppTest
from millpond.tests.twins.streams import Windows
from millpond.tests.twins.streams_world import MS, PATIENCE, Shape, World, make_world

Step: TypeAlias = tuple[str, int] | tuple[str, str, int, int]

CLICKS = st.tuples(
    st.just("click"), st.sampled_from("abcd"), st.integers(0, 9), st.integers(100, 160)
)
STEPS = st.one_of(
    CLICKS,
    CLICKS,
    CLICKS,
    CLICKS,
    st.tuples(st.just("flush"), st.just(0)),
    st.tuples(st.just("work"), st.integers(1, 40)),
    st.tuples(st.just("advance"), st.sampled_from([1, 100, 5_000])),
    st.tuples(st.sampled_from(["lose", "kill", "restart", "settle", "store"]), st.just(0)),
)
SHAPES = st.builds(
    Shape,
    fetch_bytes=st.sampled_from([1, 150, 1 << 20]),
    commit_ms=st.sampled_from([1, 100, 10_000]),
    batch=st.sampled_from([None, None, 1, 3, 7]),
    shared=st.booleans(),
)
TUMBLING = st.builds(
    lambda size, grace: Windows(size, size, grace), st.integers(1, 20), st.integers(0, 15)
)
HOPPING = st.builds(
    lambda step, more, grace: Windows(step + more, step, grace),
    st.integers(1, 10),
    st.integers(0, 15),
    st.integers(0, 15),
)


@settings(max_examples=60, deadline=None)
@given(
    partitions=st.integers(1, 3),
    tumbling=TUMBLING,
    hopping=HOPPING,
    shape=SHAPES,
    story=st.lists(STEPS, max_size=40),
)
def test_windows_agree_with_plain_loops(
    partitions: int, tumbling: Windows, hopping: Windows, shape: Shape, story: list[Step]
) -> None:
    anyio.run(tell, make_world(partitions, tumbling, hopping, shape), story)


@pytest.mark.parametrize("seed", range(8))
def test_windows_agree_with_plain_loops_on_a_long_walk(seed: int) -> None:
    random = Random(seed)
    shape = Shape(
        fetch_bytes=random.choice([1, 150, 1 << 20]),
        commit_ms=random.choice([1, 100, 10_000]),
        batch=random.choice([None, 1, 3, 7, 50]),
        shared=random.random() < 0.3,
    )
    world = make_world(seed % 3 + 1, Windows(10, 10, seed), Windows(15, 4, 2 * seed), shape)
    anyio.run(tell, world, walk(random, 400))


def walk(random: Random, steps: int) -> list[Step]:
    """Return a long story, in which time moves on; what is rare in life is rare here."""
    story: list[Step] = []
    for number in range(steps):
        kind = random.choices(
            ["click", "flush", "work", "advance", "lose", "kill", "restart", "store"],
            [100, 10, 20, 3, 3, 3, 2, 3],
        )[0]
        if kind == "click":
            time = 100 + number + random.randint(0, 10) - random.choice([0, 0, 0, 30])
            story.append((kind, random.choice("abcd"), random.randint(0, 9), time))
        else:
            story.append((kind, random.randint(1, 60)))
    return story


async def tell(world: World, story: Sequence[Step]) -> None:
    """Live through a story; at its end everything is as it should be, and stays so."""
    async with world.app.test() as t:
        for step in story:
            await act(world, t, step)
        await t.settle()
        await t.advance(PATIENCE)
        await world.check(t)
        await t.crash()
        await t.settle()
        await world.check(t)


async def act(world: World, t: AppTest, step: Step) -> None:
    match step:
        case ("click", key, value, time):
            await world.clicks.send(key=key, value=value, timestamp=time)
        case ("flush", _):
            await world.app.flush()
        case ("work", turns):
            for _ in range(turns):
                await anyio.lowlevel.checkpoint()
        case ("advance", milliseconds):
            await t.advance(milliseconds * MS)
        case ("lose", _):
            await t.crash()
        case ("kill", _):
            await t.crash(lose_unsynced=False)
        case ("restart", _):
            await t.restart()
        case ("settle", _):
            await t.settle()
        case ("store", _):  # what is in the stores survives, as if the interval had passed
            for backend in t._backends.values():
                backend.flush()
        case _:
            raise AssertionError(step)
