"""Several processes under one: none is lost from sight, none is left behind.

A supervisor is about its own process and its signals, so here it has one, with small programs for
workers. What they do beyond printing goes to `events`, a line each.
"""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import anyio
import pytest
from confluent_kafka import Producer
from millpond.log.cluster.cluster_log import ClusterLog
from millpond.log.embedded import EmbeddedLog
from millpond.log.errors import LogLocked
from millpond.log.model import TopicPartition
from millpond.streams.app import App
from millpond.streams.cli import run
from millpond.streams.cli.look import read_batches
from millpond.streams.cli.supervisor import Pauses
from millpond.streams.cli.workers import instance_of
from millpond.streams.settings import Settings

PARENT = """
import sys
from millpond.streams.cli.supervisor import Pauses, Supervisor

class Program:
    def __init__(self, label):
        self.label = label
        self.ready = False

    def arguments(self):
        return [self.label]

    def hear(self, line):
        self.ready = self.ready or line == "ready"

*labels, broker = sys.argv[1:]
supervisor = Supervisor(launcher=(sys.executable, "child.py"), pauses=Pauses(0.01, 0.05))
code = supervisor.run(
    lambda: [Program(label) for label in labels], Program(broker) if broker else None
)
sys.exit(code)
"""

CHILD = """
import os, signal, sys, time
from pathlib import Path

label = sys.argv[-1]

def note(what):
    with open("events", "a") as file:
        file.write(f"{label} {what}\\n")

def until_told():
    def end(number, frame):
        note(signal.Signals(number).name)
        sys.exit(0)
    signal.signal(signal.SIGTERM, end)
    note(f"runs {os.getpid()}")
    while True:
        time.sleep(60)

"""

FOR_REAL = "from millpond.streams.cli.supervised import end_with_supervisor\n"
FOR_REAL += "end_with_supervisor(sys.argv[1:])\n"


class Family:
    """A supervisor with its workers."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.parent: subprocess.Popen[str]

    def start(self, body: str, *labels: str, broker: str = "") -> None:
        """Start workers that do this, each with a label."""
        (self.directory / "child.py").write_text(CHILD + body)
        (self.directory / "events").touch()
        self.parent = subprocess.Popen(
            [sys.executable, "-c", PARENT, *labels, broker],
            cwd=self.directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            process_group=0,
        )

    def events(self) -> list[str]:
        return (self.directory / "events").read_text().splitlines()

    def pids(self) -> list[int]:
        return [int(event.split()[-1]) for event in self.events() if " runs " in event]

    def wait_until(self, holds: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 30
        while not holds():
            assert time.monotonic() < deadline, self.events()
            time.sleep(0.01)

    def wait_until_running(self, count: int) -> None:
        self.wait_until(lambda: len(self.pids()) == count)

    def ended(self) -> tuple[int, list[str], list[str]]:
        """Wait for the end; return exit code and lines."""
        out, err = self.parent.communicate(timeout=30)
        return self.parent.returncode, out.splitlines(), err.splitlines()


@pytest.fixture
def family(tmp_path: Path) -> Iterator[Family]:
    family = Family(tmp_path)
    yield family
    family.parent.kill()
    family.parent.communicate()
    for pid in family.pids():
        if is_alive(pid):
            os.kill(pid, signal.SIGKILL)


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def test_lines_are_told_apart_and_none_is_lost(family: Family) -> None:
    family.start(
        """
for number in range(20_000):
    print(number, "x" * (number % 100))
    print(number, "on stderr", file=sys.stderr)
print("é" * 100_000)
print("no end of line", end="")
""",
        "1",
        "2",
    )
    code, out, err = family.ended()
    assert code == 0
    for label in ("[1] ", "[2] "):
        lines = [line.removeprefix(label) for line in out if line.startswith(label)]
        assert lines[:20_000] == [f"{n} {'x' * (n % 100)}" for n in range(20_000)]
        assert "".join(lines[20_000:]) == "é" * 100_000 + "no end of line"
        told = [line.removeprefix(label) for line in err if line.startswith(label)]
        assert told == [f"{n} on stderr" for n in range(20_000)]
    rest = sorted(line for line in err if not line.startswith("["))
    assert rest == [f"millpond: worker {n} was stopped, and stays away" for n in (1, 2)]


def test_who_fails_is_started_again(family: Family) -> None:
    family.start(
        """
