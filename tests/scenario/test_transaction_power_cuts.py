"""The power fails at every single sync of a transaction; whoever goes on, it happened once or not at all."""

import itertools
from collections.abc import Iterator

import pytest
from millpond.log.model import TopicPartition

from tests.twins.slow_disk_world import SlowDiskWorld
from tests.twins.transaction_lives import OFFSET_OF, PARTITIONS, Attempt, Life
from tests.twins.transactional_client import NEW, OLD, visible

A, B = PARTITIONS[:2]


class PowerCut(Exception):
    """The story ends here."""


class Story:
    """A producer commits two transactions, each with three records and an offset."""

    def __init__(self, protocol: str) -> None:
        self.world = SlowDiskWorld()
        self.world.create("out", len(PARTITIONS))
        self.attempts: list[Attempt] = []
        self.life = Life(self.world, "w", protocol, self.attempts)

    def tell(self, cut_at: int, *, goes_on: bool) -> None:
        """Tell it up to this sync, and then, if the owner goes on, to its end.

        Raises:
            PowerCut: the owner doesn't.
        """
        life, world = self.life, self.world
        syncs = itertools.count()
        for _ in self._steps():
            while life.request is not None:
                if life.asked is None:
                    life.asked = life.request.send(world)
                elif life.asked not in world.held:
                    life._take_answer(life.asked.response)
                elif next(syncs) != cut_at:
                    world.sync(life.asked)
                else:
                    world.cut_power(lose_unsynced=True)
                    life.lose_connection()
                    if not goes_on:
                        raise PowerCut
        self.syncs = next(syncs)
        world.sync_all()

    def _steps(self) -> Iterator[None]:
        life = self.life
        yield
        for number in range(2):
            life.attempt = Attempt(number, "w")
            self.attempts.append(life.attempt)
            for partition in (A, B, A):
                before = len(life.attempt.written)
                while len(life.attempt.written) == before:  # old clients add the partition first
                    life._ask_write(partition)
                    yield
            life._ask_offsets()
            yield
            life._ask_end(commit=True)
            yield

    def numbers_seen(self, partition: TopicPartition) -> list[bytes]:
        return [value.partition(b".")[0] for value in visible(self.world, partition)]

    def offset(self) -> int | None:
        committed = self.world.node.offsets.committed("w").get(OFFSET_OF)
        return committed.offset if committed is not None else None


def syncs_of(protocol: str) -> int:
    story = Story(protocol)
    story.tell(-1, goes_on=True)
    return story.syncs


@pytest.mark.parametrize("protocol", [OLD, NEW])
def test_a_new_owner_finds_all_of_a_transaction_or_nothing(protocol: str) -> None:
    outcomes = []
    for cut_at in range(syncs_of(protocol)):
        story = Story(protocol)
        with pytest.raises(PowerCut):
            story.tell(cut_at, goes_on=False)
        heir = Life(story.world, "w", protocol, [])
        while heir.request is not None:
            if heir.asked in story.world.held:
                story.world.sync(heir.asked)
            else:
                heir._take_answer(heir.asked.response)
        story.world.sync_all()
        seen = story.numbers_seen(A)
        assert (seen, story.offset()) in [([], None), ([b"0", b"0"], 0)]
        assert story.numbers_seen(B) == seen[::2]
        answered = [attempt.outcome is True for attempt in story.attempts]
        assert len(seen) == 2 * sum(answered), "the power fails before or behind the decision"
        log = story.world.node.broker.partition(A)
        assert log.last_stable_offset == log.log_end_offset
        outcomes.append(len(seen))
    assert outcomes == sorted(outcomes)
    assert set(outcomes) == {0, 2}


@pytest.mark.parametrize("protocol", [OLD, NEW])
def test_an_owner_that_asks_again_commits_everything_once(protocol: str) -> None:
    for cut_at in range(syncs_of(protocol)):
        story = Story(protocol)
        story.tell(cut_at, goes_on=True)
        assert [attempt.outcome for attempt in story.attempts] == [True, True]
        assert story.numbers_seen(A) == [b"0", b"0", b"1", b"1"]
        assert story.numbers_seen(B) == [b"0", b"1"]
        assert story.offset() == 1
