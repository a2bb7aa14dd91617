"""Our codec against kafka-python's, which interprets Kafka's definitions as they are published.

What we write, it reads as the same values; what it writes of them, we read as the same message.
It knows no API of KIP-848: these are left out. What it reads in a manner of its own is told below:
`narrow`, `as_they_say`, `of_bits`.
"""

import importlib
from typing import Any

import kafka.protocol
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kafka.protocol.api_message import ApiMessage
from kafka.protocol.data_container import DataContainer
from millpond.log.wire.messages.api_versions import ApiVersionsResponse
from millpond.log.wire.schema import NO_UUID, Field, Kind, Message
from millpond.tests.twins.messages import Case, all_cases, messages, values_of


def their_messages() -> dict[str, Any]:
    """Return kafka-python's classes by name."""
    found = {}
    for part in ("admin", "consumer", "metadata", "producer"):
        package = importlib.import_module(f"{kafka.protocol.__name__}.{part}")
        for value in vars(package).values():
            if (
                isinstance(value, type)
                and issubclass(value, ApiMessage)
                and value is not ApiMessage
            ):
                found[value.__name__] = value
    return found


THEIRS = their_messages()
CASES = {
    name: [case for case in cases if case.version <= THEIRS[name].max_version]
    for name, cases in all_cases().items()
    if name in THEIRS
}


@pytest.mark.parametrize("name", CASES)
@settings(max_examples=2, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_kafka_python_reads_and_writes_the_same(name: str, data: st.DataObject) -> None:
    for case in CASES[name]:
        check(case, data)


@pytest.mark.long
@pytest.mark.parametrize("name", CASES)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_kafka_python_reads_and_writes_the_same_many_times(name: str, data: st.DataObject) -> None:
    for case in CASES[name]:
        check(case, data)


def check(case: Case, data: st.DataObject) -> None:
    theirs = THEIRS[case.message.__name__]
    message = data.draw(messages(case.message, case.version, narrow), str(case))
    read = theirs.decode(case.write(message), version=case.version)
    assert of_theirs(read, case.version) == values_of(message, case.version, as_they_say)
    read._header = None  # decoding alone leaves it out
    assert case.read(read.encode(version=case.version)) == message


def narrow(message: type[Message], field: Field, version: int) -> st.SearchStrategy[Any] | None:
    """Give no error with ApiVersions: it would read the response as version 0 then."""
    if message is ApiVersionsResponse and field.name == "error_code":
        return st.just(0)
    return None


def as_they_say(field: Field, value: Any) -> Any:
    """Say None for no topic id, and where a tagged struct with what it has by default is left out."""
    if field.kind is Kind.UUID:
        return None if value == NO_UUID else value
    is_tagged_struct = field.tag is not None and isinstance(value, Message)
    return None if is_tagged_struct and value == field.default else value


def of_theirs(value: Any, version: int) -> Any:
    """Return the values of a container, in the order of its fields."""
    if isinstance(value, list):
        return [of_theirs(item, version) for item in value]
    if not isinstance(value, DataContainer):
        return value
    values = []
    for field in value._struct._fields:
        if field.for_version_q(version):
            part = getattr(value, field.name)
            is_bits = field.name == "authorized_operations"
            values.append(of_bits(part) if is_bits else of_theirs(part, version))
    return values


def of_bits(numbers: set[int] | None) -> int:
    """Return the signed integer with these bits; None stands for the highest alone."""
    bits = sum(1 << number for number in ({31} if numbers is None else numbers))
    return bits - (1 << 32) if bits >= 1 << 31 else bits
