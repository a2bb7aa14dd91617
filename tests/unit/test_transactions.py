"""The transaction coordinator: a table of states, and who may move them."""

import itertools
from dataclasses import replace

import pytest
from millpond.log.coordinator.transaction_records import decode_transaction, encode_transaction
from millpond.log.coordinator.transaction_state import (
    EPOCH_MAX,
    MAY_FOLLOW,
    Epochs,
    Status,
    Transaction,
)
from millpond.log.coordinator.transactions import ID_EXPIRATION_MS, TransactionCoordinator
from millpond.log.errors import ConcurrentTransaction, Fenced, InvalidTransactionState, LogError
from millpond.log.model import TopicPartition

ORDERS = TopicPartition("orders", 0)
OTHER = TopicPartition("orders", 1)


class World:
    """A coordinator, and a caller who does at once what it decides."""

    def __init__(self) -> None:
        ids = itertools.count(100)
        self.coordinator = TransactionCoordinator(lambda _now: next(ids))
        self.now = 1000

    def init(self, name: str = "t") -> Transaction:
        return self.put(self.coordinator.init(name, timeout_ms=500, now=self.now))

    def add(self, owner: Transaction, *partitions: TopicPartition) -> Transaction:
        return self.put(
            self.coordinator.add_partitions(
                owner.transactional_id, owner.identity, partitions, self.now
            )
        )

    def end(
        self, owner: Transaction, *, commit: bool = True, epochs: Epochs = Epochs.AT_COMPLETION
    ) -> Transaction:
        decided = self.coordinator.end(
            owner.transactional_id, owner.identity, commit=commit, now=self.now, epochs=epochs
        )
        if decided.status in {Status.PREPARE_COMMIT, Status.PREPARE_ABORT}:
            self.put(decided)
        return decided

    def complete(self) -> Transaction:
        return self.put(self.coordinator.complete("t", now=self.now))

    def put(self, transaction: Transaction) -> Transaction:
        self.coordinator.put(transaction)
        return transaction


def test_a_transaction_from_beginning_to_end() -> None:
    world = World()
    owner = world.init()
    assert (owner.producer_id, owner.producer_epoch, owner.status) == (100, 0, Status.EMPTY)
    world.add(owner, ORDERS)
    assert world.add(owner, OTHER).partitions == {ORDERS, OTHER}
    decided = world.end(owner)
    assert (decided.status, decided.partitions) == (
        Status.PREPARE_COMMIT,
        frozenset({ORDERS, OTHER}),
    )
    assert decided.producer_epoch == owner.producer_epoch, "markers carry the epoch of the data"
    done = world.complete()
    assert (done.status, done.partitions) == (Status.COMPLETE_COMMIT, frozenset())


def test_each_transaction_has_its_own_epoch() -> None:
    world = World()
    owner = world.init()
    epochs = []
    for _ in range(3):
        world.add(owner, ORDERS)
        world.end(owner)
        epochs.append(owner.producer_epoch)
        owner = world.complete()
    assert epochs == [0, 1, 2]


def test_clients_of_the_old_protocol_keep_their_epoch() -> None:
    world = World()
    owner = world.init()
    for _ in range(3):
        world.add(owner, ORDERS)
        world.end(owner, epochs=Epochs.KEPT)
        assert world.complete().producer_epoch == owner.producer_epoch
        assert world.end(owner, epochs=Epochs.KEPT).status is Status.COMPLETE_COMMIT, (
            "asked again, answered again"
        )
        with pytest.raises(InvalidTransactionState):
            world.end(owner, commit=False, epochs=Epochs.KEPT)


def test_clients_of_the_new_protocol_move_on_with_the_decision() -> None:
    world = World()
    owner = world.init()
    world.add(owner, ORDERS)
    decided = world.end(owner, epochs=Epochs.AT_DECISION)
    assert decided.producer_epoch == 1, "so the markers fence what comes late"
    with pytest.raises(ConcurrentTransaction):
        world.end(owner, epochs=Epochs.AT_DECISION)
    done = world.complete()
    assert done.identity == decided.identity
    assert world.end(owner, epochs=Epochs.AT_DECISION) == done, "asked again, answered again"
    with pytest.raises(InvalidTransactionState):
        world.end(owner, epochs=Epochs.AT_DECISION, commit=False)
    with pytest.raises(InvalidTransactionState):
        world.end(done, epochs=Epochs.AT_DECISION)
    world.add(done, ORDERS)
    with pytest.raises(Fenced):
        world.end(owner, epochs=Epochs.AT_DECISION)


def test_an_abort_without_a_transaction_brings_the_next_epoch() -> None:
    world = World()
    owner = world.init()
    for epoch in (1, 2):
        decided = world.end(owner, commit=False, epochs=Epochs.AT_DECISION)
        assert (decided.status, decided.producer_epoch) == (Status.PREPARE_ABORT, epoch)
        owner = world.complete()


def test_a_new_owner_fences_the_one_before() -> None:
    world = World()
    zombie = world.init()
    owner = world.init()
    assert owner.producer_id == zombie.producer_id
    assert owner.producer_epoch > zombie.producer_epoch
    with pytest.raises(Fenced):
        world.add(zombie, ORDERS)
    with pytest.raises(Fenced):
        world.end(zombie)
    world.add(owner, ORDERS)


