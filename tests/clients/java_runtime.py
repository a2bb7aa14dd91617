"""Where the jars of the Java client and of Kafka's own tools are, and how they are run."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

SOURCES = Path(__file__).parent / "java"
JARS = Path(__file__).parents[2] / ".cache" / "clients" / "jars"
JAVA = [
    *("java", "-Xmx400m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"),
    f"-Dlog4j2.configurationFile={SOURCES}/log4j2.properties",
]


def kafka_version() -> str:
    """Return the version that pom.xml asks for."""
    found = re.search("<kafka.version>(.*)</kafka.version>", (SOURCES / "pom.xml").read_text())
    assert found is not None
    return found.group(1)


def needs_jars() -> pytest.MarkDecorator:
    """Skip tests where the jars can't be had."""
    if shutil.which("java") is None:
        return pytest.mark.skip("java is not installed")
    return pytest.mark.skipif(not JARS.is_dir(), reason="jars are missing: `make client-packages`")


def run_command(*arguments: str) -> list[str]:
    """Return the command that runs a class, or a single source file, with all jars."""
    return [*JAVA, "-cp", f"{JARS}/*", *arguments]


class Tools:
    """Kafka's own tools, run one after another in one JVM; see `java/Tools.java`."""

    def __init__(self) -> None:
        of_tools = re.compile(r"(kafka-tools|kafka_\d\.\d+|scala-library)-[\d.]+\.jar")
        jars = sorted(JARS.glob("*.jar"))
        each_anew = [str(jar) for jar in jars if of_tools.fullmatch(jar.name)]
        shared = ":".join(str(jar) for jar in jars if not of_tools.fullmatch(jar.name))
        command = [*JAVA, "-cp", shared, str(SOURCES / "Tools.java"), *each_anew]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(
            command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.communicate()

    def run(self, main: str, *arguments: str, sent: str = "", fails: bool = False) -> str:
        """Run a tool to its end, and return what it printed."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        command = {"main": main, "arguments": arguments, "sent": sent}
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        printed = str(answer["out"] + answer["error"])
        assert (answer["code"] != 0) == fails, f"{main} ended with {answer['code']}:\n{printed}"
        return printed
