"""InitProducerId: who may write, and who no longer."""

from collections.abc import Generator
from dataclasses import replace

from millpond.log.coordinator.transaction_state import EPOCH_MAX, Identity
from millpond.log.model import TopicPartition
from millpond.log.wire.error_codes import ErrorCode
from millpond.log.wire.messages.init_producer_id import (
    INIT_PRODUCER_ID,
    InitProducerIdRequest,
    InitProducerIdResponse,
)

from tests.twins.node_world import NodeWorld
from tests.twins.transactional_client import NEW, Writer, visible

ORDERS = TopicPartition("orders", 0)
NONE = ErrorCode.NONE


def world_with_orders(**settings: str) -> NodeWorld:
    world = NodeWorld(settings={key.replace("_", "."): each for key, each in settings.items()})
    world.create("orders", 2)
    return world


def idempotent(world: NodeWorld, version: int = 4) -> InitProducerIdResponse:
    request = InitProducerIdRequest(transactional_id=None, transaction_timeout_ms=0)
    return world.ask(INIT_PRODUCER_ID, version, request)


def test_each_idempotent_producer_has_an_id_of_its_own_for_ever() -> None:
    world = NodeWorld()
    seen = [idempotent(world, version).producer_id for version in range(6)]
    world.restart(crash=True)
    seen.append(idempotent(world).producer_id)
    assert len(set(seen)) == 7
    assert idempotent(world).producer_epoch == 0


def test_a_new_owner_has_a_larger_epoch_and_fences_the_one_before() -> None:
    world = world_with_orders()
    zombie, owner = Writer(world, "w"), Writer(world, "w")
    assert zombie.init() is NONE
    assert owner.init() is NONE
    assert owner.identity == Identity(zombie.identity.producer_id, 1)
    assert zombie.add(ORDERS) is ErrorCode.PRODUCER_FENCED
    assert zombie.add(ORDERS, version=1) is ErrorCode.INVALID_PRODUCER_EPOCH
    assert zombie.end(commit=True) is ErrorCode.PRODUCER_FENCED
    assert zombie.init(recover=True) is ErrorCode.PRODUCER_FENCED
    assert zombie.init(recover=True, version=3) is ErrorCode.INVALID_PRODUCER_EPOCH


def test_a_new_owner_aborts_what_was_left_open() -> None:
    world = world_with_orders()
    zombie, owner = Writer(world, "w"), Writer(world, "w")
    zombie.init()
    zombie.add(ORDERS)
    zombie.write(ORDERS, b"half")
    assert owner.init() is NONE
    assert zombie.write(ORDERS, b"late") is ErrorCode.INVALID_PRODUCER_EPOCH
    assert world.node.broker.partition(ORDERS).last_stable_offset == 2
    assert visible(world, ORDERS) == []


def test_epochs_outlive_a_power_cut() -> None:
    world = world_with_orders()
    writer = Writer(world, "w")
    for epoch in range(5):
        assert writer.init() is NONE
        assert writer.identity.producer_epoch == epoch
        world.restart(crash=True)


def test_a_producer_that_has_failed_goes_on_in_the_next_epoch() -> None:
    world = world_with_orders()
    writer = Writer(world, "w")
    writer.init()
    before = writer.identity
    assert writer.init(recover=True) is NONE
    assert writer.identity == Identity(before.producer_id, before.producer_epoch + 1)


def test_who_repeats_a_recovery_gets_the_same_again() -> None:
    world = world_with_orders()
    writer, twin = Writer(world, "w"), Writer(world, "w")
    writer.init()
    twin.become(*writer.identity)
    writer.init(recover=True)
    world.restart(crash=True)
    assert twin.init(recover=True) is NONE
    assert twin.identity == writer.identity


def test_a_late_copy_of_a_recovery_does_not_end_the_transaction_that_followed() -> None:
    world = world_with_orders()
    writer, late = Writer(world, "w"), Writer(world, "w")
    writer.init()
    late.become(*writer.identity)
    writer.init(recover=True)
    writer.add(ORDERS)
    writer.write(ORDERS, b"kept")
    assert late.init(recover=True) is ErrorCode.PRODUCER_FENCED
    assert writer.end(commit=True) is NONE
    assert visible(world, ORDERS) == [b"kept"]


def test_a_recovery_in_the_middle_of_a_transaction_aborts_it() -> None:
    world = world_with_orders()
    writer = Writer(world, "w")
    writer.init()
    writer.add(ORDERS)
    writer.write(ORDERS, b"half")
    twin = Writer(world, "w")
    twin.become(*writer.identity)
    assert writer.init(recover=True) is NONE
    assert twin.init(recover=True) is NONE, "asked again, answered again"
    assert twin.identity == writer.identity == Identity(writer.identity.producer_id, 1)
    writer.add(ORDERS)
    assert writer.write(ORDERS, b"whole") is NONE
    assert writer.end(commit=True) is NONE
    assert visible(world, ORDERS) == [b"whole"]


