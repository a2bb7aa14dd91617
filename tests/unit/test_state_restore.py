"""How stores catch up: what they resume from, when they start over, when they must give up."""

from dataclasses import replace
from uuid import uuid4

import pytest
from millpond.log.model import Fetched, TopicPartition
from millpond.state.errors import ChangelogInvalid, ChangelogTruncated, UnknownFormat
from millpond.state.meta import Position, StoredPosition
from millpond.state.restore import DAY_MS, ChangelogFacts, plan_restore
from millpond.tests.twins.state_world import LoggedRecord, World

NOW = 10 * DAY_MS
PARTITION = TopicPartition("totals", 3)
TOPIC_ID = uuid4()
FACTS = ChangelogFacts(PARTITION, TOPIC_ID, start=0, end=100, epoch_end=100)


def stored(offset: int, *, epoch: int = 4, as_of: int = NOW) -> StoredPosition:
    return StoredPosition(Position(TOPIC_ID, epoch, offset), as_of)


# The plan


@pytest.mark.parametrize("offset", [0, 40, 100])
def test_position_on_the_history_is_resumed(offset: int) -> None:
    plan = plan_restore(stored(offset), FACTS, NOW)
    assert (plan.offset, plan.rebuild) == (offset, False)


@pytest.mark.parametrize(
    ("position", "facts", "reason"),
    [
        (None, FACTS, "new"),
        (stored(40), replace(FACTS, topic_id=uuid4()), "made anew"),
        (stored(101), replace(FACTS, epoch_end=200), "ends at 100"),
        (stored(40), replace(FACTS, epoch_end=39), "truncated to 39"),
        (stored(40), replace(FACTS, epoch_end=-1), "truncated"),
        (stored(40), replace(FACTS, start=41, expires=True), "begins at 41"),
        (stored(40, as_of=NOW - DAY_MS - 1), FACTS, "longer than deletions are kept"),
    ],
)
def test_position_off_the_history_means_starting_over(
    position: StoredPosition | None, facts: ChangelogFacts, reason: str
) -> None:
    plan = plan_restore(position, facts, NOW)
    assert plan.rebuild
    assert plan.offset == facts.start
    assert reason in plan.reason


def test_log_that_grew_again_past_the_position_is_noticed() -> None:
    """Offset 60 exists, but it is another record than the store has seen there (KIP-101)."""
    plan = plan_restore(stored(60, epoch=4), replace(FACTS, end=100, epoch_end=50), NOW)
    assert plan.rebuild


def test_log_that_tells_no_epochs_is_believed() -> None:
    assert not plan_restore(stored(60, epoch=-1), replace(FACTS, epoch_end=-1), NOW).rebuild


def test_old_store_with_nothing_to_catch_up_with_is_good() -> None:
    assert not plan_restore(stored(100, as_of=0), FACTS, NOW).rebuild


@pytest.mark.parametrize("position", [None, stored(4), stored(40, epoch=9)])
def test_missing_beginning_that_nobody_has_is_an_error(position: StoredPosition | None) -> None:
    facts = replace(FACTS, start=5, epoch_end=39)
    with pytest.raises(ChangelogTruncated, match="totals-3 begins at offset 5"):
        plan_restore(position, facts, NOW)


def test_store_that_has_the_missing_beginning_is_resumed() -> None:
    assert not plan_restore(stored(5), replace(FACTS, start=5), NOW).rebuild


# The way there


def test_restore_passes_gaps_markers_and_aborted_records() -> None:
    world = World()
    for number in range(20):
        world.totals.put("a", number)
        world.totals.put(str(number), number)
        world.commit()
    changelog = world.changelogs["totals"]
    changelog.compact()
    changelog.end += 50
    rebuilt = world.rebuilt()
    assert rebuilt.data() == world.data()
    assert rebuilt.state.positions["totals"].offset == changelog.end


def test_restore_ends_when_nothing_is_left_but_offsets() -> None:
    world = World()
    world.totals.put("a", 1)
    world.commit()
    world.totals.delete("a")
    world.commit()
    world.changelogs["totals"].compact()
    assert world.changelogs["totals"].records == []
    assert world.rebuilt().contents()["totals"] == {}


def test_position_counts_and_not_the_last_record() -> None:
    world = World()
    world.changelogs["totals"].end = 50
    restore = world.begin_restore()
    record = LoggedRecord(3, b"a", bytes(8), 0, world.totals.headers)
    restore.feed(Fetched(PARTITION, [record], next_offset=50, end_offset=50, leader_epoch=0))
    assert restore.done


def test_restored_position_knows_the_epoch_that_it_ends_in() -> None:
    world = World()
    world.changelogs["totals"].leader_epoch = 5
    world.totals.put("a", 1)
    world.commit()
    assert world.rebuilt().state.positions["totals"].leader_epoch == 5


def test_restore_of_nothing_is_done_at_once() -> None:
    world = World()
    restore = world.restart()
    assert restore.done
    assert (restore.offsets, restore.remaining, restore.record_count) == ({}, 0, 0)


