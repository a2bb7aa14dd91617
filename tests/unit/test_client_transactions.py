"""Transactions over the protocol: begun, written to, ended; and what is refused on the way."""

from millpond.log.model import TopicPartition
from millpond.log.wire.error_codes import ErrorCode
from millpond.log.wire.messages.add_partitions_to_txn import ADD_PARTITIONS_TO_TXN
from millpond.log.wire.messages.end_txn import END_TXN
from millpond.log.wire.messages.init_producer_id import INIT_PRODUCER_ID

from tests.twins.consumer_members import ConsumerMember
from tests.twins.node_world import NodeWorld
from tests.twins.slow_disk_world import SlowDiskWorld
from tests.twins.transactional_client import NEW, Writer, visible

ORDERS, OTHER = TopicPartition("orders", 0), TopicPartition("orders", 1)
MISSING = TopicPartition("orders", 7)
NONE = ErrorCode.NONE


class World(NodeWorld):
    """A broker with a topic of two partitions."""

    def __init__(self, **settings: str) -> None:
        super().__init__(settings={key.replace("_", "."): each for key, each in settings.items()})
        self.create("orders", 2)

    def writer(self, name: str = "w", *, timeout_ms: int = 60_000) -> Writer:
        writer = Writer(self, name, timeout_ms=timeout_ms)
        assert writer.init() is NONE
        return writer

    def committed(self, group: str) -> dict[TopicPartition, int]:
        found = self.node.offsets.committed(group)
        return {partition: each.offset for partition, each in found.items()}


# -- beginning and writing -------------------------------------------------------------------------


def test_several_transactions_of_a_producer_that_keeps_its_epoch() -> None:
    world = World()
    writer = world.writer()
    for number, commit in enumerate([True, False, True, True, False, True]):
        assert writer.add(ORDERS, OTHER) is NONE
        assert writer.write(ORDERS, b"%d" % number) is NONE
        assert writer.write(OTHER, b"%d" % number) is NONE
        assert writer.end(commit=commit) is NONE
    assert writer.identity.producer_epoch == 0
    assert visible(world, ORDERS) == visible(world, OTHER) == [b"0", b"2", b"3", b"5"]


def test_nothing_is_visible_before_the_commit_and_all_is_when_it_is_answered() -> None:
    world = World()
    writer = world.writer()
    writer.add(ORDERS)
    writer.write(ORDERS, b"paid")
    assert visible(world, ORDERS) == []
    writer.end(commit=True)
    assert visible(world, ORDERS) == [b"paid"]


def test_a_partition_that_was_not_added_is_not_written_to() -> None:
    world = World()
    writer = world.writer()
    assert writer.write(ORDERS, b"x") is ErrorCode.INVALID_TXN_STATE, "nothing is begun"
    assert writer.write(ORDERS, b"x", version=11) is ErrorCode.TRANSACTION_ABORTABLE
    writer.add(ORDERS)
    assert writer.write(OTHER, b"x") is ErrorCode.INVALID_TXN_STATE
    assert writer.write(ORDERS, b"x") is NONE
    writer.end(commit=True)
    assert writer.write(ORDERS, b"late") is ErrorCode.INVALID_TXN_STATE, "it has ended"
    assert world.node.broker.partition(OTHER).log_end_offset == 0


def test_a_transactional_batch_needs_the_transactional_id_of_its_producer() -> None:
    world = World()
    writer, other = world.writer("w"), world.writer("other")
    writer.add(ORDERS)
    other.add(ORDERS)
    writer.transactional_id = "other"
    assert writer.write(ORDERS, b"x") is ErrorCode.INVALID_PRODUCER_ID_MAPPING
    writer.transactional_id = "w"
    assert writer.write(ORDERS, b"x") is NONE


def test_partitions_are_added_all_or_none() -> None:
    world = World()
    writer = world.writer()
    assert writer.add(ORDERS, MISSING) is ErrorCode.OPERATION_NOT_ATTEMPTED
    assert writer.add(MISSING, ORDERS) is ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    internal = TopicPartition("__transaction_state", 0)
    assert writer.add(internal) is ErrorCode.TOPIC_AUTHORIZATION_FAILED
    assert writer.write(ORDERS, b"x") is ErrorCode.INVALID_TXN_STATE


