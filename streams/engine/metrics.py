"""Counters of a running app: counted per run or per commit, never per event."""

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .task import Task


class Metrics:
    """What happened since the start.

    Attributes:
        events: events processed, by subtopology.
        commits: transactions committed, by subtopology.
        passed: events that were skipped or sent to a dead-letter topic, by agent.
    """

    def __init__(self) -> None:
        self.events: Counter[str] = Counter()
        self.commits: Counter[str] = Counter()
        self.passed: Counter[str] = Counter()

    def processed(self, task: "Task", events: int) -> None:
        """Note a run."""
        self.events[task.subtopology.name] += events

    def committed(self, task: "Task") -> None:
        """Note a commit."""
        self.commits[task.subtopology.name] += 1

    def passed_over(self, agent: str) -> None:
        """Note an event that was given up."""
        self.passed[agent] += 1
