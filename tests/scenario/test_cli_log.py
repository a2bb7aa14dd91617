"""Commands about a log do the same to a directory and to a broker; and say what is wrong in one line."""

import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import anyio
import pytest
from confluent_kafka import Consumer
from millpond.log.embedded import EmbeddedLog
from millpond.log.errors import ConfigError
from millpond.log.model import CommittedOffset, NewRecord, TopicPartition, TopicSpec
from millpond.streams.cli import run
from millpond.streams.cli.place import Place, choose_place
from millpond.tests.twins.running_broker import RunningBroker

Captured = pytest.CaptureFixture[str]
Command = Callable[..., list[str]]

TIME = 1_700_000_000_000
ORDERS = TopicPartition("orders", 0)


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with twenty orders, of which a group has read five."""

    async def fill() -> None:
        async with EmbeddedLog.open(tmp_path / "log", durability="os") as log:
            await log.create_topics([TopicSpec("orders", 2, config={"cleanup.policy": "compact"})])
            records = [NewRecord(b"k", b'{"n": %d}' % n, TIME + n) for n in range(20)]
            await (await log.producer()).append({ORDERS: records})
            await log.commit_offsets("readers", {ORDERS: CommittedOffset(5, 1, "its own")})

    anyio.run(fill)
    for variable in ("MILLPOND_DATA", "MILLPOND_LOG"):
        monkeypatch.delenv(variable, raising=False)
    return tmp_path


@pytest.fixture(params=["--data", "--log"])
def place(request: pytest.FixtureRequest, data: Path) -> Iterator[tuple[str, str]]:
    """The same log: in its directory, and on a broker that serves that."""
    if request.param == "--data":
        yield "--data", str(data)
        return
    with RunningBroker(data / "log", durability="os") as broker:
        yield "--log", f"kafka://127.0.0.1:{broker.port}"


@pytest.fixture
def told(place: tuple[str, str], capsys: Captured) -> Command:
    """Run a command that has to succeed; return its lines."""

    def tell(*arguments: str) -> list[str]:
        code = run([*arguments, *place])
        out, err = capsys.readouterr()
        assert code == 0, err
        return out.splitlines()

    return tell


@pytest.fixture
def refused(place: tuple[str, str], capsys: Captured) -> Callable[..., str]:
    """Run a command that has to fail; return the one line that it says."""

    def refuse(*arguments: str, code: int = 2) -> str:
        assert run([*arguments, *place]) == code
        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith("error: ")
        assert err.count("\n") == 1
        return err

    return refuse


def test_what_is_in_it(told: Command) -> None:
    name, partitions, offsets, *size, cleanup = told("topics")[1].split()
    assert (name, partitions, offsets, cleanup) == ("orders", "2", "20", "compact")
    assert int(size[0]) > 0
    assert told("topics", "orders") == told("topics", "describe", "orders")
    assert told("topics", "orders")[3].split()[:4] == ["0", "0", "20", "20"]
    assert told("groups")[1].split() == ["readers", "1", "15", "orders"]
    assert told("groups", "readers")[1].split() == ["orders", "0", "5", "20", "15"]
    assert told("groups", "describe", "readers") == told("groups", "readers")
    assert [line[-9:] for line in told("tail", "orders", "-n", "2")] == ['{"n": 18}', '{"n": 19}']


def test_sending_and_reading_from_the_beginning(told: Command) -> None:
    assert told("send", "orders", "fresh", "-k", "k", "-p", "1") == [
        "sent 1 record to orders-1, offset 0"
    ]
    assert told("tail", "orders", "--from-beginning", "-p", "1")[0].endswith("fresh")
    assert len(told("tail", "orders", "--from-beginning")) == 21
    assert len(told("tail", "orders", "-n", "1", "--follow", "--since", "2013-07-01")) == 1


def test_a_topic_is_made_altered_and_deleted(told: Command, refused: Callable[..., str]) -> None:
    made = told("topics", "create", "pay", "--partitions", "2", "--config", "retention.ms=5000")
    assert made == ["made topic pay with 2 partitions"]
    assert told(
        "topics", "alter", "pay", "--config", "retention.ms=6000", "-c", "segment.ms=7000"
    ) == [
        "pay: retention.ms = 6000 (was 5000)",
        "pay: segment.ms = 7000 (was default)",
    ]
    altered = told("topics", "alter", "pay", "--unset", "segment.ms", "--partitions", "3")
    assert altered == ["pay: segment.ms = default (was 7000)", "pay: 3 partitions (was 2)"]
    described = told("topics", "pay")
    assert len([line for line in described if line.startswith("        ")]) == 3
    assert "  retention.ms = 6000" in described
    assert "add --yes" in refused("topics", "delete", "pay")
    assert told("topics", "delete", "pay", "--yes") == ["deleted topic pay"]
    assert [line.split()[0] for line in told("topics", "list")] == ["topic", "orders"]


def test_a_group_reads_on_from_elsewhere(told: Command) -> None:
    def reset(*arguments: str) -> list[str]:
        return told("groups", "reset", "readers", "--to", *arguments)[1].split()

    assert reset("earliest", "--dry-run") == ["orders", "0", "5", "0"]
    assert reset("2013-07-01") == ["orders", "0", "5", "0"]
    assert reset("7") == ["orders", "0", "0", "7"]
    assert reset(str(TIME + 3)) == ["orders", "0", "7", "3"]
    assert reset("latest") == ["orders", "0", "3", "20"]
    everywhere = told("groups", "reset", "readers", "--to", "earliest", "--topic", "orders")
    assert [line.split() for line in everywhere[1:]] == [
        ["orders", "0", "20", "0"],
        ["orders", "1", "none", "0"],
    ]
    assert told("groups", "readers")[1].split() == ["orders", "0", "0", "20", "20"]


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["tail", "ordrs"], "did you mean orders?"),
        (["topics", "nothing"], "there is orders"),
        (["topics", "create", "a/b"], "a/b"),
        (["topics", "create", "new", "--config", "retention.mz=1"], "retention.mz"),
        (["topics", "create", "new", "--config", "retention.ms"], "name=value"),
        (["topics", "alter", "orders"], "nothing to alter"),
        (["topics", "alter", "orders", "--unset", "segment.ms"], "cleanup.policy"),
        (["topics", "alter", "orders", "--partitions", "2"], "only be added"),
        (["topics", "delete", "nothing", "--yes"], "there is orders"),
        (["groups", "reset", "readrs", "--to", "latest"], "did you mean readers?"),
        (["groups", "reset", "readers", "--to", "99"], "orders-0 has the offsets 0 to 20"),
        (["groups", "reset", "readers", "--to", "soon"], "earliest, latest"),
    ],
)
def test_mistakes_are_told_in_one_line(
    refused: Callable[..., str], arguments: list[str], why: str
) -> None:
    assert why in refused(*arguments)


def test_a_group_with_members_is_not_reset(data: Path, capsys: Captured) -> None:
    with RunningBroker(data / "log", durability="os") as broker:
        address = f"127.0.0.1:{broker.port}"
        member = Consumer({"bootstrap.servers": address, "group.id": "readers"})
        member.subscribe(["orders"])
        while not member.assignment():
            member.poll(0.1)
        arguments = ["groups", "reset", "readers", "--to", "0", "--log", f"kafka://{address}"]
        assert run(arguments) == 1
        assert "'readers' has members" in capsys.readouterr().err
        member.close()
        assert run(arguments) == 0


def test_a_directory_that_a_broker_has_is_not_changed_past_it(data: Path, capsys: Captured) -> None:
    with RunningBroker(data / "log", durability="os"):
        assert run(["topics", "--data", str(data)]) == 0, "looking works beside it"
        capsys.readouterr()
        for arguments in (
            ["topics", "create", "new"],
            ["topics", "delete", "orders", "--yes"],
            ["groups", "reset", "readers", "--to", "latest"],
            ["send", "orders", "x"],
        ):
            assert run([*arguments, "--data", str(data)]) == 1
            assert "--log kafka://HOST:PORT instead of --data" in capsys.readouterr().err


def test_a_broker_that_does_not_answer_is_named(
    capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("millpond.streams.cli.place.CONNECT_S", 0.3)
    with socket.socket() as taken:  # bound, but nobody listens
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        assert run(["topics", "--log", f"kafka://{address}"]) == 1
    err = capsys.readouterr().err
    assert f"no broker answers at {address}" in err
    assert "Connection refused" in err
    assert "millpond broker" in err
    assert err.count("\n") == 1


# -- which log is meant ------------------------------------------------------------------------


def chosen(data: str | None, url: str | None, **environment: str) -> Place:
    return choose_place(None if data is None else Path(data), url, environment, "MILLPOND_DATA")


def test_an_option_counts_before_a_variable() -> None:
    broker = "kafka://broker"
    assert chosen(None, None) == Place(Path("data"))
    assert chosen(None, None, MILLPOND_LOG=broker) == Place(Path("data"), broker)
    assert chosen("d", None, MILLPOND_LOG=broker) == Place(Path("d"))
    assert chosen("d", None, MILLPOND_LOG=broker, MILLPOND_DATA="d").url == broker
    assert chosen("d", "kafka://other", MILLPOND_DATA="d", MILLPOND_LOG=broker).url == (
        "kafka://other"
    )
    with pytest.raises(ConfigError, match="two logs"):
        chosen("d", broker)
