"""Records of consumer groups: byte for byte Kafka's, and what they say comes back."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from millpond.log.coordinator.assignors import Partitions, TopicIdPartition
from millpond.log.coordinator.consumer_group_changes import (
    Change,
    CurrentSet,
    GroupEpoch,
    GroupEpochSet,
    PatternSet,
    ResolvedPattern,
    SubscriptionSet,
    TargetEpochSet,
    TargetSet,
)
from millpond.log.coordinator.consumer_group_member import (
    CurrentAssignment,
    MemberState,
    Subscription,
)
from millpond.log.coordinator.consumer_group_records import decode_change, encode_change
from millpond.log.errors import LogError

GROUP = "group-46689d53-f7a"
MEMBER = "4e9af46e-5cff-4099-a68f-d4520e1c1c4d"
TOPIC = UUID("443e64b2-0504-47bf-bece-c95ce56584fe")
GROUP_KEY = "001267726f75702d34363638396435332d663761"
TOPIC_PART = f"02{TOPIC.hex}"
MEMBER_KEY = "002434653961663436652d356366662d343039392d613638662d643435323065316331633464"


def of_topic(*numbers: int) -> Partitions:
    return frozenset(TopicIdPartition(TOPIC, number) for number in numbers)


WRITTEN_BY_KAFKA: list[tuple[Change, str, str]] = [
    (
        GroupEpochSet(GroupEpoch(1, -8519013097081150607)),
        "0003" + GROUP_KEY,
        "00000000000101000889c662b94f93e371",
    ),
    (TargetEpochSet(1), "0006" + GROUP_KEY, "00000000000100"),
    (
        TargetSet(MEMBER, of_topic(0, 1, 2, 3)),
        "0007" + GROUP_KEY + MEMBER_KEY,
        "000002443e64b2050447bfbecec95ce56584fe05000000000000000100000002000000030000",
    ),
    (
        CurrentSet(
            MEMBER,
            CurrentAssignment(
                2, 2, MemberState.UNREVOKED_PARTITIONS, of_topic(0, 1), of_topic(2, 3)
            ),
        ),
        "0008" + GROUP_KEY + MEMBER_KEY,
        f"0000000000020000000201{TOPIC_PART}03000000000000000100{TOPIC_PART}0300000002000000030000",
    ),
]

SUBSCRIPTION_BY_KAFKA = (
    "000000000f6d696c6c706f6e642d74657374730b2f3132372e302e302e310213746f7069632d6630386139613264"
    "2d3962610100018e70000"
)
"""Without its end: Kafka adds a tagged field without content."""


def test_a_pattern_is_byte_for_byte_kafkas() -> None:
    topics = frozenset({"kip-160447-a", "kip-160447-b"})
    change = PatternSet("kip-160447-.*", ResolvedPattern(topics, 0x1914))
    record = encode_change("gr-160447", change, 0x1A20779DD51)
    assert (record.key or b"").hex() == ("0010000967722d313630343437000d6b69702d3136303434372d2e2a")
    assert (record.value or b"").hex() == (
        "0000030d6b69702d3136303434372d610d6b69702d3136303434372d62"
        "0000000000001914000001a20779dd5100"
    )


@pytest.mark.parametrize(("change", "key", "value"), WRITTEN_BY_KAFKA)
def test_records_are_byte_for_byte_kafkas(change: Change, key: str, value: str) -> None:
    record = encode_change(GROUP, change, 0)
    assert (record.key or b"").hex() == key
    assert (record.value or b"").hex() == value
    assert decode_change(bytes.fromhex(key), bytes.fromhex(value)) == (GROUP, change)


def test_a_subscription_written_by_kafka_is_read() -> None:
    wanted = Subscription(
        client_id="millpond-tests",
        client_host="/127.0.0.1",
        topic_names=("topic-f08a9a2d-9ba",),
        rebalance_timeout_ms=102_000,
    )
    key, with_tag = f"0005{GROUP_KEY}{MEMBER_KEY}", f"{SUBSCRIPTION_BY_KAFKA}1000100"
    assert decode_change(bytes.fromhex(key), bytes.fromhex(with_tag)) == (
        GROUP,
        SubscriptionSet(MEMBER, wanted),
    )
    ours = encode_change(GROUP, SubscriptionSet(MEMBER, wanted), 0)
    assert (ours.value or b"").hex() == f"{SUBSCRIPTION_BY_KAFKA}0"


names = st.text(max_size=20)
maybe = st.none() | names
partitions = st.frozensets(
    st.builds(TopicIdPartition, st.uuids(), st.integers(0, 2**31 - 1)), max_size=5
)
epochs = st.integers(-2, 2**31 - 1)
changes = st.one_of(
    st.builds(
        GroupEpochSet,
        st.none() | st.builds(GroupEpoch, epochs, st.integers(-(2**63), 2**63 - 1)),
    ),
    st.builds(TargetEpochSet, st.none() | epochs),
    st.builds(
        SubscriptionSet,
        names,
        st.none()
        | st.builds(
            Subscription,
            maybe,
            maybe,
            names,
            names,
            st.lists(names, max_size=3).map(tuple),
            names,
            epochs,
            maybe,
        ),
    ),
    st.builds(TargetSet, names, st.none() | partitions),
    st.builds(
        CurrentSet,
        names,
        st.none()
        | st.builds(
            CurrentAssignment, epochs, epochs, st.sampled_from(MemberState), partitions, partitions
        ),
    ),
    st.builds(
        PatternSet,
        names,
        st.none()
        | st.builds(ResolvedPattern, st.frozensets(names, max_size=3), st.integers(0, 2**62)),
    ),
)


@given(names, changes)
def test_what_is_written_is_read(group: str, change: Change) -> None:
    record = encode_change(group, change, 0)
    assert record.key is not None
    assert (record.value is None) == (change.to is None)
    assert decode_change(record.key, record.value) == (group, change)


def test_a_format_from_the_future_is_refused() -> None:
    record = encode_change(GROUP, TargetEpochSet(1), 0)
    assert record.key is not None
    assert record.value is not None
    with pytest.raises(LogError, match="version 1"):
        decode_change(record.key, b"\0\1" + record.value[2:])
    current = CurrentSet(MEMBER, CurrentAssignment())
    record = encode_change(GROUP, current, 0)
    assert record.key is not None
    assert record.value is not None
    unknown = bytearray(record.value)
    unknown[10] = 7
    with pytest.raises(LogError, match="state 7"):
        decode_change(record.key, bytes(unknown))
