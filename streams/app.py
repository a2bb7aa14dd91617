"""The front door: an app is what a user declares. It opens nothing until it is run.

Definitions (topics, tables, agents, timers) are collected here; `topology.py` makes a plan of them,
`engine.py` brings it to life.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from ..log.cluster.address import parse_address
from ..log.errors import ConfigError
from ..log.model import Headers, Timestamp
from .agent import Agent, AgentFunction, Source
from .checks import check_function, check_owner, check_topic, own_tables
from .engine.engine import Engine
from .errors import StreamError, TopologyError
from .flow import Flow
from .policy import Policy, Stop, check_policy, dead_letters
from .references import references
from .repartition import forwarder
from .settings import Settings
from .table import GlobalTable, Table
from .timestamps import Extractor, duration_ms, to_ms
from .topic import Topic
from .topology import Topology, compile_topology
from .types.codecs import codec_for
from .types.store_keys import store_key_codec_for
from .windowed import Derived, WindowedTable
from .windows import Hopping, Tumbling

if TYPE_CHECKING:
    from .testing import AppTest

K = TypeVar("K")
V = TypeVar("V")
Service = Callable[[], Coroutine[Any, Any, Any]]

# Inside `App`, the names Table and GlobalTable are methods.
AnyTable: TypeAlias = Table[Any, Any]

KEEP_EVERYTHING = {"retention.ms": "-1"}
"""Topics that an app creates delete nothing unless told to: event times may be older than a week."""


class App:
    """A stream-processing app.

    Args:
        name: prefix of its consumer groups and internal topics; keep it.
        data: the directory for the embedded log and the state.
        log: ``kafka://host:port`` of a Millpond broker, Apache Kafka or Redpanda, several brokers
            separated by commas; None for the embedded log in `data`.
        settings: tuning; see `Settings`.
    """

    def __init__(
        self,
        name: str,
        *,
        data: str | Path = "./data",
        log: str | None = None,
        settings: Settings | None = None,
    ) -> None:
        if not name or not all(c.isalnum() or c in "-_" for c in name) or len(name) > 100:
            raise ConfigError(
                f"App({name!r}): a name is 1 to 100 letters, digits, '-' or '_', as it becomes part "
                "of the names of topics and directories"
            )
        self.name = name
        self.data = Path(data)
        self.log = log
        self.settings = settings or Settings()
        if log is not None:
            parse_address(log, self.settings.client, 1)
        self._topics: dict[str, Topic[Any, Any]] = {}
        self._tables: dict[str, Table[Any, Any]] = {}
        self._global_tables: dict[str, GlobalTable[Any, Any]] = {}
        self._agents: dict[str, Agent] = {}
        self._services: list[Service] = []
        self._engine: Engine | None = None

    # What a user declares.

    def topic(
        self,
        name: str,
        *,
        key: Any = bytes,
        value: Any = bytes,
        timestamp: Extractor | None = None,
        partitions: int | None = None,
        config: Mapping[str, str] | None = None,
        on_decode_error: Policy | None = None,
    ) -> Topic[Any, Any]:
        """Declare a topic.

        Args:
            name: in the log.
            key: type of the keys, or None of a record without one.
            value: type of the values: bytes, str, int, a Record, a dataclass, a pydantic model, "json", …
            timestamp: finds the event time in a value; by default it is the record's timestamp.
            partitions: how many, if the app creates the topic.
            config: settings by Kafka's names, such as ``cleanup.policy``, if the app creates it.
                Without ``retention.ms`` nothing is ever deleted by age.
            on_decode_error: what happens to a record that does not fit the types; Stop by default.

        Raises:
            ConfigError: the name is taken, or a type can't be encoded.
        """
        self._check_new(name, self._topics, "topic")
        if partitions is not None and (not isinstance(partitions, int) or partitions < 1):
            raise ConfigError(f"topic {name!r}: partitions={partitions!r} is not a number above 0")
        topic = self._topics[name] = Topic(
            self,
            name,
            codec_for(key, what=f"topic {name!r}: key"),
            codec_for(value, what=f"topic {name!r}: value"),
            timestamp=timestamp,
            partitions=partitions,
            config={**KEEP_EVERYTHING, **(config or {})},
            on_decode_error=check_policy(
                on_decode_error or Stop(), what=f"topic {name!r}: on_decode_error"
            ),
        )
        return topic

    def Table(  # noqa: N802 - as Faust has it: it makes a thing, and reads like its class
        self, name: str, *, key: Any, value: Any, default: Callable[[], Any] | None = None
    ) -> Table[Any, Any]:
        """Declare a table: state by key. See `Table.tumbling` and `hopping` for windows.

        Args:
            name: names the changelog ``<app>-<name>-changelog``; keep it.
            key: type of the keys; they must be hashable and orderable, such as str, int or tuple.
            value: type of the values.
            default: makes the value of a missing key, such as `int` or ``lambda: Total()``.
        """
        self._check_new(name, {**self._tables, **self._global_tables}, "table")
        if default is not None and not callable(default):
            raise ConfigError(
                f"table {name!r}: default={default!r} is not callable: "
                f"write default=lambda: {default!r}, or a type such as default=int"
            )
        table = self._tables[name] = Table(
            self,
            name,
            codec_for(key, what=f"table {name!r}: key"),
            store_key_codec_for(key, what=f"table {name!r}: key"),
            codec_for(value, what=f"table {name!r}: value"),
            default,
        )
        return table

    def GlobalTable(self, name: str, *, topic: Topic[K, V]) -> GlobalTable[K, V]:  # noqa: N802
        """Declare a copy of a whole (compacted) topic in every worker, for lookups by any key."""
        self._check_new(name, {**self._tables, **self._global_tables}, "table")
        check_topic(self, topic, f"GlobalTable({name!r}, topic=…)")
        table = self._global_tables[name] = GlobalTable(self, name, topic)
        return table

    def agent(
        self,
        source: Source,
        *,
        name: str | None = None,
        flow: Flow | None = None,
        on_error: Policy | None = None,
        tables: Iterable[AnyTable] = (),
    ) -> Callable[[AgentFunction], Agent]:
        """Make an async function an agent: one instance of it runs for each partition.

        Args:
            source: a topic, or a windowed table's `closed` or `updates`.
            name: names the agent's progress in the log; the function's name by default.
            flow: how fast the agent may go.
            on_error: what happens to an event on which it raises; Stop by default.
            tables: tables that it uses although its code does not show it.

        Raises:
            ConfigError: the function is not async, the source is none, or the name is taken.
        """
        if not isinstance(source, Topic | Derived):
            raise ConfigError(
                f"@app.agent({source!r}): expected what `app.topic(…)` or `group_by` returned, or a "
                "windowed table's `.closed` or `.updates`"
            )
        check_owner(self, source if isinstance(source, Topic) else source.table, "@app.agent(…)")
        if isinstance(source, Derived) and flow is not None and flow.rate is not None:
            raise ConfigError(
                f"@app.agent({source.name}, flow={flow}): windows wait nowhere, so no rate can hold "
                "them back: send them to a topic, and give the rate to an agent on that"
            )
        named = own_tables(self, tables)

        def declare(function: AgentFunction) -> Agent:
            agent_name = name or str(getattr(function, "__name__", repr(function)))
            check_function(function, agent_name)
            self._check_new(agent_name, self._agents, "agent")
            policy = check_policy(on_error or Stop(), what=f"agent {agent_name!r}: on_error")
            agent = self._agents[agent_name] = Agent(
                agent_name, function, source, flow or Flow(), policy, named
            )
            return agent

        return declare

    def timer(self, interval: timedelta) -> Callable[[Service], Service]:
        """Call an async function every `interval` while the app runs, first after one interval."""
        interval_ms = duration_ms(interval, what="@app.timer")

        def declare(function: Service) -> Service:
            check_function(function, function.__name__)

            async def tick() -> None:
                while True:
                    await self.running.clock.sleep(interval_ms)
                    await function()

            self._services.append(tick)
            return function

        return declare

    def task(self, function: Service) -> Service:
        """Run an async function once, beside the agents, when the app has started."""
        check_function(function, function.__name__)
        self._services.append(function)
        return function

    # What a user runs.

    def run(self) -> AbstractAsyncContextManager[Engine]:
        """Run the app in this event loop: it works inside the block and stops on leaving it.

        Raises:
            MillpondError: whatever ends the app, at start or later.
        """
        from .engine.worker import run_app

        return run_app(self)

    def test(self, **options: Any) -> "AppTest":
        """Run the app on a log in memory, in virtual time; see `AppTest`."""
        from .testing import AppTest

        return AppTest(self, **options)

    async def flush(self) -> None:
        """Return once everything that was sent outside agents is durable."""
        await self.running.flush()

    @property
    def running(self) -> Engine:
        """The running app.

        Raises:
            StreamError: it is not running.
        """
        if self._engine is None:
            raise StreamError(
                f"app {self.name!r} is not running: use `async with app.run():`, or the command "
                "`millpond worker`"
            )
        return self._engine

    def topology(self) -> Topology:
        """Return all that was declared, as data.

        Raises:
            TopologyError: it does not fit together.
        """
        kinds = (Table, GlobalTable, Topic)
        agents = []
        for agent in self._agents.values():
            used = references(agent.function, kinds)
            found = [item for item in used if isinstance(item, Table) and item.app is self]
            for table in found:
                if self._tables[table.name] is not table:
                    raise TopologyError(
                        f"agent {agent.name!r} uses table {table.name!r} as it was before it was given "
                        "windows: use what `.tumbling(…)` or `.hopping(…)` returned"
                    )
            agents.append(
                replace(
                    agent,
                    tables=tuple(dict.fromkeys([*found, *agent.tables])),
                    lookups=tuple(item for item in used if isinstance(item, GlobalTable)),
                    sinks=tuple(item for item in used if isinstance(item, Topic)),
                )
            )
        self._declare_dead_letters(agents)
        return compile_topology(
            self.name, agents, self._topics.values(), self._global_tables.values()
        )

    # What definitions call.

    def repartition(
        self,
        topic: Topic[Any, Any],
        key: Callable[[Any], Any],
        *,
        name: str,
        key_type: Any,
        partitions: int | None,
    ) -> Topic[Any, Any]:
        """Declare a repartition topic and the agent that fills it. Called by `Topic.group_by`."""
        self._check_new(name, self._agents, "agent")
        target = Topic[Any, Any](
            self,
            f"{self.name}-{name}-repartition",
            codec_for(key_type, what=f"group_by {name!r}: key_type"),
            topic.value_codec,
            partitions=partitions,
            config=KEEP_EVERYTHING,
            on_decode_error=topic.on_decode_error,
            upstream=topic,
        )
        self._topics[target.name] = target
        self._agents[name] = Agent(
            name, forwarder(target, key), topic, Flow(), Stop(), sinks=(target,)
        )
        return target

    def window(
        self,
        table: AnyTable,
        size: timedelta,
        step: timedelta,
        *,
        grace: timedelta,
        late: Topic[Any, Any] | None,
    ) -> WindowedTable[Any, Any]:
        """Replace a table by a windowed one. Called by `Table.tumbling` and `hopping`."""
        size_ms = duration_ms(size, what=f"table {table.name!r}: size")
        step_ms = duration_ms(step, what=f"table {table.name!r}: step")
        grace_ms = duration_ms(grace, what=f"table {table.name!r}: grace", zero=True)
        windows = (
            Tumbling(size_ms, grace_ms)
            if size_ms == step_ms
            else Hopping(size_ms, step_ms, grace_ms)
        )
        if self._tables.get(table.name) is not table:
            raise ConfigError(
                f"table {table.name!r} has windows already: declare another table for other windows"
            )
        late = late or self.topic(f"{self.name}-{table.name}-late")
        check_topic(self, late, f"table {table.name!r}: late=…")
        windowed = WindowedTable(table, windows, late)
        self._tables[table.name] = windowed
        return windowed

    def send_outside(
        self,
        topic: Topic[Any, Any],
        key: Any,
        value: Any,
        timestamp: datetime | Timestamp | None,
        headers: Headers,
        partition: int | None,
    ) -> Awaitable[None]:
        """Send from outside any agent. Called by `Topic.send`."""
        time = None if timestamp is None else to_ms(timestamp)
        if time is None and topic.timestamp is not None and value is not None:
            time = to_ms(topic.timestamp(value))
        return self.running.send(topic, key, value, time, headers, partition)

    def services(self) -> tuple[Service, ...]:
        """Return what runs beside the agents."""
        return tuple(self._services)

    @asynccontextmanager
    async def entered(self, engine: Engine) -> AsyncIterator[Engine]:
        """Be the app that this engine runs, for as long as it runs."""
        if self._engine is not None:
            raise StreamError(f"app {self.name!r} is running already, in this process")
        self._engine = engine
        try:
            async with engine.run():
                yield engine
        finally:
            self._engine = None

    def _declare_dead_letters(self, agents: list[Agent]) -> None:
        policies = [agent.on_error for agent in agents]
        policies += [topic.on_decode_error for topic in self._topics.values()]
        for topic in dead_letters(policies):
            if not isinstance(topic, str):
                check_topic(self, topic, f"DeadLetter({topic!r})")
            elif topic not in self._topics:
                self.topic(topic)

    def _check_new(self, name: str, taken: Mapping[str, Any], what: str) -> None:
        if name in taken:
            raise ConfigError(
                f"app {self.name!r} has {what} {name!r} already: names tell progress and state "
                "apart, so give this one another"
            )

    def __repr__(self) -> str:
        return f"<App {self.name}>"
