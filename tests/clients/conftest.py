"""Real, unmodified Kafka clients against a broker.

    make test-clients                                                     our broker
    .venv/bin/pytest tests/clients -m clients --broker kafka              Apache Kafka: what we expect is what it does
    .venv/bin/pytest tests/clients -m clients --broker HOST:PORT          one that runs already, with `brokers.SETTINGS`
    .venv/bin/pytest tests/clients -m clients --write-table               and write what came out to docs/clients.md

All tests of a process share one broker; each has its own topics and groups.
"""

import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any
from uuid import uuid4

import pytest
from confluent_kafka.admin import AdminClient, NewTopic
from millpond.tests.clients import brokers, java_runtime
from millpond.tests.clients.brokers import Broker
from millpond.tests.clients.faulty_network import FaultyNetwork
from millpond.tests.clients.table import TableWriter
from millpond.tests.clients.waiting import eventually

HERE = Path(__file__).parent
TEST_TIMEOUT_S = 90


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--broker", default="millpond", help="millpond, kafka, or HOST:PORT")
    parser.addoption("--write-table", action="store_true", help="write docs/clients.md")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--write-table", False) and not hasattr(config, "workerinput"):
        config.pluginmanager.register(TableWriter())


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents and hasattr(getattr(item, "module", None), "CLIENT"):
            item.add_marker(pytest.mark.clients)
            item.add_marker(pytest.mark.filterwarnings("ignore"))  # of the clients, not ours


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[Any]:
    """Tell in the report what the test shows, since reports travel to the process that writes the table."""
    report = yield
    client = getattr(getattr(item, "module", None), "CLIENT", None)
    if client is not None:
        shown = [name for mark in item.iter_markers("feature") for name in mark.args]
        report.user_properties.append(("shows", [client, shown]))
    return report


StartBroker = Callable[[Path], AbstractContextManager[Broker]]


@pytest.fixture(scope="session")
def start_broker(pytestconfig: pytest.Config) -> StartBroker:
    """Start brokers in directories, also ones in which one has run before."""
    which = pytestconfig.getoption("--broker", "millpond")
    if which == "kafka":
        return partial(brokers.apache_kafka, jars=java_runtime.JARS)
    if which == "millpond":
        return brokers.millpond
    return lambda _: pytest.skip(f"{which} is not ours to start")


@pytest.fixture(scope="session")
def broker(
    pytestconfig: pytest.Config,
    start_broker: StartBroker,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Broker]:
    which = pytestconfig.getoption("--broker", "millpond")
    if ":" in which:
        yield Broker(which, log_directory=None)
        return
    with start_broker(tmp_path_factory.mktemp("broker") / "data") as broker:
        yield broker


@pytest.fixture(scope="session")
def bootstrap(broker: Broker) -> str:
    return broker.address


@pytest.fixture(scope="session")
def admin(bootstrap: str) -> AdminClient:
    quiet = {"log_level": 2}  # it sees the broker stop before it ends itself
    return AdminClient({"bootstrap.servers": bootstrap, **quiet})


@pytest.fixture
def unique(request: pytest.FixtureRequest) -> Callable[[str], str]:
    """Make names of topics and groups that no other test has."""
    return lambda name: f"{name}-{uuid4().hex[:12]}"


@pytest.fixture
def make_topic(admin: AdminClient, unique: Callable[[str], str]) -> Callable[..., str]:
    """Create a topic, and return its name. It keeps what tests give timestamps long ago."""

    def make(partitions: int = 1, **config: str) -> str:
        topic = unique("topic")
        settings = {name.replace("_", "."): value for name, value in config.items()}
        new = NewTopic(topic, partitions, config={"retention.ms": "-1", **settings})
        admin.create_topics([new])[topic].result(20)
        eventually(lambda: topic in admin.list_topics(timeout=20).topics)  # Kafka: a bit later
        return topic

    return make


@pytest.fixture
def topic(make_topic: Callable[..., str]) -> str:
    return make_topic()


@pytest.fixture
def group(unique: Callable[[str], str]) -> str:
    return unique("group")


@pytest.fixture
def network(bootstrap: str) -> Iterator[Callable[..., FaultyNetwork]]:
    """Make networks that a test can break; see `faulty_network`."""
    with ExitStack() as stack:
        yield lambda **faults: stack.enter_context(FaultyNetwork(bootstrap, **faults))


@pytest.fixture(autouse=True)
def _timeout() -> Iterator[None]:
    """Let a test fail that a broker keeps waiting."""

    def give_up(_signal: int, _frame: FrameType | None) -> None:
        raise TimeoutError(f"not done within {TEST_TIMEOUT_S} s")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(TEST_TIMEOUT_S)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)
