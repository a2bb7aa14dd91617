"""The Java client; the stories themselves are in `java/Features.java`."""

import pytest
from millpond.tests.clients import driver, java_runtime
from millpond.tests.clients.features import FEATURES, each_feature

CLIENT = "Java"
VERSION = java_runtime.kafka_version()
MISSING = {
    "wrong leader epoch": "takes the epoch from the broker's metadata, so it is never wrong for long",
}

pytestmark = java_runtime.needs_jars()


@pytest.fixture(scope="module")
def errors(bootstrap: str) -> dict[str, str | None]:
    program = str(java_runtime.SOURCES / "Features.java")
    return driver.show_features(java_runtime.run_command(program), bootstrap)


@each_feature([name for name in FEATURES if name not in MISSING])
def test_feature(errors: dict[str, str | None], name: str) -> None:
    driver.check(errors, name)
