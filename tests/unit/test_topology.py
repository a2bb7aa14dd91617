"""From what a user declares to tasks: what goes together, and what does not."""

import re
from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

import millpond as mp
import pytest
from millpond.log.model import TopicDescription, TopicSpec
from millpond.streams.topology import plan

SECOND = timedelta(seconds=1)
APP = "shop"


def app_with(*tables: str) -> tuple[mp.App, mp.Topic, list[mp.Table]]:
    app = mp.App(APP)
    made = [app.Table(name, key=str, value=int, default=int) for name in tables]
    return app, app.topic("orders", key=str, value=int), made


def groups(app: mp.App) -> dict[str, list[str]]:
    return {sub.name: [agent.name for agent in sub.agents] for sub in app.topology().subtopologies}


def existing(**partitions: int) -> dict[str, TopicDescription]:
    return {
        name: TopicDescription(name, UUID(int=0), count, {}) for name, count in partitions.items()
    }


# What shares tasks.


def test_agents_without_tables_go_their_own_ways() -> None:
    app, orders, _ = app_with()
    for name in ("first", "second"):
        app.agent(orders, name=name)(consume)
    assert groups(app) == {"first": ["first"], "second": ["second"]}


async def consume(stream: mp.Stream) -> None:
    async for _ in stream:
        pass


def test_agents_that_share_a_table_share_tasks() -> None:
    app, orders, (totals, others) = app_with("totals", "others")

    @app.agent(orders)
    async def add(stream: mp.Stream) -> None:
        async for order in stream:
            totals["all"] += order

    @app.agent(app.topic("payments", value=int))
    async def pay(stream: mp.Stream) -> None:
        async for payment in stream:
            others["all"] += payment

    @app.agent(app.topic("refunds", value=int))
    async def refund(stream: mp.Stream) -> None:
        async for refund in stream:
            totals["all"] -= refund

    assert groups(app) == {"add": ["add", "refund"], "pay": ["pay"]}
    [sub, _] = app.topology().subtopologies
    assert [topic.name for topic in sub.sources] == ["orders", "refunds"]
    assert sub.tables == (totals,)


def test_an_agent_that_follows_a_table_shares_tasks_with_those_that_write_it() -> None:
    app, orders, (counts,) = app_with("counts")
    counts = counts.tumbling(SECOND, grace=SECOND)

    @app.agent(counts.closed)
    async def publish(stream: mp.Stream) -> None:
        async for _ in stream:
            pass

    @app.agent(orders)
    async def count(stream: mp.Stream) -> None:
        async for _ in stream:
            counts["all"] += 1

    assert groups(app) == {"count": ["publish", "count"]}


def test_a_chain_of_tables_is_one_task() -> None:
    app, orders, tables = app_with("a", "b", "c")
    for number in range(3):
        pair = [tables[number], tables[(number + 1) % 3]]
        app.agent(orders, name=f"agent{number}", tables=pair)(consume)
    assert groups(app) == {"agent0": ["agent0", "agent1", "agent2"]}


def test_a_followed_table_that_nobody_writes_is_refused() -> None:
    app, _, (counts,) = app_with("counts")
    app.agent(counts.tumbling(SECOND, grace=SECOND).closed)(consume)
    with pytest.raises(
        mp.TopologyError, match=r"'consume' consumes 'counts\.closed', but no agent"
    ):
        app.topology()


def test_the_plan_can_be_made_again_and_again() -> None:
    app, orders, _ = app_with()
    app.agent(orders, on_error=mp.DeadLetter("refused"))(consume)
    first, second = app.topology(), app.topology()
    assert [topic.name for topic in first.topics] == ["orders", "refused"]
    assert first.topics == second.topics


# Partitions.


def shared(**partitions: int | None) -> mp.App:
    """Make an app in which topics feed one table."""
    app, _, (totals,) = app_with("totals")
    for name, count in partitions.items():
        topic = app.topic(name, value=int, partitions=count)
        app.agent(topic, name=f"of_{name}", tables=[totals])(consume)
    return app


def test_counts_come_from_the_log_then_from_the_app_then_from_the_settings() -> None:
    app = shared(there=None, here=4, upstream=None)
    _there, here, free = (app._topics[name] for name in ("there", "here", "upstream"))
    again = here.group_by(str, name="again")
    fitted = plan(app.topology(), existing(there=4, upstream=4), partitions_default=2)
    counts = {topic.name: count for topic, count in fitted.partitions.items()}
    assert counts == {"orders": 2, "there": 4, "here": 4, "upstream": 4, again.name: 4}
    assert fitted.tasks["of_there"] == 4
    created = {spec.name: spec.partitions for spec in fitted.create}
    assert created == {"orders": 2, "here": 4, again.name: 4, "shop-totals-changelog": 4}
    assert free.partitions is None


