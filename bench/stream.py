"""Made-up media for the micro benches: what one camera sends, packet for packet, without needing an encoder."""

from __future__ import annotations

import random

import test_h265 as h265
from fragments import PPS, SPS

from rtspkit.aac import build_config
from rtspkit.media import AACParameters, H264Parameters, Track
from rtspkit.packetizer import RTPSender, interleaved_frame, packetize_aac, packetize_h264, packetize_h265

#: 3 Mbit/s of H.264, 25 units a second, and AAC (16 kHz, mono): some 361 RTP packets a second.
TRACKS = (
    Track(0, "video", "h264", 90_000, H264Parameters(SPS, (PPS,))),
    Track(1, "audio", "aac", 16_000, AACParameters(build_config(16_000, 1))),
)
H265 = h265.PARAMETERS
#: The same with H.265.
H265_TRACKS = (Track(0, "video", "h265", 90_000, H265), TRACKS[1])
SYNC_SIZE, UNIT_SIZE, SOUND_SIZE = 50_000, 13_500, 380
PAYLOAD_SIZE = 1135
TICK = 0.1


def camera_ticks(seconds: int, *, is_h265: bool = False) -> list[bytes]:
    """What a camera sends, in the pieces that a reader finds who looks every 100 ms."""
    noise = random.Random(1)
    writes: list[tuple[float, bytes]] = []
    video, audio = RTPSender(payload_type=96, ssrc=1), RTPSender(payload_type=97, ssrc=2)

    def write(at: float, channel: int, packets: list[bytes]) -> None:
        writes.append((at, b"".join(interleaved_frame(channel, packet) for packet in packets)))

    for number in range(25 * seconds):
        is_sync = number % 50 == 0
        media = noise.randbytes(SYNC_SIZE if is_sync else UNIT_SIZE)
        if is_h265:
            nal = (b"\x26\x01\x88" if is_sync else b"\x02\x01\x88") + media
            nals = [H265.vps, H265.sps, *H265.pps, nal] if is_sync else [nal]
            payloads = packetize_h265(nals, max_size=PAYLOAD_SIZE)
        else:
            nal = (b"\x65\x88" if is_sync else b"\x41\x88") + media
            payloads = packetize_h264([SPS, PPS, nal] if is_sync else [nal], max_size=PAYLOAD_SIZE)
        write(number / 25, 0, video.packets(payloads, 3600 * number))
    for number in range(seconds * 16_000 // 1024):
        write(number * 0.064, 2, audio.packets(packetize_aac([noise.randbytes(SOUND_SIZE)]), 1024 * number))
    writes.sort(key=lambda entry: entry[0])
    ticks = [b""] * round(seconds / TICK)
    for at, data in writes:
        ticks[min(int(at / TICK + 1e-9), len(ticks) - 1)] += data
    return ticks


def packets_of(data: bytes) -> list[tuple[int, bytes]]:
    """The RTP packets of interleaved frames, each with the index of its track."""
    packets = []
    while data:
        size = int.from_bytes(data[2:4], "big")
        packets.append((data[1] >> 1, data[4 : 4 + size]))
        data = data[4 + size :]
    return packets
