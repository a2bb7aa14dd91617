"""An agent as an app declares it: an async function, what it consumes, and how it may fail."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .flow import Flow
from .policy import Policy
from .topic import Topic
from .windowed import Derived

if TYPE_CHECKING:
    from .stream import Stream
    from .table import GlobalTable, Table

AgentFunction = Callable[["Stream[Any]"], Awaitable[Any]]
Source = Topic[Any, Any] | Derived


@dataclass(frozen=True, slots=True, eq=False)
class Agent:
    """An agent's definition. One instance of it runs for every partition of its source.

    Attributes:
        name: unique in the app; names the agent's progress in the log, so keep it.
        function: the user's async function, which iterates a stream.
        source: a topic, or a windowed table's `closed` or `updates`.
        flow: how fast it may go.
        on_error: what happens to an event on which it fails.
        tables: the tables that it reads or writes, which it therefore shares a task with.
        lookups: the global tables that it reads.
        sinks: the topics that its code names, as `millpond graph` shows them.
    """

    name: str
    function: AgentFunction
    source: Source
    flow: Flow
    on_error: Policy
    tables: "tuple[Table[Any, Any], ...]" = ()
    lookups: "tuple[GlobalTable[Any, Any], ...]" = ()
    sinks: tuple[Topic[Any, Any], ...] = ()

    @property
    def source_name(self) -> str:
        """How the source is called in messages."""
        return self.source.name
