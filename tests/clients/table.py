"""The table of clients and features in `docs/clients.md`: written by a run, and compared with the tests by every other.

A cell is ✓ or ✗ as the tests came out, or a note that says why this client has no such feature.
"""

import importlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType

import pytest
from millpond.tests.clients.features import FEATURES, SECTIONS, features_shown

PATH = Path(__file__).parents[2] / "docs" / "clients.md"
MODULES = [
    "kcat",
    "confluent",
    "aiokafka",
    "kafka_python",
    "kafkajs",
    "platformatic",
    "java",
    "kafka_tools",
]
PASSED, FAILED, NOT_RUN = "✓", "✗", "?"

HEAD = """\
# Kafka clients

What unmodified Kafka clients do with Millpond's broker. Each ✓ is a test in `tests/clients` that passed when this
page was written, by `make clients-table`; a run of `make test` compares the page with the tests. The same tests pass
against Apache Kafka 4.1.1 (`pytest tests/clients -m clients --broker kafka`): what they expect is what it does.
"""

Outcomes = Mapping[tuple[str, str], bool]


class TableWriter:
    """Collects what came out of a run, and writes the page at its end."""

    def __init__(self) -> None:
        self._passed: dict[tuple[str, str], bool] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.skipped or (report.when != "call" and report.passed):
            return
        for key, shown in report.user_properties:
            if key == "shows":
                client, names = shown
                for name in names:
                    cell = (client, name)
                    self._passed[cell] = self._passed.get(cell, True) and report.passed

    def pytest_sessionfinish(self) -> None:
        PATH.parent.mkdir(exist_ok=True)
        PATH.write_text(render(self._passed))


def client_modules() -> list[ModuleType]:
    """Return the test modules, one for each client."""
    return [importlib.import_module(f"millpond.tests.clients.test_{name}") for name in MODULES]


def render(passed: Outcomes) -> str:
    """Return the page."""
    clients = client_modules()
    notes: dict[str, int] = {}
    lines = [HEAD]
    for section, features in SECTIONS.items():
        lines += [f"## {section}", ""]
        lines.append("| | " + " | ".join(module.CLIENT for module in clients) + " |")
        lines.append("|---|" + ":-:|" * len(clients))
        for name, meaning in features.items():
            cells = [_cell(module, name, passed, notes) for module in clients]
            lines.append(f"| **{name}**: {meaning} | " + " | ".join(cells) + " |")
        lines.append("")
    lines += ["## Why not", ""]
    lines += [f"{number}. {why}" for why, number in notes.items()]
    lines += ["", "## Versions", "", *(f"- {module.CLIENT} {module.VERSION}" for module in clients)]
    return "\n".join(lines) + "\n"


def _cell(module: ModuleType, name: str, passed: Outcomes, notes: dict[str, int]) -> str:
    if name in module.MISSING:
        number = notes.setdefault(f"{module.CLIENT}: {module.MISSING[name]}", len(notes) + 1)
        return f"–[{number}](#why-not)"
    outcome = passed.get((module.CLIENT, name))
    return NOT_RUN if outcome is None else PASSED if outcome else FAILED


def cells_written() -> Iterator[tuple[str, str, str]]:
    """Return feature, client and content of each cell of the committed page."""
    clients: list[str] = []
    for line in PATH.read_text().splitlines():
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        if line.startswith("| |"):
            clients = cells[1:]
        elif line.startswith("| **"):
            name = cells[0].split("**")[1]
            yield from (
                (name, client, cell) for client, cell in zip(clients, cells[1:], strict=True)
            )


def gaps() -> list[str]:
    """Return what is wrong with the suite itself: features neither shown nor explained, or both."""
    wrong = []
    for module in client_modules():
        shown, missing = features_shown(module), set(module.MISSING)
        wrong += [
            f"{module.CLIENT}: no test for {n!r}" for n in FEATURES if n not in shown | missing
        ]
        wrong += [
            f"{module.CLIENT}: {n!r} is tested, yet said to be missing" for n in shown & missing
        ]
        wrong += [f"{module.CLIENT}: {n!r} is no feature" for n in missing.difference(FEATURES)]
    return wrong
