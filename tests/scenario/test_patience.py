"""Calls that may never return are given up; what returns in time is as if it had been called here."""

import threading

import anyio
import pytest
from millpond.log.cluster.patience import NotReturned, call_for

pytestmark = pytest.mark.anyio


async def test_what_a_call_returns_or_raises_comes_back() -> None:
    assert await call_for(60, lambda: 7) == 7
    with pytest.raises(ZeroDivisionError):
        await call_for(60, lambda: 1 // 0)


async def test_a_call_that_does_not_return_is_given_up_and_holds_up_no_end() -> None:
    before = threading.active_count()
    never = threading.Event()
    try:
        with pytest.raises(NotReturned, match=r"0\.01 s"):
            await call_for(0.01, never.wait)
        left = [each for each in threading.enumerate() if each.name == "transaction"]
        assert left
        assert all(each.daemon for each in left)
    finally:
        never.set()
    while threading.active_count() > before:  # noqa: ASYNC110 - a thread tells nobody that it ends
        await anyio.sleep(0.001)


async def test_who_is_cancelled_waits_for_what_it_has_called() -> None:
    calling, go_on = anyio.Event(), threading.Event()
    done = []

    def call() -> None:
        assert go_on.wait(60)
        done.append(True)

    async def caller() -> None:
        calling.set()
        await call_for(60, call)

    async with anyio.create_task_group() as group:
        group.start_soon(caller)
        await calling.wait()
        group.cancel_scope.cancel()
        go_on.set()
    assert done
