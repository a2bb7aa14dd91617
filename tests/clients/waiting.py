"""Waiting for what a broker or a client does in its own time."""

import time
from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import TypeVar

import anyio

T = TypeVar("T")


def eventually(look: Callable[[], T | None], within_s: float = 20, pause_s: float = 0.02) -> T:
    """Look again and again until there is something to see, and return it."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if seen := look():
            return seen
        time.sleep(pause_s)
    raise AssertionError(f"not within {within_s} s")


async def eventually_async(
    look: Callable[[], T | None] | Callable[[], Awaitable[T | None]], within_s: float = 20
) -> T:
    """Do the same in a task."""
    with anyio.fail_after(within_s):
        while True:
            seen = look()
            if isawaitable(seen):
                seen = await seen
            if seen:
                return seen
            await anyio.sleep(0.02)
