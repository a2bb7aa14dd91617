"""Shares tasks out among the workers of an app: who runs which, and who keeps a copy of whose state. Pure.

The worker that leads the app's group calls `share_out` with what all workers have told it. It gives

- every task to one worker at most, and to none only while another worker still runs it: that one is
  given everything but this task, stops it, and tells so when it joins anew (KIP-429);
- workers the same number of tasks, give or take one; the same of each subtopology, as far as that
  goes, for tasks of one subtopology cost about the same (`balance.py`);
- tasks to whoever runs them, as far as that leaves the balance alone; else to whoever has most of their
  state, its own or its standby's;
- copies (`standby`) to workers with another directory than the runner's, those that have most of the
  state first; and to who waits for a task that another worker still runs, so that it has most of
  the state by then.

A worker is only given tasks that it knows: during a rolling update the workers' apps may differ. Tasks
of one subtopology that different workers know are balanced apart.

Nothing is remembered from one time to the next. What is withheld the first time reaches a worker
the second time because those who run something then all keep it: what was best the first time
allows it, so the best of the second time can't do with less. Two times are always enough.

Two workers that say they run the same task should not exist: who was expelled drops its tasks before
it joins. If they do, each has taken the task further than the other knows of, and neither's state is to be
trusted: neither is given it, and its next runner reads the state from the changelog.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

import msgspec

from ..errors import ConfigError
from .balance import Kind, even_counts

_VERSION = 1


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
        transactional_id: what it commits under, or will; empty if it does so without transactions.
        join_number: counts up. A member that tells what it told before is given what it was given before: the
            coordinator takes it for one that has not heard the answer.
    """

    tasks: Mapping[str, int]
    stateful: frozenset[str] = frozenset()
    running: frozenset[TaskId] = frozenset()
    warm: Mapping[TaskId, int] = field(default_factory=dict)
    directory: str = ""
    standby_replicas: int = 0
    transactional_id: str = ""
    join_number: int = 0

    def knows(self, task: TaskId) -> bool:
        """Return whether the worker can run a task."""
        return task.partition < self.tasks.get(task.subtopology, 0)

    def warmth(self, task: TaskId) -> int:
        """Return how much of a task's state the worker has; -1 for none, or if there is none to have."""
        return self.warm.get(task, -1) if task.subtopology in self.stateful else -1


@dataclass(frozen=True, slots=True)
class Given:
    """What a worker is to do.

    Attributes:
        active: the tasks to run.
        standby: those of whose state it keeps a copy.
        handing_over: whether some worker has to stop a task that another one waits for. Then all join
            anew at once, rather than when they hear that it has stopped.
        transactional_ids: those of all workers, so that the next leader knows who is gone by then.
    """

    active: frozenset[TaskId] = frozenset()
    standby: frozenset[TaskId] = frozenset()
    handing_over: bool = False
    transactional_ids: frozenset[str] = frozenset()


def share_out(told: Mapping[str, Told]) -> dict[str, Given]:
    """Return what each worker is to do, by what each has told.

    A copy may be given to the worker that has to stop running its task: it has most of the state.
    """
    workers = sorted(told)
    claims: defaultdict[TaskId, list[str]] = defaultdict(list)
    for worker in workers:
        for task in told[worker].running:
            claims[task].append(worker)
    owners = _owners(
        [told[worker] for worker in workers],
        {
            task: workers.index(claimants[0])
            for task, claimants in claims.items()
            if len(claimants) == 1
        },
    )
    active: dict[str, set[TaskId]] = {worker: set() for worker in workers}
    standby = _standbys([told[worker] for worker in workers], owners)
    for task, owner in owners.items():
        if claims.get(task, [workers[owner]]) == [workers[owner]]:
            active[workers[owner]].add(task)
        elif _may_copy(told[workers[owner]], task, [told[worker] for worker in claims[task]]):
            standby[owner].add(task)
    handing_over = any(task not in active[workers[owner]] for task, owner in owners.items())
    ids = frozenset(each.transactional_id for each in told.values() if each.transactional_id)
    return {
        worker: Given(frozenset(active[worker]), frozenset(standby[number]), handing_over, ids)
        for number, worker in enumerate(workers)
    }


def _may_copy(worker: Told, task: TaskId, runners: Sequence[Told]) -> bool:
    """Return whether a worker can follow the state of a task that it waits for."""
    return (
        task.subtopology in worker.stateful
        and len(runners) == 1
        and worker.directory != runners[0].directory
    )


