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
