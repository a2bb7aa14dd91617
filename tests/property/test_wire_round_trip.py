"""What holds of every message, whatever it says: it comes back, whole or not at all.

That its bytes are the protocol's is shown against other implementations, in the tests beside this.
"""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from millpond.log.wire.errors import MalformedMessage
from millpond.log.wire.primitives import uvarint
from millpond.tests.twins.messages import Case, all_cases, messages

CASES = all_cases()
KNOWN_TAGS_MAX = 10
FEW = settings(max_examples=2, deadline=None, suppress_health_check=[HealthCheck.too_slow])
MANY = settings(FEW, max_examples=100)


@pytest.mark.parametrize("name", CASES)
@FEW
@given(data=st.data())
def test_every_version_comes_back_and_no_part_of_it_does(name: str, data: st.DataObject) -> None:
    for case in edges(CASES[name]):
        check(case, data)


@pytest.mark.long
@pytest.mark.parametrize("name", CASES)
@MANY
@given(data=st.data())
def test_every_version_comes_back_and_no_part_of_it_does_many_times(
    name: str, data: st.DataObject
) -> None:
    for case in CASES[name]:
        check(case, data)


def edges(cases: list[Case]) -> list[Case]:
    """Return the first and last version, and the first with compact lengths."""
    flexible = [case for case in cases if case.flexible][:1]
    return list({case.version: case for case in [cases[0], *flexible, cases[-1]]}.values())


def check(case: Case, data: st.DataObject) -> None:
    message = data.draw(messages(case.message, case.version), str(case))
    written = case.write(message)
    assert case.read(written) == message
    assert case.read(bytearray(written)) == message

    if case.is_request:
        assert case.read(written + b"\0\0\0") == message, "as librdkafka sends it"
    else:
        with pytest.raises(MalformedMessage, match=r"ends at \d+ of"):
            case.read(written + b"\0")
    for size in range(0, len(written), max(len(written) // 200, 1)):
        with pytest.raises(MalformedMessage):
            case.read(written[:size])

    if case.flexible:
        tag = data.draw(st.integers(KNOWN_TAGS_MAX, 2**32 - 1), "unknown tag")
        content = data.draw(st.binary(max_size=200), "its content")
        assert case.read(with_tag(written, case, tag, content)) == message


def with_tag(written: bytes, case: Case, tag: int, content: bytes) -> bytes:
    """Add a tagged field to those at the end of a message.

    Where they begin is found by writing the message with none: tags come last, so that is where the
    two part; the number of tags is in the byte before.
    """
    bare = case.read(written)
    plain = {
        name: getattr(bare, name) for name in bare.__struct_fields__ if name not in case.tagged()
    }
    start = len(case.write(type(bare)(**plain))) - 1
    count = written[start]
    return b"".join(
        [
            written[:start],
            uvarint(count + 1),
            written[start + 1 :],
            uvarint(tag),
            uvarint(len(content)),
            content,
        ]
    )
