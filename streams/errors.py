"""Errors of streams: a record that can't be read, user code that failed, a topology that can't be.

Each carries coordinates, so that the one record behind it can be found again, and each message
ends with what to do.
"""

from typing import Literal

from ..log.errors import ConfigError as ConfigError
from ..log.errors import MillpondError as MillpondError
from ..log.model import Offset, TopicPartition

Part = Literal["key", "value", "timestamp"]

_SHOWN_MAX = 80


class StreamError(MillpondError):
    """Something went wrong between the log and the user's code.

    Raised inside an agent it means that the code is wrong, whatever the event: no policy passes over
    events because of it.
    """


class TopologyError(ConfigError):
    """The agents, topics and tables of an app don't fit together; found before anything starts."""


class DecodeFailed(StreamError):
    """A record's key, value or timestamp is not what its topic says.

    Attributes:
        partition, offset: which record.
        part: which part of it.
        found: what was there: the bytes, or for a timestamp the value it was to be taken from.
        wanted: the name of the type.
        cause: what the decoder, or the timestamp's function, said.
    """

    def __init__(
        self,
        partition: TopicPartition,
        offset: Offset,
        part: Part,
        found: object,
        wanted: str,
        cause: Exception,
    ) -> None:
        super().__init__(
            f"{partition} at offset {offset}: the {part} can't be read as {wanted}: "
            f"{type(cause).__name__}: {cause}. Found {show_value(found)}. "
            f"{_remedy(part)}, or let the stream pass over such records with an error policy: "
            "mp.Skip(), or mp.DeadLetter(topic) to keep them."
        )
        self.partition = partition
        self.offset = offset
        self.part = part
        self.found = found
        self.wanted = wanted
        self.cause = cause


_POLICIES = (
    " To go on without it, give the agent on_error=mp.Skip(), mp.DeadLetter(topic) or "
    "mp.Retry(times).then(...)."
)


class AgentFailed(StreamError):
    """An agent raised. The record was not acknowledged: it will be read again.

    Attributes:
        agent: its name.
        partition, offset: the record it was working on; for a batch, the first; offset -1 if none.
        cause: what it raised.
    """

    def __init__(
        self, agent: str, partition: TopicPartition, offset: Offset, cause: BaseException
    ) -> None:
        what = f"{type(cause).__name__}: {cause}"
        if offset < 0:
            message = f"agent {agent!r} failed before its first event: {what}"
        else:
            message = (
                f"agent {agent!r} failed on {partition} at offset {offset}: {what}. The record is "
                "not acknowledged and will be read again after a restart."
            )
            message += "" if isinstance(cause, StreamError) else _POLICIES
        super().__init__(message)
        self.agent = agent
        self.partition = partition
        self.offset = offset
        self.cause = cause


def show_value(value: object) -> str:
    """Return a value for an error message: its repr, cut, so that a message stays readable."""
    if isinstance(value, bytes | bytearray | str):
        if len(value) <= _SHOWN_MAX:
            return repr(value)
        unit = "chars" if isinstance(value, str) else "bytes"
        return f"{value[:_SHOWN_MAX]!r}… ({len(value)} {unit})"
    shown = repr(value)
    return shown if len(shown) <= _SHOWN_MAX else f"{shown[:_SHOWN_MAX]}…"


def _remedy(part: Part) -> str:
    if part == "timestamp":
        return "Correct the topic's timestamp function"
    return f"Correct the topic's {part} type, or the producer"
