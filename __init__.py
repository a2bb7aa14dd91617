"""Millpond: stream processing that carries its own log.

Decorate an async function with `@app.agent(topic)`, and run a worker.
"""

from .log.errors import ConfigError, LogError, MillpondError
from .state.errors import StateError
from .streams.agent import Agent
from .streams.app import App
from .streams.errors import AgentFailed, DecodeFailed, StreamError, TopologyError
from .streams.flow import Flow, Rate
from .streams.policy import DeadLetter, Retry, Skip, Stop
from .streams.record import Record
from .streams.settings import Settings
from .streams.stream import Batch, Event, Stream
from .streams.table import GlobalTable, Table
from .streams.topic import Topic
from .streams.types.codecs import big_endian_int64, raw
from .streams.windowed import WindowedTable, WindowSet
from .streams.windows import Window

__all__ = [
    "Agent",
    "AgentFailed",
    "App",
    "Batch",
    "ConfigError",
    "DeadLetter",
    "DecodeFailed",
    "Event",
    "Flow",
    "GlobalTable",
    "LogError",
    "MillpondError",
    "Rate",
    "Record",
    "Retry",
    "Settings",
    "Skip",
    "StateError",
    "Stop",
    "Stream",
    "StreamError",
    "Table",
    "Topic",
    "TopologyError",
    "Window",
    "WindowSet",
    "WindowedTable",
    "big_endian_int64",
    "raw",
]
