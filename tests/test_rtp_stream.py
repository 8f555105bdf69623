"""The bytes of a connection: interleaved frames, RTSP messages, garbage, and the bounds on all of them."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from typing import Any

import pytest
from rtp_camera import (
    IDR,
    MESSAGE,
    SECOND,
    T0,
    VIDEO,
    WITH_BODY,
    Camera,
    P,
    avcc,
    frames,
    packets_of,
)

from rtspkit.errors import LimitExceeded
from rtspkit.limits import Limits
from rtspkit.media import Track
from rtspkit.packetizer import (
    interleaved_frame,
    rtp_packet,
)
from rtspkit.rtp import (
    Receiver,
)


# -- frames, messages, garbage ----------------------------------------------------------------------------------------
@pytest.mark.parametrize("step", [1, 7, 10_000])
def test_messages_among_frames(step: int) -> None:
    camera = Camera()
    one, two, three = frames()
    stream = MESSAGE + one + b"\r\n" + two + WITH_BODY + MESSAGE + three
    for at in range(0, len(stream), step):
        camera.receiver.feed(stream[at : at + step], T0)
    assert camera.receiver.ready
    assert camera.receiver.take_messages() == [MESSAGE, WITH_BODY, MESSAGE]
    assert camera.receiver.resyncs == 0
    assert len(camera.units()) == 3
    assert camera.receiver.bytes_received == len(stream)


@pytest.mark.parametrize("step", [1, 10_000])
@pytest.mark.parametrize(
    "garbage",
    [
        b"\0\1\2\3",
        b"\xff" * 500,
        b"AB\0",
        b"ABC",
        b"RTSP/1.0 200 OK\r\nCSeq: 5\r\n",
        b"\x80$\x09\x00\x50",
        b"\x80$$",
        b"\x80\r\n",
    ],
)
def test_garbage_is_passed_over(garbage: bytes, step: int) -> None:
    camera = Camera()
    one, two, three = frames()
    stream = one + garbage + two + MESSAGE + three
    for at in range(0, len(stream), step):
        camera.receiver.feed(stream[at : at + step], T0)
    assert camera.receiver.error is None
    assert len(camera.units()) == 3
    assert camera.receiver.take_messages() == [MESSAGE]
    assert camera.receiver.resyncs == 1


def test_wrong_length_of_a_frame() -> None:
    camera = Camera()
    good = frames(count=6)
    camera.receiver.feed(b"".join([good[0], b"$\0\0\x14" + good[1][4:], *good[2:]]), T0)
    assert camera.receiver.error is None
    assert len(camera.units()) >= 5


def test_garbage_without_end() -> None:
    camera = Camera(limits=Limits(resync_size=1000))
    camera.receiver.feed(MESSAGE + b"\xff" * 1000, T0)
    assert camera.receiver.error is None
    camera.receiver.feed(b"\xff", T0)
    assert isinstance(camera.receiver.error, LimitExceeded)
    assert camera.receiver.error.offset == len(MESSAGE)
    camera.receiver.feed(frames()[0], T0)
    assert camera.units() == []


def test_garbage_between_frames_does_not_add_up() -> None:
    camera = Camera(limits=Limits(resync_size=1000))
    for frame in frames(count=5):
        camera.receiver.feed(b"\xff" * 900 + frame, T0)
    assert camera.receiver.error is None
    assert camera.receiver.resyncs == 5
    assert len(camera.units()) == 5


def test_unknown_channel_is_passed_over() -> None:
    camera = Camera()
    one, two, _ = frames()
    stream = one + interleaved_frame(9, b"x" * 5000) + two
    for at in range(0, len(stream), 3):
        camera.receiver.feed(stream[at : at + 3], T0)
    assert camera.receiver.unknown_bytes == 5004
    assert len(camera.units()) == 2


def test_flood_on_an_unknown_channel() -> None:
    camera = Camera(limits=Limits(unknown_channel_size=10_000))
    camera.receiver.feed(interleaved_frame(9, b"x" * 996) * 10, T0)
    assert camera.receiver.error is None
    camera.receiver.feed(interleaved_frame(9, b""), T0)
    assert isinstance(camera.receiver.error, LimitExceeded)
    assert camera.receiver.error.offset == 10_000
    assert camera.receiver.ready


@pytest.mark.parametrize("step", [1, 100_000])
@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"A" * 70_000, "a header line is longer than 4096 bytes"),
        (b"X: y\r\n" * 10_000, "the header lines of a message are longer than 32768 bytes"),
        (b"RTSP/1.0 200 OK\r\nContent-Length: 4294967296\r\n\r\n", "Content-Length is not a number up to 262144"),
        (b"RTSP/1.0 200 OK\r\nContent-Length: -1\r\n\r\n", "Content-Length is not a number up to 262144"),
        (b"RTSP/1.0 200 OK\r\nContent-Length: 1 2\r\n\r\n", "Content-Length is not a number up to 262144"),
        (b"RTSP/1.0 200 OK\r\nContent-Length:\r\n\r\n", "Content-Length is not a number up to 262144"),
    ],
)
def test_endless_messages(text: bytes, message: str, step: int) -> None:
    camera = Camera()
    stream = MESSAGE + text
    for at in range(0, len(stream), step):
        camera.receiver.feed(stream[at : at + step], T0)
    error = camera.receiver.error
    assert isinstance(error, LimitExceeded)
    assert str(error).partition(" (bytes ")[0] == f"{message} at byte {len(MESSAGE)}"
    assert error.offset == len(MESSAGE)


def test_body_that_never_comes_is_waited_for() -> None:
    camera = Camera()
    camera.receiver.feed(b"RTSP/1.0 200 OK\r\nContent-Length: 200000\r\n\r\n", T0)
    camera.receiver.feed(b"x" * 199_999, T0)
    assert camera.receiver.take_messages() == []
    camera.receiver.feed(b"x", T0)
    assert len(camera.receiver.take_messages()[0]) > 200_000


def test_messages_and_reports_nobody_takes_do_not_pile_up() -> None:
    camera = Camera()
    camera.receiver.feed((MESSAGE + interleaved_frame(1, b"\x80\xc8\0\0")) * 1000, T0)
    assert len(camera.receiver.take_messages()) == 64
    assert len(camera.receiver.take_rtcp()) == 64


def test_wrong_packets_are_counted() -> None:
    camera = Camera()
    camera.picture(IDR, at=0)
    good = packets_of(camera, IDR, at=1, max_size=100)[0]
    camera.packet(good[:11], 1)
    camera.packet(b"\x40" + good[1:], 1)
    camera.packet(b"", 1)
    camera.packet(good[:1] + b"\x61" + good[2:], 1)
    counted = camera.counted()
    assert (counted.received, counted.broken, counted.discarded) == (1, 3, 1)


@pytest.mark.parametrize(("lost", "broken"), [(0, 1), (1, 0)])
def test_fragments_without_a_beginning(lost: int, broken: int) -> None:
    """Where it was lost, that is what is counted; else the camera has not sent it."""
    camera = Camera()
    camera.picture(IDR, at=0)
    camera.video.sequence += lost
    for marker, payload in enumerate((b"\x7c\x01middle", b"\x7c\x41end")):
        packet = rtp_packet(
            payload,
            payload_type=96,
            sequence=camera.video.sequence,
            timestamp=90000,
            ssrc=camera.video.ssrc,
            marker=bool(marker),
        )
        camera.video.sequence += 1
        camera.packet(packet, 1)
    counted = camera.counted()
    assert (counted.received, counted.lost, counted.broken, counted.discarded) == (3, lost, broken, 0)


def test_padding_extension_and_sources_are_no_media() -> None:
    camera = Camera()
    packet = rtp_packet(
        IDR,
        payload_type=96,
        sequence=1,
        timestamp=0,
        ssrc=1,
        marker=True,
        csrc=(1, 2),
        extension=(0xABAC, b"abcdefgh"),
        padding=7,
    )
    camera.packet(packet, 0)
    assert [unit.data for unit in camera.units()] == [avcc(IDR)]


def test_media_arrival() -> None:
    camera = Camera()
    camera.receiver.feed(interleaved_frame(1, b"\x80\xc8\0\0"), T0)
    assert camera.receiver.media_arrival == 0
    camera.picture(IDR, at=2)
    assert camera.receiver.media_arrival == T0 + 2 * SECOND


# -- what memory it may cost ------------------------------------------------------------------------------------------


def endless_fragment() -> Iterator[bytes]:
    yield rtp_packet(b"\x7c\x85" + b"x" * 1000, payload_type=96, sequence=0, timestamp=0, ssrc=1)
    i = 0
    while True:
        i += 1
        yield rtp_packet(b"\x7c\x05" + b"x" * 60_000, payload_type=96, sequence=i, timestamp=0, ssrc=1)


def endless_picture() -> Iterator[bytes]:
    i = 0
    while True:
        yield rtp_packet(P + b"x" * 50_000, payload_type=96, sequence=i, timestamp=0, ssrc=1)
        i += 1


def endless_small_pictures() -> Iterator[bytes]:
    i = 0
    while True:
        yield rtp_packet(b"\x41\x9a", payload_type=96, sequence=i, timestamp=i & 1, ssrc=1, marker=True)
        i += 1


def endless_parameter_sets() -> Iterator[bytes]:
    i = 0
    while True:
        nal = b"\x68" + bytes([0, 0x80 | i & 0x7F, i >> 7 & 0xFF | 1]) + b"x" * 900
        yield rtp_packet(nal, payload_type=96, sequence=i, timestamp=i, ssrc=1, marker=True)
        i += 1


@pytest.mark.parametrize("source", [endless_fragment, endless_picture, endless_small_pictures, endless_parameter_sets])
def test_endless_media_take_bounded_memory(source: Any) -> None:
    limits = Limits(access_unit_size=1 << 20, fragment_size=1 << 20)
    receiver = Receiver(fragment_duration=3600, limits=limits)
    receiver.add_track(VIDEO, payload_type=96, channels=(0, 1))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    sent, packets = 0, source()
    for _ in range(100_000):
        frame = interleaved_frame(0, next(packets))
        receiver.feed(frame, T0)
        receiver.take_fragments()
        sent += len(frame)
        if sent > 64 << 20:
            break
    assert receiver.error is None
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 24 << 10  # kB


def test_tiny_audio_units_count_by_their_records() -> None:
    limits = Limits(fragment_size=1 << 20)
    receiver = Receiver(fragment_duration=3600, limits=limits)
    receiver.add_track(
        Track(0, "audio", "aac", 48000),
        payload_type=97,
        channels=(0, 1),
        size_length=8,
        index_length=0,
        index_delta_length=0,
    )
    units = 20_000
    payload = (8 * units).to_bytes(2, "big", signed=False) if 8 * units < 65536 else b"\xff\xf8"
    count = int.from_bytes(payload, "big") // 8
    packet = payload + b"\1" * count + b"a" * count
    for i in range(10):
        data = rtp_packet(packet, payload_type=97, sequence=i, timestamp=i, ssrc=1, marker=True)
        receiver.feed(interleaved_frame(0, data), T0)
    fragments = receiver.take_fragments()
    assert len(fragments) == 1
    (run,) = fragments[0].runs
    assert len(bytes(run.samples)) + len(bytes(run.data)) <= (1 << 20) + 25
