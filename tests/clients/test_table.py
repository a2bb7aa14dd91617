"""The page `docs/clients.md` says what the suite contains. These tests need no broker and no client."""

import pytest
from millpond.tests.clients.table import (
    FAILED,
    PASSED,
    PATH,
    TableWriter,
    cells_written,
    gaps,
    render,
)


def test_every_feature_is_tested_with_every_client_or_its_absence_explained() -> None:
    assert gaps() == []


def test_the_committed_page_has_what_the_suite_has() -> None:
    """All but the outcomes, which it takes a broker to know, and the versions of the clients installed."""
    outcomes = {(client, name): cell == PASSED for name, client, cell in cells_written()}
    without_versions = [
        page.split("## Versions")[0] for page in (PATH.read_text(), render(outcomes))
    ]
    assert without_versions[0] == without_versions[1], "run `make clients-table`"


def test_a_feature_counts_as_passed_only_if_all_its_tests_pass() -> None:
    writer = TableWriter()
    for outcome in ("passed", "failed", "passed"):
        writer.pytest_runtest_logreport(_report(outcome))
    assert FAILED in render(writer._passed)


def _report(outcome: str) -> pytest.TestReport:
    report = pytest.TestReport("id", ("file", 1, "test"), {}, outcome, None, "call")  # type: ignore[arg-type]
    report.user_properties.append(("shows", ["kcat", ["gzip"]]))
    return report
