"""`millpond broker` as users run it: a process, its start-up line, signals, its exit code."""

import re
import resource
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

from .raw_client import RawClient

READY = re.compile(r"millpond broker (\d+) is ready: (\S+:\d+|unix:\S+)(, \S+)*, directory (.+)\n")


class BrokerProcess:
    """A context manager: accepts connections inside; is killed at the end if it still runs."""

    def __init__(
        self,
        data: Path,
        *options: str,
        listen: str = "127.0.0.1:0",
        file_bytes_max: int | None = None,
        files_max: int | None = None,
    ) -> None:
        """Say what to run, and how large its files may be, and how many open, if that is to end."""
        self._limits = {
            resource.RLIMIT_FSIZE: file_bytes_max,
            resource.RLIMIT_NOFILE: files_max,
        }
        self._command = [sys.executable, "-m", "millpond.streams.cli", "broker"]
        self._command += ["--data", str(data), "--listen", listen, *options]
        self.ready_line = ""
        self.port = 0

    def __enter__(self) -> Self:
        self._stderr = tempfile.TemporaryFile()  # a pipe that nobody reads would stop the broker
        self.process = subprocess.Popen(
            self._command,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            text=True,
            preexec_fn=self._limit_files if any(self._limits.values()) else None,
        )
        assert self.process.stdout is not None
        self.ready_line = self.process.stdout.readline()
        found = READY.fullmatch(self.ready_line)
        if found is None:
            _code, told = self.wait()
            raise AssertionError(f"the broker did not start: {self.ready_line!r} {told}")
        self.port = int(found[2].rpartition(":")[2])
        return self

    def _limit_files(self) -> None:
        for what, limit in self._limits.items():
            if limit is not None:
                resource.setrlimit(what, (limit, limit))

    def client(self) -> RawClient:
        return RawClient("127.0.0.1", self.port)

    def rss_bytes(self) -> int:
        """Return the memory that it takes now."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        assert found is not None
        return int(found[1]) * 1024

    def told(self) -> str:
        """Return what it has written to stderr so far."""
        self._stderr.seek(0)
        return self._stderr.read().decode()

    def stop(self) -> tuple[int, str]:
        """Let it stop in order; return exit code and what it has told."""
        self.process.send_signal(signal.SIGTERM)
        return self.wait()

    def wait(self) -> tuple[int, str]:
        code = self.process.wait(30)
        return code, self.told()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.process.kill()
        self.process.communicate()
        self._stderr.close()
