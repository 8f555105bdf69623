"""Clips of sound: what the test camera announces is what is read, and what it plays is what comes out."""

from __future__ import annotations

import pytest
from rtp_camera import T0

from rtspkit.formats import select_tracks
from rtspkit.media import AACParameters, OpusParameters, PCMParameters
from rtspkit.opus import silent_packet
from rtspkit.packetizer import RTPSender, interleaved_frame
from rtspkit.rtp import Receiver, access_units
from rtspkit.sdp import parse_sdp
from rtspkit.testing.clips import ClipCodec, audio_track

PACKET = silent_packet(2880, 2)
assert PACKET is not None


@pytest.mark.parametrize(
    ("codec", "parameters", "unit", "clock_rate", "ticks"),
    [
        ("aac", AACParameters(b"\x14\x08"), b"unit", 16000, 1024),
        ("latm", AACParameters(b"\x14\x08"), b"unit", 16000, 1024),
        ("opus", OpusParameters(2), PACKET, 48000, 2880),
        ("opus", OpusParameters(1), PACKET, 48000, 2880),
        ("pcma", PCMParameters(8000, 1, 8), bytes(160), 8000, 160),
        ("pcmu", PCMParameters(16000, 2, 8), bytes(640), 16000, 320),
        ("g722", PCMParameters(16000, 1, 4), bytes(160), 8000, 160),
        ("g726", PCMParameters(8000, 1, 3), bytes(60), 8000, 160),
        ("g726", PCMParameters(8000, 1, 5, is_aal2=True), bytes(100), 8000, 160),
        ("l16", PCMParameters(44100, 2, 16), bytes(880), 44100, 220),
    ],
)
def test_sound(
    codec: ClipCodec,
    parameters: AACParameters | OpusParameters | PCMParameters,
    unit: bytes,
    clock_rate: int,
    ticks: int,
) -> None:
    clip = audio_track([unit] * 3, parameters, codec)
    assert (clip.kind, clip.clock_rate, clip.unit_ticks) == ("audio", clock_rate, ticks)
    (found,), skipped = select_tracks(parse_sdp("\r\n".join(["v=0", *clip.media, ""]).encode()), "rtsp://cam/")
    assert not skipped
    assert found.track.parameters == parameters
    assert found.track.clock_rate == clock_rate
    receiver = Receiver(fragment_duration=3600)
    receiver.add_track(found.track, payload_type=found.payload_type, channels=(0, 1), origin=0, **found.packing)
    sender = RTPSender(payload_type=97, ssrc=1)
    for number, media in enumerate(clip.units):
        for packet in sender.packets(clip.payloads(media), number * ticks):
            receiver.feed(interleaved_frame(0, packet), T0)
    receiver.finish()
    units = [one for fragment in receiver.take_fragments() for one in access_units(fragment)]
    assert [(one.pts, one.data) for one in units] == [(number * ticks, unit) for number in range(3)]