def test_an_id_that_was_forgotten_is_given_anew_to_who_recovers() -> None:
    world = world_with_orders()
    writer = Writer(world, "w")
    writer.become(4711, 3)
    assert writer.init(recover=True) is NONE
    assert writer.identity.producer_epoch == 0


def test_when_epochs_run_out_a_new_producer_id_begins() -> None:
    world = world_with_orders()
    writer, twin = Writer(world, "w"), Writer(world, "w")
    writer.init()
    producer_id = writer.identity.producer_id
    exhaust(world, writer)
    twin.become(*writer.identity)
    assert writer.init(recover=True) is NONE
    assert writer.identity.producer_id != producer_id
    assert writer.identity.producer_epoch == 0
    assert twin.init(recover=True) is NONE, "asked again, answered again"
    assert twin.identity == writer.identity


def test_a_timeout_in_the_last_epoch_moves_the_owner_on_to_a_new_producer_id() -> None:
    world = world_with_orders()
    writer = Writer(world, "w", timeout_ms=1000)
    writer.init()
    exhaust(world, writer)
    writer.add(ORDERS)
    writer.write(ORDERS, b"x")
    world.sleep(20_000)
    before = writer.identity
    assert writer.init(recover=True) is NONE
    assert writer.identity == Identity(before.producer_id + 1, 0)
    assert world.node.broker.partition(ORDERS).last_stable_offset == 2


def test_the_epoch_that_fences_is_nobodys() -> None:
    world = world_with_orders()
    writer = Writer(world, "w")
    writer.init()
    exhaust(world, writer)
    writer.add(ORDERS)
    steps = world.node.transactions.init("w", timeout_ms=1000, now=world.clock.now())
    for log in next(steps):  # the abort is decided, in the last epoch but none
        log.flush()
    steps.send(None)
    writer.become(writer.identity.producer_id, EPOCH_MAX + 1)
    assert writer.add(ORDERS) is ErrorCode.PRODUCER_FENCED
    assert writer.end(commit=False) is ErrorCode.PRODUCER_FENCED
    assert writer.end(commit=False, version=5) is ErrorCode.PRODUCER_FENCED
    world.run(steps)
    assert writer.init() is NONE
    assert writer.identity.producer_epoch == 1, "the first one of the next producer id was taken"


def exhaust(world: NodeWorld, writer: Writer) -> None:
    """Bring a producer to its last epoch, as 32,766 others before it would have."""
    known = world.node.transactions.get(writer.transactional_id)
    assert known is not None
    log = world.node.transactions._log
    log.write(replace(known, producer_epoch=EPOCH_MAX), world.clock.now())
    log.log(writer.transactional_id).flush()
    writer.become(known.producer_id, EPOCH_MAX)


def test_two_inits_of_one_id_do_not_interleave() -> None:
    world = world_with_orders()
    writer = Writer(world, "w")
    writer.init()
    steps = world.node.transactions.init("w", timeout_ms=1000, now=world.clock.now())
    waits_for = next(steps)
    assert waits_for, "the record is to be synced"
    assert writer.init() is ErrorCode.CONCURRENT_TRANSACTIONS
    for log in waits_for:
        log.flush()
    assert isinstance(steps, Generator)
    world.run(steps)
    assert writer.init() is NONE
    assert writer.identity.producer_epoch == 2


def test_what_makes_no_sense_is_refused() -> None:
    world = world_with_orders(transaction_max_timeout_ms="90000")
    assert Writer(world, "w", timeout_ms=90_001).init() is ErrorCode.INVALID_TRANSACTION_TIMEOUT
    assert Writer(world, "w", timeout_ms=0).init() is ErrorCode.INVALID_TRANSACTION_TIMEOUT
    assert Writer(world, "w", timeout_ms=90_000).init() is NONE
    assert Writer(world, "").init() is ErrorCode.INVALID_REQUEST
    half = Writer(world, "w")
    half.identity = Identity(5, -1)
    assert half.init(recover=True) is ErrorCode.INVALID_REQUEST


def test_a_producer_of_another_id_is_no_owner() -> None:
    world = world_with_orders()
    writer = Writer(world, "w")
    assert writer.add(ORDERS) is ErrorCode.INVALID_PRODUCER_ID_MAPPING, "never heard of"
    writer.init()
    writer.become(writer.identity.producer_id + 1, 0)
    assert writer.add(ORDERS) is ErrorCode.INVALID_PRODUCER_ID_MAPPING
    assert writer.end(commit=True) is ErrorCode.INVALID_PRODUCER_ID_MAPPING
    assert writer.init(recover=True) is ErrorCode.PRODUCER_FENCED


def test_the_new_protocol_recovers_as_the_old_one_does() -> None:
    world = world_with_orders()
    writer = Writer(world, "w", protocol=NEW)
    writer.init()
    writer.write(ORDERS, b"half")
    assert writer.init(recover=True) is NONE
    assert writer.write(ORDERS, b"whole") is NONE
    assert writer.end(commit=True) is NONE
    assert visible(world, ORDERS) == [b"whole"]
