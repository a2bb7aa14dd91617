"""kcat as Debian 12 has it, with librdkafka 2.0: an older client than the others, run as a command."""

import json
import re
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from millpond.tests.clients.faulty_network import FaultyNetwork
from millpond.tests.clients.features import feature
from millpond.tests.clients.waiting import eventually

CLIENT = "kcat"
VERSION = "1.7.1 (librdkafka 2.0.2)"
NO_KIP_848 = "has only the classic protocol"
NO_ADMINISTRATION = "can only look at topics"
MISSING = {
    "KIP-848: join and leave": NO_KIP_848,
    "KIP-848: crash": NO_KIP_848,
    "KIP-848: static member": NO_KIP_848,
    "KIP-848: commit and resume": NO_KIP_848,
    "fenced member": "never commits by itself at a given moment",
    "offsets in a transaction": "does not read and write at once",
    "create topics": NO_ADMINISTRATION,
    "delete topics": NO_ADMINISTRATION,
    "add partitions": NO_ADMINISTRATION,
    "describe configs": NO_ADMINISTRATION,
    "alter configs": NO_ADMINISTRATION,
    "list groups": NO_ADMINISTRATION,
    "describe groups": NO_ADMINISTRATION,
    "delete groups": NO_ADMINISTRATION,
    "group offsets": NO_ADMINISTRATION,
    "delete records": NO_ADMINISTRATION,
    "describe transactions": NO_ADMINISTRATION,
    "wrong leader epoch": "takes the epoch from the broker's metadata, so it is never wrong for long",
    "invalid config": NO_ADMINISTRATION,
    "topic exists": NO_ADMINISTRATION,
}

COMPRESSIONS = [
    pytest.param("none", marks=feature("no compression")),
    *(pytest.param(name, marks=feature(name)) for name in ("gzip", "snappy", "lz4", "zstd")),
]
QUICKLY = ["-X", "fetch.wait.max.ms=50"]
GROUP = ["-X", "session.timeout.ms=2000", "-X", "heartbeat.interval.ms=300"]

Kcat = Callable[..., str]
Started = subprocess.Popen[bytes]

if shutil.which("kcat") is None:
    pytestmark = pytest.mark.skip("kcat is not installed: apt-get install kcat")


@pytest.fixture
def kcat(bootstrap: str) -> Kcat:
    """Run kcat to its end, and return what it printed."""

    def run(
        *arguments: str, broker: str = bootstrap, sent: bytes = b"", fails: bool = False
    ) -> str:
        done = subprocess.run(
            ["kcat", "-b", broker, *QUICKLY, *arguments],
            input=sent,
            capture_output=True,
            timeout=40,
        )
        assert (done.returncode != 0) == fails, done.stderr.decode()
        return (done.stderr if fails else done.stdout).decode()

    return run


@pytest.fixture
def start(bootstrap: str) -> Iterator[Callable[..., Started]]:
    """Start kcat, and stop it at the end if it is still there."""
    started: list[Started] = []

    def begin(*arguments: str, broker: str = bootstrap) -> Started:
        command = ["kcat", "-b", broker, *QUICKLY, *arguments]
        pipe = subprocess.PIPE
        started.append(subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe))
        return started[-1]

    yield begin
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def read(kcat: Kcat) -> Callable[..., list[dict[str, Any]]]:
    """Read partition 0 until its end."""

    def read(topic: str, *options: str, start: str = "beginning") -> list[dict[str, Any]]:
        printed = kcat("-C", "-t", topic, "-p", "0", "-o", start, "-e", "-J", *options)
        return [json.loads(line) for line in printed.splitlines()]

    return read


def values(records: list[dict[str, Any]]) -> list[str | None]:
    return [record["payload"] for record in records]


Read = Callable[..., list[dict[str, Any]]]

# Produce


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_what_is_sent_in_any_compression_is_read(
    kcat: Kcat, topic: str, read: Read, compression: str
) -> None:
    sent = []
    for acks in ("0", "1", "all"):
        batch = [f"{acks} {i} " * 50 for i in range(100)]
        options = ["-X", f"compression.codec={compression}", "-X", f"acks={acks}"]
        kcat("-P", "-t", topic, *options, sent="\n".join(batch).encode())
        sent += batch
    assert sorted(values(read(topic))) == sorted(sent)  # nobody waits for those of acks 0


