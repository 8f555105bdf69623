"""The public face of RTP: arguments, packets, RTCP, clocks, statistics, sockets; `test_rtp_*.py` have the rest."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from typing import Any

import pytest
from rtp_camera import (
    IDR,
    MESSAGE,
    PPS,
    SECOND,
    SPS,
    T0,
    VIDEO,
    Camera,
    P,
    frames,
)
from sockets import reset_at_close

from rtspkit import _rtp
from rtspkit.errors import LocalProtocolError, RemoteProtocolError
from rtspkit.media import Track
from rtspkit.packetizer import (
    bye,
    interleaved_frame,
    ntp_timestamp,
    packetize_h264,
    sender_report,
)
from rtspkit.rtp import (
    Drain,
    Receiver,
    SenderReport,
    access_units,
    ntp_to_unix,
    parse_packet,
    parse_rtcp,
    picture_loss_indication,
    receiver_report,
)

# -- the caller's mistakes --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {"track": Track(1, "video", "h264", 90000)},
        {"track": Track(0, "audio", "flac", 90000)},
        {"track": Track(0, "video", "h264", 0)},
        {"track": Track(0, "video", "h264", 10**9)},
        {"channels": (0, 256)},
        {"channels": (-1, 0)},
        {"payload_type": 128},
        {"block_size": 0},
        {"size_length": 33},
        {"index_length": -1},
        {"unit_ticks": 0},
        {"unit_ticks": 1 << 40},
    ],
)
def test_add_track_refuses(options: dict[str, Any]) -> None:
    receiver = Receiver()
    arguments = {"track": VIDEO, "payload_type": 96, "channels": (0, 1)} | options
    with pytest.raises(LocalProtocolError):
        receiver.add_track(arguments.pop("track"), **arguments)
    receiver.add_track(VIDEO, payload_type=96, channels=(0, 1))


@pytest.mark.parametrize("duration", [-1.0, float("nan"), float("inf"), 1e300])
def test_fragment_duration_has_bounds(duration: float) -> None:
    with pytest.raises(LocalProtocolError):
        Receiver(fragment_duration=duration)


@pytest.mark.parametrize("now", [-1, 1 << 62])
def test_time_has_bounds(now: int) -> None:
    with pytest.raises(LocalProtocolError):
        Receiver().feed(b"", now)
    with pytest.raises(LocalProtocolError):
        Drain().drain([], now)


def test_track_index_is_checked() -> None:
    receiver = Camera().receiver
    for index in (-1, 1, 1000):
        with pytest.raises(LocalProtocolError):
            receiver.stats(index)
        with pytest.raises(LocalProtocolError):
            receiver.set_wall_clock(index, 0, 0.0)
        with pytest.raises(LocalProtocolError):
            receiver.wall_clock(index, 0)


def test_without_tracks() -> None:
    receiver = Receiver()
    receiver.feed(frames()[0] + MESSAGE, T0)
    receiver.flush()
    receiver.finish()
    assert receiver.take_fragments() == []
    assert receiver.take_messages() == [MESSAGE]
    assert receiver.unknown_bytes == len(frames()[0])


@pytest.mark.parametrize("data", [bytearray, memoryview, bytes])
def test_any_buffer_is_taken(data: Any) -> None:
    camera = Camera()
    camera.receiver.feed(data(frames()[0]), T0)
    assert len(camera.units()) == 1


# -- wall clock and RTCP ----------------------------------------------------------------------------------------------


def test_wall_clock() -> None:
    camera = Camera(audio=True, fragment_duration=10)
    camera.receiver.set_wall_clock(0, 0, 1e9)  # before the first packet it ties nothing to anything
    camera.picture(IDR, at=1)
    assert camera.receiver.wall_clock(0, 90000) is None
    camera.receiver.set_wall_clock(0, 2 * 90000, 1.7e9)
    assert camera.receiver.wall_clock(0, 90000) == 1.7e9 - 1
    camera.sound(b"a", at=1)
    camera.picture(P, at=1.5)
    (fragment,) = camera.fragments()
    assert fragment.wall_clock == 1.7e9 - 1
    assert [(unit.track.kind, unit.wall_clock) for unit in access_units(fragment)] == [
        ("video", 1.7e9 - 1),
        ("audio", None),
        ("video", 1.7e9 - 0.5),
    ]


def test_wall_clock_over_a_wrap() -> None:
    start = 2**32 - 45000
    camera = Camera(origins=(start, None))
    camera.picture(IDR, at=start / 90000, now=0)
    camera.receiver.set_wall_clock(0, 45000, 1.7e9)  # a second later
    assert camera.receiver.wall_clock(0, 0) == 1.7e9 - 1


def test_wall_clock_of_a_track_without_reports() -> None:
    """The other track's reports say when a fragment began: some cameras report for one of them only."""
    camera = Camera(audio=True)
    camera.picture(IDR, at=1.0, now=1.0)
    camera.sound(b"\x21\x10", at=1.5, now=1.5)
    camera.receiver.set_wall_clock(1, 72000, 1.7e9)
    (fragment,) = camera.fragments()
    assert fragment.runs[0].track == 0
    assert fragment.wall_clock == pytest.approx(1.7e9 - 0.5)


