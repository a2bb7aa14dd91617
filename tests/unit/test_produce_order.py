"""Batches of one producer are appended in the order in which they came, whoever has to wait."""

from millpond.log.model import TopicPartition
from millpond.log.wire.messages.init_producer_id import INIT_PRODUCER_ID
from millpond.log.wire.messages.produce import PRODUCE, ProduceResponse
from millpond.tests.twins.node_world import Asked
from millpond.tests.twins.slow_disk_world import SlowDiskWorld
from millpond.tests.twins.transactional_client import NEW, PRODUCE_VERSION, Writer

ORDERS = TopicPartition("orders", 0)


def a_writer(world: SlowDiskWorld, name: str) -> Writer:
    writer = Writer(world, name, protocol=NEW)
    asked = world.send(INIT_PRODUCER_ID, 4, writer.init_request())
    world.sync_all()
    assert asked.response is not None
    writer.become(asked.response.producer_id, asked.response.producer_epoch)
    return writer


def send(world: SlowDiskWorld, writer: Writer, value: bytes) -> Asked[ProduceResponse]:
    asked = world.send(PRODUCE, PRODUCE_VERSION[NEW], writer.write_request(ORDERS, value))
    writer.wrote(ORDERS, 1)
    return asked


def outcome(asked: Asked[ProduceResponse]) -> tuple[int, int]:
    """Return error code and offset."""
    assert asked.response is not None
    (one,) = asked.response.responses[0].partition_responses
    return one.error_code, one.base_offset


def test_a_request_does_not_overtake_one_that_has_waited_for_the_disk() -> None:
    world = SlowDiskWorld()
    world.create("orders")
    writer = a_writer(world, "w")
    first = send(world, writer, b"first")
    assert first in world.held, "the partition is being added to the transaction"
    for log in first.waits_for:
        log.flush()  # it is on disk by now, but the request has not gone on yet
    others = [send(world, writer, b"second"), send(world, writer, b"third")]
    world.sync_all()
    assert [outcome(each) for each in (first, *others)] == [(0, 0), (0, 1), (0, 2)]


def test_producers_do_not_wait_for_each_other() -> None:
    world = SlowDiskWorld()
    world.create("orders")
    slow, quick = a_writer(world, "slow"), a_writer(world, "quick")
    world.sync_all()
    first = send(world, quick, b"before")
    world.sync_all()
    waiting = send(world, slow, b"waiting")
    second = send(world, quick, b"meanwhile")
    assert outcome(first) == (0, 0)
    log = world.node.broker.partition(ORDERS)
    assert log.log_end_offset == 2, "appended, while the other one waits"
    world.sync_all()
    assert (outcome(second), outcome(waiting)) == ((0, 1), (0, 2))
