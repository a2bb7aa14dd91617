"""How many tasks of each kind each worker runs, so that all run about as many. Pure.

A kind is tasks that the same workers may run and that cost about the same. Of all ways to deal them
out, this finds the best by, in this order,

1. the workers' totals being even: least sum of their squares;
2. each kind being even among the workers that may run it, likewise;
3. as many tasks as can be staying with whoever runs them;
4. as many as can be going to whoever would like them, having their state already.

That is a flow of tasks from kinds to workers whose every cost is convex, so a way to deal them out
is best if no ring of single tasks changing hands improves it. We deal greedily, which is nearly right, then
turn such rings until there are none (Klein's negative cycles, found by Bellman and Ford). Four
numbers are one cost: each is worth more than all that the later ones can add up to.

Greedy dealing alone was not enough: it moves tasks that need not, where several kinds have a
remainder. A flow of single tasks rather than counts is exact in their warmth too, but takes seconds for 2,000 tasks.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from heapq import heapify, heapreplace

_LIKED = 1
_KEPT = 1 << 24
_OF_KIND = 1 << 48
_TOTAL = 1 << 72
_NEVER = 1 << 120  # the cost of what can't be


@dataclass(frozen=True, slots=True)
class Kind:
    """Tasks that the same workers may run.

    Attributes:
        size: how many tasks there are.
        workers: who may run them.
        kept: how many of them each of all workers runs now.
        liked: how many of them each of all workers runs or is the warmest for.
    """

    size: int
    workers: Sequence[int]
    kept: Sequence[int]
    liked: Sequence[int]

    def cost_of_next(self, worker: int, count: int) -> int:
        """Return what it costs that a worker which has `count` of this kind takes one more."""
        cost = _OF_KIND * (2 * count + 1)
        if count < self.kept[worker]:
            cost -= _KEPT
        if count < self.liked[worker]:
            cost -= _LIKED
        return cost


def even_counts(kinds: Sequence[Kind], workers: int) -> list[list[int]]:
    """Return how many tasks of each kind each of so many workers runs."""
    hands = _Hands(kinds, workers)
    for number in sorted(range(len(kinds)), key=lambda kind: len(kinds[kind].workers)):
        hands.deal(number)
    while ring := hands.improving_ring():
        hands.turn(ring)
    return hands.counts


def _cost_of_total(total: int) -> int:
    """Return what it costs that a worker which has `total` tasks takes one more."""
    return _TOTAL * (2 * total + 1)


class _Hands:
    """Tasks as they are dealt out so far, and what it costs that a worker takes or gives up one.

    The nodes of the graph in which rings are looked for are workers, then kinds, then one for the
    totals. From a worker to a kind: it gives one up. From a kind to a worker: it takes one. From a
    worker to the totals: it has one more than before; back: it has one fewer.
    """

    def __init__(self, kinds: Sequence[Kind], workers: int) -> None:
        self.counts = [[0] * workers for _ in kinds]
        self._kinds = kinds
        self._totals = [0] * workers
        self._takes = [[_NEVER] * workers for _ in kinds]
        self._gives = [[_NEVER] * workers for _ in kinds]

    def deal(self, number: int) -> None:
        """Deal out all of a kind, each to the worker for which it costs least."""
        kind = self._kinds[number]
        counts, totals = self.counts[number], self._totals
        costs = [(kind.cost_of_next(w, 0) + _cost_of_total(totals[w]), w) for w in kind.workers]
        heapify(costs)
        for _ in range(kind.size if costs else 0):
            worker = costs[0][1]
            counts[worker] += 1
            totals[worker] += 1
            cost = kind.cost_of_next(worker, counts[worker]) + _cost_of_total(totals[worker])
            heapreplace(costs, (cost, worker))
        for worker in kind.workers:
            self._note(number, worker)

    def turn(self, ring: Sequence[tuple[int, int]]) -> None:
        """Let single tasks change hands along a ring of edges."""
        workers = len(self._totals)
        for start, end in ring:
            if start < workers <= end < workers + len(self._kinds):
                self._add(end - workers, start, -1)
            elif end < workers <= start < workers + len(self._kinds):
                self._add(start - workers, end, 1)

    def improving_ring(self) -> list[tuple[int, int]]:
        """Return the edges of a ring that costs less than nothing, or none if there is none."""
        workers, kinds = len(self._totals), len(self._kinds)
        totals = workers + kinds
        cost = [0] * (totals + 1)
        cause = [-1] * (totals + 1)
        changed = True
        while changed:
            changed = False
            for start, end, length in self._edges():
                if cost[start] + length < cost[end]:
                    cost[end] = cost[start] + length
                    cause[end] = start
                    changed = True
            if changed and (ring := _ring(cause)):
                return ring
        return []

    def _edges(self) -> Iterator[tuple[int, int, int]]:
        workers = len(self._totals)
        pool = workers + len(self._kinds)
        for worker, total in enumerate(self._totals):
            yield worker, pool, _cost_of_total(total)
        for worker, total in enumerate(self._totals):
            if total:
                yield pool, worker, -_cost_of_total(total - 1)
        for number, kind in enumerate(self._kinds):
            node, gives, takes = workers + number, self._gives[number], self._takes[number]
            for worker in kind.workers:
                yield worker, node, gives[worker]
            for worker in kind.workers:
                yield node, worker, takes[worker]

    def _add(self, number: int, worker: int, change: int) -> None:
        self.counts[number][worker] += change
        self._totals[worker] += change
        self._note(number, worker)

    def _note(self, number: int, worker: int) -> None:
        kind, count = self._kinds[number], self.counts[number][worker]
        self._takes[number][worker] = kind.cost_of_next(worker, count)
        self._gives[number][worker] = -kind.cost_of_next(worker, count - 1) if count else _NEVER


def _ring(cause: Sequence[int]) -> list[tuple[int, int]]:
    """Return the edges of a ring among nodes of which each has at most one cause."""
    seen_from = [-1] * len(cause)
    for first in range(len(cause)):
        node = first
        while node != -1 and seen_from[node] == -1:
            seen_from[node] = first
            node = cause[node]
        if node != -1 and seen_from[node] == first:
            edges = [(cause[node], node)]
            while (end := edges[-1][0]) != node:
                edges.append((cause[end], end))
            return edges
    return []
