"""`millpond graph`: the topology as text, for people and for diffs; and what it makes of a log."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Final, NamedTuple

from ..log.model import TopicDescription
from .flow import Rate
from .policy import DeadLetter, Policy, Retry, Skip, Stop
from .topology import Plan, Subtopology, Topology, changelog_config
from .windowed import WindowedTable
from .windows import Hopping, Tumbling

_UNITS_MS: Final = (("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1000), ("ms", 1))
_MS: Final = timedelta(milliseconds=1)


def render(topology: Topology) -> str:
    """Return the plan: each subtopology with its agents, what they read, keep and write."""
    lines = [f"app {topology.app}"]
    lines += [
        f"  global table {table.name}: a copy of topic {table.topic.name}"
        for table in topology.global_tables
    ]
    for sub in topology.subtopologies:
        lines += ["", *_subtopology(topology, sub)]
    return "\n".join(lines)


class PlannedTopic(NamedTuple):
    """What becomes of one topic.

    `settings` are those that it will be made with; of an internal one that exists, what differs.
    """

    name: str
    partitions: int
    exists: bool
    settings: str


def planned_topics(plan: Plan, existing: Mapping[str, TopicDescription]) -> list[PlannedTopic]:
    """Return all topics of a plan: first those that the app declares, then changelogs.

    Of topics that exist, only the settings of internal ones are ours to compare.
    """
    topology, made = plan.topology, {spec.name: spec.config for spec in plan.create}
    wanted: dict[str, tuple[int, Mapping[str, str]]] = {
        topic.name: (plan.partitions[topic], topic.config if topic.upstream else {})
        for topic in topology.topics
    }
    for sub in topology.subtopologies:
        for table in sub.tables:
            wanted[topology.changelog(table)] = plan.tasks[sub.name], changelog_config(table)
    return [
        PlannedTopic(name, partitions, exists=False, settings=_settings(made[name]))
        if name in made
        else PlannedTopic(name, partitions, True, _differences(config, existing[name].config))
        for name, (partitions, config) in wanted.items()
    ]


def _settings(config: Mapping[str, str]) -> str:
    return ", ".join(f"{name}={value}" for name, value in sorted(config.items()))


def _differences(wanted: Mapping[str, str], found: Mapping[str, str]) -> str:
    return ", ".join(
        f"{name} is {found.get(name, 'not set')} and should be {value}"
        for name, value in sorted(wanted.items())
        if found.get(name) != value
    )


def _subtopology(topology: Topology, sub: Subtopology) -> list[str]:
    lines = [f"  subtopology {sub.name}  (group {topology.group(sub)})"]
    for agent in sub.agents:
        lines.append(f"    agent {agent.name}")
        lines.append(f"      from {agent.source_name}")
        lines += [f"      table {table.name}" for table in agent.tables]
        lines += [f"      lookup {table.name}" for table in agent.lookups]
        lines += [f"      to {topic.name}" for topic in agent.sinks]
        if agent.flow.rate is not None:
            lines.append(f"      at most {_rate(agent.flow.rate)}")
        if agent.on_error != Stop():
            lines.append(f"      on error {_policy(agent.on_error)}")
    for table in sub.tables:
        windows = ""
        if isinstance(table, WindowedTable):
            windows = f", {_windows(table.windows)}, late to {table.late.name}"
        lines.append(f"    table {table.name}: {topology.changelog(table)}{windows}")
    return lines


def _windows(windows: Tumbling | Hopping) -> str:
    size, grace = _duration(windows.size_ms), _duration(windows.grace_ms)
    if isinstance(windows, Hopping):
        return f"windows of {size} every {_duration(windows.step_ms)}, grace {grace}"
    return f"windows of {size}, grace {grace}"


def _rate(rate: Rate) -> str:
    return f"{rate.n} per {_duration(rate.per_ms)}"


def _policy(policy: Policy) -> str:
    match policy:
        case Stop():
            return "stop"
        case Skip():
            return "skip"
        case DeadLetter():
            return f"dead letter to {policy.topic_name}"
        case Retry():
            first, longest = (timedelta(seconds=wait) for wait in policy.backoff)
            waits = f"{_duration(first // _MS)} to {_duration(longest // _MS)} apart"
            return f"retry {policy.times} times, {waits}, then {_policy(policy.otherwise)}"


def _duration(ms: int) -> str:
    """Return a duration in the largest unit of which it is a whole number."""
    if ms == 0:
        return "0 s"
    return next(f"{ms // unit_ms} {unit}" for unit, unit_ms in _UNITS_MS if ms % unit_ms == 0)
