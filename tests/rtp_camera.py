"""A camera as the receiving half of RTP sees it: what it sends, and the receiver that gets it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rtspkit.media import AACParameters, AccessUnit, Fragment, Track
from rtspkit.packetizer import (
    RTPSender,
    interleaved_frame,
    packetize_aac,
    packetize_h264,
)
from rtspkit.rtp import (
    Receiver,
    TrackStats,
    access_units,
    track_stats,
)

SECOND = 10**9
T0 = 50 * SECOND
SPS = bytes.fromhex("6742c01fda014016e840")
OTHER_SPS = bytes.fromhex("6742c028da01e0089f9610")
PPS = bytes.fromhex("68ce3c80")
OTHER_PPS = bytes.fromhex("68ce0c80")
SECOND_PPS = bytes.fromhex("685ce0f2")  # pic_parameter_set_id 1
IDR = b"\x65\x88\x84intra"
P = b"\x41\x9a\x24inter"
LATER_SLICE = b"\x41\x13\x24later"  # first_mb_in_slice is not 0
LATER_IDR_SLICE = b"\x65\x13\x24later"

VIDEO = Track(0, "video", "h264", 90000)
AUDIO = Track(1, "audio", "aac", 48000, AACParameters(b"\x11\x90"))


class Camera:
    """Makes what a camera would send, and a receiver that gets it."""

    def __init__(self, *, audio: bool = False, origins: tuple[int | None, int | None] = (0, 0), **options: Any) -> None:
        self.receiver = Receiver(**options)
        self.receiver.add_track(VIDEO, payload_type=96, channels=(0, 1), origin=origins[0])
        if audio:
            self.receiver.add_track(AUDIO, payload_type=97, channels=(2, 3), origin=origins[1])
        self.video = RTPSender(payload_type=96, ssrc=0x11111111, sequence=65000)
        self.audio = RTPSender(payload_type=97, ssrc=0x22222222, sequence=1)

    def picture(
        self, *nals: bytes, at: float, now: float | None = None, max_size: int = 1400, mark: bool = True
    ) -> None:
        """Sends a picture of time `at` (seconds); it arrives then, or at `now`."""
        payloads = packetize_h264(nals, max_size=max_size, aggregate=False)
        if not mark:
            payloads = [payload._replace(marker=False) for payload in payloads]
        for packet in self.video.packets(payloads, round(at * 90000)):
            self.packet(packet, at if now is None else now)

    def sound(self, *units: bytes, at: float, now: float | None = None) -> None:
        for packet in self.audio.packets(packetize_aac(units, per_packet=8), round(at * 48000), 1024):
            self.packet(packet, at if now is None else now, channel=2)

    def packet(self, packet: bytes, now: float, channel: int = 0) -> None:
        self.receiver.feed(interleaved_frame(channel, packet), T0 + round(now * SECOND))

    def fragments(self, *, end: bool = True) -> list[Fragment]:
        if end:
            self.receiver.finish()
        return self.receiver.take_fragments()

    def units(self) -> list[AccessUnit]:
        return [unit for fragment in self.fragments() for unit in access_units(fragment)]

    def counted(self, index: int = 0) -> TrackStats:
        return track_stats(self.receiver, index)


def avcc(*nals: bytes) -> bytes:
    return b"".join(len(nal).to_bytes(4, "big") + nal for nal in nals)


def nal_units(data: bytes) -> list[bytes]:
    """The NAL units of an access unit, without their lengths."""
    units = []
    while data:
        size = int.from_bytes(data[:4], "big")
        assert 0 < size <= len(data) - 4
        units.append(data[4 : 4 + size])
        data = data[4 + size :]
    return units


def pts(unit_iterator: Iterator[AccessUnit] | list[AccessUnit]) -> list[int]:
    return [unit.pts for unit in unit_iterator]


def packets_of(camera: Camera, *nals: bytes, at: float, max_size: int = 4) -> list[bytes]:
    return camera.video.packets(packetize_h264(nals, max_size=max_size, aggregate=False), round(at * 90000))


MESSAGE = b"RTSP/1.0 200 OK\r\nCSeq: 7\r\nSession: 1\r\n\r\n"
WITH_BODY = b"ANNOUNCE rtsp://h/ RTSP/1.0\r\nCSeq: 8\r\ncontent-length : 5\r\n\r\nv=0\r\n"


def frames(*, count: int = 3) -> list[bytes]:
    sender = RTPSender(payload_type=96, ssrc=1)
    return [
        interleaved_frame(0, packet)
        for i in range(count)
        for packet in sender.packets(packetize_h264([IDR + b"\1" * 100]), 3600 * i)
    ]
