"""The pipelines in Pathway: a minibatch each second; inputs and positions kept, so state is made again.

Runs in its own environment: ``python pathway_flow.py PIPELINE ADDRESS INPUT OUTPUT GROUP DIRECTORY COUNT``.
It ends by itself at the end of the input. It commits nothing to the broker, so it prints itself when it
begins to read: its engine says so in a line of its log.

Nothing is sent to Pathway's hosts: there is no telemetry without a license key, and one that is in the
environment is not used. Snapshots of operators' state need a key, so what persists is the inputs, from
which the state is made again, and the positions.
"""

import logging
import os
import sys
import time

import pathway as pw

WINDOW_MS, GRACE_MS, AMOUNT_MAX = 10_000, 2000, 50
COMMIT_MS = 1000
ABOUT_TO_READ = "read_snapshot"


class User(pw.Schema):
    """What the count reads of an event: only named fields are parsed and kept."""

    user: str


class Amount(User):
    """What the sums read of an event."""

    amount: int
    at: int


class Event(Amount):
    """All of an event. No column may be called ``id``, which is Pathway's own."""

    number: int
    currency: str
    shop: str


SCHEMAS = {"stateless": Event, "count": User, "window-sum": Amount}


def main(
    pipeline: str, address: str, source: str, sink: str, group: str, directory: str, _count: str
) -> None:
    pw.set_license_key(None)
    pw.set_monitoring_config(server_endpoint=None)
    broker = {"bootstrap.servers": address}
    events = pw.io.kafka.read(
        {**broker, "group.id": group, "auto.offset.reset": "earliest"},
        source,
        schema=SCHEMAS[pipeline],
        format="json",
        json_field_paths={"number": "/id"} if pipeline == "stateless" else None,
        mode="static",
        autocommit_duration_ms=COMMIT_MS,
        name="events",
    )
    to_sink = {**broker, "linger.ms": "20", "enable.idempotence": "true"}
    if pipeline == "stateless":
        picked = events.filter(events.amount < AMOUNT_MAX)
        pw.io.kafka.write(picked, to_sink, sink, format="json", key=picked.user)
    elif pipeline == "count":
        counts = events.groupby(events.user).reduce(events.user, count=pw.reducers.count())
        pw.io.null.write(counts)
    else:
        windows = events.windowby(
            events.at,
            window=pw.temporal.tumbling(duration=WINDOW_MS),
            instance=events.user,
            behavior=pw.temporal.exactly_once_behavior(shift=GRACE_MS),
        )
        sums = windows.reduce(
            user=pw.this["_pw_instance"],
            start=pw.this["_pw_window_start"],
            total=pw.reducers.sum(pw.this.amount),
        )
        pw.io.kafka.write(sums, to_sink, sink, format="json", key=sums.user)
    kept = pw.persistence.Config(
        pw.persistence.Backend.filesystem(f"{directory}/kept"), snapshot_interval_ms=COMMIT_MS
    )
    tell()
    logging.basicConfig(level=logging.INFO, handlers=[Begun()])
    pw.run(monitoring_level=pw.MonitoringLevel.NONE, persistence_config=kept)
    # All is done: what remains is that an interpreter with many modules goes away, a second at times.
    os._exit(0)


class Begun(logging.Handler):
    """Tells when the engine says that it begins to read: what it told before does not count then."""

    def emit(self, record):
        if ABOUT_TO_READ in record.getMessage():
            tell()


def tell():
    print(f"first {time.monotonic()} {time.process_time()}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
