"""What a failing command tells, and with which code it ends."""

import subprocess
import sys
from collections.abc import Callable

import anyio
import pytest
from millpond.log.errors import ConfigError, LogError
from millpond.log.model import TopicPartition
from millpond.streams.cli import failures
from millpond.streams.cli.failures import perform, reported, user_trace
from millpond.streams.errors import AgentFailed
from millpond.streams.types.store_keys import store_key_codec_for


def failing(error: Exception) -> Callable[[], object]:
    async def command() -> None:
        await anyio.lowlevel.checkpoint()
        raise error

    return command


@pytest.mark.parametrize(
    ("error", "code"), [(ConfigError("correct this"), 2), (LogError("disk is gone"), 1)]
)
def test_our_errors_are_a_message_and_a_code(
    error: Exception, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert perform(failing(error)) == code
    out, err = capsys.readouterr()
    assert (out, err) == ("", f"error: {error}\n")


def test_an_agents_exception_shows_the_users_frames_and_then_the_record(
    capsys: pytest.CaptureFixture[str],
) -> None:
    try:
        users_function()
    except ValueError as cause:
        error = AgentFailed("add", TopicPartition("orders", 3), 17, cause)
    assert perform(failing(error)) == 1
    err = capsys.readouterr().err
    assert "in users_function" in err
    assert "streams/types/store_keys.py" not in err, "where it went wrong inside us is our business"
    assert err.index("in users_function") < err.index("error: agent 'add' failed on orders-3")


def users_function() -> bytes:
    return store_key_codec_for(int, what="table 'totals': key").encode(2**70)


def test_the_users_exceptions_are_stripped_of_ours_along_the_whole_chain() -> None:
    try:
        try:
            users_function()
        except ValueError as first:
            raise LookupError("second") from first
    except LookupError as error:
        told = user_trace(error)
    assert "LookupError: second" in told
    assert "direct cause" in told
    assert "does not fit into 64 bits" in told
    assert "store_keys.py" not in told


def test_an_exception_of_the_apps_own_tasks_is_told_without_ours(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert perform(failing(KeyError("nope"))) == 1
    err = capsys.readouterr().err
    assert "in command" in err
    assert "anyio" not in err
    assert err.rstrip().splitlines()[-1].startswith("error: the app failed outside its agents")


def test_our_own_mistake_keeps_its_traceback() -> None:
    """A traceback of ours, or of a library that we use, is what we want to be sent."""
    code = (
        "import textwrap\n"
        "from millpond.streams.cli import failures\n"
        "from millpond.streams.cli.failures import reported\n"
        "def mistake():\n"
        "    with reported():\n"
        "        textwrap.dedent(None)\n"
        "mistake()\n"
    )
    ours = f"import sys; exec(compile({code!r}, sys.argv[1], 'exec'))"
    done = subprocess.run(
        [sys.executable, "-c", ours, failures.__file__], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "in mistake" in done.stderr
    assert "the app failed" not in done.stderr


def test_interrupt_has_its_own_code() -> None:
    with reported() as outcome:
        raise KeyboardInterrupt
    assert outcome.code == 130


def test_a_reader_that_has_enough_is_no_failure() -> None:
    code = (
        "from millpond.streams.cli.failures import reported\n"
        "with reported() as outcome:\n"
        "    for line in range(100_000): print(line)\n"
        "raise SystemExit(outcome.code)\n"
    )
    command = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert command.stdout is not None
    assert command.stdout.readline() == b"0\n"
    command.stdout.close()
    assert command.stderr is not None
    assert command.stderr.read() == b""
    command.stderr.close()
    assert command.wait(30) == 0
