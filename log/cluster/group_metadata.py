"""What a transaction says of whoever commits a group's offsets, in librdkafka's own bytes.

A coordinator refuses offsets of a member that it doesn't know in the present generation (KIP-447). For
librdkafka that member is one of its own consumers, of which confluent-kafka gives the group's metadata as
bytes. Our members are not librdkafka's, so we write these bytes ourselves; and where nobody is a member,
that saves a consumer for each group.

The form is nobody's promise. So before it is relied on, it is compared with what librdkafka writes.
"""

import struct
from collections.abc import Callable
from typing import Final

import confluent_kafka

from ..errors import ConfigError
from ..model import Place

TAG: Final = b"CGMDv2:"
NO_GENERATION: Final = -1
_GENERATION: Final = struct.Struct("=i")


def group_metadata(
    group: str, generation: int = NO_GENERATION, member_id: str = "", instance_id: str | None = None
) -> bytes:
    """Return what is known of a member of a group; or of somebody who is none."""
    instance = b"\1" if instance_id is None else b"\0" + _text(instance_id)
    return TAG + _GENERATION.pack(generation) + _text(group) + _text(member_id) + instance


def metadata_of(place: Place) -> bytes:
    """Return what is known of a member by its place in a generation."""
    return group_metadata(place.group, place.generation, place.member_id, place.instance_id)


def check_form(told_by_librdkafka: Callable[[str, str | None], object] | None = None) -> None:
    """Compare with what librdkafka writes for a consumer that has not joined; this takes some milliseconds.

    Raises:
        ConfigError: it is another form.
    """
    told = told_by_librdkafka or _told_by_librdkafka
    for instance_id in (None, "instance"):
        ours = group_metadata("group", instance_id=instance_id)
        theirs = told("group", instance_id)
        if theirs != ours:
            version, _ = confluent_kafka.libversion()
            raise ConfigError(
                f"confluent-kafka {confluent_kafka.version()} with librdkafka {version} writes the "
                f"metadata of a group as {theirs!r}, where {ours!r} was expected, so transactions "
                "can't be committed with it: install confluent-kafka 2.16"
            )


def _told_by_librdkafka(group: str, instance_id: str | None) -> object:
    settings: dict[str, str | int] = {"group.id": group, "log_level": 0}
    if instance_id is not None:
        settings["group.instance.id"] = instance_id
    consumer = confluent_kafka.Consumer(settings)
    try:
        return consumer.consumer_group_metadata()
    finally:
        consumer.close()


def _text(text: str) -> bytes:
    return text.encode() + b"\0"
