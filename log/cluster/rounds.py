"""Group commit: whoever asks while a round is on its way is gathered for the next one.

At most one round is carried out at a time, by the first who asked for it; so under load one round
serves many, and one that asks alone is served at once. (A task of its own would have to belong to a
scope that outlives it, and a queue to be bounded: here those wait who have asked.)
"""

from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

import anyio
import anyio.lowlevel

T = TypeVar("T")


class _Round(Generic[T]):
    """Those who are served together."""

    __slots__ = ("asked", "done")

    def __init__(self) -> None:
        self.asked: list[T] = []
        self.done = anyio.Event()


class Rounds(Generic[T]):
    """Gathers what is asked for, on one event loop."""

    def __init__(self, carry_out: Callable[[list[T]], Awaitable[None]]) -> None:
        """Make them.

        Args:
            carry_out: serves all that a round has gathered, in the order in which it was asked for,
                and notes what came of each. What it raises reaches only the first of them.
        """
        self._carry_out = carry_out
        self._turn = anyio.Lock(fast_acquire=True)
        self._gathering: _Round[T] = _Round()

    async def ask(self, one: T) -> None:
        """Return when this has been served. It will be, even if the caller is cancelled."""
        gathered = self._gathering
        gathered.asked.append(one)
        if len(gathered.asked) > 1:
            await gathered.done.wait()
            return
        with anyio.CancelScope(shield=True):  # others count on it
            async with self._turn:
                await (
                    anyio.lowlevel.cancel_shielded_checkpoint()
                )  # some may ask in this turn of the loop
                self._gathering = _Round()
                try:
                    await self._carry_out(gathered.asked)
                finally:
                    gathered.done.set()