@feature("headers")
def test_headers_keep_order_and_repetition(kcat: Kcat, topic: str) -> None:
    headers = ["trace=1", "trace=2", "empty="]
    kcat("-P", "-t", topic, *(f"-H{header}" for header in headers), sent=b"x")
    assert kcat("-C", "-t", topic, "-e", "-f", "%h") == "trace=1,trace=2,empty="


@feature("null keys and values")
def test_null_is_not_empty(kcat: Kcat, topic: str) -> None:
    kcat("-P", "-t", topic, "-K:", "-Z", sent=b":value\nkey:\n")
    kcat("-P", "-t", topic, "-K:", sent=b":value\nkey:\n")
    lengths = kcat("-C", "-t", topic, "-e", "-f", "%K %S\n").splitlines()
    assert lengths == ["-1 5", "3 -1", "0 5", "3 0"]


@feature("large records")
def test_a_record_of_almost_a_megabyte(kcat: Kcat, topic: str, read: Read) -> None:
    large = "0123456789abcdef" * 62_000
    kcat("-P", "-t", topic, sent=large.encode())
    assert values(read(topic)) == [large]


@feature("timestamps")
def test_timestamps_are_the_producers_or_the_brokers(
    kcat: Kcat, make_topic: Callable[..., str], read: Read
) -> None:
    theirs, ours = make_topic(), make_topic(message_timestamp_type="LogAppendTime")
    for topic in (theirs, ours):
        kcat("-P", "-t", topic, sent=b"x")
    (created,), (appended,) = read(theirs), read(ours)
    assert (created["tstype"], appended["tstype"]) == ("create", "logappend")
    assert 0 <= appended["ts"] - created["ts"] < 30_000


@feature("automatic topics")
def test_a_topic_is_made_when_somebody_writes_to_it(
    kcat: Kcat, unique: Callable[[str], str], read: Read
) -> None:
    topic = unique("automatic")
    kcat("-P", "-t", topic, "-p", "0", sent=b"first")
    assert values(read(topic)) == ["first"]


# Consume


@feature("from the beginning")
def test_reading_from_the_beginning(kcat: Kcat, topic: str, read: Read) -> None:
    kcat("-P", "-t", topic, sent="\n".join(map(str, range(1000))).encode())
    assert [record["offset"] for record in read(topic)] == list(range(1000))


@feature("from the end")
def test_reading_from_the_end_sees_what_comes_later(
    kcat: Kcat, start: Callable[..., Started], topic: str
) -> None:
    kcat("-P", "-t", topic, sent=b"before")
    reading = start("-C", "-t", topic, "-p", "0", "-o", "end", "-c", "1", "-u")
    assert reading.stderr is not None
    while b"Reached end of topic" not in reading.stderr.readline():
        pass
    kcat("-P", "-t", topic, sent=b"later")
    assert reading.communicate(timeout=20)[0] == b"later\n"


@feature("from an offset")
def test_reading_from_an_offset(kcat: Kcat, topic: str, read: Read) -> None:
    kcat("-P", "-t", topic, sent="\n".join(map(str, range(10))).encode())
    assert values(read(topic, start="7")) == ["7", "8", "9"]
    assert values(read(topic, start="-2")) == ["8", "9"]


@feature("from a time", "list offsets")
def test_reading_from_a_time(kcat: Kcat, topic: str, read: Read) -> None:
    for value in (b"0", b"1", b"2"):
        kcat("-P", "-t", topic, sent=value)
    second, third = (record["ts"] for record in read(topic)[1:])
    assert kcat("-Q", "-t", f"{topic}:0:{second}").split() == [topic, "[0]", "offset", "1"]
    assert kcat("-Q", "-t", f"{topic}:0:-1").split()[-1] == "3"
    assert values(read(topic, start=f"s@{third}")) == ["2"]


# Groups


def assigned(member: Started) -> Iterator[list[int]]:
    """Return which partitions a member has, each time that it is told."""
    assert member.stderr is not None
    for line in member.stderr:
        if b"assign" in line:
            yield [int(partition) for partition in re.findall(rb" \[(\d+)\]", line)]
        elif b"revoke" in line:
            yield []


@feature("classic: join and leave")
def test_members_share_partitions_and_take_over_from_who_leaves(
    start: Callable[..., Started], make_topic: Callable[..., str], group: str
) -> None:
    topic = make_topic(4)
    first = start("-G", group, *GROUP, topic)
    told = assigned(first)
    assert next(told) == [0, 1, 2, 3]
    second = start("-G", group, *GROUP, topic)
    assert (next(told), len(next(told)), len(next(assigned(second)))) == ([], 2, 2)
    second.send_signal(signal.SIGTERM)
    assert (next(told), next(told)) == ([], [0, 1, 2, 3])


