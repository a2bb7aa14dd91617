"""The command line as its users meet it: a real worker, while others look into its directory."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

CLI = [sys.executable, "-m", "millpond.streams.cli"]

SHOP = """
import time
from datetime import timedelta

import anyio
import millpond as mp


class Order(mp.Record):
    id: int
    user: str


app = mp.App("shop", data="./data")
orders = app.topic("orders", key=str, value=Order, partitions=2)
blocking = app.topic("blocking", value=str)
counts = app.Table("counts", key=str, value=int, default=int)
minutes = app.Table("minutes", key=str, value=int, default=int).tumbling(
    timedelta(minutes=1), grace=timedelta(0)
)


@app.agent(orders)
async def count(stream):
    async for order in stream:
        check(order)
        counts[order.user] += 1
        minutes[order.user] += 1


def check(order):
    if order.id < 0:
        raise ValueError(f"order {order.id} is negative")


@app.agent(blocking)
async def block(stream):
    async for _ in stream:
        print("blocking", flush=True)
        time.sleep(60)


@app.task
async def feed():
    for number in range(100):
        await orders.send(key=f"user-{number % 4}", value=Order(number, f"user-{number % 4}"))
        await anyio.sleep(0.001)
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "shop.py").write_text(SHOP)
    return tmp_path


def environment() -> dict[str, str]:
    hidden = {"MILLPOND_DATA", "NO_COLOR", "FORCE_COLOR"}
    kept = {name: value for name, value in os.environ.items() if name not in hidden}
    return {**kept, "COLUMNS": "120", "PYTHONUNBUFFERED": "1"}


def call(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*CLI, *arguments],
        cwd=project,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


