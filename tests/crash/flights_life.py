"""One life of the flights pipeline, which the crash test begins and kills.

Lives are forked from a server that has imported this module, so that a life begins in a moment.
"""

import os
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing.connection import Connection
from pathlib import Path

import anyio
import millpond as mp
from millpond.examples.flights import source
from millpond.examples.flights.ingest import ingest
from millpond.examples.flights.pipeline import Pipeline, make_pipeline

FLIGHTS = list(source.flights(int(os.environ.get("MILLPOND_CRASH_FLIGHTS", "6000"))))
WORST_MINUTES = 30
UP, INGESTED = b"u", b"i"


@dataclass(frozen=True)
class World:
    """What stays the same from one life to the next."""

    data: Path
    partitions: int

    def pipeline(self) -> Pipeline:
        return make_pipeline(
            partitions=self.partitions,
            data=self.data,
            worst_minutes=WORST_MINUTES,
            sink_per_second=2000,
            settings=mp.Settings(
                commit_interval=timedelta(milliseconds=20),
                flush_interval=timedelta(milliseconds=200),
            ),
        )


def live(world: World, notes: Connection) -> None:
    """Go on where the last life ended, until everything is done; note how far it is."""

    async def run() -> None:
        pipeline = world.pipeline()
        async with pipeline.app.run():
            notes.send_bytes(UP)
            await ingest(pipeline, FLIGHTS, flush_every=200)
            notes.send_bytes(INGESTED)
            await pipeline.finished()

    anyio.run(run)
