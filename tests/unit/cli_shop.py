"""A small shop whose data directory the tests of the command line look into."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import millpond as mp

START_MS = 1_735_689_600_000  # 2025-01-01T00:00:00Z
STEP_MS = 1_500
ORDERS = 200
USERS = 5


class Order(mp.Record):
    id: int
    user: str
    amount: int


class Place(NamedTuple):
    country: str
    number: int


app = mp.App("shop", settings=mp.Settings(durability="os"))
orders = app.topic("orders", key=str, value=Order, partitions=2)
users = app.topic("users", key=str, value=str, config={"cleanup.policy": "compact"})
totals = app.Table("totals", key=str, value=int, default=int)
by_id = app.Table("by-id", key=int, value=Order)
places = app.Table("places", key=Place, value=int)
days = app.Table("days", key=datetime, value=int, default=int)
minutes = app.Table("minutes", key=str, value=int, default=int).tumbling(
    timedelta(minutes=1), grace=timedelta(seconds=10)
)
names = app.GlobalTable("names", topic=users)


@app.agent(orders)
async def add_up(stream: mp.Stream[Order]) -> None:
    async for order in stream:
        totals[order.user] += order.amount
        minutes[order.user] += 1
        by_id[order.id] = order
        places[Place("NL", order.id % 3)] = order.id
        days[datetime(2025, 1, 1 + order.id % 2, tzinfo=UTC)] += 1
        if order.id % 10 == 0:
            del by_id[order.id]


def all_orders() -> list[tuple[int, Order]]:
    """Return what is sent, with its time."""
    return [
        (START_MS + number * STEP_MS, Order(number, f"user-{number % USERS}", number))
        for number in range(ORDERS)
    ]


async def fill(data: Path) -> None:
    """Run the app until everything is processed."""
    app.data = data
    async with app.run() as engine:
        await users.send(key="user-1", value="Ann")
        for timestamp, order in all_orders():
            await orders.send(key=order.user, value=order, timestamp=timestamp)
        await app.flush()
        await engine.settle()
