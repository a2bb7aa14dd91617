"""Questions that tasks share: nobody gets an answer that is older than the question, and nobody is forgotten."""

from collections.abc import Iterable

import anyio
import pytest
from millpond.log.errors import LogError
from millpond.streams.engine.questions import Shared

pytestmark = pytest.mark.anyio


class Oracle:
    """Answers with how often it was asked, when it is let."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.may_answer = anyio.Event()
        self.fails = False

    async def about(self, keys: Iterable[str]) -> dict[str, int]:
        self.asked.append(list(keys))
        number = len(self.asked)
        await self.may_answer.wait()
        if self.fails:
            raise LogError("the oracle is silent")
        return dict.fromkeys([key for key in keys if key != "unknown"], number)


async def test_those_who_ask_at_the_same_time_share_a_question() -> None:
    oracle, answers = Oracle(), {}
    oracle.may_answer.set()
    shared = Shared(oracle.about)

    async def ask(*keys: str) -> None:
        answers[keys] = await shared.ask(keys)

    async with anyio.create_task_group() as group:
        group.start_soon(ask, "a", "b")
        group.start_soon(ask, "b", "c")
        group.start_soon(ask, "unknown")
    assert oracle.asked == [["a", "b", "c", "unknown"]]
    assert answers == {("a", "b"): {"a": 1, "b": 1}, ("b", "c"): {"b": 1, "c": 1}, ("unknown",): {}}


async def test_who_asks_while_others_wait_gets_an_answer_of_its_own() -> None:
    oracle, answers = Oracle(), []
    shared = Shared(oracle.about)

    async def ask() -> None:
        answers.append(await shared.ask(["a"]))

    async with anyio.create_task_group() as group:
        group.start_soon(ask)
        await anyio.wait_all_tasks_blocked()
        group.start_soon(ask)
        group.start_soon(ask)
        await anyio.wait_all_tasks_blocked()
        oracle.may_answer.set()
    assert answers == [{"a": 1}, {"a": 2}, {"a": 2}]


async def test_when_the_one_that_asks_is_cancelled_another_one_asks() -> None:
    oracle, answers = Oracle(), []
    shared = Shared(oracle.about)

    async def ask(key: str, scope: anyio.CancelScope) -> None:
        with scope:
            answers.append(await shared.ask([key]))

    first = anyio.CancelScope()
    async with anyio.create_task_group() as group:
        group.start_soon(ask, "a", first)
        group.start_soon(ask, "b", anyio.CancelScope())
        await anyio.wait_all_tasks_blocked()
        first.cancel()
        await anyio.wait_all_tasks_blocked()
        oracle.may_answer.set()
    assert oracle.asked == [["a", "b"], ["b"]]
    assert answers == [{"b": 2}]


async def test_all_are_told_that_a_question_failed_and_the_next_one_is_asked_anew() -> None:
    oracle, failed = Oracle(), []
    oracle.fails = True
    oracle.may_answer.set()
    shared = Shared(oracle.about)

    async def ask(key: str) -> None:
        with pytest.raises(LogError, match="silent"):
            await shared.ask([key])
        failed.append(key)

    async with anyio.create_task_group() as group:
        group.start_soon(ask, "a")
        group.start_soon(ask, "b")
    assert sorted(failed) == ["a", "b"]
    assert len(oracle.asked) == 1
    oracle.fails = False
    assert await shared.ask(["a"]) == {"a": 2}
