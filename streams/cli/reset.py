"""`millpond reset`: let an app begin anew, as if it had never run.

What goes: the groups that keep its progress, the topics that are its alone (changelogs and repartition
topics), its state in the data directory. What stays: every topic that it or others read and write.
Other machines need no visit: a store whose changelog is another one now is rebuilt when a task opens it.

Everything is taken from the app as it is now, so what an agent or table left behind that has since gone
is not found here; `topics delete` removes that. Names are never guessed by their beginning: one app's may
be the beginning of another's.

Nothing may run meanwhile. In a directory the lock tells; on a cluster the group of the app's workers
does, which can't be removed while it has members, and so goes first. A crash amid all this leaves an
app between two states, so the command is to be repeated.
"""

import fcntl
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from ...log.errors import GroupActive, LogLocked
from ...log.interface import Log
from ...log.model import TopicDescription
from ..errors import StreamError
from ..topology import Topology
from .asking import confirm
from .look import partitions_of
from .place import Place, opened, opened_to_change
from .show import columns
from .topic_changes import counted

NOTHING: Final = "nothing was removed"


async def reset_app(place: Place, topology: Topology, only_show: bool, sure: bool) -> None:
    """Show what an app has left behind, and remove it.

    Args:
        place: where it runs.
        topology: what it consists of.
        only_show: whether to stop there.
        sure: whether not to ask.

    Raises:
        LogLocked, GroupActive: a worker runs.
    """
    state = place.data.absolute() / "state" / topology.app
    opening = opened(place) if only_show else opened_to_change(place, NOTHING)
    async with opening as log:
        topics = await log.describe_topics(_internal(topology))
        groups = await _groups(log, topology)
        rows = [
            *[("group", name, counted(count, "partition")) for name, count in groups.items()],
            *[("topic", each.name, await _held(log, each)) for each in topics.values()],
            *[("state", state, "") for _ in _stores(state)[:1]],
        ]
        if not rows:
            print(f"there is nothing to remove: app {topology.app} has left nothing at {place}")
            return
        print(columns(("what", "name", "holds"), rows, sys.stdout))
        sys.stdout.flush()
        if only_show:
            print("nothing was changed: --dry-run", file=sys.stderr)
            return
        _check_unused(state)
        if not sure:
            confirm(f"Remove all this of app {topology.app} at {place}?", NOTHING)
        await _remove_workers_group(log, topology)
        await log.delete_topics(topics)
        await log.delete_groups(groups)
    _remove(state)
    print(f"app {topology.app} begins anew when it is next run")


def _internal(topology: Topology) -> list[str]:
    """Return the names of the topics that nobody else uses."""
    names = [topic.name for topic in topology.topics if topic.upstream is not None]
    names += [topology.changelog(table) for sub in topology.subtopologies for table in sub.tables]
    return names


async def _groups(log: Log, topology: Topology) -> dict[str, int]:
    """Return the groups that have committed something, and in how many partitions."""
    names = [topology.app, *(topology.group(sub) for sub in topology.subtopologies)]
    committed = {name: len(await log.committed_offsets(name)) for name in names}
    return {name: count for name, count in committed.items() if count}


async def _held(log: Log, topic: TopicDescription) -> str:
    partitions = partitions_of(topic)
    starts, ends = await log.start_offsets(partitions), await log.end_offsets(partitions)
    offsets = sum(ends[each] - starts[each] for each in partitions)
    return f"{counted(len(partitions), 'partition')}, {counted(offsets, 'offset')}"


async def _remove_workers_group(log: Log, topology: Topology) -> None:
    try:
        await log.delete_groups([topology.app])
    except GroupActive:
        raise GroupActive(
            f"{NOTHING}: app {topology.app!r} has workers. Stop them all first. One that was killed, or "
            "has a name (--instance, -n), counts as there until its session timeout has passed, 10 s "
            "by default"
        ) from None


def _stores(state: Path) -> Sequence[Path]:
    """Return what lies in the state directory of the app: stores by subtopology and partition."""
    return sorted(state.glob("*/*"))


def _check_unused(state: Path) -> None:
    """Refuse if a worker has one of the stores open, be it one of another cluster."""
    for path in state.glob("*/*/LOCK"):
        with path.open("r+") as file:
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # as RocksDB does
            except BlockingIOError:
                raise LogLocked(
                    f"{NOTHING}: a worker has the store {str(path.parent)!r}. Stop it first"
                ) from None


def _remove(state: Path) -> None:
    try:
        if state.exists():
            shutil.rmtree(state)
    except OSError as error:
        raise StreamError(
            f"{str(error.filename)!r} can't be removed: {error.strerror}. All else of the app is; "
            f"remove {str(state)!r} by hand"
        ) from None
