"""Clients in other languages: one process shows all features, and a test asks for each.

Starting node or a JVM for each feature would take most of the time. The program prints a line of JSON for each feature,
in whatever order they come to an end: `{"feature": "gzip", "error": null}`.
"""

import json
import subprocess
from contextlib import ExitStack

import pytest
from millpond.tests.clients.faulty_network import FaultyNetwork

TIMEOUT_S = 120


def show_features(command: list[str], broker: str) -> dict[str, str | None]:
    """Return for each feature what went wrong with it."""
    with ExitStack() as stack:
        faulty = stack.enter_context(
            FaultyNetwork(broker, seed=15, cuts_max=20, bytes_between_cuts=30_000)
        )
        doomed = [stack.enter_context(FaultyNetwork(broker)) for _ in range(3)]
        settings = {
            "broker": broker,
            "faulty": faulty.address,
            "doomed": [each.address for each in doomed],
        }
        done = subprocess.run(
            [*command, json.dumps(settings)], capture_output=True, text=True, timeout=TIMEOUT_S
        )
        assert done.returncode == 0, done.stderr
        shown = [
            json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"feature')
        ]
        errors: dict[str, str | None] = {each["feature"]: each["error"] for each in shown}
        if faulty.cuts < 3:
            errors["idempotence"] = errors["idempotence"] or f"only {faulty.cuts} connections broke"
        return errors


def check(errors: dict[str, str | None], name: str) -> None:
    """Fail with what the program told about a feature, if anything went wrong with it."""
    if errors[name] is not None:
        pytest.fail(str(errors[name]), pytrace=False)
