"""Workers of one app are killed, paused, continued, stopped and added at random, and their broker is restarted.

Whatever happens, the outputs are those of plain code, each once, in order; the table's changelog says the
same; no partition waits for longer than it takes to notice that its worker is gone, and to restore.

    pytest tests/crash/test_cluster_chaos.py -m long --chaos-seconds 300
"""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from millpond.tests.clients import java_runtime
from millpond.tests.crash.cluster_chaos import (
    PATIENCE_S,
    Chaos,
    Input,
    Kafka,
    Ours,
    Restartable,
    Watch,
    make_topics,
    read_table,
    read_topic,
)
from millpond.tests.twins.counting_app import COUNTED, NUMBERS, SETTINGS, outputs_of
from millpond.tests.twins.workers import Workers

pytestmark = [pytest.mark.long, pytest.mark.filterwarnings("ignore")]

TARGET = "millpond.tests.twins.counting_app:app"
SESSION_S = 3.0
RESTORE_S = 20.0
"""What restoring, joining and an open transaction's timeout may take together, on a busy machine."""

BETWEEN_RESTARTS_S = 30


@pytest.mark.parametrize("standby_replicas", [0, 1])
@pytest.mark.parametrize(
    "start_broker",
    [
        pytest.param(Ours, id="millpond"),
        pytest.param(Kafka, id="kafka", marks=java_runtime.needs_jars()),
    ],
)
def test_outputs_are_exactly_once_whatever_happens_to_workers_and_broker(
    start_broker: Callable[[Path], Restartable],
    standby_replicas: int,
    tmp_path: Path,
    pytestconfig: pytest.Config,
) -> None:
    duration_s = pytestconfig.getoption("--chaos-seconds")
    seed = pytestconfig.getoption("--chaos-seed") + standby_replicas
    broker = start_broker(tmp_path / "broker")
    try:
        make_topics(broker.address)
        settings = {
            "session_timeout_ms": int(SESSION_S * 1000),
            "standby_replicas": standby_replicas,
        }
        environment = {SETTINGS: json.dumps(settings)}
        numbers, watch = Input(broker.address, seed), Watch(broker.address)
        with (
            Workers(
                TARGET, broker.address, tmp_path / "workers", environment=environment
            ) as workers,
            watch.watching(),
        ):
            chaos = Chaos(seed, workers, broker, watch, SESSION_S)
            with numbers.coming():
                chaos.run(duration_s, restarts=max(1, round(duration_s / BETWEEN_RESTARTS_S)))
            watch.until_done(PATIENCE_S)
            workers.stop(*workers.running)
        print(
            f"\n{numbers.sent} numbers, {dict(chaos.happened)}, "
            f"longest wait of a partition {watch.longest_s:.1f} s"
        )
        check_outputs(broker.address, numbers.sent)
        assert chaos.happened["killed"] + chaos.happened["paused"] >= duration_s / 20
        assert watch.longest_s < SESSION_S + RESTORE_S
    finally:
        broker.end()


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
