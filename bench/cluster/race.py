"""One contestant on one pipeline: its process on one core, watched from outside until it has read everything.

How far it is, is what its group has committed: what is uncommitted is not done. The clock begins when a
share is committed, so that starting (interpreter, joining a group, making topics) does not count. Who
commits nothing to the broker prints ``first``, with the time and its CPU time, at its first event, and ends
when all is done.
"""

import os
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final, Self

from confluent_kafka import Consumer, KafkaException, TopicPartition

LOOK_S: Final = 0.02
BEGUN_SHARE: Final = 0.05
PATIENCE_S: Final = 900
STOP_S: Final = 20
TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")


class DidNotFinish(Exception):
    """A contestant ended, or did nothing for too long, before it had read everything."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What a contestant did with `count` events."""

    count: int
    wall_s: float
    cpu_s: float
    peak_bytes: int

    @property
    def rate(self) -> float:
        return self.count / self.wall_s

    @property
    def cpu_s_per_million(self) -> float:
        return self.cpu_s / self.count * 1e6


@dataclass(frozen=True, slots=True)
class Entry:
    """What is run.

    Attributes:
        commands: one for each process, with the cores it may use.
        groups: whose committed offsets tell how far it is; none if it says so itself.
        environment: on top of ours.
    """

    commands: Sequence[tuple[Sequence[str], set[int]]]
    groups: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)


def race(
    entry: Entry,
    address: str,
    topic: str,
    count: int,
    partitions: int = 1,
    begun_share: float = BEGUN_SHARE,
) -> Figures:
    """Let a contestant read the whole topic.

    Args:
        entry: what is run.
        address: of the broker.
        topic: what is read.
        count: how many events the topic has.
        partitions: how many it has; events are spread evenly.
        begun_share: how much of each partition is committed when the clock begins.

    Raises:
        DidNotFinish: with what it printed last.
    """
    with tempfile.TemporaryDirectory() as directory:
        output = Path(directory, "output")
        with output.open("wb") as out:
            processes = [_start(command, cores, entry, out) for command, cores in entry.commands]
        pids = [process.pid for process in processes]
        try:
            if not entry.groups:
                return _by_itself(processes[0], output, count)
            with_groups = _Committed(address, entry.groups, topic, partitions)
            return _by_commits(processes, pids, with_groups, output, count, begun_share)
        finally:
            for process in processes:
                process.terminate()
            for process in processes:
                try:
                    process.wait(STOP_S)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()


def _start(
    command: Sequence[str], cores: set[int], entry: Entry, out: BinaryIO
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command,
        stdout=out,
        stderr=subprocess.STDOUT,
        env={**os.environ, **entry.environment},
        preexec_fn=lambda: os.sched_setaffinity(0, cores),
    )


def _by_commits(
    processes: Sequence[subprocess.Popen[bytes]],
    pids: Sequence[int],
    committed: "_Committed",
    output: Path,
    count: int,
    begun_share: float,
) -> Figures:
    done, begun_at, before, cpu_before = 0, 0.0, 0, 0.0
    moved_at = time.monotonic()
    with committed:
        while done < count:
            time.sleep(LOOK_S)
            now = time.monotonic()
            by_partition = committed.look()
            reached = sum(by_partition)
            if reached > done:
                moved_at = now
            done = reached
            if any(process.poll() is not None for process in processes):
                raise DidNotFinish(f"ended with {done} of {count}:\n{_tail(output)}")
            if now - moved_at > PATIENCE_S / 10:
                raise DidNotFinish(f"stands still with {done} of {count}:\n{_tail(output)}")
            enough = count * begun_share / len(by_partition)
            if not begun_at and min(by_partition) >= enough:
                begun_at, before, cpu_before = now, done, sum(map(cpu_s, pids))
        peak = sum(map(peak_bytes, pids))
        return Figures(count - before, now - begun_at, sum(map(cpu_s, pids)) - cpu_before, peak)


def _by_itself(process: subprocess.Popen[bytes], output: Path, count: int) -> Figures:
    deadline, cpu, peak = time.monotonic() + PATIENCE_S, 0.0, 0
    while True:
        ended_at = time.monotonic()
        # Until it is waited for, an ended process can still be looked at, but for its memory.
        if os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            break
        peak = max(peak, peak_bytes(process.pid))
        if ended_at > deadline:
            raise DidNotFinish(f"not within {PATIENCE_S} s:\n{_tail(output)}")
        time.sleep(LOOK_S)
    cpu = cpu_s(process.pid)
    if process.wait() != 0:
        raise DidNotFinish(f"ended with exit code {process.returncode}:\n{_tail(output)}")
    told = output.read_text().rpartition("first ")[2].split()
    return Figures(count, ended_at - float(told[0]), cpu - float(told[1]), peak)


class _Committed:
    """How far groups have come with a topic: the one that is behind all others counts."""

    def __init__(self, address: str, groups: Sequence[str], topic: str, partitions: int) -> None:
        quiet = {"log_level": 0}
        self._consumers = [
            Consumer({"bootstrap.servers": address, "group.id": group, **quiet}) for group in groups
        ]
        self._asked = [TopicPartition(topic, number) for number in range(partitions)]

    def __enter__(self) -> Self:
        return self

    def look(self) -> list[int]:
        """Return the offset of each partition."""
        return [min(offsets) for offsets in zip(*map(self._of, self._consumers), strict=True)]

    def _of(self, consumer: Consumer) -> list[int]:
        try:
            found = consumer.committed(self._asked, timeout=10)
        except KafkaException:
            return [0] * len(self._asked)
        return [max(each.offset, 0) for each in found]

    def __exit__(self, *_: object) -> None:
        for consumer in self._consumers:
            consumer.close()


def cpu_s(pid: int) -> float:
    """Return how long a process and the children that it waited for have computed."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / TICKS_PER_S


def peak_bytes(pid: int) -> int:
    """Return the most memory that a process has had; 0 once it has ended."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) << 10
    return 0


def _tail(output: Path) -> str:
    return output.read_text(errors="replace")[-3000:]
