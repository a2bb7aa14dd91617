"""Commands that look into a data directory tell what is in it."""

import json
import random
import sys
from collections import Counter
from pathlib import Path

import anyio
import pytest
from millpond.log.embedded import EmbeddedLog
from millpond.log.model import CommittedOffset, NewRecord, TopicPartition, TopicSpec
from millpond.streams.cli import look, run, tail
from millpond.tests.twins.list_log import ListLog
from millpond.tests.unit import cli_shop as shop

Captured = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with all that the shop makes of its orders."""
    data = tmp_path_factory.mktemp("shop") / "data"
    anyio.run(shop.fill, data)
    return data


@pytest.fixture
def data(filled: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MILLPOND_DATA", str(filled))
    monkeypatch.chdir(filled.parent)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return filled


def told(capsys: Captured, *arguments: str) -> list[str]:
    """Run a command that has to succeed; return its lines."""
    code = run(arguments)
    out, err = capsys.readouterr()
    assert code == 0, err
    return out.splitlines()


def refused(capsys: Captured, *arguments: str, code: int = 2) -> str:
    """Run a command that has to fail; return what it says."""
    assert run(arguments) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert "Traceback" not in err
    return err


def rows(lines: list[str]) -> dict[str, list[str]]:
    return {line.split()[0]: line.split()[1:] for line in lines[1:]}


# -- the directory -----------------------------------------------------------------------------


def test_a_directory_without_a_log_is_named_with_those_that_have_one(
    filled: Path, tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    empty = refused(capsys, "topics")
    assert f"no log in '{tmp_path}/data/log'" in empty
    assert "millpond worker" in empty
    parent = refused(capsys, "topics", "--data", str(filled.parent))
    assert f"there is one here: --data {filled}" in parent
    inside = refused(capsys, "topics", "--data", str(filled / "log"))
    assert f"there is one here: --data {filled}" in inside


def test_an_empty_directory_is_no_log(tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "log").mkdir()
    assert "there is no log in" in refused(capsys, "groups", "--data", str(tmp_path))


def test_a_directory_that_is_a_file_is_no_log_either(tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "data").write_text("")
    assert "there is no log in" in refused(capsys, "groups", "--data", str(tmp_path / "data"))


def test_a_fresh_log_has_nothing_to_tell(tmp_path: Path, capsys: Captured) -> None:
    async def make() -> None:
        async with EmbeddedLog.open(tmp_path / "log", durability="os"):
            pass

    anyio.run(make)
    data = ("--data", str(tmp_path))
    assert "no topics yet" in told(capsys, "topics", *data)[0]
    assert "no groups yet" in told(capsys, "groups", *data)[0]
    assert "there is none yet" in refused(capsys, "tail", "orders", *data)
    assert "there is none yet" in refused(capsys, "table", "list", "totals", *data)


# -- topics and groups -------------------------------------------------------------------------


def test_topics_lists_partitions_offsets_and_policies(data: Path, capsys: Captured) -> None:
    listed = rows(told(capsys, "topics"))
    assert listed["orders"][:2] == ["2", "200"]
    assert listed["orders"][-1] == "delete"
    assert listed["users"][0] == "1"
    assert listed["users"][-1] == "compact"
    assert listed["shop-minutes-changelog"][-1] == "compact,delete"
    assert not any(name.startswith("__") for name in listed)


@pytest.mark.parametrize("words", [["orders"], ["describe", "orders"]])
def test_a_topic_in_detail(words: list[str], data: Path, capsys: Captured) -> None:
    lines = told(capsys, "topics", *words)
    partitions = [line.split() for line in lines if line.split()[:1] in (["0"], ["1"])]
    assert [start for _, start, *_ in partitions] == ["0", "0"]
    assert sum(int(end) for _, _, end, *_ in partitions) == shop.ORDERS
    assert "  retention.ms = -1" in lines


def test_an_unknown_topic_is_answered_with_close_names(data: Path, capsys: Captured) -> None:
    assert "did you mean orders" in refused(capsys, "topics", "odrers")
    assert "there is orders, shop-by-id-changelog" in refused(capsys, "tail", "xyz")


def test_groups_tell_their_lag(data: Path, capsys: Captured) -> None:
    assert rows(told(capsys, "groups"))["shop.add_up"] == ["2", "0", "orders"]
    detail = [line.split() for line in told(capsys, "groups", "shop.add_up")[1:]]
    assert [line[:2] for line in detail] == [["orders", "0"], ["orders", "1"]]
    assert all(committed == end and lag == "0" for _, _, committed, end, lag in detail)
    assert "there is shop.add_up" in refused(capsys, "groups", "nope")


# -- tail --------------------------------------------------------------------------------------


def test_tail_shows_the_last_records_of_all_partitions_in_order(
    data: Path, capsys: Captured
) -> None:
    lines = told(capsys, "tail", "orders", "-n", "3")
    assert [json.loads(line.split("  ")[-1])["id"] for line in lines] == [197, 198, 199]
    assert lines[-1].startswith("2025-01-01T00:04:58.500Z  orders-")
    assert "  user-4  " in lines[-1]
    assert len(told(capsys, "tail", "orders")) == 10
    assert told(capsys, "tail", "orders", "-n", "0") == []
    assert told(capsys, "tail", "shop-minutes-late") == []


def test_tail_from_the_beginning_shows_everything_as_json(data: Path, capsys: Captured) -> None:
    lines = told(capsys, "tail", "orders", "--from-beginning", "--format", "json")
    records = [json.loads(line) for line in lines]
    assert [(record["timestamp"], record["value"]) for record in records] == [
        (timestamp, {"id": order.id, "user": order.user, "amount": order.amount})
        for timestamp, order in shop.all_orders()
    ]
    assert {record["key"] for record in records} == {f"user-{n}" for n in range(shop.USERS)}
    first = told(capsys, "tail", "orders", "--from-beginning", "-n", "2", "--format", "json")
    assert first == lines[:2]


def test_tail_of_one_partition(data: Path, capsys: Captured) -> None:
    parts = [
        told(capsys, "tail", "orders", "--from-beginning", "-p", str(number)) for number in (0, 1)
    ]
    assert all(f"orders-{number}@" in line for number in (0, 1) for line in parts[number])
    assert sum(map(len, parts)) == shop.ORDERS
    both = told(capsys, "tail", "orders", "--from-beginning", "-p", "0", "-p", "1")
    assert sorted(both) == sorted(parts[0] + parts[1])
    assert "it has partitions 0 to 1" in refused(capsys, "tail", "orders", "-p", "2")
    assert "it has partition 0 only" in refused(capsys, "tail", "users", "-p", "-1")


def test_tail_since_a_moment(data: Path, capsys: Captured) -> None:
    lines = told(capsys, "tail", "orders", "--since", "2025-01-01T00:04:57")
    assert [json.loads(line.split("  ")[-1])["id"] for line in lines] == [198, 199]
    assert told(capsys, "tail", "orders", "--since", "5m") == []


# -- tables ------------------------------------------------------------------------------------


def test_a_table_by_key(data: Path, capsys: Captured) -> None:
    totals = Counter[str]()
    for _, order in shop.all_orders():
        totals[order.user] += order.amount
    for user, total in totals.items():
        assert told(capsys, "table", "get", "totals", user) == [str(total)]
    listed = rows(told(capsys, "table", "list", "totals"))
    assert listed == {user: [str(total)] for user, total in totals.items()}


def test_int_keys_are_shown_as_numbers_in_their_order_and_deleted_ones_are_gone(
    data: Path, capsys: Captured
) -> None:
    assert '"id":42' in told(capsys, "table", "get", "by-id", "42")[0]
    keys = [line.split()[0] for line in told(capsys, "table", "list", "by-id", "--limit", "1000")]
    left = [number for number in range(shop.ORDERS) if number % 10]
    assert keys == ["key", *map(str, left)]
    assert "has no key '40'" in refused(capsys, "table", "get", "by-id", "40", code=1)


def test_a_limit_is_said(data: Path, capsys: Captured) -> None:
    assert run(["table", "list", "by-id", "--limit", "3"]) == 0
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 4
    assert err == "table by-id holds 180 entries, of which 3 are shown\n"


def test_the_app_tells_what_its_keys_are(data: Path, capsys: Captured) -> None:
    typed = ("--app", "millpond.tests.unit.cli_shop:app")
    listed = told(capsys, "table", "list", "places", *typed)
    assert [line.rsplit(maxsplit=1)[0] for line in listed[1:]] == [
        f'["NL", {number}]' for number in range(3) for _ in range(2)
    ], "each partition has its own"
    assert len(told(capsys, "table", "get", "places", '["NL",1]', *typed)) == 2
    days = told(capsys, "table", "list", "days", *typed)
    assert {line.split()[0] for line in days[1:]} == {
        "2025-01-01T00:00:00Z",
        "2025-01-02T00:00:00Z",
    }
    assert told(capsys, "table", "get", "names", "user-1", *typed) == ["Ann"]
    assert "there is" in refused(capsys, "table", "get", "nope", "x", *typed)


def test_a_key_in_several_partitions_is_told_for_each(data: Path, capsys: Captured) -> None:
    typed = ("--app", "millpond.tests.unit.cli_shop:app")
    lines = told(capsys, "table", "get", "days", "2025-01-01T00:00:00Z", *typed)
    counts = [line.removeprefix(f"partition {n}: ") for n, line in enumerate(lines)]
    assert sum(map(int, counts)) == shop.ORDERS // 2


def open_minutes(capsys: Captured) -> Counter[tuple[int, str]]:
    """Work out the counts of open windows from the topic, in plain code."""
    counts, seen = Counter[tuple[int, str]](), dict[int, int]()
    partitions = {}
    for line in told(capsys, "tail", "orders", "--from-beginning", "--format", "json"):
        record = json.loads(line)
        minute = record["timestamp"] // 60_000 * 60_000
        counts[minute, record["key"]] += 1
        partitions[record["key"]] = record["partition"]
        seen[record["partition"]] = max(record["timestamp"], seen.get(record["partition"], 0))
    for minute, key in list(counts):
        if minute + 70_000 <= seen[partitions[key]]:
            del counts[minute, key]
    return counts


def test_only_open_windows_are_shown(data: Path, capsys: Captured) -> None:
    expected = open_minutes(capsys)
    assert 0 < len(expected) < shop.USERS * 5
    lines = told(capsys, "table", "list", "minutes")[1:]
    shown = {tuple(line.split()[:2]): int(line.split()[2]) for line in lines}
    assert shown == {
        (f"2025-01-01T00:{(start - shop.START_MS) // 60_000:02}:00.000Z", key): count
        for (start, key), count in expected.items()
    }


def test_a_window_by_key_and_start(data: Path, capsys: Captured) -> None:
    (start, key), count = max(open_minutes(capsys).items())
    lines = told(capsys, "table", "get", "minutes", key, "--window", str(start))
    assert [line.split()[-1] for line in lines] == [str(count)]
    typed = ("--app", "millpond.tests.unit.cli_shop:app")
    (with_end,) = told(capsys, "table", "get", "minutes", key, "--window", str(start), *typed)
    assert with_end.startswith("2025-01-01T00:04:00.000Z/2025-01-01T00:05:00.000Z  ")
    closed = refused(
        capsys, "table", "get", "minutes", key, "--window", "2025-01-01T00:00Z", code=1
    )
    assert "in an open window that starts at 2025-01-01T00:00:00.000Z" in closed


def test_an_unknown_table_is_answered_with_those_there_are(data: Path, capsys: Captured) -> None:
    assert "did you mean totals" in refused(capsys, "table", "get", "total", "x")
    assert "there is by-id, days, minutes" in refused(capsys, "table", "list", "q")
    assert "of app 'other'" in refused(capsys, "table", "list", "totals", "--app-name", "other")
    assert told(capsys, "table", "get", "totals", "user-0", "--app-name", "shop")


# -- against the twin of the log ---------------------------------------------------------------


async def messy_log(seed: int) -> tuple[ListLog, dict[TopicPartition, list[tuple[int, int]]]]:
    """Return a log with transactions' gaps, and (offset, time) of what it holds."""
    rng = random.Random(seed)
    log = ListLog()
    await log.create_topics([TopicSpec("t", 3)])
    placed: dict[TopicPartition, list[tuple[int, int]]] = {
        TopicPartition("t", number): [] for number in range(3)
    }
    plain, transactional = await log.producer(), await log.transactional_producer("id")
    for _ in range(rng.randrange(30)):
        tp = TopicPartition("t", rng.randrange(3))
        times = [rng.randrange(100) for _ in range(rng.randrange(1, 4))]
        batch = {tp: [NewRecord(b"k", b"v", time) for time in times]}
        if rng.random() < 0.7:
            offsets = {tp: CommittedOffset(0)}
            appended = await transactional.commit(batch, group="g", offsets=offsets)
        else:
            appended = await plain.append(batch)
        placed[tp] += [(appended[tp].base_offset + i, time) for i, time in enumerate(times)]
    return log, placed


