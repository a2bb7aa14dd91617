"""`millpond graph --format mermaid`: the topology as a diagram for Markdown (https://mermaid.js.org)."""

from ..agent import Agent
from ..topology import Subtopology, Topology
from ..windowed import Derived


def render_mermaid(topology: Topology) -> str:
    """Return a flowchart: topics, agents by subtopology, and the tables that they share."""
    names = _Names()
    lines = ["flowchart LR"]
    for sub in topology.subtopologies:
        lines += _subtopology(topology, sub, names)
    for copy in topology.global_tables:
        lines.append(f"  {names.of(copy)}[({_text(copy.name)})]")
        lines.append(f"  {names.of(copy.topic)} --> {names.of(copy)}")
    lines += [
        f"  {names.of(topic)}>{_text(topic.name)}]" for topic in topology.topics if topic in names
    ]
    for sub in topology.subtopologies:
        for agent in sub.agents:
            lines += _edges(agent, names)
        for table in sub.windowed:
            lines.append(f"  {names.of(table)} -. late .-> {names.of(table.late)}")
    return "\n".join(lines)


class _Names:
    """Short identifiers for the nodes, as names may hold what Mermaid does not allow."""

    def __init__(self) -> None:
        self._ids: dict[int, str] = {}

    def of(self, node: object) -> str:
        return self._ids.setdefault(id(node), f"n{len(self._ids)}")

    def __contains__(self, node: object) -> bool:
        return id(node) in self._ids


def _subtopology(topology: Topology, sub: Subtopology, names: _Names) -> list[str]:
    lines = [f"  subgraph {_text(topology.group(sub))}"]
    lines += [f"    {names.of(agent)}({_text(agent.name)})" for agent in sub.agents]
    lines += [f"    {names.of(table)}[({_text(table.name)})]" for table in sub.tables]
    for table in sub.windowed:
        names.of(table.late)
    for agent in sub.agents:
        for topic in (agent.source, *agent.sinks):
            if not isinstance(topic, Derived):
                names.of(topic)
    return [*lines, "  end"]


def _edges(agent: Agent, names: _Names) -> list[str]:
    node = names.of(agent)
    if isinstance(agent.source, Derived):
        lines = [f"  {names.of(agent.source.table)} -- {agent.source.kind} --> {node}"]
    else:
        lines = [f"  {names.of(agent.source)} --> {node}"]
    lines += [f"  {node} <--> {names.of(table)}" for table in agent.tables]
    lines += [f"  {names.of(copy)} -.-> {node}" for copy in agent.lookups]
    lines += [f"  {node} --> {names.of(topic)}" for topic in agent.sinks]
    return lines


def _text(name: str) -> str:
    return f'"{name}"'
