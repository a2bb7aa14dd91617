"""Which member of a consumer group is to have which partitions: decided by the broker (KIP-848).

    uniform   every member has as many partitions as any other, or one more, of whatever topics
    range     topics that have the same number of partitions and the same subscribers go together:
              who has partition 3 of one of them has partition 3 of all

Both leave with a member what it has, as far as balance allows, and are functions of their arguments
alone: the same group is always assigned alike, whatever order members came in. Static members come
first, by their instance ids, so that a new member id changes nothing.

Where members subscribe to different topics, no rule of quotas balances them: a member may have to
give to a second one so that this can give to a third. There `uniform` starts with what is held, deals
out what is free, and then moves partitions along shortest paths from the fullest members to those
with at least two fewer, until no such path is left; which is the best balance there is (Harvey,
Ladner, Lovász, Tamir: Semi-matchings for bipartite graphs and load balancing, 2003).

Rejected: Kafka's `range`, which deals ranges anew whenever a member comes or goes; half of all
partitions then change hands. Ours deals the same ranges to a new group, and afterwards keeps rows.
"""

import heapq
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias
from uuid import UUID


class TopicIdPartition(NamedTuple):
    """A partition of a topic that is known by its id, so never of an older one of the same name."""

    topic_id: UUID
    partition: int


Partitions: TypeAlias = frozenset[TopicIdPartition]


@dataclass(frozen=True, slots=True)
class Subscriber:
    """A member as assignors see it: what it wants, and what it was to have so far."""

    topic_ids: frozenset[UUID]
    held: Partitions = frozenset()
    instance_id: str | None = None


Members: TypeAlias = Mapping[str, Subscriber]
PartitionCounts: TypeAlias = Mapping[UUID, int]
"""How many partitions topics have. The order of topics is that in which they are dealt out."""

Assignor: TypeAlias = Callable[[Members, PartitionCounts], dict[str, Partitions]]

_Cell: TypeAlias = tuple[int, int]
"""A partition while it is dealt with: the topic's place in the order, and the number."""


def uniform(members: Members, partition_counts: PartitionCounts) -> dict[str, Partitions]:
    """Give every member equally many partitions, or one more than others."""
    order = _in_order(members)
    topics = list(partition_counts)
    subscribers = _subscribers(members, order, topics)
    hands, free = _kept(members, order, partition_counts, subscribers)
    if all(len(able) in (0, len(order)) for able in subscribers):
        _deal_equally(order, hands, free)
    else:
        _Leveller(order, hands, subscribers).level(free)
    return {
        member: frozenset(
            TopicIdPartition(topics[topic], number) for topic, number in hands[member]
        )
        for member in order
    }


def range_(members: Members, partition_counts: PartitionCounts) -> dict[str, Partitions]:
    """Assign topics of the same size and subscribers alike: row by row, in ranges at first."""
    order = _in_order(members)
    topics = list(partition_counts)
    subscribers = _subscribers(members, order, topics)
    holders = {
        (partition.topic_id, partition.partition): member
        for member in reversed(order)
        for partition in members[member].held
    }
    alike: dict[tuple[int, tuple[str, ...]], list[UUID]] = defaultdict(list)
    for topic_id, able in zip(topics, subscribers, strict=True):
        if able:
            alike[partition_counts[topic_id], tuple(able)].append(topic_id)
    result: dict[str, set[TopicIdPartition]] = {member: set() for member in order}
    for (rows, takers), together in alike.items():
        loads = {member: len(result[member]) for member in takers}
        places = {member: place for place, member in enumerate(takers)}
        had = [_holder_of_row(holders, together, row, places) for row in range(rows)]
        for member, own in _deal_rows(takers, loads, had).items():
            result[member].update(TopicIdPartition(topic, row) for topic in together for row in own)
    return {member: frozenset(partitions) for member, partitions in result.items()}


ASSIGNORS: Final[Mapping[str, Assignor]] = {"uniform": uniform, "range": range_}
"""By name, as Kafka has them; the first is that of a group whose members name none."""


def _in_order(members: Members) -> list[str]:
    def key(member: str) -> tuple[bool, str, str]:
        instance_id = members[member].instance_id
        return instance_id is None, instance_id or "", member

    return sorted(members, key=key)


def _subscribers(members: Members, order: Sequence[str], topics: Sequence[UUID]) -> list[list[str]]:
    """Say for each topic who may have partitions of it."""
    return [[each for each in order if topic in members[each].topic_ids] for topic in topics]


def _kept(
    members: Members,
    order: Sequence[str],
    partition_counts: PartitionCounts,
    subscribers: Sequence[Collection[str]],
) -> tuple[dict[str, list[_Cell]], list[_Cell]]:
    """Return what each member may keep for now, in order, and what nobody has."""
    places = {topic_id: place for place, topic_id in enumerate(partition_counts)}
    free = {
        (place, number): None
        for place, count in enumerate(partition_counts.values())
        if subscribers[place]
        for number in range(count)
    }
    hands: dict[str, list[_Cell]] = {}
    for member in order:
        wanted = members[member].topic_ids
        hand = [
            (places[partition.topic_id], partition.partition)
            for partition in members[member].held
            if partition.topic_id in wanted and partition.topic_id in places
        ]
        # Not free: the topic has become smaller, or another member was to have the partition too.
        hands[member] = sorted(cell for cell in hand if cell in free)
        for cell in hands[member]:
            del free[cell]
    return hands, list(free)


# -- uniform, all members wanting the same --------------------------------------------------------


def _deal_equally(order: Sequence[str], hands: dict[str, list[_Cell]], free: list[_Cell]) -> None:
    """Bring all hands to the same size, or one more: for those who have most.

    So what is taken from anyone is what balance demands, and no more.
    """
    if not order:
        return
    least, more = divmod(len(free) + sum(map(len, hands.values())), len(order))
    fullest_first = sorted(order, key=lambda member: -len(hands[member]))
    for rank, member in enumerate(fullest_first):
        quota = least + (rank < more)
        # Across topics first, so that of each topic everyone keeps a part.
        hand = sorted(hands[member], key=lambda cell: (cell[1], cell[0]))
        hands[member] = hand[:quota]
        free += hand[quota:]
    _deal_to_lightest(order, hands, sorted(free))


def _deal_to_lightest(
    able: Iterable[str], hands: dict[str, list[_Cell]], cells: Iterable[_Cell]
) -> None:
    heap = [(len(hands[member]), place, member) for place, member in enumerate(able)]
    heapq.heapify(heap)
    for cell in cells:
        load, place, member = heap[0]
        hands[member].append(cell)
        heapq.heapreplace(heap, (load + 1, place, member))


# -- uniform, members wanting different topics ----------------------------------------------------


class _Leveller:
    """Balances members of whom each may have partitions of some topics only."""

    def __init__(
        self,
        order: Sequence[str],
        hands: dict[str, list[_Cell]],
        subscribers: Sequence[Sequence[str]],
    ) -> None:
        self._order = order
        self._hands = hands
        self._subscribers = subscribers
        self._had = {member: frozenset(hand) for member, hand in hands.items()}

    def level(self, free: Iterable[_Cell]) -> None:
        """Deal out what is free, what fewest may have first; then move what must be moved."""
        of_topic: dict[int, list[_Cell]] = defaultdict(list)
        for cell in free:
            of_topic[cell[0]].append(cell)
        for topic in sorted(of_topic, key=lambda topic: (len(self._subscribers[topic]), topic)):
            _deal_to_lightest(self._subscribers[topic], self._hands, of_topic[topic])
        unsettled = dict.fromkeys(self._order)
        while unsettled:
            fullest = max(unsettled, key=lambda member: len(self._hands[member]))
            came, lightest = self._reachable(fullest)
            if len(self._hands[lightest]) <= len(self._hands[fullest]) - 2:
                self._move_along(came, lightest)
            else:  # nor can anyone be improved whom it could give to
                for member in came:
                    unsettled.pop(member, None)

    def _reachable(self, start: str) -> tuple[dict[str, tuple[str, int] | None], str]:
        """Return who could come to have more if `start` gave something away, and the lightest.

        For each of them: from whom, and of which topic. Nobody is looked for behind one who has as
        little as anyone.
        """
        least = min(map(len, self._hands.values()))
        came: dict[str, tuple[str, int] | None] = {start: None}
        lightest = start
        seen: set[int] = set()
        queue = deque([start])
        while queue:
            member = queue.popleft()
            topics = {topic for topic, _number in self._hands[member]} - seen
            seen |= topics
            for topic in sorted(topics):
                for other in self._subscribers[topic]:
                    if other not in came:
                        came[other] = member, topic
                        queue.append(other)
                        if len(self._hands[other]) < len(self._hands[lightest]):
                            lightest = other
                            if len(self._hands[other]) == least:
                                return came, lightest
        return came, lightest

    def _move_along(self, came: Mapping[str, tuple[str, int] | None], last: str) -> None:
        """Let each member on the way to the last one give a partition to the next."""
        receiver = last
        while (step := came[receiver]) is not None:
            giver, topic = step
            cell = max(
                (cell for cell in self._hands[giver] if cell[0] == topic),
                key=lambda cell: (
                    cell in self._had[receiver],
                    cell not in self._had[giver],
                    cell,
                ),
            )
            self._hands[giver].remove(cell)
            self._hands[receiver].append(cell)
            receiver = giver


# -- range ----------------------------------------------------------------------------------------


def _holder_of_row(
    holders: Mapping[tuple[UUID, int], str],
    topics: Iterable[UUID],
    row: int,
    places: Mapping[str, int],
) -> str | None:
    """Return who of those that have a place has most of a row so far."""
    counts = Counter(holders.get((topic, row), "") for topic in topics)
    able = [member for member in counts if member in places]
    return min(able, key=lambda member: (-counts[member], places[member]), default=None)


def _deal_rows(
    able: Sequence[str], loads: Mapping[str, int], had: Sequence[str | None]
) -> dict[str, list[int]]:
    """Give everyone equally many rows, or one more: to those who had most, or have least else."""
    hands: dict[str, list[int]] = {member: [] for member in able}
    free = []
    for row, holder in enumerate(had):
        if holder is None:
            free.append(row)
        else:
            hands[holder].append(row)
    least, more = divmod(len(had), len(able))
    first = sorted(able, key=lambda member: (-len(hands[member]), loads[member]))
    quotas = {member: least + (rank < more) for rank, member in enumerate(first)}
    for member, quota in quotas.items():
        free += hands[member][quota:]
        del hands[member][quota:]
    free.sort()
    taken = 0
    for member in able:
        missing = quotas[member] - len(hands[member])
        hands[member] += free[taken : taken + missing]
        taken += missing
    return hands
