"""The record codec comes without aiokafka's client, and who wants the client still gets all of it."""

import subprocess
import sys


def run_alone(code: str) -> None:
    """Run code in a process that has imported nothing yet."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_codec_is_fast_and_client_not_imported() -> None:
    run_alone("""
import sys
from millpond.log import records
assert records.EXTENSION
assert "aiokafka.client" not in sys.modules
assert "aiokafka.record.memory_records" not in sys.modules
""")


def test_aiokafka_is_whole_for_who_imports_it_later() -> None:
    run_alone("""
from millpond.log.records import DefaultRecordBatch, CorruptRecordException
import aiokafka.errors
import aiokafka.record.default_records as plain
from aiokafka import AIOKafkaClient, __version__
assert aiokafka.AIOKafkaConsumer and __version__
assert aiokafka.record.MemoryRecords
assert aiokafka.errors.CorruptRecordException is CorruptRecordException
assert plain.DefaultRecordBatch is DefaultRecordBatch
try:
    aiokafka.nonsense
except AttributeError as error:
    assert "nonsense" in str(error)
else:
    raise AssertionError("an attribute that nobody defined")
""")


def test_aiokafka_that_was_imported_before_is_left_alone() -> None:
    run_alone("""
import aiokafka
from aiokafka import AIOKafkaClient
from millpond.log import records
assert records.EXTENSION
assert aiokafka.AIOKafkaClient is AIOKafkaClient
""")
