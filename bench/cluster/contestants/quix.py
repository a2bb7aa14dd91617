"""The pipelines in Quix Streams: exactly once, a checkpoint each second.

Runs in its own environment: ``python quix.py PIPELINE ADDRESS INPUT OUTPUT GROUP DIRECTORY COUNT``.
"""

import sys

from quixstreams import Application

WINDOW_MS, GRACE_MS, AMOUNT_MAX = 10_000, 2_000, 50


def main(
    pipeline: str, address: str, source: str, sink: str, group: str, directory: str, _count: str
) -> None:
    app = Application(
        broker_address=address,
        consumer_group=group,
        auto_offset_reset="earliest",
        processing_guarantee="exactly-once",
        commit_interval=1.0,
        state_dir=directory,
        loglevel="WARNING",
    )
    events = app.topic(source, key_deserializer="str", value_deserializer="json")
    out = app.topic(sink, key_serializer="str", value_serializer="json")
    frame = app.dataframe(events)
    if pipeline == "stateless":
        frame.filter(lambda event: event["amount"] < AMOUNT_MAX).to_topic(out)
    elif pipeline == "count":
        frame.update(count, stateful=True)
    else:
        amounts = frame.apply(lambda event: event["amount"])
        windows = amounts.tumbling_window(WINDOW_MS, grace_ms=GRACE_MS).sum()
        final = windows.final(closing_strategy="partition")
        final.apply(
            lambda window, key, _time, _headers: {
                "user": key,
                "start": window["start"],
                "total": window["value"],
            },
            metadata=True,
        ).to_topic(out)
    app.run()


def count(_event, state):
    state.set("count", state.get("count", 0) + 1)


if __name__ == "__main__":
    main(*sys.argv[1:])
