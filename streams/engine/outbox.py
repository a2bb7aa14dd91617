"""What is sent outside any agent: buffered, batched, and appended with an idempotent producer.

While one append is on its way the next batch gathers, so a slow log makes large batches and an idle
one adds no delay.
"""

from typing import Any

import anyio

from ...log.interface import Producer
from ...log.model import Headers, Timestamp
from ..topic import Topic
from .outputs import Outputs

WAITING_MAX = 50_000
"""Records that may wait to become durable before `send` waits too."""


class Outbox:
    """The records of an app that belong to no task."""

    def __init__(self, producer: Producer, outputs: Outputs) -> None:
        self._producer = producer
        self._outputs = outputs
        self._sent = 0
        self._acknowledged = 0
        self._filled = anyio.Event()
        self._round = anyio.Event()
        self._failure: Exception | None = None

    async def send(
        self,
        topic: Topic[Any, Any],
        key: Any,
        value: Any,
        timestamp: Timestamp,
        headers: Headers,
        partition: int | None,
    ) -> None:
        """Buffer a record; waits only while too many are buffered already."""
        self._check()
        self._outputs[topic].add(key, value, timestamp, headers, partition)
        self._sent += 1
        self._filled.set()
        while self._sent - self._acknowledged >= WAITING_MAX:
            await self._next_round()

    async def flush(self) -> None:
        """Return once everything that was sent before is durable."""
        sent = self._sent
        self._check()
        while self._acknowledged < sent:
            await self._next_round()

    @property
    def waiting(self) -> int:
        """How many records are sent and not yet durable."""
        return self._sent - self._acknowledged

    async def run(self) -> None:
        """Append what is buffered, round after round, until cancelled."""
        while True:
            await self._filled.wait()
            self._filled = anyio.Event()
            records, sent = self._outputs.take(), self._sent
            try:
                await self._producer.append(records)
                self._acknowledged = sent
            except Exception as error:
                self._failure = error
                raise
            finally:
                self._round.set()
                self._round = anyio.Event()

    async def _next_round(self) -> None:
        await self._round.wait()
        self._check()

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure
