"""Peak shaving: the burst waits in the log, the database sees 200 a second."""

from datetime import timedelta

import anyio
import millpond as mp


class Order(mp.Record):
    """What somebody bought."""

    id: int
    amount: float


app = mp.App("shop")
orders = app.topic("orders", key=int, value=Order, partitions=1)


@app.agent(
    orders,
    flow=mp.Flow(rate=mp.Rate(200, per=timedelta(seconds=1))),
    on_error=mp.Retry(5, backoff=(0.1, 2)).then(mp.DeadLetter("orders.dlq")),
)
async def to_database(stream):
    async for batch in stream.take(50, within=timedelta(seconds=0.5)):
        print(f"wrote {len(batch)} orders, {sum(order.amount for order in batch):.2f} in all")


async def main():
    async with app.run():
        for number in range(1000):
            await orders.send(key=number, value=Order(id=number, amount=9.99))
        await app.flush()
        print("a burst of 1000 orders is safe in the log")
        await app.running.settle()


if __name__ == "__main__":
    anyio.run(main)
