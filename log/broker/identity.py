"""Which cluster and node a data directory belongs to, in Kafka's `meta.properties`.

Made when the directory is served for the first time. By the cluster id clients keep apart what they
know of several clusters, so it must survive restarts. A copy of the directory under another node id
would be a second broker that takes itself for the first, so the node id is kept with it and checked.
"""

from collections.abc import Callable
from typing import Final
from uuid import UUID

from ..errors import ConfigError
from ..storage.checkpoints import encode_topic_id
from ..storage.disk import Disk

META_PROPERTIES: Final = "meta.properties"
_VERSION: Final = "1"


def cluster_id_of(disk: Disk, node_id: int, new_id: Callable[[], UUID]) -> str:
    """Return the directory's cluster id, which is made if it has none.

    Raises:
        ConfigError: the directory is another node's, or the file doesn't say.
    """
    if not disk.exists(META_PROPERTIES):
        cluster_id = encode_topic_id(new_id())
        properties = {
            "version": _VERSION,
            "cluster.id": cluster_id,
            "node.id": str(node_id),
            "directory.id": encode_topic_id(new_id()),
        }
        text = "".join(f"{name}={value}\n" for name, value in properties.items())
        disk.replace(META_PROPERTIES, text.encode())
        return cluster_id
    lines = disk.read(META_PROPERTIES).decode(errors="replace").splitlines()
    properties = dict(line.split("=", 1) for line in lines if "=" in line and line[0] != "#")
    owner = properties.get("node.id", "")
    if owner != str(node_id):
        raise ConfigError(
            f"{META_PROPERTIES} says that this directory belongs to node {owner!r}, but this is "
            f"node {node_id}: give the broker that node id, or choose another directory"
        )
    if not properties.get("cluster.id"):
        raise ConfigError(f"{META_PROPERTIES} has no cluster.id: remove it to get a new one")
    return properties["cluster.id"]
