"""Errors of streams tell where, what, why, and what to do."""

from millpond.log.errors import ConfigError, MillpondError
from millpond.log.model import TopicPartition
from millpond.streams.errors import (
    AgentFailed,
    DecodeFailed,
    StreamError,
    TopologyError,
    show_value,
)

ORDERS_3 = TopicPartition("orders", 3)


def test_decode_failure_shows_record_reason_and_remedy() -> None:
    cause = ValueError("Expected `int`, got `str` - at `$.id`")
    error = DecodeFailed(ORDERS_3, 17, "value", b'{"id":"x"}', "Order", cause)
    message = str(error)
    assert message.startswith("orders-3 at offset 17: the value can't be read as Order")
    assert "Expected `int`" in message
    assert '{"id":"x"}' in message
    assert "mp.Skip()" in message
    assert (error.partition, error.offset, error.part) == (ORDERS_3, 17, "value")
    assert (error.found, error.wanted, error.cause) == (b'{"id":"x"}', "Order", cause)


def test_decode_failure_of_a_timestamp_points_at_the_function() -> None:
    error = DecodeFailed(ORDERS_3, 0, "timestamp", {"at": -1}, "a timestamp", ValueError("no"))
    assert "timestamp function" in str(error)


def test_agent_failure_names_agent_and_record() -> None:
    cause = ZeroDivisionError("division by zero")
    error = AgentFailed("totals", ORDERS_3, 17, cause)
    assert "agent 'totals' failed on orders-3 at offset 17: ZeroDivisionError" in str(error)
    assert "not acknowledged" in str(error)
    assert (error.agent, error.partition, error.offset, error.cause) == (
        "totals",
        ORDERS_3,
        17,
        cause,
    )


def test_errors_descend_as_designed() -> None:
    assert issubclass(StreamError, MillpondError)
    assert issubclass(DecodeFailed, StreamError)
    assert issubclass(AgentFailed, StreamError)
    assert issubclass(TopologyError, ConfigError)


def test_long_values_are_cut_in_messages() -> None:
    assert show_value(b"x" * 80) == repr(b"x" * 80)
    assert show_value(b"x" * 5000) == f"{b'x' * 80!r}… (5000 bytes)"
    assert show_value("x" * 5000).endswith("… (5000 chars)")
    assert len(show_value(list(range(5000)))) < 100