def test_partitions_may_be_added_twice() -> None:
    world = World()
    writer = world.writer()
    assert writer.add(ORDERS) is NONE
    assert writer.add(ORDERS) is NONE
    assert writer.add(OTHER) is NONE
    writer.write(ORDERS, b"1")
    writer.write(OTHER, b"2")
    writer.end(commit=True)
    assert visible(world, ORDERS) + visible(world, OTHER) == [b"1", b"2"]


def test_a_retried_batch_is_appended_once() -> None:
    world = World()
    writer = world.writer()
    writer.add(ORDERS)
    for _ in range(3):
        assert writer.write(ORDERS, b"paid") is NONE
        writer.sequences[ORDERS] = 0
    writer.end(commit=True)
    assert visible(world, ORDERS) == [b"paid"]


# -- ending ----------------------------------------------------------------------------------------


def test_who_asks_again_for_the_same_end_gets_the_same_answer() -> None:
    world = World()
    writer = world.writer()
    for commit in (True, False):
        writer.add(ORDERS)
        assert writer.end(commit=commit) is NONE
        assert writer.end(commit=commit) is NONE
        assert writer.end(commit=not commit) is ErrorCode.INVALID_TXN_STATE
        world.restart(crash=True)
        assert writer.end(commit=commit) is NONE, "the decision is known for ever"


def test_a_repeated_end_is_answered_before_the_next_transaction_can_begin() -> None:
    """It once waited for the markers to be synced, and then ended the transaction behind."""
    world = SlowDiskWorld()
    world.create("orders", 1)
    writer = Writer(world, "w")
    for api, version, request in (
        (INIT_PRODUCER_ID, 4, writer.init_request),
        (ADD_PARTITIONS_TO_TXN, 3, lambda: writer.add_request(ORDERS)),
        (END_TXN, 3, lambda: writer.end_request(commit=True)),
    ):
        asked = world.send(api, version, request())
        world.sync(asked)
        if api is INIT_PRODUCER_ID:
            writer.become(asked.response.producer_id, asked.response.producer_epoch)
    assert world.node.broker.partition(ORDERS).needs_sync, "the marker could still be lost"
    assert writer.end(commit=True) is NONE
    assert world.held == []


def test_what_was_not_begun_cannot_be_ended() -> None:
    world = World()
    writer = world.writer()
    assert writer.end(commit=True) is ErrorCode.INVALID_TXN_STATE
    assert writer.end(commit=False) is ErrorCode.INVALID_TXN_STATE
    writer.transactional_id = ""
    assert writer.end(commit=True) is ErrorCode.INVALID_REQUEST


def test_an_old_protocol_cannot_tell_a_late_end_from_one_of_now() -> None:
    """Jepsen's finding, which is in the protocol before KIP-890; see the next one for the cure."""
    world = World()
    writer = world.writer()
    writer.add(ORDERS)
    writer.end(commit=True)
    writer.add(ORDERS)
    writer.write(ORDERS, b"half")
    assert writer.end(commit=True) is NONE, "as far as anybody can tell"


def test_the_new_protocol_refuses_a_late_end() -> None:
    world = World()
    writer, late = Writer(world, "w", protocol="v2"), Writer(world, "w", protocol="v2")
    writer.init()
    late.become(*writer.identity)
    writer.write(ORDERS, b"1")
    assert writer.end(commit=True) is NONE
    writer.write(ORDERS, b"2")
    assert late.end(commit=True) is ErrorCode.PRODUCER_FENCED
    assert late.write(ORDERS, b"zombie") is ErrorCode.INVALID_PRODUCER_EPOCH
    assert writer.end(commit=False) is NONE
    assert visible(world, ORDERS) == [b"1"]


# -- offsets ---------------------------------------------------------------------------------------


def test_offsets_count_with_the_commit() -> None:
    world = World()
    writer = world.writer()
    for offset, commit in ((5, True), (9, False)):
        assert writer.add_offsets("g") is NONE
        assert writer.commit_offsets("g", {ORDERS: offset}) is NONE
        before = {} if commit else {ORDERS: 5}
        assert world.committed("g") == before
        writer.end(commit=commit)
        assert world.committed("g") == {ORDERS: 5}


