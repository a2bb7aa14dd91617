"""`python -m bench.consumer_groups`: what a consumer group of KIP-848 costs the broker.

One group in a broker without network, on a disk in memory: requests go through the codec both ways.
Printed are what heartbeats without news cost, then for each rebalance the CPU time that all its
heartbeats took, their number, and the bytes that were written; then how long assignors take.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from uuid import UUID

from millpond.log.coordinator.assignors import ASSIGNORS, Partitions, Subscriber
from millpond.log.model import TopicPartition
from millpond.tests.twins.consumer_members import ConsumerMember
from millpond.tests.twins.node_world import NodeWorld


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--members", type=int, default=100)
    parser.add_argument("--partitions", type=int, default=200)
    chosen = parser.parse_args()
    world = NodeWorld()
    world.create("orders", chosen.partitions)
    members = [
        ConsumerMember(world, "readers", f"member-{number:036}", topics=["orders"])
        for number in range(chosen.members)
    ]
    print(f"{chosen.members} members, {chosen.partitions} partitions")
    rebalance("all join, one after the other", world, members, lambda: None)
    heartbeats(world, members)
    late = ConsumerMember(world, "readers", "member-that-comes-later", topics=["orders"])
    members.append(late)
    rebalance("one more joins", world, members, lambda: None)
    members.remove(late)
    rebalance("it leaves", world, members, lambda: late.leave() and None)
    rebalance(
        "a partition is added", world, members, lambda: world.grow("orders", chosen.partitions + 1)
    )
    assignors(1000, 10_000)


def heartbeats(world: NodeWorld, members: Sequence[ConsumerMember]) -> None:
    """Let everyone send heartbeats that change nothing."""
    before, begun, count = written(world), time.process_time(), 0
    while time.process_time() - begun < 1:
        for member in members:
            member.beat()
        count += len(members)
    seconds = time.process_time() - begun
    assert written(world) == before
    print(f"{'heartbeats without news':32} {count / seconds:8,.0f}/s, client's side included")


def rebalance(
    what: str, world: NodeWorld, members: Sequence[ConsumerMember], cause: Callable[[], None]
) -> None:
    """Let all members send heartbeats until each has what it is to have."""
    before, begun, count = written(world), time.process_time(), 0
    cause()
    while True:
        were = [(member.epoch, member.owned) for member in members]
        for member in members:
            member.beat()
        count += len(members)
        if were == [(member.epoch, member.owned) for member in members]:
            break
    milliseconds = 1000 * (time.process_time() - begun)
    print(
        f"{what:32} {milliseconds:8,.0f} ms, {count:6,} heartbeats, "
        f"{(written(world) - before) / 1000:8,.0f} kB written"
    )


def written(world: NodeWorld) -> int:
    """Return how many bytes all coordinators have written."""
    partitions = world.node.broker.partitions
    return sum(partitions[TopicPartition("__consumer_offsets", number)].size for number in range(4))


def assignors(members: int, partitions: int) -> None:
    """Assign anew, and after one has gone."""
    counts = {UUID(int=number): partitions // 10 for number in range(10)}
    names = [f"member-{number:06}" for number in range(members)]
    wants = frozenset(counts)
    for name, assign in ASSIGNORS.items():
        begun = time.process_time()
        first: dict[str, Partitions] = assign({each: Subscriber(wants) for each in names}, counts)
        middle = time.process_time()
        assign({each: Subscriber(wants, first[each]) for each in names[1:]}, counts)
        end = time.process_time()
        print(
            f"{name}, {members} members, {partitions} partitions: {1000 * (middle - begun):.0f} ms "
            f"anew, {1000 * (end - middle):.0f} ms when one has gone"
        )


if __name__ == "__main__":
    main()