def test_interrupted_restore_goes_on_where_it_was() -> None:
    world = World()
    for number in range(30):
        world.totals.put(str(number), number)
    world.commit()
    other = world.rebuilt()
    other.backend.write([], [(b"", b"\xff")])
    restore = other.begin_restore()
    other.restore_some(restore)
    other.restore_some(restore)
    assert restore.offsets == {"totals": 6}
    assert restore.remaining == 25
    other.backend.flush()
    restore = other.crash()
    assert restore.reasons["totals"] == "resumed"
    assert restore.record_count == 24
    assert other.data() == world.data()


def test_deletion_reaches_a_store_that_was_away() -> None:
    world = World()
    world.totals.put("a", 1)
    world.commit()
    world.backend.flush()
    world.totals.delete("a")
    world.commit_to_log()
    world.crash()
    assert world.totals.get("a") is None


def test_store_away_for_longer_than_deletions_are_kept_is_rebuilt() -> None:
    world = World()
    world.totals.put("a", 1)
    world.totals.put("b", 1)
    world.commit()
    world.backend.flush()
    world.totals.delete("a")
    world.commit_to_log()
    world.changelogs["totals"].compact()
    world.now += DAY_MS + 1000
    restore = world.crash()
    assert "longer than deletions are kept" in restore.reasons["totals"]
    assert world.contents()["totals"] == {"b": 1}


def test_idle_store_of_a_busy_task_does_not_age() -> None:
    world = World()
    world.lists.put("a", [1])
    world.commit()
    for day in range(3):
        world.now += DAY_MS // 2
        world.totals.put("a", day)
        world.commit()
    world.backend.flush()
    assert world.crash().reasons["lists"] == "resumed"


def test_truncated_log_makes_its_store_start_over() -> None:
    world = World()
    for number in range(4):
        world.totals.put("a", number)
        world.commit()
    world.backend.flush()
    changelog = world.changelogs["totals"]
    # An unclean failover lost the tail; the next leader wrote something else.
    changelog.records = changelog.records[:2]
    changelog.epoch_ends[0] = changelog.end = 4
    changelog.leader_epoch = 1
    changelog.append([(b"b", (7).to_bytes(8, "big"), 0, world.totals.headers)])
    changelog.append([(b"c", (7).to_bytes(8, "big"), 0, world.totals.headers)])
    assert "truncated" in world.crash().reasons["totals"]
    assert set(world.contents()["totals"]) == {"a", "b", "c"}
    assert world.totals.get("a") == 1


def test_changelog_that_was_made_anew_empties_its_store() -> None:
    world = World()
    world.totals.put("a", 1)
    world.lists.put("a", [1])
    world.commit()
    world.changelogs["totals"].__init__("totals")  # type: ignore[misc]
    world.restart()
    assert world.contents()["totals"] == {}
    assert world.contents()["lists"] == {"a": [1]}


def test_windows_that_had_been_closed_do_not_come_back() -> None:
    world = World()
    for start in (0, 60, 120):
        world.minutes.put(start, "a", start)
    world.commit()
    world.minutes.close_before(120)
    world.commit({"minutes": 120})
    assert len(world.changelogs["minutes"].records) == 3
    rebuilt = world.rebuilt()
    assert rebuilt.minutes.starts() == rebuilt.minutes.view().starts() == [120]
    assert rebuilt.data() == world.data()


def test_windows_that_had_been_closed_are_not_even_written() -> None:
    world = World()
    for start in (0, 60, 120):
        world.minutes.put(start, "a", start)
    world.commit({"minutes": 120})
    other = world.rebuilt()
    other.backend.write([], [(b"", b"\xff")])
    restore = other.begin_restore()
    while not restore.done:
        other.restore_some(restore)
    assert other.minutes.view().starts() == [120]


def test_windows_closed_by_a_commit_that_the_backend_missed_are_dropped() -> None:
    world = World()
    for start in (0, 60, 120):
        world.minutes.put(start, "a", start)
    world.commit()
    world.backend.flush()
    world.minutes.close_before(120)
    world.commit({"minutes": 120})
    world.crash()
    assert world.minutes.starts() == world.minutes.view().starts() == [120]


# What is no changelog


def fed(world: World, record: LoggedRecord) -> None:
    world.changelogs["totals"].end = 1
    restore = world.begin_restore()
    restore.feed(Fetched(PARTITION, [record], 1, 1, 0))


def test_record_of_an_unknown_version_is_refused() -> None:
    record = LoggedRecord(0, b"a", b"x", 0, [("mp", b"k9")])
    with pytest.raises(UnknownFormat, match=r"totals-3 offset 0 has format b'k9'"):
        fed(World(), record)


def test_record_that_someone_else_wrote_is_refused() -> None:
    with pytest.raises(UnknownFormat, match="format None"):
        fed(World(), LoggedRecord(0, b"a", b"x", 0, []))


def test_record_without_a_key_is_refused() -> None:
    with pytest.raises(ChangelogInvalid, match="totals-3 offset 0: a record without a key"):
        fed(World(), LoggedRecord(0, None, b"x", 0, [("mp", b"k1")]))
