"""The page `docs/clients.md` says what the suite contains. These tests need no broker and no client."""

import pytest
from millpond.tests.clients.features import FEATURES
from millpond.tests.clients.table import (
    FAILED,
    NOT_RUN,
    PASSED,
    TableWriter,
    cells_written,
    client_modules,
    gaps,
    render,
)


def test_every_feature_is_tested_with_every_client_or_its_absence_explained() -> None:
    assert gaps() == []


def test_the_committed_page_has_the_features_and_clients_of_the_suite() -> None:
    written = {(name, client): cell for name, client, cell in cells_written()}
    modules = client_modules()
    assert set(written) == {(name, module.CLIENT) for name in FEATURES for module in modules}
    for module in modules:
        for name in FEATURES:
            expected = "–" if name in module.MISSING else PASSED + FAILED + NOT_RUN
            assert written[name, module.CLIENT][0] in expected, (name, module.CLIENT)


def test_a_feature_counts_as_passed_only_if_all_its_tests_pass() -> None:
    writer = TableWriter()
    for outcome in ("passed", "failed", "passed"):
        writer.pytest_runtest_logreport(_report(outcome))
    assert "✗" in render(writer._passed)


def _report(outcome: str) -> pytest.TestReport:
    report = pytest.TestReport("id", ("file", 1, "test"), {}, outcome, None, "call")  # type: ignore[arg-type]
    report.user_properties.append(("shows", ["kcat", ["gzip"]]))
    return report
