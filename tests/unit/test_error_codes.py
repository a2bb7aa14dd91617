"""Our error codes against those that kio takes from Kafka's source."""

from kio.schema.errors import ErrorCode as KioErrorCode
from millpond.log.wire.error_codes import ErrorCode


def test_every_code_has_its_number_and_name() -> None:
    theirs = {code.value: code.name.upper() for code in KioErrorCode}
    assert {code.value: code.name for code in ErrorCode} == theirs


def test_the_same_are_retriable() -> None:
    theirs = {code.value for code in KioErrorCode if code.retriable}
    assert {code.value for code in ErrorCode if code.is_retriable} == theirs