note("begins")
times = Path("events").read_text().count(f"{label} begins")
if label == "2" and times == 3:
    os.kill(os.getpid(), signal.SIGKILL)
sys.exit(3 if label == "2" and times < 5 else 0)
""",
        "1",
        "2",
    )
    code, _out, err = family.ended()
    assert code == 0
    assert sorted(family.events()) == ["1 begins", *["2 begins"] * 5]
    assert [line for line in err if "worker 2" in line] == [
        "millpond: worker 2 ended with code 3: it is started again in 0.01 s",
        "millpond: worker 2 ended with code 3, 2 times in a row: it is started again in 0.02 s",
        "millpond: worker 2 ended by SIGKILL, 3 times in a row: it is started again in 0.04 s",
        "millpond: worker 2 ended with code 3, 4 times in a row: it is started again in 0.05 s",
        "millpond: worker 2 was stopped, and stays away",
    ]


def test_pauses_double_up_to_a_limit() -> None:
    pauses = Pauses()
    assert [pauses.after(n) for n in (1, 2, 3, 6, 7, 8, 10_000)] == [0.5, 1, 2, 16, 30, 30, 30]


def test_a_wrong_configuration_ends_all(family: Family) -> None:
    family.start(
        """
if label == "1":
    until_told()
while "1 runs" not in Path("events").read_text():
    time.sleep(0.01)
sys.exit(2)
""",
        "1",
        "2",
    )
    code, _out, err = family.ended()
    assert code == 2
    assert family.events()[-1] == "1 SIGTERM"
    assert err == ["millpond: worker 2 can't work like this, so all of them stop"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_signal_lets_all_finish(family: Family, number: int) -> None:
    family.start("until_told()", "1", "2")
    family.wait_until_running(2)
    os.killpg(family.parent.pid, number)  # as a terminal does
    assert family.ended() == (0, [], [])
    assert sorted(family.events()[2:]) == ["1 SIGTERM", "2 SIGTERM"]


def test_who_does_not_stop_in_order_decides_the_code(family: Family) -> None:
    family.start(
        """
signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(int(label)))
note(f"runs {os.getpid()}")
time.sleep(60)
""",
        "0",
        "7",
    )
    family.wait_until_running(2)
    family.parent.terminate()
    assert family.ended()[0] == 7


def test_a_second_signal_ends_all_at_once(family: Family) -> None:
    family.start(
        """
signal.signal(signal.SIGTERM, lambda number, frame: note("won't"))
if os.fork() == 0:
    label += "'s child"
note(f"runs {os.getpid()}")
while True:
    time.sleep(60)
""",
        "1",
    )
    family.wait_until_running(2)
    family.parent.terminate()
    family.wait_until(lambda: "1 won't" in family.events())
    family.parent.send_signal(signal.SIGINT)
    code, _out, err = family.ended()
    assert (code, err) == (130, ["stopped at once"])
    family.wait_until(lambda: not any(map(is_alive, family.pids())))


def test_signals_arrive_though_nobody_reads_what_is_printed(family: Family) -> None:
    family.start(
        """
import threading

def chatter():
    while True:
        os.write(1, b"x" * 1000 + b"\\n")
        Path("last").write_text(str(time.monotonic()))

threading.Thread(target=chatter, daemon=True).start()
until_told()
""",
        "1",
    )
    family.wait_until_running(1)
    last = family.directory / "last"
    family.wait_until(
        lambda: last.exists() and time.monotonic() - float(last.read_text() or "inf") > 0.3
    )
    family.parent.terminate()
    family.wait_until(lambda: family.events()[-1] == "1 SIGTERM")
    assert family.ended()[0] == 0


def test_nobody_outlives_a_supervisor_that_is_killed(family: Family) -> None:
    family.start(
        FOR_REAL
        + """
