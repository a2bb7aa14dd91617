"""`millpond topics create`, `alter` and `delete`."""

from collections.abc import Mapping, Sequence

from ...log.errors import ConfigError
from ...log.model import TopicSpec
from ...log.topic_changes import parse_settings
from . import look
from .asking import confirm
from .place import Place, opened_to_change


async def create_topic(
    place: Place, name: str, partitions: int, replication: int, settings: Sequence[str]
) -> None:
    """Make a topic."""
    spec = TopicSpec(name, partitions, replication, parse_settings(settings))
    async with opened_to_change(place, "no topic was made") as log:
        await log.create_topics([spec])
    print(f"made topic {name} with {counted(partitions, 'partition')}")


async def alter_topic(
    place: Place,
    name: str,
    partitions: int | None,
    settings: Sequence[str],
    unset: Sequence[str],
) -> None:
    """Give a topic more partitions, other settings, or both; say what has changed."""
    put = parse_settings(settings)
    if partitions is None and not put and not unset:
        raise ConfigError("nothing to alter: say --partitions, --config or --unset")
    async with opened_to_change(place, "nothing was altered") as log:
        topic = await look.find_topic(log, name)
        wanted = _with_and_without(name, topic.config, put, unset)
        if wanted != dict(topic.config):
            await log.alter_topics({name: wanted})
        for changed in sorted({*put, *unset}):
            before, after = topic.config.get(changed, "default"), wanted.get(changed, "default")
            print(f"{name}: {changed} = {after} (was {before})")
        if partitions is not None:
            await log.add_partitions({name: partitions})
            print(f"{name}: {counted(partitions, 'partition')} (was {topic.partitions})")


async def delete_topics(place: Place, names: Sequence[str], *, sure: bool) -> None:
    """Delete topics, after asking, unless the user is sure."""
    async with opened_to_change(place, "nothing was deleted") as log:
        topics = [await look.find_topic(log, name) for name in dict.fromkeys(names)]
        every = [partition for topic in topics for partition in look.partitions_of(topic)]
        if not sure:
            starts, ends = await log.start_offsets(every), await log.end_offsets(every)
            offsets = sum(ends[each] - starts[each] for each in every)
            held = f"{counted(len(every), 'partition')} and {offsets:,} offsets"
            names_told = ", ".join(topic.name for topic in topics)
            confirm(f"Delete {names_told}, with {held}?", "nothing was deleted")
        await log.delete_topics([topic.name for topic in topics])
    for topic in topics:
        print(f"deleted topic {topic.name}")


def counted(count: int, what: str) -> str:
    """Return a number of things."""
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"


def _with_and_without(
    topic: str, given: Mapping[str, str], put: Mapping[str, str], unset: Sequence[str]
) -> dict[str, str]:
    """Return a topic's settings as they are to be. Whether such settings exist, the log decides."""
    for name in unset:
        if name in put or name not in given:
            has = ", ".join(sorted(given)) or "nothing"
            raise ConfigError(f"--unset {name}: of its own, topic {topic!r} has set {has}")
    return {name: value for name, value in {**given, **put}.items() if name not in unset}
