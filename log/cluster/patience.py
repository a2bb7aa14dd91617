"""Calls of librdkafka that may never return, for as long as we have patience.

Not all of its calls keep the time that they are given: `send_offsets_to_transaction` waits for a group's
coordinator until some broker comes or goes. A thread that hangs there can't be ended. So the call has a
thread of its own that nobody waits for any longer, not even the end of the process.

Source: librdkafka #5456, #5511.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

import anyio

from .producer import waker

T = TypeVar("T")


class NotReturned(Exception):
    """A call has not come back in time, and may still do so at any time."""


async def call_for(patience_s: float, call: Callable[[], T]) -> T:
    """Return what a call that blocks returns. A caller that is cancelled waits for that, too.

    Raises:
        NotReturned: it did not, in this time.
    """
    outcome: Future[T] = Future()
    returned = anyio.Event()
    wake = waker(returned)

    def run() -> None:
        try:
            outcome.set_result(call())
        except BaseException as error:  # noqa: BLE001 - raised below
            outcome.set_exception(error)
        wake()

    threading.Thread(target=run, name="transaction", daemon=True).start()
    with anyio.move_on_after(patience_s, shield=True):
        await returned.wait()
    if not outcome.done():
        raise NotReturned(f"librdkafka has not returned in {patience_s:g} s")
    return outcome.result()
