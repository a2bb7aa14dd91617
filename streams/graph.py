"""`millpond graph`: the topology as text, for people and for diffs."""

from .policy import Stop
from .topology import Subtopology, Topology
from .windowed import WindowedTable


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
            lines.append(f"      flow {agent.flow.rate}")
        if agent.on_error != Stop():
            lines.append(f"      on error {agent.on_error}")
    for table in sub.tables:
        windows = ""
        if isinstance(table, WindowedTable):
            windows = f", {table.windows}, late to {table.late.name}"
        lines.append(f"    table {table.name}: {topology.changelog(table)}{windows}")
    return lines
