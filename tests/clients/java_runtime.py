"""Where the jars of the Java client and of Kafka's own tools are, and how to run a class of them."""

from pathlib import Path

JARS = Path(__file__).parents[2] / ".cache" / "clients" / "jars"


def jars() -> Path:
    return JARS
