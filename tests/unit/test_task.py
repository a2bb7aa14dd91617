"""A task decides the order of events from the log alone, and where its progress stands."""

from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import millpond as mp
import msgspec
import pytest
from millpond.log.model import CommittedOffset, Fetched, TopicPartition
from millpond.streams.engine.inputs import Undecodable
from millpond.streams.engine.outputs import Outputs
from millpond.streams.engine.run import Run
from millpond.streams.engine.task import BEGINNING, Meta, Task
from millpond.tests.unit.test_inputs import Stored

MS = timedelta(milliseconds=1)


async def consume(stream: mp.Stream) -> None:
    async for _ in stream:
        pass


class World:
    """A task whose agents share a table, with the topics that it reads."""

    def __init__(self, *names: str, closing: bool = False, agents: int = 1) -> None:
        app = mp.App("shop")
        table = app.Table("table", key=str, value=int, default=int)
        self.windowed = table.tumbling(10 * MS, grace=5 * MS)
        self.topics = {name: app.topic(name, value=int) for name in names}
        for name, topic in self.topics.items():
            for number in range(agents):
                app.agent(topic, name=f"{name}-{number}", tables=[self.windowed])(consume)
        if closing:
            app.agent(self.windowed.closed, name="closing")(consume)
        [sub] = app.topology().subtopologies
        self.task = Task(sub, 0, Outputs(dict.fromkeys(app.topology().topics, 1)))
        self.resume({})

    def resume(self, committed: dict[TopicPartition, CommittedOffset], end: int = 0) -> None:
        at = {source.partition: 0 for source in self.task.inputs}
        self.task.resume(committed, at, dict.fromkeys(at, end))

    def feed(self, name: str, *times: int, first: int = 0, end: int | None = None) -> None:
        partition = TopicPartition(name, 0)
        records = [Stored(first + i, b"%d" % time, time) for i, time in enumerate(times)]
        after = first + len(times)
        fetched = Fetched(partition, records, after, after if end is None else end, 0)
        self.task.input_of(partition).feed(fetched)

    def runs(self) -> list[tuple[str, list[int]]]:
        """Return all there is to process, in runs."""
        found = []
        while (run := self.next_run()) is not None:
            found.append((run.partition.topic, run.timestamps))
            self.task.complete(run)
        return found

    def next_run(self) -> Run | None:
        run = self.task.next_run()
        assert not isinstance(run, Undecodable)
        return run


def an_instance(*held: tuple[Run, int]) -> Any:
    return SimpleNamespace(held=list(held))


def test_one_source_is_one_run() -> None:
    world = World("a")
    world.feed("a", 5, 3, 9)
    assert world.runs() == [("a", [5, 3, 9])]


def test_sources_take_turns_by_time_and_ties_go_to_the_first_declared() -> None:
    world = World("a", "b")
    world.feed("a", 5, 5, 7)
    world.feed("b", 3, 5, 5, 6, 8)
    assert world.runs() == [("b", [3]), ("a", [5, 5]), ("b", [5, 5, 6]), ("a", [7]), ("b", [8])]


def test_the_order_does_not_depend_on_how_much_is_fetched() -> None:
    world = World("a", "b")
    order: list[tuple[str, int]] = []
    a, b = [5, 5, 7], [3, 5, 5, 6, 8]
    fed = {"a": 0, "b": 0}
    world.resume({}, end=1)
    for _ in range(50):
        for topic, times in world.runs():
            order += [(topic, time) for time in times]
        for name, times in (("a", a), ("b", b)):
            if TopicPartition(name, 0) in world.task.hungry() and fed[name] < len(times):
                at = fed[name]
                world.feed(name, times[at], first=at, end=len(times))
                fed[name] += 1
    names = ["b", "a", "a", "b", "b", "b", "a", "b"]
    assert order == list(zip(names, [3, 5, 5, 5, 5, 6, 7, 8], strict=True))


def test_an_empty_source_is_waited_for_only_while_it_has_lag() -> None:
    world = World("a", "b")
    world.resume({}, end=2)
    world.feed("a", 5, 6)
    assert world.next_run() is None
    world.feed("b", 9, end=1)
    assert [topic for topic, _ in world.runs()] == ["a", "b"]


def test_agents_of_one_source_see_event_by_event() -> None:
    world = World("a", agents=2)
    world.feed("a", 5, 6)
    assert world.runs() == [("a", [5]), ("a", [6])]


def test_a_run_ends_behind_the_event_that_closes_a_window() -> None:
    world = World("a", closing=True)
    world.feed("a", 6, 14, 15, 16, 25, 47, 48)  # the windows close at 15, 25, 35, 45, 55
    runs = [times for _, times in world.runs()]
    assert runs[0] == [6], "before the first event no time is known, so it might close anything"
    assert runs[1:] == [[14, 15], [16, 25], [47], [48]]


def test_stream_times_rise_only() -> None:
    world = World("a")
    world.feed("a", 5, 3, 9, 7)
    run = world.next_run()
    assert run is not None
    assert run.stream_times == [5, 5, 9, 9]
    assert (run.stream_time_before, run.stream_time_after()) == (BEGINNING, 9)
    rest = run.cut(1)
    assert rest is not None
    assert (run.stream_time_after(), rest.stream_time_before) == (5, 5)
    world.task.give_back(rest)
    world.task.complete(run)
    again = world.next_run()
    assert again is not None
    assert (again.timestamps, again.stream_times) == ([3, 9, 7], [5, 9, 9])


def test_progress_stands_before_what_a_batch_holds() -> None:
    world = World("a", "b")
    world.feed("a", 10, 30)
    world.feed("b", 20)
    runs = []
    while (run := world.next_run()) is not None:
        runs.append(run)
        world.task.complete(run)
    a, b = TopicPartition("a", 0), TopicPartition("b", 0)
    holding = an_instance((runs[2], 0))
    progress = world.task.progress([holding, an_instance()])
    assert {tp: at.offset for tp, at in progress.offsets.items()} == {a: 1, b: 1}
    assert progress.meta.stream_time == 20
    assert world.task.watermark([holding]) == 20
    done = world.task.progress([an_instance()])
    assert {tp: at.offset for tp, at in done.offsets.items()} == {a: 2, b: 1}
    assert done.meta.stream_time == 30


def test_progress_is_resumed_from_what_was_committed() -> None:
    world = World("a")
    world.feed("a", 10, 30)
    world.runs()
    committed = world.task.progress([]).offsets
    other = World("a")
    other.resume(dict(committed), end=4)
    assert other.task.stream_time == 30
    assert other.task.fetch_positions() == {TopicPartition("a", 0): 2}
    assert other.task.lag() == 2


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ("not json", "metadata that is not Millpond's"),
        (msgspec.json.encode(Meta(version=2)).decode(), "by a later version of Millpond"),
    ],
)
def test_progress_of_somebody_else_is_refused(metadata: str, message: str) -> None:
    world = World("a")
    with pytest.raises(mp.ConfigError, match=message):
        world.resume({TopicPartition("a", 0): CommittedOffset(1, metadata=metadata)})
