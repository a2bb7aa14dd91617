"""`millpond graph`: the topology as text, for people and for diffs."""

from datetime import timedelta
from typing import Final

from .flow import Rate
from .policy import DeadLetter, Policy, Retry, Skip, Stop
from .topology import Subtopology, Topology
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