def _owners(told: Sequence[Told], runners: Mapping[TaskId, int]) -> dict[TaskId, int]:
    """Return who shall run each task, in the end."""
    kinds = _kinds(told)
    counts = even_counts([_kind(told, who, tasks, runners) for who, tasks in kinds], len(told))
    owners: dict[TaskId, int] = {}
    for (_, tasks), room in zip(kinds, counts, strict=True):
        owners |= _fill(told, tasks, room, runners)
    return owners


def _kinds(told: Sequence[Told]) -> list[tuple[list[int], list[TaskId]]]:
    """Return the tasks of each subtopology that the same workers know, and these workers."""
    most: Counter[str] = Counter()
    for each in told:
        most |= Counter(each.tasks)
    kinds = []
    for subtopology in sorted(most):
        ends = sorted({each.tasks.get(subtopology, 0) for each in told} | {0})
        for start, end in pairwise(ends):
            tasks = [TaskId(subtopology, partition) for partition in range(start, end)]
            kinds.append(([w for w, each in enumerate(told) if each.knows(tasks[0])], tasks))
    return kinds


def _kind(
    told: Sequence[Told],
    workers: Sequence[int],
    tasks: Sequence[TaskId],
    runners: Mapping[TaskId, int],
) -> Kind:
    kept, liked = [0] * len(told), [0] * len(told)
    for task in tasks:
        if (runner := runners.get(task, -1)) in workers:
            kept[runner] += 1
            liked[runner] += 1
            continue
        warmths = [told[worker].warmth(task) for worker in workers]
        if (warmest := max(warmths)) >= 0:
            liked[workers[warmths.index(warmest)]] += 1
    return Kind(len(tasks), workers, kept, liked)


def _fill(
    told: Sequence[Told],
    tasks: Sequence[TaskId],
    counts: Sequence[int],
    runners: Mapping[TaskId, int],
) -> dict[TaskId, int]:
    """Return who shall run each of a kind's tasks, where each worker runs so many."""
    room = list(counts)
    owners: dict[TaskId, int] = {}

    def place(pairs: Iterable[tuple[TaskId, int]]) -> None:
        for task, worker in pairs:
            if room[worker] and task not in owners:
                owners[task] = worker
                room[worker] -= 1

    def elsewhere(task: TaskId) -> int:
        return max(told[w].warmth(task) for w in able if w != runners[task])

    able = [worker for worker, count in enumerate(counts) if count]
    running = [task for task in tasks if task in runners]
    if len(able) > 1:
        running.sort(key=elsewhere)  # what others are warm for is what is given away
    place((task, runners[task]) for task in running)
    left = [task for task in tasks if task not in owners]
    warm = [(-told[w].warmth(task), task, w) for task in left for w in able if told[w].warm]
    place((task, worker) for cold, task, worker in sorted(warm) if cold <= 0)
    left = [task for task in left if task not in owners]
    free = [worker for worker in able for _ in range(room[worker])]
    return owners | dict(zip(left, free, strict=True))


