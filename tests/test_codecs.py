"""What is asked of a track whatever its codec is."""

from __future__ import annotations

from dataclasses import replace

import pytest
import test_h265 as h265
from test_h264 import PPS, SPS_HIGH

from rtspkit import codecs
from rtspkit.aac import build_config
from rtspkit.codecs import Picture, Sound
from rtspkit.errors import RtspkitError
from rtspkit.media import AACParameters, Codec, CodecParameters, H264Parameters, OpusParameters, PCMParameters, Track

H264 = Track(0, "video", "h264", 90000, H264Parameters(SPS_HIGH, (PPS,)))
H265 = Track(0, "video", "h265", 90000, h265.PARAMETERS)


def test_pictures() -> None:
    assert codecs.codec_string(H264) == "avc1.64001E"
    assert codecs.codec_string(H265) == "hvc1.1.6.L30.90"
    assert codecs.picture(H264) == Picture(640, 368, 25.0, "High", "3")
    assert codecs.picture(H265) == Picture(128, 64, 25.0, "Main", "1")
    without_rate = replace(h265.PARAMETERS, sps=h265.write_sps())
    assert codecs.picture(replace(H265, parameters=without_rate)) == Picture(640, 368, None, "Main", "3.1")
    for track in (OPUS, replace(H265, parameters=None), replace(H265, parameters=replace(without_rate, sps=b"x"))):
        assert codecs.picture(track) is None
    assert codecs.sound(H265) is codecs.unit_ticks(H265) is None


def audio(codec: Codec, clock_rate: int, parameters: CodecParameters | None) -> Track:
    return Track(0, "audio", codec, clock_rate, parameters)


AAC = audio("aac", 16000, AACParameters(build_config(16000, 1)))
OPUS = audio("opus", 48000, OpusParameters(2))
G711 = audio("pcma", 8000, PCMParameters(8000, 1, 8))
G722 = audio("g722", 8000, PCMParameters(16000, 1, 4))
G726 = audio("g726", 8000, PCMParameters(8000, 1, 3))
L16 = audio("l16", 44100, PCMParameters(44100, 2, 16))


@pytest.mark.parametrize(("track", "text"), [(AAC, "mp4a.40.2"), (OPUS, "opus"), (G711, "fLaC"), (L16, "fLaC")])
def test_codec_string(track: Track, text: str) -> None:
    assert codecs.codec_string(track) == text


@pytest.mark.parametrize("track", [audio("aac", 8000, None), audio("opus", 48000, None), G722, G726])
def test_no_codec_string(track: Track) -> None:
    with pytest.raises(RtspkitError):
        codecs.codec_string(track)


@pytest.mark.parametrize(
    ("track", "sound"),
    [
        (AAC, Sound(16000, 1, "AAC-LC")),
        (OPUS, Sound(48000, 2, "Opus")),
        (G711, Sound(8000, 1, "G.711 A-law", 8)),
        (audio("pcmu", 8000, PCMParameters(8000, 1, 8)), Sound(8000, 1, "G.711 mu-law", 8)),
        (G722, Sound(16000, 1, "G.722", 4)),
        (G726, Sound(8000, 1, "G.726 24 kbit/s", 3)),
        (L16, Sound(44100, 2, "L16", 16)),
        (audio("opus", 48000, None), None),
    ],
)
def test_sound(track: Track, sound: Sound | None) -> None:
    assert codecs.sound(track) == sound
    assert codecs.picture(track) is None


@pytest.mark.parametrize(
    ("track", "unit", "ticks"),
    [
        (AAC, None, 1024),
        (AAC, b"any", 1024),
        (OPUS, None, None),
        (OPUS, bytes.fromhex("fb03fffefffefffe"), 2880),
        (OPUS, b"", None),
        (G711, None, None),
        (G711, bytes(160), 160),
        (G722, bytes(160), 160),  # 320 samples of 16 kHz, and a clock of 8 kHz
        (G726, bytes(60), 160),
        (L16, bytes(40), 10),
        (L16, b"", None),
    ],
)
def test_unit_ticks(track: Track, unit: bytes | None, ticks: int | None) -> None:
    assert codecs.unit_ticks(track, unit) == ticks


@pytest.mark.parametrize(
    ("codec", "carried"),
    [("h264", "h264"), ("aac", "aac"), ("pcma", "flac"), ("l16", "flac"), ("g722", None), ("x", None)],
)
def test_what_hls_makes_of_a_codec(codec: str, carried: str | None) -> None:
    assert codecs.carried_as(codec) == carried
