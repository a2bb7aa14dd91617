"""From definitions to tasks: which agents share a task, and which topics that takes.

A **subtopology** is a set of agents that must see each other's state: they use the same tables, or
one consumes what another's table gives rise to. Each has its own consumer group and therefore its
own pace: a slow agent holds up nobody but those who share its tables. Partition *i* of all its
sources together with partition *i* of all its tables is task *i*.

The subtopology is named after its first agent, and so are its group and its directory.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..log.config import check_topic_name
from ..log.model import TopicDescription, TopicSpec
from .agent import Agent
from .errors import TopologyError
from .table import GlobalTable, Table
from .topic import Topic
from .windowed import Derived, WindowedTable

AnyTable = Table[Any, Any]
AnyTopic = Topic[Any, Any]

CHANGELOG_SLACK_MS = 24 * 60 * 60 * 1000


@dataclass(frozen=True, slots=True)
class Subtopology:
    """Agents that share tasks, in the order of their definition."""

    name: str
    agents: tuple[Agent, ...]
    tables: tuple[AnyTable, ...]

    @property
    def sources(self) -> tuple[AnyTopic, ...]:
        """The topics it consumes."""
        found = {a.source: None for a in self.agents if isinstance(a.source, Topic)}
        return tuple(found)

    def consumers(self, source: "AnyTopic | Derived") -> tuple[Agent, ...]:
        """Return the agents of one source."""
        return tuple(agent for agent in self.agents if agent.source is source)

    @property
    def windowed(self) -> tuple[WindowedTable[Any, Any], ...]:
        return tuple(table for table in self.tables if isinstance(table, WindowedTable))


@dataclass(frozen=True, slots=True)
class Topology:
    """All that an app consists of, as data.

    Attributes:
        app: the app's name.
        topics: every topic that it declares, internal ones included.
    """

    app: str
    subtopologies: tuple[Subtopology, ...]
    topics: tuple[AnyTopic, ...]
    global_tables: tuple[GlobalTable[Any, Any], ...]

    def subtopology(self, name: str) -> Subtopology:
        """Return the subtopology of this name."""
        return next(sub for sub in self.subtopologies if sub.name == name)

    def group(self, subtopology: Subtopology) -> str:
        """Return the consumer group that keeps a subtopology's progress."""
        return f"{self.app}.{subtopology.name}"

    def changelog(self, table: AnyTable) -> str:
        """Return the name of a table's changelog topic."""
        return f"{self.app}-{table.name}-changelog"


@dataclass(frozen=True, slots=True)
class Plan:
    """A topology fitted to a log: partition counts are known, and what is to be created."""

    topology: Topology
    partitions: Mapping[AnyTopic, int]
    tasks: Mapping[str, int]
    create: tuple[TopicSpec, ...]


def compile_topology(
    app: str,
    agents: Sequence[Agent],
    topics: Iterable[AnyTopic],
    global_tables: Iterable[GlobalTable[Any, Any]],
) -> Topology:
    """Find the subtopologies.

    Raises:
        TopologyError: a table's stream is consumed that no agent feeds.
    """
    parent = {agent: agent for agent in agents}

    def root(agent: Agent) -> Agent:
        while parent[agent] is not agent:
            agent = parent[agent]
        return agent

    users: dict[AnyTable, Agent] = {}
    order = {agent: number for number, agent in enumerate(agents)}
    for agent in agents:
        for table in _tables_of(agent):
            other = root(users.setdefault(table, agent))
            first, second = sorted((other, root(agent)), key=order.__getitem__)
            parent[second] = first

    members: dict[Agent, list[Agent]] = {}
    for agent in agents:
        members.setdefault(root(agent), []).append(agent)
    return Topology(
        app,
        tuple(_subtopology(group) for group in members.values()),
        tuple(topics),
        tuple(global_tables),
    )


def _tables_of(agent: Agent) -> list[AnyTable]:
    own = list(agent.tables)
    if isinstance(agent.source, Derived) and agent.source.table not in own:
        own.append(agent.source.table)
    return own


