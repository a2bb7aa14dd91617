"""The app whose start is measured: it notes when things happen, says so, and stops itself.

Run by `millpond worker`, with the time at which that process was started in the environment.
"""

import time

_IMPORTING = time.monotonic()

import json  # noqa: E402 - the time is to be noted first
import os  # noqa: E402
import signal  # noqa: E402

import millpond as mp  # noqa: E402

from .measure import peak_bytes  # noqa: E402

app = mp.App("tiny", data=os.environ["BENCH_DIRECTORY"])
pings = app.topic("pings", value=str)
counts = app.Table("counts", key=str, value=int, default=int)
stamps = {"begun": float(os.environ["BENCH_BEGUN"]), "importing": _IMPORTING}
stamps["imported"] = time.monotonic()


@app.task
async def note_ready() -> None:
    stamps["ready"] = time.monotonic()


@app.agent(pings)
async def count(stream: mp.Stream[str]) -> None:
    async for ping in stream:
        counts[ping] += 1
        if "first" not in stamps:
            stamps["first"] = time.monotonic()
            stamps.setdefault("ready", stamps["first"])  # it may come before the task above
            report = {"stamps": stamps, "cpu_s": time.process_time(), "peak": peak_bytes()}
            with open(os.environ["BENCH_REPORT"], "w") as file:  # noqa: ASYNC230
                json.dump(report, file)
            os.kill(os.getpid(), signal.SIGTERM)
