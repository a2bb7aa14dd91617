"""Worker processes of one app, as users run them: `millpond worker module:app --log kafka://…`, and what befalls them.

    with Workers("millpond.tests.twins.counting_app:app", broker.address, tmp_path) as workers:
        workers.start("one")
        workers.kill("one")

Each has its own data directory, unless they are to share one; a worker that is started again under its
name finds its directory again. At the end nothing may be left over: all processes inherit a mark in
their environment, by which they are found wherever they have gone.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, Self
from uuid import uuid4

MARK: Final = "MILLPOND_TESTS_WORKERS"
STOP_S: Final = 120
PATIENCE_S: Final = 20
"""How long workers wait for a broker at least, once they are ready; before, they only try for 5 s."""

NO_BROKER: Final = "no broker answers"
TAIL_CHARACTERS: Final = 4000


class WorkerEnded(AssertionError):
    """A worker ended by itself."""


class Worker:
    """One process, under a name."""

    def __init__(
        self, name: str, command: list[str], environment: Mapping[str, str], log: Path
    ) -> None:
        self.name = name
        self.log = log
        self.is_paused = False
        with log.open("wb") as out:
            self.process = subprocess.Popen(
                command, stdout=out, stderr=subprocess.STDOUT, env=dict(environment)
            )

    def told(self) -> str:
        """Return the last of what it printed."""
        return self.log.read_text(errors="replace")[-TAIL_CHARACTERS:]

    def was_stopped_while_it_began(self, code: int) -> bool:
        """Whether a signal came before anything was there that handles it."""
        return code == -signal.SIGTERM and not self.told()

    def was_ready(self) -> bool:
        """Whether it has ever begun to work."""
        return "ready after" in self.log.read_text(errors="replace")

    def check(self) -> None:
        """Raise WorkerEnded if it doesn't run any more."""
        code = self.process.poll()
        if code is not None:
            raise WorkerEnded(f"worker {self.name!r} ended with {code}:\n{self.told()}")


class Workers:
    """A context manager: workers come and go inside; none is left behind it.

    Attributes:
        running: by name, those that are paused included.
    """

    def __init__(
        self,
        target: str,
        address: str,
        directory: Path,
        *,
        share_directory: bool = False,
        environment: Mapping[str, str] | None = None,
        static: bool = False,
    ) -> None:
        """Say what to run.

        Args:
            target: ``module:app``.
            address: of the broker.
            directory: for the workers' data and logs.
            share_directory: whether all keep their state in one place.
            environment: in addition to ours.
            static: whether a worker's name is its instance's, so that its tasks wait for it.
        """
        self.running: dict[str, Worker] = {}
        self.logs: list[Path] = []
        self._target = target
        self._address = address
        self._directory = directory
        self._share_directory = share_directory
        self._static = static
        self._mark = uuid4().hex
        self._environment = {**os.environ, **(environment or {}), MARK: self._mark}

    def data_of(self, name: str) -> Path:
        """Return the data directory of a worker."""
        return self._directory / ("data" if self._share_directory else f"data-{name}")

    def start(self, *names: str) -> None:
        """Start workers; that they are ready is for others to see."""
        for name in names:
            assert name not in self.running
            command = [sys.executable, "-m", "millpond.streams.cli", "worker", self._target]
            command += ["--log", f"kafka://{self._address}", "--data", str(self.data_of(name))]
            command += ["--instance", name] if self._static else []
            log = self._directory / f"{name}-{len(self.logs)}.out"
            self.logs.append(log)
            self.running[name] = Worker(name, command, self._environment, log)

    def kill(self, *names: str) -> None:
        """End workers where they stand."""
        for name in names:
            worker = self.running[name]
            worker.check()
            worker.process.kill()
            worker.process.wait()
            del self.running[name]

    def pause(self, name: str) -> None:
        """Let a worker do nothing, without its knowledge."""
        self._send(name, signal.SIGSTOP)
        self.running[name].is_paused = True

    def resume(self, name: str) -> None:
        """Let a paused worker go on, as if nothing had happened."""
        self.running[name].is_paused = False
        self._send(name, signal.SIGCONT)

    def stop(self, *names: str) -> None:
        """Let workers stop in order, all at the same time."""
        for name in names:
            if self.running[name].is_paused:
                self.resume(name)
            self._send(name, signal.SIGTERM)
        for name in names:
            worker = self.running.pop(name)
            try:
                code = worker.process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                worker.process.kill()
                worker.process.wait()
                raise AssertionError(f"worker {name!r} does not stop:\n{worker.told()}") from None
            if code != 0 and not worker.was_stopped_while_it_began(code):
                raise WorkerEnded(f"worker {name!r} stopped with {code}:\n{worker.told()}")

    def check(self) -> None:
        """Raise WorkerEnded if a worker has ended by itself."""
        for worker in self.running.values():
            worker.check()

    def without_broker(self, *, away_s: float) -> list[str]:
        """Forget workers that ended for want of a broker, and return their names.

        Args:
            away_s: for how long there was none.
        """
        gone = [
            worker.name
            for worker in self.running.values()
            if worker.process.poll() == 1
            and (away_s > PATIENCE_S or (NO_BROKER in worker.told() and not worker.was_ready()))
        ]
        for name in gone:
            del self.running[name]
        return gone

    def told(self) -> str:
        """Return the last of what each of all workers printed."""
        return "\n".join(
            f"--- {log.stem}\n{log.read_text(errors='replace')[-TAIL_CHARACTERS:]}"
            for log in self.logs
        )

    def _send(self, name: str, number: signal.Signals) -> None:
        self.running[name].check()
        self.running[name].process.send_signal(number)

    def __enter__(self) -> Self:
        self._directory.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for worker in self.running.values():
            worker.process.kill()
            worker.process.wait()
        if error is not None and not isinstance(error, WorkerEnded):
            error.add_note(f"what the workers printed last:\n{self.told()}")
        left = left_over(self._mark)
        for pid in left:
            os.kill(pid, signal.SIGKILL)
        if left and error is None:
            raise AssertionError(f"left over: processes {left}\n{self.told()}")


def left_over(mark: str) -> list[int]:
    """Return the processes that carry a mark; those that are just about to end get a second."""
    deadline = time.monotonic() + 1
    while True:
        left = [int(each.name) for each in Path("/proc").glob("[0-9]*") if _carries(each, mark)]
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(0.05)


def _carries(process: Path, mark: str) -> bool:
    try:
        return f"{MARK}={mark}".encode() in (process / "environ").read_bytes()
    except OSError:  # it has ended, or is somebody else's
        return False