class Worker:
    """A worker in a process of its own; `said` is what it has written so far, on both streams."""

    def __init__(self, project: Path, *arguments: str) -> None:
        self.output = project / "worker.txt"
        with self.output.open("wb") as file:
            self.process = subprocess.Popen(
                [*CLI, "worker", *arguments],
                cwd=project,
                env=environment(),
                stdout=file,
                stderr=file,
            )

    @property
    def said(self) -> str:
        return self.output.read_text()

    def wait_until(self, holds: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 60
        while not holds():
            assert self.process.poll() is None, self.said
            assert time.monotonic() < deadline, self.said
            time.sleep(0.1)

    def wait_until_it_says(self, text: str) -> None:
        self.wait_until(lambda: text in self.said)

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def ended(self) -> int:
        return self.process.wait(60)


@pytest.fixture
def start(project: Path) -> Iterator[Callable[..., Worker]]:
    """Start workers, and leave none behind."""
    workers: list[Worker] = []

    def begin(*arguments: str) -> Worker:
        workers.append(Worker(project, *arguments))
        return workers[-1]

    yield begin
    for worker in workers:
        worker.process.kill()
        worker.process.wait(60)


def test_looking_into_the_directory_of_a_running_worker(
    project: Path, start: Callable[..., Worker]
) -> None:
    worker = start("shop:app")
    worker.wait_until_it_says("ready after")
    assert f"app shop on {project}/data, 3 tasks of 2 subtopologies" in worker.said

    def all_counted() -> bool:
        listed = call(project, "table", "list", "counts").stdout.split()
        return sum(int(word) for word in listed if word.isdecimal()) == 100

    worker.wait_until(all_counted)
    assert call(project, "table", "get", "counts", "user-3").stdout == "25\n"
    assert "user-3  " in call(project, "table", "list", "minutes").stdout
    topics = call(project, "topics").stdout
    assert "shop-counts-changelog" in topics
    tail = call(project, "tail", "orders", "-n", "100", "--format", "json").stdout
    ids = [json.loads(line)["value"]["id"] for line in tail.splitlines()]
    assert sorted(ids) == list(range(100))
    groups = {
        line.split()[0]: line.split()[1:3] for line in call(project, "groups").stdout.splitlines()
    }
    assert groups["shop.count"] == ["2", "0"]

    refused = call(project, "send", "orders", "{}")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert f"pid {worker.process.pid}" in refused.stderr
    second = call(project, "worker", "shop:app")
    assert second.returncode == 1
    assert f"pid {worker.process.pid}" in second.stderr
    assert "Traceback" not in refused.stderr + second.stderr

    worker.signal(signal.SIGTERM)
    assert worker.ended() == 0
    assert worker.said.endswith("stopped in order after 100 events\n")


def test_state_that_was_lost_is_restored_and_told(
    project: Path, start: Callable[..., Worker]
) -> None:
    first = start("shop:app")
    first.wait_until_it_says("ready after")
    first.wait_until(lambda: len(call(project, "table", "list", "counts").stdout.splitlines()) == 5)
    first.signal(signal.SIGTERM)
    assert first.ended() == 0
    shutil.rmtree(project / "data" / "state")
    second = start("shop:app")
    second.wait_until_it_says("changelog records restored")
    second.signal(signal.SIGTERM)
    assert second.ended() == 0


def follow(project: Path, output: str, *options: str) -> subprocess.Popen[bytes]:
    with (project / output).open("wb") as file:
        return subprocess.Popen(
            [*CLI, "tail", "orders", "--follow", "--format", "json", *options],
            cwd=project,
            env=environment(),
            stdout=file,
            stderr=subprocess.PIPE,
        )


def test_following_a_topic_until_interrupted_or_satisfied(
    project: Path, start: Callable[..., Worker]
) -> None:
    worker = start("shop:app")
    worker.wait_until_it_says("ready after")
    endless = follow(project, "endless.txt", "--from-beginning")
    limited = follow(project, "limited.txt", "--from-beginning", "-n", "99")
    try:
        worker.wait_until(lambda: (project / "endless.txt").read_text().count("\n") >= 100)
        endless.send_signal(signal.SIGINT)
        assert endless.communicate(timeout=60) == (None, b"")
        assert limited.communicate(timeout=60) == (None, b"")
        assert (endless.returncode, limited.returncode) == (0, 0)
    finally:
        for follower in (endless, limited):
            follower.kill()
            follower.wait(60)
    lines = (project / "endless.txt").read_text().splitlines()
    assert sorted(json.loads(line)["value"]["id"] for line in lines) == list(range(100))
    assert len((project / "limited.txt").read_text().splitlines()) == 99


def test_an_agent_that_fails_ends_the_worker_with_coordinates(
    project: Path, start: Callable[..., Worker]
) -> None:
    stopped = start("shop:app")
    stopped.wait_until_it_says("ready after")
    stopped.signal(signal.SIGINT)
    assert stopped.ended() == 0
    sent = call(project, "send", "orders", '{"id": -5, "user": "user-0"}', "--key", "user-0")
    where = sent.stdout.split()[-3].rstrip(","), sent.stdout.split()[-1]

    worker = start("shop:app")
    assert worker.ended() == 1
    assert (
        f"error: agent 'count' failed on {where[0]} at offset {where[1]}: ValueError" in worker.said
    )
    assert 'shop.py", line' in worker.said
    assert "in check" in worker.said
    assert "streams/engine/instance.py" not in worker.said
    assert call(project, "tail", "orders", "-n", "1000").stdout.count('"id": -5') == 1


def test_a_second_signal_stops_an_agent_that_blocks_the_loop(
    project: Path, start: Callable[..., Worker]
) -> None:
    first = start("shop:app", "--data", "other")
    first.wait_until_it_says("ready after")
    first.signal(signal.SIGTERM)
    assert first.ended() == 0
    assert call(project, "send", "blocking", "x", "--data", "other").returncode == 0
    worker = start("shop:app", "--data", "other")
    worker.wait_until_it_says("blocking\n")
    worker.signal(signal.SIGTERM)
    time.sleep(0.3)
    assert worker.process.poll() is None
    # Those that come before the first one was noticed are one with it.
    while worker.process.poll() is None:
        worker.signal(signal.SIGTERM)
        time.sleep(0.1)
    assert worker.ended() == 143
    assert worker.said.endswith("stopped at once\n")


@pytest.mark.parametrize(
    ("source", "code", "told"),
    [
        ("import no_such_module", 2, "No module named 'no_such_module'"),
        ("x = 1 / 0", 2, "ZeroDivisionError"),
        ("x = (", 2, "SyntaxError"),
        ("x = 1", 2, "has no App"),
        ("@app.agent(topic)\ndef sync(stream): pass", 2, "not async"),
        (
            "@app.agent(app.Table('n', key=str, value=int))\nasync def a(stream): pass",
            2,
            "expected",
        ),
        ("@app.task\nasync def go(): raise KeyError('mine')", 1, "KeyError: 'mine'"),
        ("app = mp.App('broken', data=__file__)", 2, "there is a file in its place"),
        ("app.Table('n', key=str, value=int).tumbling(td(0), grace=td(0))", 2, "more than zero"),
        ("app.Table('n', key=str, value=int).tumbling(td(hours=1))", 2, "grace"),
    ],
)
def test_a_users_mistake_is_told_without_our_frames(
    source: str, code: int, told: str, tmp_path: Path
) -> None:
    head = (
        "import millpond as mp\nfrom datetime import timedelta as td\n"
        "app = mp.App('broken')\ntopic = app.topic('t')\n"
    )
    text = source if source.startswith(("import", "x =")) else head + source
    (tmp_path / "broken.py").write_text(text)
    done = call(tmp_path, "worker", "broken")
    assert done.returncode == code, done.stderr
    assert "error: " in done.stderr
    assert told in done.stderr
    assert f"{os.sep}streams{os.sep}" not in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("blocked", ["state", "state/shop/count/0"])
def test_a_store_that_cannot_be_made_is_told_with_its_path(project: Path, blocked: str) -> None:
    (project / "data" / blocked).parent.mkdir(parents=True)
    (project / "data" / blocked).write_text("in the way")
    done = call(project, "worker", "shop:app")
    assert done.returncode == 1
    assert f"error: the store at {project / 'data' / 'state'}" in done.stderr
    assert "Traceback" not in done.stderr


def test_on_a_terminal_the_status_keeps_up_and_prints_stay_readable(project: Path) -> None:
    (project / "shop.py").write_text(SHOP + "\n    print('all sent')\n")
    pty = pytest.importorskip("pty")
    controller, terminal = pty.openpty()
    process = subprocess.Popen(
        [*CLI, "worker", "shop:app"],
        cwd=project,
        env={**environment(), "TERM": "xterm"},
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
    )
    os.close(terminal)
    seen = ""
    interrupted = False
    while True:
        try:
            seen += os.read(controller, 65536).decode()
        except OSError:  # the other end is closed
            break
        if "all sent" in seen and "100 " in seen and not interrupted:
            interrupted = True
            process.send_signal(signal.SIGINT)
    os.close(controller)
    assert process.wait(60) == 0
    assert "ready after" in seen
    assert "events/s" in seen
    assert "stopped in order after 100 events" in seen
    assert seen.endswith("\x1b[?25h"), "the cursor is back"
