"""`millpond graph` shows the plan of an app, and opens nothing."""

import sys
from pathlib import Path

import pytest
from millpond.streams.cli import run

Captured = pytest.CaptureFixture[str]

APP = """
from datetime import timedelta
import millpond as mp

app = mp.App("graph-app", data="./graph-data")
orders = app.topic("orders", key=str, value=str)
minutes = app.Table("minutes", key=str, value=int, default=int).tumbling(
    timedelta(minutes=1), grace=timedelta(0)
)
final = app.topic("final", key=str, value=int)
names = app.GlobalTable("names", topic=app.topic("users", key=str, value=str))

@app.agent(orders)
async def count(stream):
    async for order in stream:
        minutes[order] += 1
        names.get(order)

@app.agent(minutes.closed)
async def publish(stream):
    async for window in stream:
        await final.send(key=window.key, value=window.value)
"""


@pytest.fixture(autouse=True)
def _project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cli_graph.py").write_text(APP)
    monkeypatch.delitem(sys.modules, "cli_graph", raising=False)


def test_graph_as_text(capsys: Captured) -> None:
    assert run(["graph", "cli_graph:app"]) == 0
    told = capsys.readouterr().out
    assert "subtopology count  (group graph-app.count)" in told
    assert "      from minutes.closed\n" in told
    assert not Path("graph-data").exists()


@pytest.mark.parametrize(
    ("declared", "told"),
    [
        ("flow=mp.Flow(rate=mp.Rate(80))", "at most 80 per 1 s"),
        ("flow=mp.Flow(rate=mp.Rate(1, per=timedelta(minutes=90)))", "at most 1 per 90 min"),
        ("on_error=mp.Skip()", "on error skip"),
        ("on_error=mp.DeadLetter('dlq')", "on error dead letter to dlq"),
        (
            "on_error=mp.Retry(5, backoff=(0.05, 30)).then(mp.DeadLetter('dlq'))",
            "on error retry 5 times, 50 ms to 30 s apart, then dead letter to dlq",
        ),
        ("on_error=mp.Retry(2)", "on error retry 2 times, 200 ms to 30 s apart, then stop"),
    ],
)
def test_flow_and_policies_read_like_sentences(
    declared: str, told: str, tmp_path: Path, capsys: Captured
) -> None:
    source = APP.replace("@app.agent(orders)", f"@app.agent(orders, {declared})")
    (tmp_path / "cli_graph.py").write_text(source)
    assert run(["graph", "cli_graph"]) == 0
    assert f"      {told}\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("declared", "told"),
    [
        ("tumbling(timedelta(hours=48), grace=timedelta(0))", "windows of 2 d, grace 0 s"),
        (
            "hopping(timedelta(minutes=5), timedelta(seconds=90), grace=timedelta(seconds=1.5))",
            "windows of 5 min every 90 s, grace 1500 ms",
        ),
    ],
)
def test_windows_read_like_sentences(
    declared: str, told: str, tmp_path: Path, capsys: Captured
) -> None:
    start, end = APP.index("tumbling("), APP.index("final =")
    (tmp_path / "cli_graph.py").write_text(f"{APP[:start]}{declared}\n{APP[end:]}")
    assert run(["graph", "cli_graph"]) == 0
    line = f"minutes: graph-app-minutes-changelog, {told}, late to graph-app-minutes-late"
    assert line in capsys.readouterr().out


def test_graph_as_mermaid_has_every_node_and_edge(capsys: Captured) -> None:
    assert run(["graph", "cli_graph", "--format", "mermaid"]) == 0
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == "flowchart LR"
    assert lines.count("end") == sum(line.startswith("subgraph") for line in lines) == 1
    ids = {
        label: line.split(shape)[0]
        for line in lines
        for label, shape in {
            "orders": '>"orders"',
            "final": '>"final"',
            "users": '>"users"',
            "late": '>"graph-app-minutes-late"',
            "minutes": '[("minutes"',
            "names": '[("names"',
            "count": '("count"',
            "publish": '("publish"',
        }.items()
        if shape in line and "--" not in line and not line.startswith("subgraph")
    }
    expected = [
        "{orders} --> {count}",
        "{count} <--> {minutes}",
        "{minutes} -. late .-> {late}",
        "{users} --> {names}",
        "{names} -.-> {count}",
        "{minutes} -- closed --> {publish}",
        "{publish} --> {final}",
    ]
    edges = {line for line in lines if ">" in line and "-" in line.split(">")[0]}
    assert edges == {edge.format(**ids) for edge in expected}
