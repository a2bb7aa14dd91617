"""The agent behind `group_by`: gives each record its new key, and leaves the rest as it is."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .agent import AgentFunction

if TYPE_CHECKING:
    from .stream import Stream
    from .topic import Topic


def forwarder(target: "Topic[Any, Any]", key: Callable[[Any], Any]) -> AgentFunction:
    """Return an agent that forwards to `target` under the key that `key` finds in the value.

    Values are passed on as bytes: they are decoded to find the key, but not encoded again.
    """
    encode = target.key_codec.encode

    async def forward(stream: "Stream[Any]") -> None:
        async for instance, run in stream.runs():
            add_raw = instance.outputs[target].add_raw
            for instance.index, (record, value, timestamp) in enumerate(
                zip(run.records, run.values, run.timestamps, strict=True)
            ):
                new_key = None if value is None else key(value)
                if new_key is not None:
                    add_raw((encode(new_key), record.value, timestamp, record.headers))  # type: ignore[arg-type]

    return forward
