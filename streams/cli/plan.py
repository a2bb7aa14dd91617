"""`millpond graph --log`: what an app would make of a log: its tasks, and the topics that are missing."""

import sys

from ..graph import planned_topics
from ..settings import Settings
from ..topology import Topology, plan
from . import look
from .place import Place, opened
from .show import columns


async def show_plan(place: Place, topology: Topology, settings: Settings) -> None:
    """Print the plan for the log as it is now; nothing is changed.

    Raises:
        TopologyError: the app does not fit the log.
    """
    names = [topic.name for topic in topology.topics]
    names += [topology.changelog(table) for sub in topology.subtopologies for table in sub.tables]
    existing, note = {}, ""
    if place.url is None and not look.has_log(place.data):
        note = ", where there is no log yet"
    else:
        async with opened(place) as log:
            existing = await log.describe_topics(names)
    planned = plan(topology, existing, settings.partitions)
    tasks = [(topology.group(sub), planned.tasks[sub.name]) for sub in topology.subtopologies]
    topics = [
        (topic.name, topic.partitions, "there" if topic.exists else "to be made", topic.settings)
        for topic in planned_topics(planned, existing)
    ]
    print(f"\nplan for {place}{note}\n")
    print(columns(("group", "tasks"), tasks, sys.stdout), end="\n\n")
    print(columns(("topic", "partitions", "now", "settings"), topics, sys.stdout))