def test_topics_that_feed_one_table_must_have_the_same_partitions() -> None:
    with pytest.raises(mp.TopologyError) as caught:
        plan(shared(payments=3, refunds=4).topology(), {}, partitions_default=1)
    message = str(caught.value)
    assert "topics 'payments' (3 partitions) and 'refunds' (4 partitions)" in message
    assert "'of_payments', 'of_refunds' share 'totals'" in message
    assert "refunds.group_by(…, partitions=3)" in message


@pytest.mark.parametrize(("declared", "found"), [(3, 4), (4, 3)])
def test_a_count_that_is_not_the_logs_is_refused(declared: int, found: int) -> None:
    app = shared(payments=declared)
    with pytest.raises(mp.TopologyError) as caught:
        plan(app.topology(), existing(payments=found), partitions_default=1)
    message = str(caught.value)
    assert f"'payments' has {found} partitions in the log" in message
    assert f"declares partitions={declared}: declare {found}, or leave it out" in message


@pytest.mark.parametrize(("before", "now"), [(3, 4), (4, 3)])
def test_state_does_not_follow_when_the_partitions_change(before: int, now: int) -> None:
    there = existing(payments=now) | existing(**{"shop-totals-changelog": before})
    with pytest.raises(mp.TopologyError, match=rf"has {before} partitions.*topics of {now}"):
        plan(shared(payments=None).topology(), there, partitions_default=1)


def test_changelogs_keep_what_their_tables_need() -> None:
    app, orders, (plain, windowed) = app_with("plain", "windowed")
    windowed = windowed.hopping(4 * SECOND, SECOND, grace=2 * SECOND)
    app.agent(orders, tables=[plain, windowed])(consume)
    specs = {spec.name: spec for spec in plan(app.topology(), {}, partitions_default=1).create}
    assert specs["shop-plain-changelog"].config == {"cleanup.policy": "compact"}
    assert specs["shop-windowed-changelog"].config == {
        "cleanup.policy": "compact,delete",
        "retention.ms": str(6_000 + 24 * 60 * 60 * 1000),
    }
    assert specs["orders"] == TopicSpec("orders", 1, config={"retention.ms": "-1"})


# The user's mistakes.


def misuse_name_app(app: mp.App) -> None:
    mp.App("my app")


def misuse_log(app: mp.App) -> None:
    mp.App("shop", log="redis://localhost")


def misuse_topic_twice(app: mp.App) -> None:
    app.topic("orders")


def misuse_table_twice(app: mp.App) -> None:
    app.Table("totals", key=str, value=int)


def misuse_global_table_named_like_a_table(app: mp.App) -> None:
    app.GlobalTable("totals", topic=app._topics["orders"])


def misuse_agent_twice(app: mp.App) -> None:
    app.agent(app._topics["orders"])(consume)
    app.agent(app._topics["orders"])(consume)


def misuse_group_by_twice(app: mp.App) -> None:
    for _ in range(2):
        app._topics["orders"].group_by(str, name="again")


def misuse_partitions(app: mp.App) -> None:
    app.topic("many", partitions=0)


def misuse_default(app: mp.App) -> None:
    app.Table("zero", key=str, value=int, default=0)


def misuse_key_type(app: mp.App) -> None:
    app.Table("odd", key=list[int], value=int)


def misuse_source(app: mp.App) -> None:
    app.agent("orders")


def misuse_source_table(app: mp.App) -> None:
    app.agent(app._tables["totals"])


def misuse_source_of_another_app(app: mp.App) -> None:
    app.agent(mp.App("other").topic("theirs"))


def misuse_table_of_another_app(app: mp.App) -> None:
    app.agent(app._topics["orders"], tables=[mp.App("other").Table("theirs", key=str, value=int)])


def misuse_tables_is_no_list(app: mp.App) -> None:
    app.agent(app._topics["orders"], tables=app._tables["totals"])


def misuse_tables_of_names(app: mp.App) -> None:
    app.agent(app._topics["orders"], tables=["totals"])


def misuse_global_table_topic(app: mp.App) -> None:
    app.GlobalTable("users", topic="users")


def misuse_late_topic_of_another_app(app: mp.App) -> None:
    late = mp.App("other").topic("late")
    app._tables["totals"].tumbling(SECOND, grace=SECOND, late=late)


def misuse_windows_twice(app: mp.App) -> None:
    totals = app._tables["totals"]
    totals.tumbling(SECOND, grace=SECOND)
    totals.tumbling(2 * SECOND, grace=SECOND)


def misuse_rate_on_windows(app: mp.App) -> None:
    windows = app._tables["totals"].tumbling(SECOND, grace=SECOND)
    app.agent(windows.closed, flow=mp.Flow(rate=mp.Rate(5)))


def misuse_plain_function(app: mp.App) -> None:
    def handle(stream: mp.Stream) -> None: ...

    app.agent(app._topics["orders"])(handle)


