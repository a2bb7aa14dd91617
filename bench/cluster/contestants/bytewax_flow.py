"""The pipelines in Bytewax: a snapshot of positions and state each second; outputs at least once.

Runs in its own environment: ``python bytewax_flow.py PIPELINE ADDRESS INPUT OUTPUT GROUP DIRECTORY COUNT``.
It ends by itself at the end of the input. It commits nothing to the broker, so it prints itself when
its first batch has come.
"""

import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
from bytewax import operators as op
from bytewax.connectors.kafka import KafkaSink, KafkaSinkMessage, KafkaSource
from bytewax.dataflow import Dataflow
from bytewax.operators import windowing
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.run import cli_main

WINDOW, GRACE, AMOUNT_MAX = timedelta(seconds=10), timedelta(seconds=2), 50
ALIGN_TO = datetime(2020, 1, 1, tzinfo=UTC)
BATCH = 1000


def main(
    pipeline: str, address: str, source: str, sink: str, _group: str, directory: str, _count: str
) -> None:
    flow = Dataflow("bench")
    settings = {"fetch.message.max.bytes": "1048576"}
    events = op.input(
        "events",
        flow,
        KafkaSource([address], [source], tail=False, batch_size=BATCH, add_config=settings),
    )
    out = KafkaSink([address], sink, add_config={"enable.idempotence": "true", "linger.ms": "20"})
    if pipeline == "stateless":
        op.output("out", op.flat_map_batch("pick", events, Noted(pick)), out)
    elif pipeline == "count":
        users = op.flat_map_batch("users", events, Noted(users_of))
        counts = op.stateful_map("count", users, count)
        op.inspect("end", op.filter("none", counts, lambda _: False))
    else:
        amounts = op.flat_map_batch("amounts", events, Noted(amounts_of))
        windows = windowing.fold_window(
            "sum",
            amounts,
            # Of old events every key would be due at every turn: no key is to be woken by the clock.
            windowing.EventClock(lambda event: event[1], GRACE, to_system_utc=lambda _: None),
            windowing.TumblingWindower(length=WINDOW, align_to=ALIGN_TO),
            builder=int,
            folder=lambda total, event: total + event[0],
            merger=lambda one, two: one + two,
            ordered=False,
        )
        op.output("out", op.map("finals", windows.down, final), out)
    recovery = Path(directory) / "recovery"
    recovery.mkdir(parents=True)
    init_db_dir(recovery, 1)
    cli_main(
        flow,
        epoch_interval=timedelta(seconds=1),
        recovery_config=RecoveryConfig(str(recovery), backup_interval=timedelta(0)),
    )


class Noted:
    """A step on whole batches that prints when the first one comes."""

    def __init__(self, step):
        self.step, self.begun = step, False

    def __call__(self, batch):
        if not self.begun:
            self.begun = True
            print(f"first {time.monotonic()} {time.process_time()}", flush=True)
        return self.step(batch)


def pick(batch):
    picked = []
    for message in batch:
        event = orjson.loads(message.value)
        if event["amount"] < AMOUNT_MAX:
            picked.append(KafkaSinkMessage(event["user"].encode(), orjson.dumps(event)))
    return picked


def users_of(batch):
    return [(orjson.loads(message.value)["user"], None) for message in batch]


def count(state, _event):
    state = (state or 0) + 1
    return state, state


def amounts_of(batch):
    amounts = []
    for message in batch:
        event = orjson.loads(message.value)
        at = datetime.fromtimestamp(message.timestamp[1] / 1000, UTC)
        amounts.append((event["user"], (event["amount"], at)))
    return amounts


def final(window):
    user, (number, total) = window
    start = int((ALIGN_TO + number * WINDOW).timestamp() * 1000)
    value = orjson.dumps({"user": user, "start": start, "total": total})
    return KafkaSinkMessage(user.encode(), value)


if __name__ == "__main__":
    main(*sys.argv[1:])