@feature("classic: crash")
def test_partitions_of_a_crashed_member_move(
    start: Callable[..., Started], make_topic: Callable[..., str], group: str
) -> None:
    topic = make_topic(4)
    survivor, doomed = (start("-G", group, *GROUP, topic) for _ in range(2))
    told = assigned(survivor)
    while len(next(told)) != 2:
        pass
    doomed.send_signal(signal.SIGKILL)
    assert (next(told), next(told)) == ([], [0, 1, 2, 3])


@feature("classic: static member")
def test_a_static_member_comes_back_to_its_partitions(
    start: Callable[..., Started], make_topic: Callable[..., str], group: str
) -> None:
    topic = make_topic(4)

    def member(name: str) -> Started:
        return start("-G", group, *GROUP, "-X", f"group.instance.id={name}", topic)

    stays, leaves = member("stays"), member("leaves")
    told = assigned(stays)
    while len(kept := next(told)) != 2:
        pass
    leaves.send_signal(signal.SIGTERM)
    leaves.wait(10)
    returned = member("leaves")
    assert sorted(next(assigned(returned)) + kept) == [0, 1, 2, 3]


@feature("classic: cooperative")
def test_cooperative_members_keep_what_need_not_move(
    start: Callable[..., Started], make_topic: Callable[..., str], group: str
) -> None:
    topic = make_topic(4)
    options = [*GROUP, "-X", "partition.assignment.strategy=cooperative-sticky"]
    first = start("-G", group, *options, topic)
    assert next(assigned(first)) == [0, 1, 2, 3]
    second = start("-G", group, *options, topic)
    taken: list[int] = []
    while len(taken) < 2:
        taken += next(assigned(second))
    assert first.stderr is not None
    revoked = next(line.decode() for line in first.stderr if b"revoke" in line)
    assert revoked.count("[") == len(taken) == 2


@feature("classic: commit and resume")
def test_the_next_member_goes_on_from_the_commit(kcat: Kcat, topic: str, group: str) -> None:
    kcat("-P", "-t", topic, sent="\n".join(map(str, range(10))).encode())
    settings = ["-X", "auto.offset.reset=earliest", *GROUP]
    assert kcat("-G", group, *settings, "-c", "6", topic).split() == list("012345")
    assert kcat("-G", group, *settings, "-c", "4", topic).split() == list("6789")


# Exactly once


@feature("idempotence")
def test_broken_connections_neither_lose_nor_double_nor_reorder(
    kcat: Kcat, network: Callable[..., FaultyNetwork], topic: str, read: Read
) -> None:
    wire = network(seed=14, cuts_max=20, bytes_between_cuts=30_000)
    sent = [f"{i} " * 20 for i in range(5000)]
    settings = [
        "enable.idempotence=true",
        "reconnect.backoff.ms=10",
        "reconnect.backoff.max.ms=50",
        "retry.backoff.ms=20",
        "batch.num.messages=20",
    ]
    options = [part for setting in settings for part in ("-X", setting)]
    kcat("-P", "-E", "-t", topic, *options, broker=wire.address, sent="\n".join(sent).encode())
    assert wire.cuts > 5
    assert values(read(topic)) == sent


@pytest.fixture
def transaction(
    start: Callable[..., Started], unique: Callable[[str], str]
) -> Callable[[], Started]:
    """Begin transactions of one id: they take lines, and commit when there are no more."""
    transactional_id = unique("id")
    return lambda *options: start(
        "-P", "-X", f"transactional.id={transactional_id}", "-X", "linger.ms=0", *options
    )


COMMITTED = ["-X", "isolation.level=read_committed"]
UNCOMMITTED = ["-X", "isolation.level=read_uncommitted"]


FILLER = "filler" * 300


def write(transaction: Started, line: str) -> None:
    """Have a line sent: kcat reads in blocks of 1 kB, so something must come behind it."""
    assert transaction.stdin is not None
    transaction.stdin.write(f"{line}\n{FILLER}\n".encode())
    transaction.stdin.flush()