def _subtopology(agents: list[Agent]) -> Subtopology:
    tables = {table: None for agent in agents for table in _tables_of(agent)}
    fed = [agent for agent in agents if isinstance(agent.source, Topic)]
    if not fed:
        agent = agents[0]
        raise TopologyError(
            f"agent {agent.name!r} consumes {agent.source_name!r}, but no agent writes that table: "
            "an agent on a topic must, in code that can be seen or named with `tables=[…]`"
        )
    return Subtopology(fed[0].name, tuple(agents), tuple(tables))


def plan(
    topology: Topology, existing: Mapping[str, TopicDescription], partitions_default: int
) -> Plan:
    """Fit a topology to what the log has.

    A topic that exists keeps its partitions; one that does not gets what it declares, else what its
    upstream has, else the default.

    Raises:
        TopologyError: a declared count differs from the log's, or the sources of agents that share
            tables differ in their counts.
    """
    counts: dict[AnyTopic, int] = {}
    for topic in topology.topics:
        check_topic_name(topic.name)
        counts[topic] = _partitions(topic, existing, counts, partitions_default)
    tasks = {sub.name: _co_partitioned(sub, counts) for sub in topology.subtopologies}
    specs = [
        TopicSpec(topic.name, counts[topic], config=topic.config)
        for topic in topology.topics
        if topic.name not in existing
    ]
    for sub in topology.subtopologies:
        for table in sub.tables:
            name = topology.changelog(table)
            spec = TopicSpec(name, tasks[sub.name], config=changelog_config(table))
            if name not in existing:
                specs.append(spec)
            elif existing[name].partitions != spec.partitions:
                raise TopologyError(
                    f"the changelog {name!r} of table {table.name!r} has "
                    f"{existing[name].partitions} partitions, but the agents that use the table now "
                    f"consume topics of {spec.partitions}: state is kept by partition, so go back to "
                    f"{existing[name].partitions}, or give the table another name"
                )
    return Plan(topology, counts, tasks, tuple(specs))


def _partitions(
    topic: AnyTopic,
    existing: Mapping[str, TopicDescription],
    counts: Mapping[AnyTopic, int],
    default: int,
) -> int:
    found = existing.get(topic.name)
    if found is None:
        if topic.partitions is not None:
            return topic.partitions
        return counts.get(topic.upstream, default) if topic.upstream is not None else default
    if topic.partitions is not None and topic.partitions != found.partitions:
        raise TopologyError(
            f"topic {topic.name!r} has {found.partitions} partitions in the log, but the app "
            f"declares partitions={topic.partitions}: declare {found.partitions}, or leave it out. "
            "(Adding partitions to a topic would move keys away from their state.)"
        )
    return found.partitions


def _co_partitioned(sub: Subtopology, counts: Mapping[AnyTopic, int]) -> int:
    first, *others = sub.sources
    for other in others:
        if counts[other] != counts[first]:
            users = ", ".join(repr(agent.name) for agent in sub.agents)
            shared = ", ".join(repr(table.name) for table in sub.tables)
            raise TopologyError(
                f"topics {first.name!r} ({counts[first]} partitions) and {other.name!r} "
                f"({counts[other]} partitions) feed agents that share tables ({users} share "
                f"{shared}), so equal keys would lie in different partitions: give both the same "
                f"number, or send one through `{other.name}.group_by(…, partitions={counts[first]})`"
            )
    return counts[first]


def changelog_config(table: AnyTable) -> dict[str, str]:
    """Return a changelog's settings: compacted; that of windows deleted too, long after they closed."""
    if not isinstance(table, WindowedTable):
        return {"cleanup.policy": "compact"}
    retention_ms = table.windows.size_ms + table.windows.grace_ms + CHANGELOG_SLACK_MS
    return {"cleanup.policy": "compact,delete", "retention.ms": str(retention_ms)}