if label == "broker":
    print("ready", flush=True)
    until_told()

def slowly(number, frame):
    print("to nobody", flush=True)
    time.sleep(0.2)  # while the broker is still needed
    note("SIGTERM")
    sys.exit(0)

signal.signal(signal.SIGTERM, slowly)
note(f"runs {os.getpid()}")
while True:
    time.sleep(60)
""",
        "1",
        "2",
        broker="broker",
    )
    family.wait_until_running(3)
    family.parent.kill()
    family.wait_until(lambda: not any(map(is_alive, family.pids())))
    assert sorted(family.events()[3:5]) == ["1 SIGTERM", "2 SIGTERM"]
    assert family.events()[5:] == ["broker SIGTERM"]


def test_a_broker_comes_first_comes_again_and_goes_last(family: Family) -> None:
    family.start(
        """
if label == "broker":
    print("ready", flush=True)
until_told()
""",
        "1",
        broker="broker",
    )
    family.wait_until_running(2)
    os.kill(family.pids()[0], signal.SIGKILL)
    family.wait_until_running(3)
    family.parent.terminate()
    code, out, err = family.ended()
    assert code == 0
    told = [event.split()[:2] for event in family.events()]
    assert told == [
        ["broker", "runs"],
        ["1", "runs"],
        ["broker", "runs"],
        ["1", "SIGTERM"],
        ["broker", "SIGTERM"],
    ]
    assert out == ["[broker] ready"] * 2
    assert err == ["millpond: the broker ended by SIGKILL: it is started again in 0.01 s"]


def test_a_broker_that_does_not_start_is_the_end(family: Family) -> None:
    family.start("print('error: locked', file=sys.stderr); sys.exit(1)", "1", broker="broker")
    assert family.ended() == (1, [], ["[broker] error: locked"])


# -- an app, its broker and its workers --------------------------------------------------------

SHOP = """
import millpond as mp

app = mp.App("shop", data="data")
orders = app.topic("orders", key=str, value=int, partitions=4)
out = app.topic("out", key=str, value=int, partitions=4)
counts = app.Table("counts", key=str, value=int, default=int)


@app.agent(orders)
async def count(stream):
    async for event in stream.events():
        counts[event.key] += 1
        await out.send(key=event.key, value=counts[event.key])
        print(f"counted {event.key}")
"""

KEYS = [f"user-{number}" for number in range(40)]


class Shop(Family):
    """The same with a real app in its directory."""

    def start_workers(self, *options: str) -> None:
        (self.directory / "shop.py").write_text(SHOP)
        (self.directory / "events").touch()
        command = [sys.executable, "-m", "millpond.streams.cli", "worker", "shop:app", *options]
        hidden = {"MILLPOND_DATA", "MILLPOND_LOG", "MILLPOND_INSTANCE"}
        with (self.directory / "said").open("wb") as said:
            self.parent = subprocess.Popen(
                command,
                cwd=self.directory,
                env={name: value for name, value in os.environ.items() if name not in hidden},
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
            )

    def said(self) -> list[str]:
        return (self.directory / "said").read_text().splitlines()

    def wait_until_said(self, what: str, times: int = 1) -> None:
        self.wait_until(lambda: sum(what in line for line in self.said()) >= times)

    def pids(self) -> list[int]:
        """Return the processes that work in the directory."""
        found = []
        for path in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if (path / "cwd").readlink() == self.directory:
                    found.append(int(path.name))
        return found

    def pid_of(self, argument: str) -> int:
        """Return the process that was told something."""
        pids = [
            pid
            for pid in self.pids()
            if argument in Path(f"/proc/{pid}/cmdline").read_text().split("\0")
        ]
        assert len(pids) == 1
        return pids[0]

    def address(self) -> str:
        """Return where the workers' broker is."""
        found = re.search(r"127\.0\.0\.1:\d+", self.said()[0])
        assert found is not None
        return found[0]

    def send(self, count: int) -> None:
        """Send so many orders of each user."""
        producer = Producer({"bootstrap.servers": self.address(), "partitioner": "murmur2_random"})
        for _ in range(count):
            for key in KEYS:
                producer.produce("orders", b"1", key)
        assert producer.flush(30) == 0

    def is_settled(self) -> bool:
        """Return whether all orders are processed and committed."""

        async def look() -> bool:
            async with ClusterLog.open(f"kafka://{self.address()}") as log:
                committed = await log.committed_offsets("shop.count")
                partitions = [TopicPartition("orders", number) for number in range(4)]
                ends = await log.end_offsets(partitions)
                return ends == {each: offset.offset for each, offset in committed.items()}

        return anyio.run(look)

    def counted(self) -> dict[str, list[int]]:
        """Return what came out, by user."""
        found: dict[str, list[int]] = {}

        async def read() -> None:
            async with EmbeddedLog.open(self.directory / "data/log") as log:
                partitions = [TopicPartition("out", number) for number in range(4)]
                starts, ends = (
                    await log.start_offsets(partitions),
                    await log.end_offsets(partitions),
                )
                async for _partition, records in read_batches(log, starts, ends):
                    for record in records:
                        assert record.key is not None
                        assert record.value is not None
                        found.setdefault(record.key.decode(), []).append(int(record.value))

        anyio.run(read)
        return found


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    shop = Shop(tmp_path)
    yield shop
    shop.parent.kill()
    shop.parent.wait()
    for pid in shop.pids():
        os.kill(pid, signal.SIGKILL)


