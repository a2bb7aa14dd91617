"""Workers of one app are killed, paused, continued, stopped and added at random, and their broker is restarted.

Whatever happens, the outputs are those of plain code, each once, in order; the table's changelog says the
same; no partition waits for longer than it takes to notice that its worker is gone, and to restore.

    pytest tests/crash/test_cluster_chaos.py -m long --chaos-seconds 300
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from millpond.log.cluster.address import WORKER_TRANSACTION_TIMEOUT_MS
from millpond.tests.clients import java_runtime
from millpond.tests.crash.cluster_chaos import Chaos, Kafka, Ours, Restartable, Watch
from millpond.tests.crash.cluster_history import (
    PATIENCE_S,
    Input,
    make_topics,
    read_table,
    read_topic,
)
from millpond.tests.twins.counting_app import COUNTED, NUMBERS, SETTINGS, outputs_of
from millpond.tests.twins.workers import Workers

pytestmark = pytest.mark.filterwarnings("ignore")

TARGET = "millpond.tests.twins.counting_app:app"
STARTS = 5
"""How many times as long as the first start of all workers a task may take to start at another."""

BETWEEN_RESTARTS_S = 30


@dataclass(frozen=True, slots=True)
class Layout:
    """How the workers are set up.

    Attributes:
        session_s: how long one may be unheard of.
        transaction_timeout_s: how long what a killed one leaves open hides what follows.
        is_shared: whether they have one directory, as on one machine.
        is_static: whether they keep their places in the group by their names.
    """

    session_s: int = 3
    transaction_timeout_s: int = WORKER_TRANSACTION_TIMEOUT_MS // 1000
    standby_replicas: int = 0
    is_shared: bool = False
    is_static: bool = False


@pytest.mark.long
@pytest.mark.parametrize(
    "layout",
    [
        pytest.param(Layout(), id="apart"),
        pytest.param(Layout(standby_replicas=1), id="standby"),
        pytest.param(Layout(is_shared=True), id="together"),
        pytest.param(Layout(is_static=True), id="static"),
    ],
)
@pytest.mark.parametrize(
    "start_broker",
    [
        pytest.param(Ours, id="millpond"),
        pytest.param(Kafka, id="kafka", marks=java_runtime.needs_jars()),
    ],
)
def test_outputs_are_exactly_once_whatever_happens_to_workers_and_broker(
    start_broker: Callable[[Path], Restartable],
    layout: Layout,
    tmp_path: Path,
    pytestconfig: pytest.Config,
) -> None:
    duration_s = pytestconfig.getoption("--chaos-seconds")
    seed = pytestconfig.getoption("--chaos-seed")
    broker = start_broker(tmp_path / "broker")
    try:
        make_topics(broker.address)
        numbers, watch = Input(broker.address, seed), Watch(broker.address)
        with make_workers(broker.address, layout, tmp_path) as workers, watch.watching():
            chaos = Chaos(seed, workers, broker, watch, layout.session_s)
            try:
                with numbers.coming():
                    chaos.run(duration_s, restarts=max(2, round(duration_s / BETWEEN_RESTARTS_S)))
                watch.until_done(PATIENCE_S)
                workers.stop(*workers.running)
            except BaseException as error:
                error.add_note("\n".join(chaos.story))
                raise
        allowed_s = layout.session_s + layout.transaction_timeout_s + STARTS * chaos.start_s
        print(
            f"\n{numbers.sent} numbers, {dict(chaos.happened)}, longest wait of a partition "
            f"{watch.longest_s:.1f} s ({allowed_s:.1f} s allowed), first start {chaos.start_s:.1f} s"
        )
        check_outputs(broker.address, numbers.sent)
        assert watch.longest_s < allowed_s, "\n".join(chaos.story)
    finally:
        broker.end()


def test_a_worker_comes_back_from_a_pause_and_the_other_is_killed_with_the_broker(
    tmp_path: Path,
) -> None:
    broker = Ours(tmp_path / "broker")
    try:
        make_topics(broker.address)
        numbers, watch = Input(broker.address, seed=1), Watch(broker.address)
        layout = Layout(session_s=1, transaction_timeout_s=2)
        with make_workers(broker.address, layout, tmp_path) as workers, watch.watching():
            with numbers.coming():
                workers.start("one", "two")
                watch.until_all_moved(PATIENCE_S)
                workers.pause("one")
                watch.until_all_moved(PATIENCE_S)
                workers.resume("one")
                workers.kill("two")
                broker.restart(kill=True)
                watch.until_all_moved(PATIENCE_S)
            watch.until_done(PATIENCE_S)
            workers.stop("one")
        check_outputs(broker.address, numbers.sent)
    finally:
        broker.end()


def make_workers(address: str, layout: Layout, directory: Path) -> Workers:
    settings = {
        "session_timeout_ms": layout.session_s * 1000,
        "standby_replicas": layout.standby_replicas,
        "client": {"transaction.timeout.ms": layout.transaction_timeout_s * 1000},
    }
    return Workers(
        TARGET,
        address,
        directory / "workers",
        share_directory=layout.is_shared,
        static=layout.is_static,
        environment={SETTINGS: json.dumps(settings)},
    )


def check_outputs(address: str, sent: int) -> None:
    """Each partition's outputs and its part of the table are what plain code says of its inputs."""
    inputs = read_topic(address, NUMBERS)
    assert sorted(int(number) for each in inputs for _, number in each) == list(range(sent))
    table = {}
    for partition, (came, went) in enumerate(
        zip(inputs, read_topic(address, COUNTED), strict=True)
    ):
        expected = list(outputs_of(came))
        wrong = next(
            (n for n, (a, b) in enumerate(zip(went, expected, strict=False)) if a != b), -1
        )
        assert wrong < 0, f"partition {partition}: {went[wrong]}, expected {expected[wrong]}"
        assert len(went) == len(expected)
        table.update((key, output.split()[1]) for key, output in expected)
    assert read_table(address) == table
