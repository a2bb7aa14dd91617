"""What an app of windows must come to, in plain loops over its input: slow, and obviously right.

Nothing here knows of tasks, runs, stores or commits: a partition is a list of clicks, in the order of
the log, and everything follows from that.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple


class Click(NamedTuple):
    key: str
    value: int
    time: int


class Windows(NamedTuple):
    """Windows of `size`, one beginning every `step`, open for `grace` after their end; all in ms."""

    size: int
    step: int
    grace: int

    def starts(self, time: int) -> list[int]:
        """Return the starts of all windows that contain a moment, by looking at each that might."""
        earliest = time - self.size
        return [
            start
            for start in range(earliest, time + 1)
            if start % self.step == 0 and start <= time < start + self.size
        ]

    def closes_at(self, start: int) -> int:
        return start + self.size + self.grace


class Final(NamedTuple):
    """A closed window, and what the key's values, late ones too, came to when it closed."""

    start: int
    key: str
    values: tuple[int, ...]
    total: int


class Late(NamedTuple):
    """A click that came too late for some window, the earliest of which began at `start`."""

    click: Click
    start: int
    by_ms: int


@dataclass
class Kept:
    """What becomes of one partition's clicks in windows of one kind."""

    open: dict[tuple[int, str], list[int]] = field(default_factory=dict)
    closed: list[Final] = field(default_factory=list)
    late: list[Late] = field(default_factory=list)


def keep(clicks: Sequence[Click], windows: Windows) -> Kept:
    """Put clicks into windows, one after another, as the largest time so far allows."""
    kept = Kept()
    now = -1
    totals: dict[str, int] = defaultdict(int)
    for click in clicks:
        totals[click.key] += click.value
        now = max(now, click.time)
        starts = windows.starts(click.time)
        if windows.closes_at(starts[0]) <= now:
            by_ms = now - windows.closes_at(starts[0])
            kept.late.append(Late(click, starts[0], by_ms))
        for start in starts:
            if windows.closes_at(start) > now:
                kept.open.setdefault((start, click.key), []).append(click.value)
        for start, key in sorted(kept.open):
            if windows.closes_at(start) <= now:
                values = tuple(kept.open.pop((start, key)))
                kept.closed.append(Final(start, key, values, totals[key]))
    return kept


def by_key(partitions: Sequence[Sequence[Click]]) -> dict[str, list[int]]:
    """Return all values of each key, in order. (A key is in one partition.)"""
    values: dict[str, list[int]] = defaultdict(list)
    for clicks in partitions:
        for click in clicks:
            values[click.key].append(click.value)
    return dict(values)


def by_remainder(partitions: Sequence[Sequence[Click]], divisor: int) -> dict[str, int]:
    """Return how many values have each remainder."""
    counts: dict[str, int] = defaultdict(int)
    for clicks in partitions:
        for click in clicks:
            counts[str(click.value % divisor)] += 1
    return dict(counts)
