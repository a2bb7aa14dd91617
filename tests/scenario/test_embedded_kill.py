"""A process that commits as fast as it can is killed, again and again; the next one goes on."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import anyio
import pytest
from millpond.log.embedded import EmbeddedLog
from millpond.log.model import CommittedOffset, NewRecord, TopicPartition, TopicSpec

pytestmark = pytest.mark.anyio

OUT = [TopicPartition("out", number) for number in range(2)]
KILLS = 3


async def commit_for_ever(directory: str) -> None:
    """Commit 1, 2, 3, … from where the last process got to, and print each one that is done."""
    async with EmbeddedLog.open(directory) as log:
        if not await log.describe_topics(["out"]):
            await log.create_topics([TopicSpec("out", len(OUT))])
        producer = await log.transactional_producer("task")
        committed = await log.committed_offsets("g")
        number = committed[OUT[0]].offset if committed else 0
        while True:
            number += 1
            record = NewRecord(None, b"%d" % number, number)
            offsets = {OUT[0]: CommittedOffset(number)}
            await producer.commit({tp: [record] for tp in OUT}, group="g", offsets=offsets)
            os.write(1, b"%d\n" % number)


async def values(log: EmbeddedLog, tp: TopicPartition) -> list[int]:
    reader = log.reader()
    reader.assign({tp: 0})
    found: list[int] = []
    while fetched := await reader.read(wait_max_s=0):
        found += [int(record.value or b"") for one in fetched for record in one.records]
    return found


def run_and_kill(directory: Path, after: int) -> int:
    """Let a process commit `after` times, kill it, and return the last number it acknowledged."""
    command = [sys.executable, __file__, str(directory)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        seen = [process.stdout.readline() for _ in range(after)]
        process.send_signal(signal.SIGKILL)
        seen += process.stdout.readlines()
    return int(seen[-1])


async def test_nothing_acknowledged_is_lost_and_nothing_is_doubled(tmp_path: Path) -> None:
    for kill in range(KILLS):
        acknowledged = run_and_kill(tmp_path, after=20 + 13 * kill)
    async with EmbeddedLog.open(tmp_path) as log:
        found = [await values(log, tp) for tp in OUT]
        [committed] = (await log.committed_offsets("g")).values()
    assert found[0] == found[1] == list(range(1, len(found[0]) + 1))
    assert len(found[0]) == committed.offset
    assert acknowledged <= committed.offset <= acknowledged + 1


if __name__ == "__main__":
    anyio.run(commit_for_ever, sys.argv[1])
