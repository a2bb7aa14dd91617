"""The flights pipeline is killed again and again, and still does everything exactly once.

SIGKILL at random moments: while starting, restoring, ingesting, committing, writing to the database.
Then it is left alone to finish, and its topics, tables and database are compared with plain code.
"""

import multiprocessing
import random
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from itertools import cycle
from multiprocessing.connection import Connection
from pathlib import Path

import anyio
import pytest
from millpond.examples.flights.pipeline import GRACE
from millpond.tests.crash.flights_life import FLIGHTS, INGESTED, UP, WORST_MINUTES, World, live
from millpond.tests.scenario.flights_outputs import Written, assert_exactly, read_outputs
from millpond.tests.twins import flights as twin

STARTING = b"s"
KILLS_PER_WORLD = 20
PATIENCE_S = 60


def test_killed_fifty_times_and_nothing_is_lost_or_doubled(tmp_path: Path) -> None:
    kill_until_enough(tmp_path, seed=2013, kills=50, delay_max_s=0.3)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(4))
def test_killed_hundreds_of_times(tmp_path: Path, seed: int) -> None:
    kill_until_enough(tmp_path, seed=seed, kills=100, delay_max_s=1.0)


def kill_until_enough(tmp_path: Path, seed: int, kills: int, delay_max_s: float) -> None:
    rng = random.Random(seed)
    killed: Counter[bytes] = Counter()
    for number, partitions in enumerate(cycle((3, 1, 8))):
        if killed.total() >= kills:
            break
        world = World(tmp_path / f"world-{number}", partitions)
        world.data.mkdir()
        for moment in lives(world, rng, min(KILLS_PER_WORLD, kills - killed.total()), delay_max_s):
            killed[moment] += 1
        assert_exactly(anyio.run(outputs_of, world), expected(partitions))
    assert killed[UP] + killed[INGESTED] >= kills // 4, f"hardly a kill hit work: {killed}"


def lives(world: World, rng: random.Random, kills: int, delay_max_s: float) -> Iterator[bytes]:
    """Let one life follow another until one reaches the end; yield when each other was killed."""
    for _ in range(kills):
        killed_at = live_a_while(world, rng.random() < 0.7, rng.uniform(0, delay_max_s))
        if killed_at is None:
            return
        yield killed_at
    assert live_a_while(world, False, PATIENCE_S) is None, "left alone, it did not finish"


def live_a_while(world: World, count_from_up: bool, seconds: float) -> bytes | None:
    """Begin a life and kill it; say how far it was, or None if it had come to its end.

    Lives that are counted from the moment the app is up make sure that there is some progress.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([live.__module__])
    notes, theirs = context.Pipe(duplex=False)
    life = context.Process(target=live, args=(world, theirs), daemon=True)
    life.start()
    theirs.close()
    if count_from_up:
        assert notes.poll(PATIENCE_S), "it does not start"
    life.join(seconds)
    if life.exitcode is None:
        life.kill()
        life.join()
        return last_note(notes)
    assert life.exitcode == 0, f"it failed by itself, after {last_note(notes)!r}"
    return None


def last_note(notes: Connection) -> bytes:
    note = STARTING
    try:
        while notes.poll():
            note = notes.recv_bytes()
    except EOFError:
        pass
    assert note in {STARTING, UP, INGESTED}
    return note


async def outputs_of(world: World) -> Written:
    pipeline = world.pipeline()
    async with pipeline.app.run():
        await pipeline.finished()
        return await read_outputs(pipeline)


def expected(partitions: int) -> twin.Expected:
    return twin.work_out(
        twin.read_flights(len(FLIGHTS)),
        partitions=partitions,
        grace_ms=GRACE // timedelta(milliseconds=1),
        worst_minutes=WORST_MINUTES,
        refused_minutes=600,
    )
