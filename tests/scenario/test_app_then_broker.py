"""One directory, taken in turns by an app and by a broker, with nothing converted in between."""

import shutil
import subprocess
from pathlib import Path

import anyio
import msgspec
import pytest
from millpond import App, Stream, Topic
from millpond.streams.cli import run
from millpond.tests.twins.broker_process import BrokerProcess


class Order(msgspec.Struct):
    user: str
    amount: int


def make_app(data: Path, seen: list[Order]) -> tuple[App, Topic[str, Order]]:
    app = App("shop", data=data)
    orders = app.topic("orders", key=str, value=Order, partitions=2)
    totals = app.Table("totals", key=str, value=int, default=int)

    @app.agent(orders)
    async def add_up(stream: Stream[Order]) -> None:
        async for order in stream:
            totals[order.user] += order.amount
            seen.append(order)

    return app, orders


def run_app(data: Path, *sent: Order) -> list[Order]:
    """Send orders with the app itself, let it process all that is there, and stop it."""
    seen: list[Order] = []
    app, orders = make_app(data, seen)

    async def go() -> None:
        async with app.run() as engine:
            for order in sent:
                await orders.send(key=order.user, value=order)
            await app.flush()
            await engine.settle()

    anyio.run(go)
    return seen


def kcat(address: str, *arguments: str, sent: bytes = b"") -> str:
    done = subprocess.run(
        ["kcat", "-b", address, *arguments], input=sent, capture_output=True, check=True, timeout=60
    )
    return done.stdout.decode()


def test_an_app_and_kafka_clients_share_a_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def command(*arguments: str) -> str:
        capsys.readouterr()
        code = run(arguments)
        out, err = capsys.readouterr()
        assert code == 0, err
        return out

    data = tmp_path / "data"
    first = [Order("ann", 1), Order("bob", 2), Order("ann", 3)]
    assert sorted(run_app(data, *first), key=str) == sorted(first, key=str)

    with BrokerProcess(data) as broker:
        address = f"127.0.0.1:{broker.port}"
        monkeypatch.setenv("MILLPOND_LOG", f"kafka://{address}")
        assert '{"user":"bob","amount":2}' in command("tail", "orders")
        assert command("groups").splitlines()[1].split()[2] == "0", "no lag"
        if shutil.which("kcat"):
            by_murmur2 = ["-X", "topic.partitioner=murmur2_random"]  # else keys go elsewhere
            read = kcat(address, "-C", "-t", "orders", "-e", "-q", "-f", "%k=%s\n")
            assert min(read.splitlines()) == 'ann={"user":"ann","amount":1}'
            kcat(
                address,
                "-P",
                "-t",
                "orders",
                "-K",
                "=",
                *by_murmur2,
                sent=b'ann={"user":"ann","amount":40}\n',
            )
        else:
            command("send", "orders", '{"user":"ann","amount":40}', "--key", "ann")
        assert command("groups").splitlines()[1].split()[2] == "1"
        assert broker.stop() == (0, "")

    assert run_app(data) == [Order("ann", 40)], "what was read before is not read again"
    totals = command("table", "get", "totals", "ann", "--data", str(data))
    assert totals.strip() == "44"
