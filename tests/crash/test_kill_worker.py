"""A worker is killed with SIGKILL, on a real disk with real stores, and goes on exactly where it was.

The flights are killed at random moments (`test_flights_crash.py`). Here it happens while a commit is
held up at a certain point: before its transaction, between transaction and store, and after both.
"""

import signal
import subprocess
import sys
from pathlib import Path

import anyio
import millpond as mp
import pytest
from millpond.log.interface import Log
from millpond.log.model import TopicPartition

WORKER = """
import os, signal, sys
import anyio
from millpond.streams.engine.task_stores import TaskStores
from millpond.tests.crash.test_kill_worker import Shop

def die(*args):
    os.kill(os.getpid(), signal.SIGKILL)

POINTS = {"before the transaction": "drain", "before the store": "apply", "after both": "flush_if_due"}
point, data = sys.argv[1:]

async def main():
    shop = Shop(data)
    async with shop.app.run() as engine:
        await shop.send(5)
        await engine.settle()
        setattr(TaskStores, POINTS[point], die)
        await shop.send(5)
        await anyio.sleep(30)

anyio.run(main)
"""


class Shop:
    """An app that counts orders."""

    def __init__(self, data: str | Path) -> None:
        self.app = mp.App("shop", data=data)
        self.orders = self.app.topic("orders", key=str, value=int)
        self.out = self.app.topic("out", key=str, value=int)
        self.counts = self.app.Table("counts", key=str, value=int, default=int)
        self.app.agent(self.orders)(self.count)

    async def count(self, stream: mp.Stream[int]) -> None:
        async for event in stream.events():
            self.counts[event.key] += 1
            await self.out.send(key=event.key, value=self.counts[event.key])

    async def send(self, count: int) -> None:
        for order in range(count):
            await self.orders.send(key="ann", value=order)
        await self.app.flush()


@pytest.mark.parametrize("point", ["before the transaction", "before the store", "after both"])
def test_killed_in_the_middle_of_a_commit(point: str, tmp_path: Path) -> None:
    worker = subprocess.run(
        [sys.executable, "-c", WORKER, point, str(tmp_path)], timeout=60, check=False
    )
    assert worker.returncode == -signal.SIGKILL
    assert anyio.run(outcome, tmp_path) == (10, list(range(1, 11)))


async def outcome(data: Path) -> tuple[int, list[int]]:
    """Start again; return what was counted, and the outputs."""
    shop = Shop(data)
    async with shop.app.run() as engine:
        await engine.settle()
        return shop.counts.view()["ann"], await outputs(engine.log)


async def outputs(log: Log) -> list[int]:
    reader = log.reader()
    reader.assign({TopicPartition("out", 0): 0})
    found = []
    while fetched := await reader.read(wait_max_s=0):
        found += [int(record.value) for each in fetched for record in each.records]
    return found
