"""However bytes are cut up on their way, the same frames come out, and nothing of others' bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from millpond.log.shell.frames_in import RECEIVE_BYTES, FrameReceiver
from millpond.log.wire.errors import MalformedMessage

frames = st.lists(st.integers(8, 5000).map(lambda size: bytes(i % 251 for i in range(size))))
cuts = st.lists(st.integers(1, 7000), min_size=1, max_size=20)


def receive(receiver: FrameReceiver, data: bytes) -> list[bytes]:
    """Receive bytes as a connection does: as many at once as there is room for."""
    taken = []
    while data:
        buffer = receiver.buffer()
        some = data[: len(buffer)]
        buffer[: len(some)] = some
        receiver.received(len(some))
        while (frame := receiver.next_frame()) is not None:
            taken.append(bytes(frame))
        receiver.keep_rest()
        data = data[len(some) :]
    return taken


@given(frames, cuts)
def test_frames_do_not_depend_on_how_they_arrive(sent: list[bytes], sizes: list[int]) -> None:
    shared = memoryview(bytearray(4096))
    receiver = FrameReceiver(shared, lambda _key: 10_000)
    stream = b"".join(len(frame).to_bytes(4) + frame for frame in sent)
    taken, position, turn = [], 0, 0
    while position < len(stream):
        size = sizes[turn % len(sizes)]
        taken += receive(receiver, stream[position : position + size])
        shared[:] = bytes(len(shared))  # others receive into it meanwhile
        position, turn = position + size, turn + 1
    assert taken == sent
    assert receiver.buffered_bytes == 0


@given(frames, frames, cuts)
def test_two_connections_share_a_buffer(
    left: list[bytes], right: list[bytes], sizes: list[int]
) -> None:
    shared = memoryview(bytearray(4096))
    streams = [b"".join(len(frame).to_bytes(4) + frame for frame in side) for side in (left, right)]
    receivers = [FrameReceiver(shared, lambda _key: 10_000) for _ in streams]
    taken: list[list[bytes]] = [[], []]
    turn = 0
    while any(streams):
        side = turn % 2
        size = sizes[turn % len(sizes)]
        taken[side] += receive(receivers[side], streams[side][:size])
        streams[side] = streams[side][size:]
        turn += 1
    assert taken == [left, right]


def test_a_frame_stays_as_it_was_when_the_next_ones_come() -> None:
    receiver = FrameReceiver(memoryview(bytearray(4096)), lambda _key: 10_000)
    kept = []
    for fill in (b"a", b"b", b"c"):
        for size in (100, 6000):
            data = size.to_bytes(4) + b"\0\0" + fill * (size - 2)
            while data:
                buffer = receiver.buffer()
                some = data[: len(buffer)]
                buffer[: len(some)] = some
                receiver.received(len(some))
                if (frame := receiver.next_frame()) is not None:
                    kept.append(frame)
                receiver.keep_rest()
                data = data[len(some) :]
    assert [(frame[2], len(frame)) for frame in kept] == [
        (fill, size) for fill in b"abc" for size in (100, 6000)
    ]


def test_memory_follows_what_has_come() -> None:
    receiver = FrameReceiver(memoryview(bytearray(RECEIVE_BYTES)), lambda _key: 100_000_000)
    receive(receiver, (100_000_000).to_bytes(4) + b"\0\0")
    assert receiver.buffered_bytes < 10_000
    receive(receiver, bytes(1_000_000))
    assert 1_000_000 < receiver.buffered_bytes < 3_000_000


@pytest.mark.parametrize("head", [b"\0\0\0\7\0\0", b"\xff\xff\xff\xff\0\0", b"\0\0\x27\x11\0\1"])
def test_lengths_out_of_bounds_are_refused(head: bytes) -> None:
    receiver = FrameReceiver(
        memoryview(bytearray(4096)), lambda key: 1_000_000 if key == 0 else 10_000
    )
    with pytest.raises(MalformedMessage, match="a request of"):
        receive(receiver, head)
    assert (
        receive(
            FrameReceiver(memoryview(bytearray(4096)), lambda _key: 20_000), b"\0\0\x27\x11\0\0"
        )
        == []
    )


def test_the_api_of_the_next_frame_is_known_before_it_is_taken() -> None:
    receiver = FrameReceiver(memoryview(bytearray(4096)), lambda _key: 10_000)
    assert receiver.next_api_key is None
    for data, key in ((b"\0\0\0\x09\0", None), (b"\x12", 18), (bytes(3), 18)):
        buffer = receiver.buffer()
        buffer[: len(data)] = data
        receiver.received(len(data))
        assert receiver.next_api_key == key
        if key is not None:
            assert receiver.next_frame() is None
            assert receiver.next_api_key == key
        receiver.keep_rest()
