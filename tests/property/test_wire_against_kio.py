"""Our codec against kio's, which is generated from Kafka's definitions: every API, every version.

What we write, kio reads as the same values; what kio writes of them, we read as the same message.
Kafka's sources are the authority for both, but read by different people with different tools.

kio turns some numbers into Python's types (error codes into an enum, milliseconds into timedeltas
and datetimes), so these are kept to what such a type can hold; kafka-python, in the test next to
this one, takes them whole.
"""

import dataclasses
import datetime as dt
import enum
import importlib
import io
from typing import Any

import kio.schema.index
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kio.schema.errors import ErrorCode as KioErrorCode
from kio.serial import entity_reader, entity_writer
from millpond.log.wire.schema import NO_UUID, Field, Kind, Message
from millpond.tests.twins.messages import Case, all_cases, messages, values_of

CASES = all_cases()
A_WHILE_MS = 2**40
"""Some 35 years: within what datetime and timedelta can hold."""
EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
MILLISECOND = dt.timedelta(milliseconds=1)


@pytest.mark.parametrize("name", CASES)
@settings(max_examples=2, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_kio_reads_and_writes_the_same(name: str, data: st.DataObject) -> None:
    for case in CASES[name]:
        check(case, data)


@pytest.mark.long
@pytest.mark.parametrize("name", CASES)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_kio_reads_and_writes_the_same_many_times(name: str, data: st.DataObject) -> None:
    for case in CASES[name]:
        check(case, data)


def check(case: Case, data: st.DataObject) -> None:
    kind = kio_type(case)
    message = data.draw(messages(case.message, case.version, narrow), str(case))
    ours = case.write(message)
    entity, size = entity_reader(kind)(ours, 0)
    assert size == len(ours)
    assert of_kio(entity) == values_of(message, case.version, no_zero_ids)
    theirs = io.BytesIO()
    entity_writer(kind)(theirs, entity)
    assert case.read(theirs.getvalue()) == message


def kio_type(case: Case) -> Any:
    """Return kio's class for a version of a message."""
    api = kio.schema.index.api_key_map[case.api.key]
    kind = "request" if case.is_request else "response"
    module = importlib.import_module(f"kio.schema.{api}.v{case.version}.{kind}")
    return getattr(module, case.message.__name__)


def narrow(message: type[Message], field: Field, version: int) -> st.SearchStrategy[Any] | None:
    """Keep to what kio's richer types can hold."""
    if field.name.endswith("error_code"):
        return st.sampled_from([code.value for code in KioErrorCode])
    if field.kind is Kind.INT64 and field.name.endswith("_ms"):
        return st.integers(0, A_WHILE_MS)  # -1 is None there
    return None


def no_zero_ids(field: Field, value: Any) -> Any:
    """Say None for the topic id of no topic, as kio does."""
    return None if field.kind is Kind.UUID and value == NO_UUID else value


def of_kio(value: Any) -> Any:
    """Return the values of an entity in our types."""
    if dataclasses.is_dataclass(value):
        return [of_kio(getattr(value, field.name)) for field in dataclasses.fields(value)]
    if isinstance(value, tuple):
        return [of_kio(item) for item in value]
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, dt.timedelta):
        return value // MILLISECOND
    if isinstance(value, dt.datetime):
        return (value - EPOCH) // MILLISECOND
    return value
