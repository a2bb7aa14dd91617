"""An environment for each framework, made on demand: each with its own versions, away from ours."""

import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
HOME: Final = ROOT / ".cache" / "bench"

PINNED: Final = {
    "faust-streaming": (
        "faust-streaming==0.15.3",
        "aiokafka==0.14.0",
        "orjson",
        "rocksdict==0.3.29",
    ),
    "quixstreams": ("quixstreams==3.28.0",),
    "bytewax": ("bytewax==0.21.1", "confluent-kafka==2.16.1", "orjson"),
    "pathway": ("pathway==0.33.0",),
}


def python_of(framework: str) -> str:
    """Return the interpreter of a framework's environment, which is made if it is not there."""
    directory = HOME / framework
    ready, wanted = directory / ".ready", "\n".join(PINNED[framework])
    python = directory / "bin" / "python"
    if not ready.exists() or ready.read_text() != wanted:
        subprocess.run([sys.executable, "-m", "venv", str(directory)], check=True)
        install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*install, *PINNED[framework]], check=True)
        ready.write_text(wanted)
    return str(python)
