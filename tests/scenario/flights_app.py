"""The flights pipeline as its worker processes have it in tests; ``MILLPOND_TESTS_FLIGHTS`` says how many partitions.

All workers of one machine share the pipeline's database, wherever their own data is.
"""

import os
from datetime import timedelta
from pathlib import Path

import millpond as mp
from millpond.examples.flights.pipeline import Pipeline, make_pipeline

PARTITIONS, DATABASE = "MILLPOND_TESTS_FLIGHTS", "MILLPOND_TESTS_DATABASE"
SESSION_S = 6


def make(partitions: int, data: Path) -> Pipeline:
    return make_pipeline(
        partitions=partitions,
        data=data,
        sink_per_second=5000,
        settings=mp.Settings(session_timeout=timedelta(seconds=SESSION_S)),
    )


app = make(int(os.environ.get(PARTITIONS, "3")), Path(os.environ.get(DATABASE, "data"))).app