def test_offsets_need_the_group_in_the_transaction() -> None:
    world = World()
    writer = world.writer()
    assert writer.commit_offsets("g", {ORDERS: 1}) is ErrorCode.INVALID_TXN_STATE
    assert writer.commit_offsets("g", {ORDERS: 1}, version=4) is ErrorCode.TRANSACTION_ABORTABLE
    writer.add(ORDERS)
    assert writer.commit_offsets("g", {ORDERS: 1}) is ErrorCode.INVALID_TXN_STATE
    writer.add_offsets("g")
    assert writer.commit_offsets("g", {ORDERS: 1}) is NONE
    assert writer.commit_offsets("g", {MISSING: 1}) is ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    assert writer.commit_offsets("", {ORDERS: 1}) is ErrorCode.INVALID_GROUP_ID
    assert writer.add_offsets("") is ErrorCode.INVALID_GROUP_ID


def test_a_fenced_producer_commits_no_offsets() -> None:
    world = World()
    zombie = world.writer()
    zombie.add_offsets("g")
    world.writer()
    assert zombie.commit_offsets("g", {ORDERS: 1}) is ErrorCode.INVALID_PRODUCER_EPOCH
    assert zombie.add_offsets("g") is ErrorCode.PRODUCER_FENCED
    assert zombie.add_offsets("g", version=1) is ErrorCode.INVALID_PRODUCER_EPOCH
    assert world.committed("g") == {}


def test_offsets_are_checked_against_the_generation() -> None:
    world = World()
    writer = world.writer()
    writer.add_offsets("g")
    stale = writer.commit_offsets("g", {ORDERS: 1}, generation=3, member_id="m")
    assert stale is ErrorCode.ILLEGAL_GENERATION
    assert writer.commit_offsets("g", {ORDERS: 1}) is NONE


def test_only_a_member_in_its_epoch_commits_for_a_group_that_has_members() -> None:
    world = World()
    anna = ConsumerMember(world, "g", "anna", topics=["orders"])
    anna.beat()
    writer = world.writer()
    writer.add_offsets("g")

    def commit(member_id: str, generation: int) -> ErrorCode:
        return writer.commit_offsets("g", {ORDERS: 1}, generation=generation, member_id=member_id)

    assert commit("anna", anna.epoch - 1) is ErrorCode.ILLEGAL_GENERATION
    assert commit("bert", anna.epoch) is ErrorCode.UNKNOWN_MEMBER_ID
    assert commit("", -1) is NONE, "producers from before KIP-447 do not say who they are"
    assert commit("anna", anna.epoch) is NONE


def test_the_new_protocol_adds_the_group_by_committing_its_offsets() -> None:
    world = World()
    writer = Writer(world, "w", protocol=NEW)
    writer.init()
    for offset, commit in ((5, True), (9, False)):
        assert writer.commit_offsets("g", {ORDERS: offset}) is NONE
        assert writer.end(commit=commit) is NONE
        assert world.committed("g") == {ORDERS: 5}


# -- time ------------------------------------------------------------------------------------------


def test_a_transaction_open_too_long_is_aborted_and_its_owner_fenced() -> None:
    world = World()
    writer = world.writer(timeout_ms=5000)
    writer.add(ORDERS)
    writer.write(ORDERS, b"slow")
    world.sleep(4000)
    assert writer.write(ORDERS, b"in time") is NONE
    world.sleep(11_000)
    assert writer.write(ORDERS, b"late") is ErrorCode.INVALID_PRODUCER_EPOCH
    assert writer.end(commit=True) is ErrorCode.PRODUCER_FENCED
    assert visible(world, ORDERS) == []
    assert world.node.broker.partition(ORDERS).last_stable_offset == 3
    assert writer.init() is NONE
    writer.add(ORDERS)
    writer.write(ORDERS, b"again")
    assert writer.end(commit=True) is NONE
    assert visible(world, ORDERS) == [b"again"]


def test_after_a_timeout_the_owner_may_begin_anew_if_nobody_else_has() -> None:
    world = World()
    old, new = world.writer("old", timeout_ms=5000), Writer(world, "new", timeout_ms=5000)
    new.protocol = NEW
    new.init()
    old.add(ORDERS)
    for writer in (old, new):
        writer.write(ORDERS, b"slow")
    world.sleep(20_000)
    world.restart(crash=True)
    assert old.init(recover=True) is NONE
    assert new.end(commit=True) is ErrorCode.INVALID_TXN_STATE
    assert new.end(commit=False) is NONE
    old.add(ORDERS)
    for writer in (old, new):
        assert writer.identity.producer_epoch == 1
        assert writer.write(ORDERS, b"again") is NONE
        assert writer.end(commit=True) is NONE
    assert visible(world, ORDERS) == [b"again", b"again"]