def _standbys(told: Sequence[Told], owners: Mapping[TaskId, int]) -> list[set[TaskId]]:
    """Return the tasks of whose state each worker keeps a copy.

    Whoever has most of a state keeps it, unless that would be more than its share, in all or of what one
    worker runs: when that one is gone, the others share its tasks evenly, and each should have copies of its
    part. What is left then goes to whoever has fewest copies.
    """
    given: list[set[TaskId]] = [set() for _ in told]
    directories: dict[TaskId, set[str]] = {}
    wanted: dict[TaskId, int] = {}
    able: dict[TaskId, list[int]] = {}
    actives = Counter(owners.values())
    for task, owner in sorted(owners.items()):
        knowing = [
            worker
            for worker, each in enumerate(told)
            if task.subtopology in each.stateful and each.knows(task)
        ]
        directories[task] = {told[owner].directory}
        able[task] = [w for w in knowing if told[w].directory != told[owner].directory]
        replicas = max((told[worker].standby_replicas for worker in knowing), default=0)
        wanted[task] = min(replicas, len({told[worker].directory for worker in able[task]}))
    share = -(-sum(wanted.values()) // max(1, len(told)))
    of_owner: Counter[int] = Counter()
    holders: Counter[int] = Counter()
    for task, owner in owners.items():
        of_owner[owner] += wanted[task]
        holders[owner] = max(holders[owner], len(able[task]))
    held: Counter[tuple[int, int]] = Counter()

    def give(task: TaskId, worker: int) -> None:
        if wanted[task] and told[worker].directory not in directories[task]:
            given[worker].add(task)
            held[owners[task], worker] += 1
            directories[task].add(told[worker].directory)
            wanted[task] -= 1

    warm = [
        (-told[worker].warmth(task), task, worker)
        for task in wanted
        if wanted[task]
        for worker in able[task]
        if told[worker].warmth(task) >= 0
    ]
    for _, task, worker in sorted(warm):
        owner = owners[task]
        part = -(-of_owner[owner] // holders[owner])
        if len(given[worker]) < share and held[owner, worker] < part:
            give(task, worker)
    for task in [task for task, number in wanted.items() if number]:
        owner = owners[task]
        ranks = {w: (held[owner, w], len(given[w]), actives[w], w) for w in able[task]}
        for worker in sorted(able[task], key=ranks.__getitem__):
            give(task, worker)
    return given


class _ToldV1(msgspec.Struct, array_like=True):
    """`Told` as it travels: by subtopology, as the coordinator bounds what a group's members tell."""

    tasks: dict[str, int]
    stateful: list[str]
    running: dict[str, list[int]]
    warm: dict[str, dict[int, int]]
    directory: str
    standby_replicas: int
    transactional_id: str = ""
    join_number: int = 0


class _GivenV1(msgspec.Struct, array_like=True):
    active: dict[str, list[int]]
    standby: dict[str, list[int]]
    handing_over: bool = False
    transactional_ids: list[str] = []


def encode_told(told: Told) -> bytes:
    """Return what a worker tells as bytes."""
    warm: defaultdict[str, dict[int, int]] = defaultdict(dict)
    for task, offsets in sorted(told.warm.items()):
        warm[task.subtopology][task.partition] = offsets
    return _encode(
        _ToldV1(
            tasks=dict(sorted(told.tasks.items())),
            stateful=sorted(told.stateful),
            running=_by_subtopology(told.running),
            warm=warm,
            directory=told.directory,
            standby_replicas=told.standby_replicas,
            transactional_id=told.transactional_id,
            join_number=told.join_number,
        )
    )


def decode_told(data: bytes) -> Told:
    """Return what was told. Raises ConfigError if another version, or no worker, has told it."""
    told = msgspec.msgpack.decode(_body(data), type=_ToldV1)
    return Told(
        tasks=told.tasks,
        stateful=frozenset(told.stateful),
        running=_tasks(told.running),
        warm={
            TaskId(subtopology, partition): offsets
            for subtopology, partitions in told.warm.items()
            for partition, offsets in partitions.items()
        },
        directory=told.directory,
        standby_replicas=told.standby_replicas,
        transactional_id=told.transactional_id,
        join_number=told.join_number,
    )


def encode_given(given: Given) -> bytes:
    """Return what a worker is given as bytes."""
    active, standby = _by_subtopology(given.active), _by_subtopology(given.standby)
    ids = sorted(given.transactional_ids)
    return _encode(_GivenV1(active, standby, given.handing_over, ids))


def decode_given(data: bytes) -> Given:
    """Return what was given. Raises ConfigError if another version has given it."""
    given = msgspec.msgpack.decode(_body(data), type=_GivenV1)
    return Given(
        _tasks(given.active),
        _tasks(given.standby),
        given.handing_over,
        frozenset(given.transactional_ids),
    )


def _encode(body: _ToldV1 | _GivenV1) -> bytes:
    return bytes([_VERSION]) + msgspec.msgpack.encode(body)


def _body(data: bytes) -> bytes:
    if data[:1] != bytes([_VERSION]):
        found = f"begins with {data[0]}" if data else "is empty"
        raise ConfigError(
            f"a member of the app's group sent something that {found}, where this version of millpond "
            f"writes {_VERSION}: update all workers of the app to the same version of millpond; if they "
            "are, something else uses a group with the app's name, and one of the two needs another."
        )
    return data[1:]


def _by_subtopology(tasks: Iterable[TaskId]) -> dict[str, list[int]]:
    found: defaultdict[str, list[int]] = defaultdict(list)
    for task in sorted(tasks):
        found[task.subtopology].append(task.partition)
    return found


def _tasks(found: Mapping[str, Sequence[int]]) -> frozenset[TaskId]:
    return frozenset(
        TaskId(subtopology, partition)
        for subtopology, partitions in found.items()
        for partition in partitions
    )
