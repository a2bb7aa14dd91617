"""Which agent instance is running, for the topics and tables that its code touches.

User code writes `totals[user] += 1` and `await topic.send(…)` against definitions that belong to no
task. A context variable, set once when an instance starts and inherited by whatever it spawns, leads
from there to the task's own stores and outputs.
"""

from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .instance import Instance

current: ContextVar["Instance"] = ContextVar("millpond.instance")