def test_after_a_timeout_the_owner_is_fenced_once_somebody_else_has_begun() -> None:
    world = World()
    zombie = Writer(world, "w", timeout_ms=5000, protocol=NEW)
    zombie.init()
    zombie.write(ORDERS, b"slow")
    world.sleep(20_000)
    world.writer("w")
    assert zombie.end(commit=False) is ErrorCode.PRODUCER_FENCED
    assert zombie.init(recover=True) is ErrorCode.PRODUCER_FENCED


def test_an_id_that_nobody_uses_is_forgotten() -> None:
    world = World(transactional_id_expiration_ms="60000")
    idle, busy = world.writer("idle"), world.writer("busy", timeout_ms=600_000)
    busy.add(ORDERS)
    world.sleep(80_000)
    assert idle.add(ORDERS) is ErrorCode.INVALID_PRODUCER_ID_MAPPING
    assert busy.end(commit=True) is NONE
    world.restart(crash=True)
    assert world.node.transactions.get("idle") is None
    assert idle.init() is NONE


# -- restarts --------------------------------------------------------------------------------------


def test_an_open_transaction_outlives_a_power_cut() -> None:
    world = World()
    writer = world.writer()
    writer.add(ORDERS, OTHER)
    writer.add_offsets("g")
    writer.write(ORDERS, b"before")
    writer.commit_offsets("g", {ORDERS: 3})
    world.restart(crash=True)
    assert visible(world, ORDERS) == []
    assert writer.write(ORDERS, b"after") is NONE
    assert writer.write(OTHER, b"after") is NONE
    assert writer.end(commit=True) is NONE
    assert visible(world, ORDERS) == [b"before", b"after"]
    assert visible(world, OTHER) == [b"after"]
    assert world.committed("g") == {ORDERS: 3}


def test_an_open_transaction_that_nobody_goes_on_with_ends_by_its_timeout() -> None:
    world = World()
    writer = world.writer(timeout_ms=5000)
    writer.add(ORDERS)
    writer.write(ORDERS, b"before")
    world.restart(crash=True)
    world.sleep(20_000)
    assert world.node.broker.partition(ORDERS).last_stable_offset == 2
    assert visible(world, ORDERS) == []


def test_a_producer_goes_on_in_its_epoch_after_a_power_cut() -> None:
    world = World()
    writer = world.writer()
    for number in range(4):
        assert writer.add(ORDERS) is NONE
        assert writer.write(ORDERS, b"%d" % number) is NONE
        assert writer.end(commit=True) is NONE
        world.restart(crash=True)
    assert visible(world, ORDERS) == [b"0", b"1", b"2", b"3"]


# -- topics that go --------------------------------------------------------------------------------


def test_a_topic_may_go_in_the_middle_of_a_transaction() -> None:
    world = World()
    world.create("gone")
    gone = TopicPartition("gone", 0)
    writer = world.writer()
    writer.add(ORDERS, gone)
    writer.write(ORDERS, b"paid")
    writer.write(gone, b"lost")
    world.node.broker.discard(world.node.broker.remove_topics(["gone"], world.clock.now()))
    assert writer.write(gone, b"x") is ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    assert writer.end(commit=True) is NONE
    assert visible(world, ORDERS) == [b"paid"]
    world.restart(crash=True)
    writer.add(ORDERS)
    assert writer.end(commit=True) is NONE


def test_a_namesake_of_a_topic_that_went_knows_nothing_of_the_transaction() -> None:
    world = World()
    writer = world.writer()
    writer.add(ORDERS)
    writer.write(ORDERS, b"old")
    world.node.broker.discard(world.node.broker.remove_topics(["orders"], world.clock.now()))
    world.create("orders", 2)
    assert writer.end(commit=True) is NONE
    assert visible(world, ORDERS) == []
    writer.add(ORDERS)
    writer.sequences.clear()
    assert writer.write(ORDERS, b"new") is NONE
    writer.end(commit=True)
    assert visible(world, ORDERS) == [b"new"]


def test_a_reader_that_waits_is_told_when_a_timeout_ends_a_transaction() -> None:
    world = World()
    writer = world.writer(timeout_ms=5000)
    writer.add(ORDERS)
    writer.write(ORDERS, b"slow")
    touched: list[TopicPartition] = []
    world.clock.advance(20_000)
    steps = world.node.transactions.abort_overdue(world.clock.now())
    for logs in steps:
        touched += [log.partition for log in logs]
        for log in logs:
            log.flush()
    assert ORDERS in touched
