"""Which events an agent has failed on, and what is to become of them.

After a failure the task goes back to its last commit, so nothing of the failed event is left in
tables or outputs. It then advances to the event (or the batch) that failed, commits what comes
before, and deals with that **unit** on its own: tries it again, passes over it, or sends it to a
dead-letter topic. So a failure repeats at most one commit interval of work, once.

A batch fails as a whole and is tried again as a whole. Before it would be given up, its events are
tried one by one, so that only those are given up which fail alone.
"""

from dataclasses import dataclass, field, replace
from typing import Any

from ...log.model import Headers, Offset, TopicPartition
from ..agent import Agent
from ..errors import DecodeFailed, StreamError
from ..policy import (
    Decision,
    Policy,
    RetryAfter,
    SendToDeadLetter,
    SkipIt,
    Stop,
    StopIt,
    dead_letter_headers,
    decide,
    last_resort,
)
from ..topic import Topic
from .instance import Instance
from .run import Run

DerivedEvent = tuple[str, int, bytes, Offset]
"""A window for one agent: the agent's name, the window's start, its encoded key, and for an update the
offset of the event that caused it. A window is closed only once, so there it is -1."""


@dataclass(frozen=True, slots=True)
class Unit:
    """What fails together: events of one partition, or one event of a derived stream."""

    agent: Agent
    partition: TopicPartition
    first: Offset
    last: Offset
    derived: DerivedEvent | None = None

    def covers(self, other: "Unit") -> bool:
        """Whether another unit of the same agent lies within this one."""
        same = self.agent is other.agent and self.partition == other.partition
        return same and self.first <= other.first and other.last <= self.last

    def first_event(self) -> "Unit":
        return replace(self, last=self.first)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is decided about a unit, and the error that led there."""

    unit: Unit
    attempts: int
    decision: Decision
    error: BaseException
    failed_at: int


@dataclass(slots=True)
class Troubles:
    """The failures of one task that are not dealt with yet. Several agents may fail on one event.

    Attributes:
        main: by agent, what is decided about events of the log that come next.
        singly: by agent, a batch whose events are to be tried one by one.
        derived: what is decided about events of derived streams.
    """

    main: dict[Agent, Verdict] = field(default_factory=dict)
    singly: dict[Agent, Unit] = field(default_factory=dict)
    derived: dict[DerivedEvent, Verdict] = field(default_factory=dict)
    _passed: list[DerivedEvent] = field(default_factory=list)

    def failed(self, instance: Instance, now: int, draw: float) -> Verdict:
        """Note a failure and decide by the agent's policy, or the topic's if it did not decode."""
        assert instance.failure is not None
        unit, agent = unit_of(instance), instance.agent
        before = self.main.get(agent) if unit.derived is None else self.derived.get(unit.derived)
        attempts = before.attempts + 1 if before is not None and before.unit == unit else 1
        policy = _policy_on(instance)
        if unit.first < 0:
            decision: Decision = StopIt()
        elif agent in self.singly and self.singly[agent].covers(unit):
            decision = exhausted(policy)
        else:
            decision = decide(policy, attempts, draw)
        if unit.last > unit.first and isinstance(decision, SkipIt | SendToDeadLetter):
            self.singly[agent] = unit
            unit, decision = unit.first_event(), RetryAfter(0)
        verdict = Verdict(unit, attempts, decision, instance.failure, now)
        if unit.derived is None:
            self.main[agent] = verdict
        else:
            self.derived[unit.derived] = verdict
        return verdict

    def trim(self, run: Run) -> tuple[Run | None, dict[Agent, Verdict]]:
        """End a run where a troubled unit begins; or, if it begins there, where the unit ends.

        Returns the rest of the run, and by agent the verdicts on the run, if it is now such a unit.
        """
        if not (self.main or self.singly) or not run.records:
            return None, {}
        start = run.offset(0)
        verdicts = self._verdicts_from(start, run.partition)
        now = {v.unit.agent: v for v in verdicts if v.unit.first <= start}
        ends = [verdict.unit.last + 1 for verdict in now.values()]
        ends += [verdict.unit.first for verdict in verdicts if verdict.unit.first > start]
        if not ends:
            return None, {}
        return run.cut(sum(1 for record in run.records if record.offset < min(ends))), now

    def _verdicts_from(self, start: Offset, partition: TopicPartition) -> list[Verdict]:
        """Return what is decided about events from this offset on; forget what lies before."""
        here = [verdict for verdict in self.main.values() if verdict.unit.partition == partition]
        for verdict in here:
            if verdict.unit.last < start:
                del self.main[verdict.unit.agent]
        verdicts = [verdict for verdict in here if verdict.unit.last >= start]
        for agent, batch in list(self.singly.items()):
            if batch.partition == partition and batch.last < start:
                del self.singly[agent]
            elif batch.partition == partition and agent not in self.main:
                at = max(start, batch.first)
                alone = replace(batch, first=at, last=at)
                verdicts.append(Verdict(alone, 0, RetryAfter(0), StreamError("tried alone"), 0))
        return verdicts

    def verdict_on(self, agent: Agent, run: Run, index: int) -> Verdict | None:
        """Return what was decided about one event of a derived run, if anything."""
        return self.derived.get(_derived_event(agent, run, index)) if self.derived else None

    def passed(self, agent: Agent, run: Run) -> None:
        """Note that an agent is done with the events of a derived run."""
        if self.derived:
            self._passed += [_derived_event(agent, run, index) for index in range(len(run))]

    def committed(self) -> None:
        """Forget the derived events that were dealt with: they do not come again."""
        for event in self._passed:
            self.derived.pop(event, None)
        self._passed.clear()

    def rolled_back(self) -> None:
        """Keep all verdicts: what they are about comes again."""
        self._passed.clear()


def _policy_on(instance: Instance) -> Policy:
    """Return the policy for a failure; Stop where the agent's code is wrong, not the event."""
    agent, failure = instance.agent, instance.failure
    if isinstance(failure, DecodeFailed) and isinstance(agent.source, Topic):
        return last_resort(agent.source.on_decode_error)
    return Stop() if isinstance(failure, StreamError) else agent.on_error


def exhausted(policy: Policy) -> Decision:
    """Return what a policy says once no retry is left, for what can't come out differently."""
    return decide(last_resort(policy), 1, 0.0)


def headers_of(verdict: Verdict, headers: Headers, offset: Offset) -> Headers:
    """Return a dead letter's headers: the record's own, and what happened."""
    assert isinstance(verdict.decision, SendToDeadLetter)
    return dead_letter_headers(
        headers,
        error=verdict.error,
        agent=verdict.unit.agent.name,
        partition=verdict.unit.partition,
        offset=offset,
        attempts=verdict.attempts,
        failed_at=verdict.failed_at,
    )


def unit_of(instance: Instance) -> Unit:
    """Return what an instance that has failed was working on."""
    run, agent = instance.run, instance.agent
    if not len(run):
        return Unit(agent, run.partition, -1, -1)
    index = max(instance.index, 0)
    if not run.records:
        return Unit(
            agent,
            run.partition,
            run.offset(index),
            run.offset(index),
            _derived_event(agent, run, index),
        )
    if instance.batch is not None:
        return Unit(agent, run.partition, run.offset(0), run.offset(len(run) - 1))
    return Unit(agent, run.partition, run.offset(index), run.offset(index))


def _derived_event(agent: Agent, run: Run, index: int) -> DerivedEvent:
    source: Any = run.source
    window = run.values[index]
    key = source.table.key_codec.encode(window.key)
    return (agent.name, window.start, key, run.offset(index) if source.kind == "updates" else -1)