def test_rtcp_on_its_channel_and_on_the_rtp_channel() -> None:
    camera = Camera(audio=True)
    report = sender_report(ssrc=1, ntp=ntp_timestamp(1.7e9), timestamp=5, packet_count=6, octet_count=7)
    for channel in (1, 3, 0, 2):
        camera.receiver.feed(interleaved_frame(channel, report), T0)
    assert camera.receiver.take_rtcp() == [(0, report), (1, report), (0, report), (1, report)]
    assert camera.counted().received == camera.counted().broken == 0


def test_one_channel_for_everything() -> None:
    """A camera that ignores the channels it was asked for and names one pair: RTP wins."""
    receiver = Receiver()
    receiver.add_track(VIDEO, payload_type=96, channels=(0, 0))
    receiver.feed(frames()[0] + interleaved_frame(0, b"\x80\xc8\0\6" + bytes(24)), T0)
    assert len(receiver.take_rtcp()) == 1
    assert receiver.stats(0)[0] == 1


def test_parse_rtcp() -> None:
    report = sender_report(ssrc=1, ntp=ntp_timestamp(1.7e9), timestamp=2**32 - 1, packet_count=6, octet_count=7)
    parsed = parse_rtcp(report + bye(1) + bye(2))
    assert parsed.sender_reports == (SenderReport(1, ntp_timestamp(1.7e9), 2**32 - 1, 6, 7),)
    assert parsed.sender_reports[0].wall_clock == pytest.approx(1.7e9)
    assert parsed.bye == (1, 2)
    assert parse_rtcp(b"").sender_reports == ()