def test_a_new_owner_first_aborts_what_was_left_open() -> None:
    world = World()
    zombie = world.init()
    world.add(zombie, ORDERS)
    abort = world.init()
    assert (abort.status, abort.partitions) == (Status.PREPARE_ABORT, frozenset({ORDERS}))
    assert abort.producer_epoch > zombie.producer_epoch, "late writes of the zombie are refused"
    with pytest.raises(ConcurrentTransaction):
        world.init()
    with pytest.raises(Fenced):
        world.end(zombie)
    assert world.complete().status is Status.COMPLETE_ABORT
    owner = world.init()
    assert owner.status is Status.EMPTY
    assert owner.producer_epoch > abort.producer_epoch


def test_a_new_owner_waits_for_a_decision_to_be_carried_out() -> None:
    world = World()
    owner = world.init()
    world.add(owner, ORDERS)
    world.end(owner)
    with pytest.raises(ConcurrentTransaction):
        world.init()
    with pytest.raises(ConcurrentTransaction):
        world.add(owner, ORDERS)
    with pytest.raises(ConcurrentTransaction):
        world.end(owner)
    assert world.coordinator.prepared() == [world.coordinator.get("t")]
    world.complete()
    assert world.coordinator.prepared() == []
    assert world.init().status is Status.EMPTY


def test_a_transaction_open_too_long_is_aborted() -> None:
    world = World()
    owner = world.init()
    world.add(owner, ORDERS)
    assert world.coordinator.overdue(world.now + 500) == []
    world.now += 300
    world.add(owner, OTHER)  # adding partitions grants no more time
    [abort] = world.coordinator.overdue(world.now + 201)
    assert abort.status is Status.PREPARE_ABORT
    world.put(abort)
    with pytest.raises(Fenced):
        world.end(owner)
    assert world.coordinator.overdue(world.now + 10_000) == []


def test_what_was_not_begun_cannot_be_ended() -> None:
    world = World()
    owner = world.init()
    with pytest.raises(InvalidTransactionState):
        world.end(owner)
    with pytest.raises(Fenced):
        world.end(replace(owner, transactional_id="never seen"))


def test_when_epochs_run_out_a_new_producer_id_begins() -> None:
    world = World()
    owner = world.put(replace(world.init(), producer_epoch=EPOCH_MAX))
    world.add(owner, ORDERS)
    world.end(owner)
    owner = world.complete()
    assert (owner.producer_id, owner.producer_epoch) == (101, 0)
    last = world.put(replace(owner, producer_epoch=EPOCH_MAX, status=Status.EMPTY))
    assert world.init().producer_id == 102
    world.put(replace(last, status=Status.EMPTY))
    world.add(last, ORDERS)
    assert world.init().producer_epoch == 2**15 - 1, "there is always one left to fence with"


def test_an_id_unused_for_a_week_is_forgotten() -> None:
    world = World()
    world.init("idle")
    busy = world.init("busy")
    world.add(busy, ORDERS)
    later = world.now + ID_EXPIRATION_MS + 1
    [dead] = world.coordinator.abandoned(later)
    assert dead.transactional_id == "idle"
    world.put(dead)
    assert world.coordinator.get("idle") is None
    assert encode_transaction(dead).value is None
    assert world.coordinator.abandoned(later) == []


def test_a_transition_outside_the_table_is_our_own_mistake() -> None:
    for before in set(Status) - {Status.DEAD}:
        for after in Status:
            world = World()
            first = replace(world.coordinator.init("t", timeout_ms=1, now=0), status=before)
            world.put(first)
            if after in MAY_FOLLOW[before]:
                world.put(replace(first, status=after))
            else:
                with pytest.raises(AssertionError):
                    world.put(replace(first, status=after))


def test_records_are_those_of_kafka() -> None:
    world = World()
    owner = world.init()
    world.now = 2000
    record = encode_transaction(world.add(owner, OTHER, ORDERS, TopicPartition("a", 7)))
    assert record.key == b"\x00\x00\x00\x01t"
    assert record.value == (
        b"\x00\x00"
        + (100).to_bytes(8, "big")
        + (0).to_bytes(2, "big")
        + (500).to_bytes(4, "big")
        + b"\x01"
        + b"\x00\x00\x00\x02"
        + b"\x00\x01a\x00\x00\x00\x01\x00\x00\x00\x07"
        + b"\x00\x06orders\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00\x01"
        + (2000).to_bytes(8, "big") * 2
    )
    assert record.timestamp == 2000


def test_records_say_from_whom_an_owner_has_moved_on() -> None:
    world = World()
    owner = world.init()
    world.add(owner, ORDERS)
    record = encode_transaction(world.end(owner, epochs=Epochs.AT_DECISION))
    assert record.value is not None
    assert record.value[:2] == b"\x00\x01", "the version with tags"
    tags = b"\x01" + b"\x00\x08" + (100).to_bytes(8, "big")  # one tag: 0, of 8 bytes
    assert record.value.endswith(tags)


def test_what_is_written_can_be_read() -> None:
    world = World()
    owner = world.init("größe")
    begun = world.add(owner, OTHER, ORDERS)
    last = replace(begun, producer_epoch=EPOCH_MAX)
    decisions = [
        world.coordinator._decided(each, commit=True, now=9, epochs=epochs)
        for each in (begun, last)
        for epochs in Epochs
    ]
    for transaction in (owner, begun, *decisions):
        record = encode_transaction(transaction)
        assert record.key is not None
        assert decode_transaction(record.key, record.value) == transaction
    assert record.key is not None
    dead = decode_transaction(record.key, None)
    assert (dead.transactional_id, dead.status) == ("größe", Status.DEAD)
    with pytest.raises(LogError):
        decode_transaction(record.key, b"\x00\x02" + bytes(60))
