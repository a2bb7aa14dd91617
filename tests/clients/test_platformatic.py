"""@platformatic/kafka, which speaks only recent versions; the stories themselves are in `js/platformatic.mjs`."""

import pytest
from millpond.tests.clients import driver, javascript
from millpond.tests.clients.features import FEATURES, each_feature

CLIENT = "@platformatic/kafka"
VERSION = javascript.version_of("@platformatic/kafka")
NO_SECOND_PRODUCER = "a second producer of an id asks for epoch 0, and so is fenced itself"
MISSING = {
    "zstd": "needs Node 22.15",
    "classic: cooperative": "has only eager assignors",
    "KIP-848: static member": "leaves for good also when it has an instance id",
    "fencing": NO_SECOND_PRODUCER,
    "zombie": NO_SECOND_PRODUCER,
    "fenced member": "commits without its instance id, so it is told only to join again",
    "describe transactions": "has no such call",
}

pytestmark = javascript.needs_packages()


@pytest.fixture(scope="module")
def errors(bootstrap: str) -> dict[str, str | None]:
    return driver.show_features(["node", str(javascript.FOLDER / "platformatic.mjs")], bootstrap)


@each_feature([name for name in FEATURES if name not in MISSING])
def test_feature(errors: dict[str, str | None], name: str) -> None:
    driver.check(errors, name)
