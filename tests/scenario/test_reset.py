"""`millpond reset` lets an app begin anew, on a directory and on a broker; `graph` tells what it would make."""

import importlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from confluent_kafka import Consumer
from millpond.log.embedded import EmbeddedLog
from millpond.streams.cli import run
from millpond.tests.twins.running_broker import RunningBroker

Captured = pytest.CaptureFixture[str]

SHOP = """
import millpond as mp

app = mp.App("shop", data="./data")
orders = app.topic("orders", key=str, value=int, partitions=2)
totals_seen = app.topic("totals_seen", key=str, value=int)
totals = app.Table("totals", key=str, value=int, default=int)


@app.agent(orders.group_by(lambda order: order % 3, name="by-rest", key_type=int))
async def add(stream):
    async for event in stream.events():
        totals[str(event.key)] += event.value
        await totals_seen.send(key=str(event.key), value=totals[str(event.key)])
"""

OTHER = """
import millpond as mp

app = mp.App("shop-eu", data="./data")
counts = app.Table("counts", key=bytes, value=int, default=int)


@app.agent(app.topic("orders"))
async def count(stream):
    async for event in stream.events():
        counts[event.key] += 1
"""


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The app, and another in the same directory whose name begins like its own."""
    for variable in ("MILLPOND_DATA", "MILLPOND_LOG"):
        monkeypatch.delenv(variable, raising=False)
    for name, source in (("shop_to_reset", SHOP), ("shop_that_stays", OTHER)):
        (tmp_path / f"{name}.py").write_text(source)
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    return importlib.import_module("shop_to_reset")


def run_until_settled(module: Any, orders: range = range(0)) -> None:
    async def work() -> None:
        async with module.app.run() as engine:
            for order in orders:
                await module.orders.send(key=str(order), value=order)
            await engine.settle()

    anyio.run(work)


@pytest.fixture
def used(shop: Any) -> Any:
    """The app after its first orders."""
    run_until_settled(shop, range(10))
    run_until_settled(importlib.import_module("shop_that_stays"))
    return shop


@pytest.fixture(params=["--data", "--log"])
def place(request: pytest.FixtureRequest, used: Any) -> Iterator[tuple[str, ...]]:
    """The same log: in its directory, and on a broker that serves that."""
    if request.param == "--data":
        yield "--data", "data"
        return
    with RunningBroker(Path("data/log"), durability="os") as broker:
        yield "--log", f"kafka://127.0.0.1:{broker.port}", "--data", "data"


@pytest.fixture
def command(place: tuple[str, ...], capsys: Captured) -> Callable[..., tuple[int, list[str], str]]:
    """Run a command about the app; return exit code, lines, and what it says on stderr."""

    def perform(name: str, *options: str) -> tuple[int, list[str], str]:
        code = run([name, "shop_to_reset:app", *options, *place])
        out, err = capsys.readouterr()
        return code, out.splitlines(), err

    return perform


Command = Callable[..., tuple[int, list[str], str]]


def in_directory() -> tuple[set[str], list[str], set[str]]:
    """Return topics, groups, and apps with state."""

    async def look() -> tuple[set[str], list[str]]:
        async with EmbeddedLog.open("data/log", read_only=True) as log:
            return set(await log.describe_topics()), await log.groups()

    return *anyio.run(look), {path.name for path in Path("data/state").iterdir()}


ALL = (
    {
        "orders",
        "totals_seen",
        "shop-by-rest-repartition",
        "shop-totals-changelog",
        "shop-eu-counts-changelog",
    },
    ["shop-eu.count", "shop.add", "shop.by-rest"],
    {"shop", "shop-eu"},
)
LEFT = ({"orders", "totals_seen", "shop-eu-counts-changelog"}, ["shop-eu.count"], {"shop-eu"})


def test_what_is_removed_is_told_first(command: Command) -> None:
    code, shown, err = command("reset", "--dry-run")
    assert (code, err) == (0, "nothing was changed: --dry-run\n")
    assert sorted(" ".join(line.split()[:4]) for line in shown[1:-1]) == [
        "group shop.add 2 partitions",
        "group shop.by-rest 2 partitions",
        "topic shop-by-rest-repartition 2 partitions,",
        "topic shop-totals-changelog 2 partitions,",
    ]
    assert shown[-1].split() == ["state", str(Path("data/state/shop").absolute())]
    code, out, err = command("reset")
    assert (code, out) == (2, shown)
    assert "Nobody is there to ask: add --yes" in err
    assert in_directory() == ALL


def test_an_app_begins_anew_and_nothing_else_is_touched(
    command: Command, place: tuple[str, ...], used: Any
) -> None:
    code, out, err = command("reset", "--yes")
    assert (code, err) == (0, "")
    assert out[-1] == "app shop begins anew when it is next run"
    assert in_directory() == LEFT
    code, out, _err = command("reset", "--yes")
    assert (code, len(out)) == (0, 1)
    assert out[0].startswith("there is nothing to remove")
    if place[0] == "--log":
        return

    async def work() -> None:
        async with used.app.run() as engine:
            await engine.settle()
            assert dict(used.totals.view().items()) == {"0": 18, "1": 12, "2": 15}

    anyio.run(work)


def test_it_is_refused_while_the_directory_is_in_use(used: Any, capsys: Captured) -> None:
    async def meanwhile() -> int:
        async with EmbeddedLog.open("data/log"):
            return await anyio.to_thread.run_sync(run, ["reset", "shop_to_reset:app", "--yes"])

    assert anyio.run(meanwhile) == 1
    assert capsys.readouterr().err.startswith("error: nothing was removed. log directory")
    assert in_directory() == ALL


@pytest.mark.parametrize("place", ["--log"], indirect=True)
def test_it_is_refused_while_there_are_workers(command: Command, place: tuple[str, ...]) -> None:
    worker = Consumer({"bootstrap.servers": place[1][len("kafka://") :], "group.id": "shop"})
    worker.subscribe(["orders"])
    while not worker.assignment():
        worker.poll(0.1)
    code, _out, err = command("reset", "--yes")
    worker.close()
    assert code == 1
    assert err.startswith("error: nothing was removed: app 'shop' has workers. Stop them all first")
    assert in_directory() == ALL


@pytest.mark.parametrize("place", ["--log"], indirect=True)
def test_it_is_refused_while_a_store_is_open(command: Command) -> None:
    store = Path("data/state/shop/add/1")
    assert store.is_dir()
    opened = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys, rocksdict; db = rocksdict.Rdict(sys.argv[1]); print(1, flush=True); input()",
            str(store),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert opened.stdout is not None
    assert opened.stdout.readline() == b"1\n"
    code, _out, err = command("reset", "--yes")
    opened.communicate(b"\n")
    assert code == 1
    assert str(store) in err
    assert in_directory() == ALL


def plan_in(lines: list[str]) -> list[list[str]]:
    """Return the words of a plan's two tables, but for the first line."""
    words = [line.split() for line in lines]
    return words[words.index(["group", "tasks"]) + 1 :]