@feature("commit", "open transaction")
def test_a_transaction_is_seen_when_it_is_committed(
    transaction: Callable[..., Started], kcat: Kcat, topic: str, read: Read
) -> None:
    opened = transaction("-t", topic)
    write(opened, "open")
    eventually(lambda: values(read(topic, *UNCOMMITTED)) == ["open"])
    kcat("-P", "-t", topic, sent=b"behind")
    assert values(read(topic, *COMMITTED)) == []
    opened.communicate(timeout=20)
    assert opened.returncode == 0
    assert values(read(topic, *COMMITTED)) == ["open", "behind", FILLER]


@feature("abort")
def test_an_aborted_transaction_is_seen_only_uncommitted(
    transaction: Callable[..., Started], topic: str, read: Read
) -> None:
    interrupted = transaction("-t", topic)
    write(interrupted, "dropped")
    eventually(lambda: values(read(topic, *UNCOMMITTED)) == ["dropped"])
    interrupted.send_signal(signal.SIGINT)
    interrupted.communicate(timeout=20)
    kept = transaction("-t", topic)
    kept.communicate(b"kept", timeout=20)
    assert values(read(topic, *COMMITTED)) == ["kept"]
    assert "dropped" in values(read(topic, *UNCOMMITTED))


@feature("fencing", "zombie")
def test_a_second_producer_of_the_id_ends_the_first(
    transaction: Callable[..., Started], topic: str, read: Read
) -> None:
    first = transaction("-t", topic)
    write(first, "left open")
    eventually(lambda: values(read(topic, *UNCOMMITTED)) == ["left open"])
    second = transaction("-t", topic)
    second.communicate(b"by the second", timeout=20)
    assert values(read(topic, *COMMITTED)) == ["by the second"]
    _, complaint = first.communicate(timeout=20)  # sends the filler
    assert first.returncode != 0
    assert b"fenced" in complaint.lower()
    assert values(read(topic, *UNCOMMITTED)) == ["left open", "by the second"]


@feature("transaction timeout")
def test_the_broker_aborts_what_nobody_ends(
    transaction: Callable[..., Started], kcat: Kcat, topic: str, read: Read
) -> None:
    forgetful = transaction("-X", "transaction.timeout.ms=1000", "-t", topic)
    write(forgetful, "forgotten")
    eventually(lambda: values(read(topic, *UNCOMMITTED)) == ["forgotten"])
    kcat("-P", "-t", topic, sent=b"behind")
    eventually(lambda: values(read(topic, *COMMITTED)) == ["behind"])
    forgetful.communicate(timeout=20)
    assert forgetful.returncode != 0


# Administration, errors


@feature("describe topics", "list topics", "describe cluster")
def test_topics_are_listed_with_partitions_and_leaders(
    kcat: Kcat, make_topic: Callable[..., str], bootstrap: str
) -> None:
    topic = make_topic(3)
    listed = json.loads(kcat("-L", "-J"))
    (described,) = (each for each in listed["topics"] if each["topic"] == topic)
    (node,) = listed["brokers"]
    assert node["name"] == bootstrap
    assert listed["controllerid"] == node["id"]
    assert sorted(each["partition"] for each in described["partitions"]) == [0, 1, 2]
    assert {each["leader"] for each in described["partitions"]} == {node["id"]}


@feature("unknown topic")
def test_a_topic_that_is_unknown(kcat: Kcat, unique: Callable[[str], str]) -> None:
    complaint = kcat("-C", "-t", unique("unknown"), "-p", "0", "-e", fails=True)
    assert "unknown" in complaint.lower()


@feature("too large")
def test_a_record_that_is_too_large(kcat: Kcat, make_topic: Callable[..., str]) -> None:
    complaint = kcat("-P", "-t", make_topic(max_message_bytes="2000"), sent=b"x" * 3000, fails=True)
    assert "Message size too large" in complaint


@feature("out of range")
def test_an_offset_that_does_not_exist(kcat: Kcat, topic: str) -> None:
    kcat("-P", "-t", topic, sent=b"0")
    options = ["-X", "auto.offset.reset=error", "-o", "17"]
    complaint = kcat("-C", "-t", topic, "-p", "0", *options, "-e", fails=True)
    assert "out of range" in complaint.lower()


@feature("invalid topic name")
def test_a_topic_name_that_is_invalid(kcat: Kcat) -> None:
    complaint = kcat("-P", "-t", "with space", sent=b"x", fails=True)
    assert "invalid topic" in complaint.lower()