def misuse_generator(app: mp.App) -> None:
    async def handle(stream: mp.Stream):
        async for order in stream:
            yield order

    app.agent(app._topics["orders"])(handle)


def misuse_policy(app: mp.App) -> None:
    app.agent(app._topics["orders"], on_error=mp.Skip)(consume)


def misuse_timer(app: mp.App) -> None:
    app.timer(5)


def misuse_task(app: mp.App) -> None:
    app.task(lambda: None)


def misuse_grace(app: mp.App) -> None:
    app._tables["totals"].tumbling(SECOND, grace=timedelta(seconds=-1))


def misuse_size(app: mp.App) -> None:
    app._tables["totals"].tumbling(60, grace=SECOND)


MISUSES: list[tuple[Callable[[mp.App], None], str]] = [
    (misuse_name_app, "App('my app'): a name is 1 to 100 letters"),
    (misuse_log, "'redis://localhost' is no address of a cluster: write kafka://HOST:PORT"),
    (misuse_topic_twice, "app 'shop' has topic 'orders' already"),
    (misuse_table_twice, "has table 'totals' already"),
    (misuse_global_table_named_like_a_table, "has table 'totals' already"),
    (misuse_agent_twice, "has agent 'consume' already"),
    (misuse_group_by_twice, "has agent 'again' already"),
    (misuse_partitions, "topic 'many': partitions=0 is not a number above 0"),
    (misuse_default, "table 'zero': default=0 is not callable: write default=lambda: 0"),
    (misuse_key_type, "table 'odd': key"),
    (misuse_source, "@app.agent('orders'): expected what `app.topic(…)`"),
    (misuse_source_table, "@app.agent(<Table totals>): expected"),
    (misuse_source_of_another_app, "<Topic theirs> belongs to app 'other', not to 'shop'"),
    (misuse_table_of_another_app, "<Table theirs> belongs to app 'other', not to 'shop'"),
    (misuse_tables_is_no_list, "expected a list, as in [totals]"),
    (misuse_tables_of_names, "'totals' is no table"),
    (misuse_global_table_topic, "GlobalTable('users', topic=…): 'users' is no topic"),
    (misuse_late_topic_of_another_app, "table 'totals': late=…: <Topic late> belongs to app"),
    (misuse_windows_twice, "table 'totals' has windows already"),
    (misuse_rate_on_windows, "windows wait nowhere, so no rate can hold them back"),
    (misuse_plain_function, "is not async: write `async def handle(…):`"),
    (misuse_generator, "yields: write `async def handle(…):`, and send results with"),
    (misuse_policy, "agent 'consume': on_error"),
    (misuse_timer, "@app.timer: 5 is no timedelta"),
    (misuse_task, "is not async"),
    (misuse_grace, "table 'totals': grace"),
    (misuse_size, "table 'totals': size: 60 is no timedelta"),
]


@pytest.mark.parametrize(
    ("misuse", "message"), MISUSES, ids=[misuse.__name__[7:] for misuse, _ in MISUSES]
)
def test_a_mistake_is_told_where_it_is_made(misuse: Callable[[mp.App], None], message: str) -> None:
    app, _, _ = app_with("totals")
    with pytest.raises(mp.ConfigError, match=re.escape(message)):
        misuse(app)


def test_windows_without_grace_are_refused_by_name() -> None:
    _, _, (totals,) = app_with("totals")
    with pytest.raises(TypeError, match="'grace'"):
        totals.tumbling(SECOND)


@pytest.mark.parametrize(
    ("topic", "message"),
    [
        (mp.App("other").topic("theirs"), "belongs to app 'other'"),
        (mp.App("other").Table("theirs", key=str, value=int), "is no topic"),
    ],
    ids=["another app's", "a table"],
)
def test_a_dead_letter_topic_must_be_the_apps_own(topic: mp.Topic, message: str) -> None:
    app, orders, _ = app_with()
    app.agent(orders, on_error=mp.Retry(3).then(mp.DeadLetter(topic)))(consume)
    with pytest.raises(mp.ConfigError, match=message):
        app.topology()


def test_a_table_is_not_used_with_and_without_its_windows() -> None:
    app, orders, (counts,) = app_with("counts")
    counts.tumbling(SECOND, grace=SECOND)

    @app.agent(orders)
    async def count(stream: mp.Stream) -> None:
        async for _ in stream:
            counts["all"] += 1

    with pytest.raises(mp.TopologyError, match="'count' uses table 'counts' as it was before"):
        app.topology()


@pytest.mark.parametrize("name", ["a b", "x" * 250, ".", "ä"])
def test_names_that_no_log_takes_are_refused(name: str) -> None:
    app, _, _ = app_with()
    app.topic(name)
    with pytest.raises(mp.ConfigError):
        plan(app.topology(), {}, partitions_default=1)