def test_a_graph_of_a_log_tells_what_is_there(
    command: Command, place: tuple[str, ...], capsys: Captured
) -> None:
    tasks = [
        ["shop.by-rest", "2"],
        ["shop.add", "2"],
        [],
        ["topic", "partitions", "now", "settings"],
    ]
    changelog = ["topics", "alter", "shop-totals-changelog", "-c", "cleanup.policy=delete"]
    assert run([*changelog, *place[:2]]) == 0
    capsys.readouterr()
    code, out, err = command("graph")
    assert (code, err) == (0, "")
    differs = "cleanup.policy is delete and should be compact"
    assert plan_in(out) == [
        *tasks,
        ["orders", "2", "there"],
        ["totals_seen", "1", "there"],
        ["shop-by-rest-repartition", "2", "there"],
        ["shop-totals-changelog", "2", "there", *differs.split()],
    ]
    assert run(["reset", "shop_to_reset:app", "--yes", *place]) == 0
    capsys.readouterr()
    code, out, err = command("graph")
    assert (code, err) == (0, "")
    assert plan_in(out) == [
        *tasks,
        ["orders", "2", "there"],
        ["totals_seen", "1", "there"],
        ["shop-by-rest-repartition", "2", "to", "be", "made", "retention.ms=-1"],
        ["shop-totals-changelog", "2", "to", "be", "made", "cleanup.policy=compact"],
    ]


def test_a_graph_opens_nothing_unless_told_of_a_log(shop: Any, capsys: Captured) -> None:
    assert run(["graph", "shop_to_reset:app"]) == 0
    assert "plan for" not in capsys.readouterr().out
    assert run(["graph", "shop_to_reset:app", "--data", "new"]) == 0
    out = capsys.readouterr().out
    assert f"plan for {Path('new/log').absolute()}, where there is no log yet" in out
    assert out.count("to be made") == 4
    assert not Path("new").exists()
