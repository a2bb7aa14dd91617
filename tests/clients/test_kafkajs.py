"""KafkaJS; the stories themselves are in `js/kafkajs.mjs`."""

import pytest
from millpond.tests.clients import driver, javascript
from millpond.tests.clients.features import FEATURES, each_feature

CLIENT = "KafkaJS"
VERSION = javascript.version_of("kafkajs")
NO_KIP_848 = "has only the classic protocol"
MISSING = {
    "classic: static member": "has no instance ids",
    "classic: cooperative": "has only eager assignors",
    "KIP-848: join and leave": NO_KIP_848,
    "KIP-848: crash": NO_KIP_848,
    "KIP-848: static member": NO_KIP_848,
    "KIP-848: commit and resume": NO_KIP_848,
    "fenced member": "has no instance ids",
    "describe transactions": "has no such call",
    "out of range": "always goes on by its reset policy",
    "wrong leader epoch": "sends no leader epochs",
}

pytestmark = javascript.needs_packages()


@pytest.fixture(scope="module")
def errors(bootstrap: str) -> dict[str, str | None]:
    return driver.show_features(["node", str(javascript.FOLDER / "kafkajs.mjs")], bootstrap)


@each_feature([name for name in FEATURES if name not in MISSING])
def test_feature(errors: dict[str, str | None], name: str) -> None:
    driver.check(errors, name)
