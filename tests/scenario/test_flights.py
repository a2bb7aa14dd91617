"""The flights pipeline says exactly what plain code says, however it is cut into partitions, batches
and commits."""

from datetime import timedelta
from functools import cache
from pathlib import Path

import millpond as mp
import pytest
from millpond.examples.flights import source
from millpond.examples.flights.ingest import ingest
from millpond.examples.flights.pipeline import GRACE, WORST_MINUTES, make_pipeline
from millpond.examples.flights.records import Flight
from millpond.tests.scenario.flights_outputs import Written, assert_exactly, read_outputs
from millpond.tests.twins import flights as twin

REFUSED_MINUTES = 600
SLICE = 12_000
QUICK = mp.Settings(durability="os")


@cache
def rows_of_twin() -> list[twin.Flight]:
    return twin.read_flights()


@cache
def rows_of_app() -> list[Flight]:
    return list(source.flights(SLICE))


def expected(rows: int | None, partitions: int) -> twin.Expected:
    return twin.work_out(
        rows_of_twin()[:rows],
        partitions=partitions,
        grace_ms=GRACE // timedelta(milliseconds=1),
        worst_minutes=WORST_MINUTES,
        refused_minutes=REFUSED_MINUTES,
    )


async def run_all(
    data: Path, flights: list[Flight], partitions: int, settings: mp.Settings, flush_every: int
) -> Written:
    pipeline = make_pipeline(
        partitions=partitions, data=data, sink_per_second=5000, settings=settings
    )
    async with pipeline.app.run():
        await ingest(pipeline, flights, flush_every=flush_every)
        await pipeline.finished()
        return await read_outputs(pipeline)


@pytest.mark.anyio
@pytest.mark.parametrize("partitions", [1, 3, 8])
async def test_pipeline_says_what_plain_code_says(tmp_path: Path, partitions: int) -> None:
    written = await run_all(tmp_path, rows_of_app(), partitions, QUICK, flush_every=4000)
    assert_exactly(written, expected(SLICE, partitions))


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("commit_ms", "fetch_bytes", "flush_every"),
    [
        pytest.param(5, 1 << 20, 4000, id="a commit at every turn"),
        pytest.param(2000, 1 << 20, 20_000, id="few and large commits"),
        pytest.param(100, 1000, 4000, id="hardly anything per fetch"),
        pytest.param(50, 20_000, 37, id="many small batches in the log"),
    ],
)
async def test_batches_and_commits_make_no_difference(
    tmp_path: Path, commit_ms: int, fetch_bytes: int, flush_every: int
) -> None:
    settings = mp.Settings(
        commit_interval=timedelta(milliseconds=commit_ms),
        fetch_bytes=fetch_bytes,
        durability="os",
    )
    rows = SLICE // 2
    written = await run_all(tmp_path, rows_of_app()[:rows], 3, settings, flush_every)
    assert_exactly(written, expected(rows, 3))


@pytest.mark.anyio
async def test_stopping_and_starting_again_makes_no_difference(tmp_path: Path) -> None:
    for rows in (1000, 4000, 4000, SLICE // 2):
        written = await run_all(tmp_path, rows_of_app()[:rows], 3, QUICK, flush_every=500)
        assert_exactly(written, expected(rows, 3))


@pytest.mark.long
@pytest.mark.anyio
@pytest.mark.parametrize("partitions", [1, 3, 8])
async def test_the_whole_year(tmp_path: Path, partitions: int) -> None:
    written = await run_all(tmp_path, list(source.flights()), partitions, mp.Settings(), 4000)
    assert_exactly(written, expected(None, partitions))


def test_twin_sees_a_year_with_some_late_flights_and_many_in_time() -> None:
    assert len(rows_of_twin()) == source.FLIGHTS_IN_ALL
    year = expected(None, 3)
    assert [len(late) for late in year.late] == [455, 3488, 0]
    assert year.totals["UA"] == (57_979, 686, 701_898, 483)


def test_twin_hashes_like_the_java_client() -> None:
    # From Kafka's UtilsTest.testMurmur2.
    known = {b"21": -973932308, b"foobar": -790332482, b"a-little-bit-long-string": -985981536}
    assert {data: twin.murmur2(data) for data in known} == {
        data: hashed % 2**32 for data, hashed in known.items()
    }


def test_pipeline_reads_the_same_flights_as_the_twin() -> None:
    assert [
        (f.carrier, f.number, f.origin, f.tail, f.destination, f.delay, f.at.timestamp() * 1000)
        for f in rows_of_app()
    ] == [(*f.id[:3], f.tail, f.destination, f.delay, f.at_ms) for f in rows_of_twin()[:SLICE]]
