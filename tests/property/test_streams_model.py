"""No commit passes an event in flight: each event takes effect exactly once, whatever goes wrong.

Agents are slow, hold events for batches, and fail, for a while or for good; the power is cut, the
process killed, the app restarted, at any moment. The model is a list: what was sent and is not dead,
in order.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random
from typing import TypeAlias

import anyio
import anyio.lowlevel
import millpond as mp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from millpond.streams.testing import AppTest

Step: TypeAlias = tuple[str, int]

MS = timedelta(milliseconds=1)
TRIES = 3
SIZES = [None, 1, 2, 5, 20]
"""How many events an agent takes at a time; None is one by one."""

STEPS = st.one_of(
    st.tuples(st.just("fine"), st.integers(0, 3)),
    st.tuples(st.just("fine"), st.just(0)),
    st.tuples(st.just("heals"), st.integers(1, TRIES)),
    st.tuples(st.just("dead"), st.just(0)),
    st.tuples(st.just("work"), st.integers(1, 60)),
    st.tuples(st.just("advance"), st.sampled_from([1, 100, 3_000])),
    st.tuples(st.sampled_from(["lose", "kill", "restart"]), st.just(0)),
)


@dataclass
class Model:
    """An app, and what it was given.

    Attributes:
        alive, dead: the numbers that were sent, and those of them that no agent can process.
        pauses: how often an agent yields in the middle of a number.
        heals: after how many failures a number goes through.
        failures: how often a number has failed since the app was started.
    """

    sizes: tuple[int | None, ...]
    commit_ms: int
    alive: list[int] = field(default_factory=list)
    dead: list[int] = field(default_factory=list)
    pauses: dict[int, int] = field(default_factory=dict)
    heals: dict[int, int] = field(default_factory=dict)
    failures: Counter[tuple[int, int]] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.app = mp.App("model", settings=mp.Settings(commit_interval=self.commit_ms * MS))
        self.numbers = self.app.topic("numbers", value=int)
        self.outs = [self.app.topic(f"out-{i}", value=int) for i in range(len(self.sizes))]
        self.dead_letters = [self.app.topic(f"dead-{i}", value=int) for i in range(len(self.sizes))]
        self.kept = self.app.Table("kept", key=int, value=list[int], default=list)
        for which, size in enumerate(self.sizes):
            self._add_agent(which, size)

    def _add_agent(self, which: int, size: int | None) -> None:
        kept = self.kept

        async def process(number: int) -> None:
            kept[which].append(number)
            for _ in range(self.pauses.get(number, 0)):
                await anyio.lowlevel.checkpoint()
            await self.outs[which].send(value=number)
            if number in self.dead_set or self._fails(which, number):
                raise ValueError(number)

        async def one_by_one(stream: mp.Stream[int]) -> None:
            async for number in stream:
                await process(number)

        async def in_batches(stream: mp.Stream[int]) -> None:
            assert size is not None
            async for batch in stream.take(size, within=timedelta(seconds=2)):
                for number in batch:
                    await process(number)

        policy = mp.Retry(TRIES, backoff=(0.01, 0.1)).then(mp.DeadLetter(self.dead_letters[which]))
        self.app.agent(self.numbers, name=f"agent-{which}", on_error=policy, tables=[kept])(
            one_by_one if size is None else in_batches
        )

    def _fails(self, which: int, number: int) -> bool:
        self.failures[which, number] += 1
        return self.failures[which, number] <= self.heals.get(number, 0)

    @property
    def dead_set(self) -> set[int]:
        return set(self.dead)

    async def send(self, kind: str, amount: int) -> None:
        number = len(self.alive) + len(self.dead)
        if kind == "dead":
            self.dead.append(number)
        else:
            self.alive.append(number)
            # The events of a batch share its tries, so there nobody could say which ones survive.
            heals = kind == "heals" and all(size in (None, 1) for size in self.sizes)
            (self.heals if heals else self.pauses)[number] = amount
        await self.numbers.send(value=number)
        await self.app.flush()

    async def check(self, t: AppTest) -> None:
        for which in range(len(self.sizes)):
            out = [event.value for event in await t.records(self.outs[which])]
            assert out == self.alive, f"agent {which}"
            assert self.kept.view().get(which, []) == self.alive, f"agent {which}"
            dead = [event.value for event in await t.records(self.dead_letters[which])]
            assert dead == self.dead, f"agent {which}"


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.sampled_from(SIZES), min_size=1, max_size=2),
    commit_ms=st.sampled_from([1, 100, 10_000]),
    story=st.lists(STEPS, max_size=30),
)
def test_each_event_takes_effect_exactly_once(
    sizes: list[int | None], commit_ms: int, story: list[Step]
) -> None:
    anyio.run(tell, Model(tuple(sizes), commit_ms), story)


@pytest.mark.parametrize("seed", range(6))
def test_each_event_takes_effect_exactly_once_on_a_long_walk(seed: int) -> None:
    random = Random(seed)
    kinds = ["fine", "heals", "dead", "work", "advance", "lose", "kill", "restart"]
    weights = [60, 4, 4, 30, 5, 2, 2, 2]
    story = [(kind, random.randint(1, 3)) for kind in random.choices(kinds, weights, k=250)]
    sizes = tuple(random.choices(SIZES, k=random.choice([1, 1, 2])))
    anyio.run(tell, Model(sizes, random.choice([1, 100, 10_000])), story)


async def tell(model: Model, story: Sequence[Step]) -> None:
    async with model.app.test() as t:
        for kind, amount in story:
            match kind:
                case "fine" | "heals" | "dead":
                    await model.send(kind, amount)
                case "work":
                    for _ in range(amount * 10):
                        await anyio.lowlevel.checkpoint()
                case "advance":
                    await t.advance(amount * MS)
                case "lose" | "kill":
                    await t.crash(lose_unsynced=kind == "lose")
                case _:
                    await t.restart()
        await t.settle()
        await t.advance(timedelta(seconds=10))
        await model.check(t)
        await t.crash()
        await t.settle()
        await model.check(t)