def merged(
    placed: dict[TopicPartition, list[tuple[int, int]]],
) -> list[tuple[TopicPartition, int]]:
    """Take the head with the lowest time, again and again."""
    queues = {tp: list(records) for tp, records in placed.items() if records}
    order = []
    while queues:
        first = min(queues, key=lambda tp: queues[tp][0][1])
        order.append((first, queues[first].pop(0)[0]))
        queues = {tp: queue for tp, queue in queues.items() if queue}
    return order


@pytest.mark.anyio
@pytest.mark.parametrize("seed", range(40))
async def test_ranges_are_merged_as_a_task_merges(seed: int) -> None:
    log, placed = await messy_log(seed)
    starts = dict.fromkeys(placed, 0)
    ends = await log.end_offsets(placed)
    found = [(tp, r.offset) async for tp, r in look.read_merged(log, starts, ends)]
    assert found == merged(placed)


@pytest.mark.anyio
@pytest.mark.parametrize("seed", range(40))
async def test_the_last_records_are_found_behind_any_gaps(seed: int) -> None:
    log, placed = await messy_log(seed)
    ends = await log.end_offsets(placed)
    for count in (0, 1, 2, 5, 1000):
        found = await tail.last_records(log, list(placed), ends, count)
        tails = {tp: records[-count:] if count else [] for tp, records in placed.items()}
        last = merged(tails)[-count:] if count else []
        assert [(tp, record.offset) for tp, record in found] == last
