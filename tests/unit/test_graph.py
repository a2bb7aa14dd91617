"""The plan as text: what reads what, keeps what and writes what."""

from datetime import timedelta

import millpond as mp
from millpond.streams.graph import render

EXPECTED = """\
app shop
  global table users: a copy of topic users

  subtopology by-user  (group shop.by-user)
    agent by-user
      from orders
      to shop-by-user-repartition

  subtopology add  (group shop.add)
    agent add
      from shop-by-user-repartition
      table totals
      table minutes
      lookup users
      to out
      at most 200 per 1 s
      on error retry 5 times, 200 ms to 30 s apart, then dead letter to refused
    agent publish
      from minutes.closed
      to out
    table totals: shop-totals-changelog
    table minutes: shop-minutes-changelog, windows of 1 min, grace 10 s, late to shop-minutes-late"""


def test_graph_shows_all_that_was_declared() -> None:
    app = mp.App("shop")
    orders = app.topic("orders", key=str, value=str)
    out = app.topic("out", key=str, value=int)
    users = app.GlobalTable("users", topic=app.topic("users", key=str, value=str))
    totals = app.Table("totals", key=str, value=int, default=int)
    minutes = app.Table("minutes", key=str, value=int, default=int)
    minutes = minutes.tumbling(timedelta(minutes=1), grace=timedelta(seconds=10))
    by_user = orders.group_by(lambda order: order, name="by-user")

    @app.agent(
        by_user,
        flow=mp.Flow(rate=mp.Rate(200)),
        on_error=mp.Retry(5, backoff=(0.2, 30)).then(mp.DeadLetter("refused")),
    )
    async def add(stream: mp.Stream[str]) -> None:
        async for user in stream:
            totals[user] += 1
            minutes[users.get(user, "nobody")] += 1
            await out.send(key=user, value=totals[user])

    @app.agent(minutes.closed)
    async def publish(stream: mp.Stream[mp.Window[str, int]]) -> None:
        async for window in stream:
            await out.send(key=window.key, value=window.value)

    assert render(app.topology()) == EXPECTED
