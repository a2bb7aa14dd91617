"""What is sent outside agents: gathered while an append is on its way, in order, until one fails."""

from collections.abc import Sequence
from typing import Any

import anyio
import millpond as mp
import pytest
from millpond.log.errors import DiskFailed
from millpond.log.model import Appended, Compression, NewRecord, TopicPartition
from millpond.streams.engine import outbox as module
from millpond.streams.engine.outbox import Outbox
from millpond.streams.engine.outputs import Outputs

pytestmark = pytest.mark.anyio

TOPIC = mp.App("shop").topic("out", value=int)


class SlowProducer:
    """Appends when it is told to."""

    def __init__(self) -> None:
        self.batches: list[list[bytes | None]] = []
        self.failure: Exception | None = None
        self._go = anyio.Semaphore(0)

    async def append(
        self,
        records: Any,
        *,
        compression: Compression = Compression.NONE,
    ) -> dict[TopicPartition, Appended]:
        await self._go.acquire()
        if self.failure is not None:
            raise self.failure
        found: Sequence[NewRecord] = records.get(TopicPartition("out", 0), ())
        self.batches.append([record[1] for record in found])
        return {}

    def let_go(self) -> None:
        self._go.release()


async def send(outbox: Outbox, *values: int) -> None:
    for value in values:
        await outbox.send(TOPIC, None, value, 0, (), None)


async def test_while_one_append_is_on_its_way_the_next_batch_gathers() -> None:
    producer = SlowProducer()
    outbox = Outbox(producer, Outputs({TOPIC: 1}))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(outbox.run)
        await send(outbox, 1)
        await anyio.wait_all_tasks_blocked()
        await send(outbox, 2, 3)
        await anyio.wait_all_tasks_blocked()
        assert outbox.waiting == 3
        producer.let_go()
        producer.let_go()
        await outbox.flush()
        assert producer.batches == [[b"1"], [b"2", b"3"]]
        assert outbox.waiting == 0
        tasks.cancel_scope.cancel()


async def test_a_flush_waits_for_what_was_sent_before_it_and_no_longer() -> None:
    producer = SlowProducer()
    outbox = Outbox(producer, Outputs({TOPIC: 1}))
    await outbox.flush()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(outbox.run)
        await send(outbox, 1)
        await anyio.wait_all_tasks_blocked()
        flushed = anyio.Event()

        async def flush() -> None:
            await outbox.flush()
            flushed.set()

        tasks.start_soon(flush)
        await anyio.wait_all_tasks_blocked()
        assert not flushed.is_set()
        await send(outbox, 2)
        producer.let_go()
        await flushed.wait()
        assert outbox.waiting == 1
        tasks.cancel_scope.cancel()


async def test_who_sends_too_fast_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WAITING_MAX", 3)
    producer = SlowProducer()
    outbox = Outbox(producer, Outputs({TOPIC: 1}))
    sent: list[int] = []

    async def send_all() -> None:
        for value in range(6):
            await send(outbox, value)
            sent.append(value)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(outbox.run)
        tasks.start_soon(send_all)
        await anyio.wait_all_tasks_blocked()
        assert sent == [0, 1]
        while len(sent) < 6:
            producer.let_go()
            await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()


async def test_a_failed_append_is_told_to_all_who_wait_and_all_who_come() -> None:
    producer = SlowProducer()
    outbox = Outbox(producer, Outputs({TOPIC: 1}))
    producer.failure = DiskFailed("no space left")
    told: list[str] = []

    async def flush() -> None:
        with pytest.raises(DiskFailed):
            await outbox.flush()
        told.append("who waited")

    await send(outbox, 1)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(flush)
        await anyio.wait_all_tasks_blocked()
        producer.let_go()
        with pytest.raises(DiskFailed, match="no space left"):
            await outbox.run()
    assert told == ["who waited"]
    with pytest.raises(DiskFailed):
        await send(outbox, 2)
    with pytest.raises(DiskFailed):
        await outbox.flush()


async def test_what_can_not_be_encoded_is_not_counted() -> None:
    outbox = Outbox(SlowProducer(), Outputs({TOPIC: 1}))
    with pytest.raises(TypeError, match="expected int"):
        await outbox.send(TOPIC, None, "one", 0, (), None)
    assert outbox.waiting == 0
    await outbox.flush()
