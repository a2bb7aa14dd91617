"""Shares tasks out among the workers of an app: who runs which, and who keeps a copy of whose state. Pure.

The worker that leads the app's group calls `share_out` with what all workers have told it. It gives

- every task to one worker at most, and to none only while another worker still runs it: that one is
  given everything but this task, stops it, and tells so when it joins anew (KIP-429);
- workers the same number of tasks, give or take one; the same of each subtopology, as far as that
  goes, for tasks of one subtopology cost about the same;
- tasks to whoever runs them, as far as that leaves the balance alone; else to whoever has most of their
  state, its own or its standby's;
- copies (`standby`) to workers with another directory than the runner's, those that have most of the
  state first.

A worker is only given tasks that it knows: during a rolling update the workers' apps may differ.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple


class TaskId(NamedTuple):
    """A subtopology, and a partition of its sources."""

    subtopology: str
    partition: int


@dataclass(frozen=True, slots=True)
class Told:
    """What a worker tells when it joins.

    Attributes:
        tasks: how many tasks each subtopology has that it can run.
        stateful: those of them that have state.
        running: the tasks that it runs now, and goes on running unless they are not given to it again.
        warm: how far its directory has come with tasks' state: the sum of the offsets that were read
            of their changelogs. More is warmer; workers are compared by it.
        directory: tells directories apart: workers that name the same one share what is in it.
        standby_replicas: how many copies of each task's state it wants there to be.
    """

    tasks: Mapping[str, int]
    stateful: frozenset[str] = frozenset()
    running: frozenset[TaskId] = frozenset()
    warm: Mapping[TaskId, int] = field(default_factory=dict)
    directory: str = ""
    standby_replicas: int = 0


@dataclass(frozen=True, slots=True)
class Given:
    """What a worker is to do: tasks to run, and tasks of whose state it keeps a copy."""

    active: frozenset[TaskId] = frozenset()
    standby: frozenset[TaskId] = frozenset()


def share_out(told: Mapping[str, Told]) -> dict[str, Given]:
    """Return what each worker is to do, by what each has told."""
    raise NotImplementedError


def encode_told(told: Told) -> bytes:
    """Return what a worker tells as bytes."""
    raise NotImplementedError


def decode_told(data: bytes) -> Told:
    """Return what was told. Raises ConfigError if a later version has told it."""
    raise NotImplementedError


def encode_given(given: Given) -> bytes:
    """Return what a worker is given as bytes."""
    raise NotImplementedError


def decode_given(data: bytes) -> Given:
    """Return what was given."""
    raise NotImplementedError