def test_two_workers_share_a_directory_and_count_each_event_once(shop: Shop) -> None:
    shop.start_workers("-n", "2")
    shop.wait_until_said("ready after", 2)
    shop.send(5)
    shop.wait_until_said("counted", 200)
    instance = (shop.directory / "data/shop.instance").read_text().split()[0]
    os.kill(shop.pid_of(f"{instance}.1"), signal.SIGKILL)
    shop.send(5)
    shop.wait_until_said("ready after", 3)
    shop.wait_until(shop.is_settled)
    shop.parent.terminate()
    assert shop.parent.wait(30) == 0, shop.said()
    assert shop.pids() == []
    assert {line.split()[0] for line in shop.said() if "counted" in line} == {"[1]", "[2]"}
    shop.start_workers()  # one process on the directory itself goes on where they ended
    shop.wait_until_said("ready after")
    shop.parent.terminate()
    assert shop.parent.wait(30) == 0
    assert shop.said()[-1] == "millpond: stopped in order after 0 events"
    assert shop.counted() == {key: list(range(1, 11)) for key in KEYS}


def test_a_directory_in_use_is_told_as_by_a_single_worker(shop: Shop) -> None:
    async def meanwhile() -> int:
        async with EmbeddedLog.open(shop.directory / "data/log"):
            shop.start_workers("-n", "2")
            return await anyio.to_thread.run_sync(shop.parent.wait, 30)

    assert anyio.run(meanwhile) == 1
    (line,) = shop.said()
    assert line.startswith("[broker] error: log directory")
    assert f"pid {os.getpid()}" in line


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--log", "localhost:9092"], "'localhost:9092'"),
        (["--instance", "a b"], "'a b'"),
        (["--log", "kafka://localhost:1", "--data", "/dev/null/x"], "/dev/null/x"),
    ],
)
def test_what_is_wrong_is_told_before_anything_is_started(
    options: list[str],
    told: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "supervised_shop.py").write_text(SHOP)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "supervised_shop", raising=False)
    assert run(["worker", "supervised_shop:app", "-n", "2", *options]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert told in err


def test_workers_keep_their_names_and_nobody_else_takes_them(tmp_path: Path) -> None:
    app = App("shop", data=tmp_path / "data")
    with instance_of(app) as name:
        with pytest.raises(LogLocked, match=f"pid {os.getpid()}"), instance_of(app):
            pass
        with instance_of(App("other", data=app.data)) as other:
            assert other != name
        chosen = App("shop", data=app.data, settings=Settings(instance="chosen"))
        with instance_of(chosen) as own:
            assert own == "chosen"
    with instance_of(app) as again:
        assert again == name