@pytest.mark.parametrize(
    "data",
    [
        b"\x80",
        b"\x80\xc8\0\6",
        b"\x80\xc8\0\1abcd",
        b"\x81\xc8\0\6" + bytes(24),
        b"\x81\xcb\0\0",
        b"\x40\xc8\0\0",
        b"\xa0\xcb\0\0",
    ],
)
def test_parse_rtcp_refuses(data: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        parse_rtcp(data)


def test_second_ntp_era() -> None:
    assert ntp_to_unix(0) == 2**32 - 2_208_988_800  # 2036
    assert ntp_to_unix(0x80000000 << 32) < 0  # 1968, as RFC 5905 has it


def test_parse_packet_error_shows_the_bytes() -> None:
    with pytest.raises(RemoteProtocolError, match="80 60"):
        parse_packet(b"\x80\x60")


def test_statistics_and_receiver_report() -> None:
    camera = Camera()
    camera.picture(IDR, at=0)
    camera.video.sequence += 3
    camera.picture(IDR, at=1, now=1.5)
    first = camera.counted()
    assert first[:12] == (2, 3, 0, 0, 0, 0, 2, 1, 0x11111111, 65000, 65004, 45000 >> 4)
    for i in range(2, 5):
        camera.picture(IDR, at=i, now=i + 0.5)
    camera.video.sequence += 1
    camera.picture(IDR, at=6, now=6.5)
    report = receiver_report(reporter=0xCAFEBABE, stats=camera.counted(), previous=first, last_sr=0x12345678, delay=1.5)
    head, kind, words, reporter, ssrc, lost, highest, jitter, last_sr, delay = struct.unpack("!BBHIIIIIII", report[:32])
    assert (head, kind, words) == (0x81, 201, 7)
    assert (reporter, ssrc) == (0xCAFEBABE, 0x11111111)
    assert lost >> 24 == 256 // 5  # one of the five expected since the last report
    assert lost & 0xFFFFFF == 4
    assert highest == 65000 + 9  # it has not wrapped: 65009
    assert 0 < jitter <= 45000 >> 4
    assert (last_sr, delay) == (0x12345678, 0x18000)
    head, kind, words, reporter = struct.unpack("!BBHI", report[32:40])
    assert (head, kind, words, reporter) == (0x81, 202, 4, 0xCAFEBABE)
    assert report[40:] == b"\x01\x07rtspkit\0\0\0"
    assert len(report) == 32 + 4 * (words + 1)


def test_picture_loss_indication() -> None:
    assert picture_loss_indication(reporter=0xCAFEBABE, source=0x11111111) == bytes.fromhex(
        "80c90001cafebabe"  # a receiver report of nobody
        "81ce0002cafebabe11111111"
    )


def test_receiver_report_before_anything() -> None:
    report = receiver_report(reporter=1, stats=Camera().counted(), previous=None)
    assert struct.unpack("!IIIIIII", report[4:32]) == (1, 0, 0, 0, 0, 0, 0)


# -- sockets ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def pair() -> Iterator[Any]:
    made: list[socket.socket] = []

    def make(**options: Any) -> tuple[Camera, socket.socket]:
        ours, theirs = socket.socketpair()
        made.extend((ours, theirs))
        ours.setblocking(False)
        camera = Camera(**options)
        camera.receiver.fd = ours.fileno()
        return camera, theirs

    yield make
    for one in made:
        one.close()


def test_drain(pair: Any) -> None:
    (a, a_socket), (b, b_socket), (c, _) = pair(), pair(), pair()
    drain = Drain()
    receivers = [a.receiver, b.receiver, c.receiver]
    assert drain.drain(receivers, T0) == []
    assert drain.fullest == 0
    stream = b"".join(frames())
    a_socket.sendall(stream)
    b_socket.sendall(MESSAGE + frames()[0])
    assert drain.drain(receivers, T0) == [a.receiver, b.receiver]
    assert drain.fullest == len(stream)
    assert len(a.fragments(end=False)) == 2
    assert b.receiver.take_messages() == [MESSAGE]
    assert b.receiver.media_arrival == T0
    assert drain.drain(receivers, T0) == []


class Slow:
    """A camera of 25 units a second that is drained at each of them, and its parts of 0.2 s."""

    def __init__(self, pair: Any, gop: int = 50, size: int = 0) -> None:
        self.camera, self.theirs = pair(fragment_duration=0.2, low_latency=True)
        self.gop, self.size = gop, size
        self.drain = Drain()

    def send(self, number: int) -> None:
        nals = (P + self.size * b"\x55",) if number % self.gop else (SPS, PPS, IDR)
        for packet in self.camera.video.packets(packetize_h264(nals), number * 3600):
            self.theirs.sendall(interleaved_frame(0, packet))

    def read(self, number: float) -> int:
        """Reads when that unit is due; bytes found."""
        self.drain.drain([self.camera.receiver], T0 + round(0.04 * number * SECOND))
        return self.camera.receiver.found

    def found(self, *numbers: int) -> list[bool]:
        """Whether the drains that follow those units found anything."""
        found = []
        for number in numbers:
            self.send(number)
            found.append(self.read(number) > 0)
        return found


def test_drain_leaves_a_socket_alone_while_nothing_can_fill_a_part(pair: Any) -> None:
    slow = Slow(pair)
    assert slow.found(*range(4)) == [True] * 4
    assert slow.camera.receiver.take_fragments() == []
    assert slow.found(4, 5, 6, 7, 8) == [True, False, False, True, True]
    assert len(slow.camera.receiver.take_fragments()) == 1, "the fifth unit of 40 ms fills it"
    assert slow.found(9) == [True]
    assert len(slow.camera.receiver.take_fragments()) == 1


def test_drain_is_there_for_a_sync_sample_within_a_part(pair: Any) -> None:
    slow = Slow(pair, gop=12)
    slow.found(*range(22))
    assert slow.found(22, 23, 24) == [False, False, True], "the distance of two is known"
    assert len(slow.camera.receiver.take_fragments()) == 6


@pytest.mark.parametrize(("size", "found"), [(500, [0, 0, 1]), (45_000, [0, 1, 1]), (90_000, [1, 1, 1])])
def test_no_more_is_left_in_a_socket_than_a_camera_may_send_at_once(pair: Any, size: int, found: list[int]) -> None:
    slow = Slow(pair, size=size)
    slow.found(*range(5))
    assert slow.found(5, 6, 7) == found


def test_who_asks_for_each_unit_is_given_them_at_once(pair: Any) -> None:
    slow = Slow(pair)
    slow.found(*range(5))
    slow.camera.receiver.flush()
    assert slow.found(5, 6) == [True, True]


def test_drain_end_of_stream(pair: Any) -> None:
    camera, theirs = pair()
    theirs.sendall(frames()[0])
    theirs.close()
    drain = Drain()
    while not camera.receiver.eof:
        drain.drain([camera.receiver], T0)
    assert camera.receiver.os_error == 0
    assert camera.receiver.ready
    assert drain.drain([camera.receiver], T0) == [camera.receiver]
    assert len(camera.units()) == 1


def test_drain_error(pair: Any) -> None:
    camera, _ = pair()
    reading, writing = socket.socketpair()
    camera.receiver.fd = number = reading.fileno()
    reading.close()
    writing.close()
    assert Drain().drain([camera.receiver], T0) == [camera.receiver]
    assert camera.receiver.os_error == 9, number  # EBADF
    assert not camera.receiver.eof


def test_drain_reset() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        ours = socket.create_connection(server.getsockname())
        theirs, _ = server.accept()
        camera = Camera()
        camera.receiver.fd = ours.fileno()
        reset_at_close(theirs)
        theirs.close()
        Drain().drain([camera.receiver], T0)
        assert camera.receiver.os_error == 104  # ECONNRESET
        ours.close()


def test_drain_stops_at_an_error(pair: Any) -> None:
    camera, theirs = pair()
    theirs.sendall(b"RTSP/1.0 200 OK\r\nContent-Length: -1\r\n\r\n")
    drain = Drain()
    assert drain.drain([camera.receiver], T0) == [camera.receiver]
    assert camera.receiver.error is not None
    counted = camera.receiver.bytes_received
    theirs.sendall(MESSAGE)
    drain.drain([camera.receiver], T0)
    assert camera.receiver.bytes_received == counted


def test_flood_does_not_starve_the_others(pair: Any) -> None:
    (flooder, flood_socket), (quiet, quiet_socket) = pair(), pair()
    flood_socket.setblocking(False)
    flood = interleaved_frame(9, bytes(1000)) * 200
    sent = flood_socket.send(flood)
    assert sent > 20_000
    quiet_socket.sendall(frames()[0])
    drain = Drain(1000)
    ready = drain.drain([flooder.receiver, quiet.receiver], T0)
    assert drain.fullest == 8000
    assert flooder.receiver.bytes_received == 8000
    assert ready == []
    assert len(quiet.units()) == 1


def test_drain_without_socket_and_without_room() -> None:
    assert Drain().drain([Receiver()], T0) == []
    for size in (0, -1):
        with pytest.raises(LocalProtocolError):
            Drain(size)


def test_same_names() -> None:
    assert Receiver is _rtp.Receiver
    assert Drain is _rtp.Drain


@pytest.mark.parametrize("wrong", [None, 3])
def test_drain_takes_receivers_only(wrong: Any) -> None:
    with pytest.raises(TypeError):
        Drain().drain([wrong], T0)
