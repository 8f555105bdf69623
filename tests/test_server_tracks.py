"""How tracks are called in the log and in the control API, as MediaMTX calls them."""

from __future__ import annotations

from typing import Any, get_args

import pytest
import test_h265 as h265
from fragments import VIDEO

from rtspkit.aac import build_config
from rtspkit.media import AACParameters, Codec, CodecParameters, OpusParameters, PCMParameters, Track
from rtspkit.server.tracks import announced, describe, labels, properties, skipped_label


@pytest.mark.parametrize(
    ("codec", "parameters", "label", "expected"),
    [
        ("aac", AACParameters(build_config(16000, 1)), "MPEG-4 Audio", {"channelCount": 1, "sampleRate": 16000}),
        ("opus", OpusParameters(2), "Opus", {"channelCount": 2}),
        ("pcmu", PCMParameters(8000, 1, 8), "G711", {"channelCount": 1, "muLaw": True, "sampleRate": 8000}),
        ("pcma", PCMParameters(16000, 2, 8), "G711", {"channelCount": 2, "muLaw": False, "sampleRate": 16000}),
        ("l16", PCMParameters(44100, 2, 16), "LPCM", {"bitDepth": 16, "channelCount": 2, "sampleRate": 44100}),
        ("g722", PCMParameters(16000, 1, 4), "G722", None),
        ("g726", PCMParameters(8000, 1, 4), "G726", None),
        ("aac", None, "MPEG-4 Audio", None),
        ("opus", None, "Opus", None),
    ],
)
def test_sound(codec: Codec, parameters: CodecParameters | None, label: str, expected: dict[str, Any] | None) -> None:
    track = Track(0, "audio", codec, 8000, parameters)
    assert labels([track]) == [label]
    assert properties(track) == expected


def test_aac_in_latm() -> None:
    track = Track(0, "audio", "aac", 16000, AACParameters(build_config(16000, 1)), is_latm=True)
    assert labels([track, Track(1, "audio", "aac", 16000)]) == ["MPEG-4 Audio LATM", "MPEG-4 Audio"]
    assert properties(track) == {"channelCount": 1, "sampleRate": 16000}


@pytest.mark.parametrize("codec", get_args(Codec))
def test_every_codec_has_a_label(codec: Codec) -> None:
    assert labels([Track(0, "audio", codec, 8000)]) != ["Generic"]


def test_h265() -> None:
    track = Track(0, "video", "h265", 90000, h265.PARAMETERS)
    assert labels([track]) == ["H265"]
    assert properties(track) == {"width": 128, "height": 64, "profile": "Main", "level": "1"}
    assert properties(Track(0, "video", "h265", 90000)) is None


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("track 2 (PCMU)", "track 2 (G711)"),
        ("track 1 (M-JPEG, choose H.264 or H.265)", "track 1 (M-JPEG, choose H.264 or H.265)"),
        ("track 2 (G723, choose AAC, Opus or G.711)", "track 2 (Generic, choose AAC, Opus or G.711)"),
        ("track 2 (G726-32, 9 channels)", "track 2 (G726, 9 channels)"),
        ("track 2 (AAL2-G726-32, 9 channels)", "track 2 (G726, 9 channels)"),
        ("track 2 (MP4A-LATM, without a config)", "track 2 (MPEG-4 Audio LATM, without a config)"),
        ("track 2 (HEVC, another video track)", "track 2 (H265, another video track)"),
        ("track 3 (VND.ONVIF.METADATA)", "track 3 (Generic)"),
        ("whatever", "whatever"),
    ],
)
def test_what_is_left_out(name: str, label: str) -> None:
    assert skipped_label(name) == label


def test_all_in_the_cameras_order() -> None:
    sound = Track(1, "audio", "opus", 48000, OpusParameters(1))
    found = announced((VIDEO, sound), ("track 2 (G723, choose AAC, Opus or G.711)",))
    assert [label for label, _ in found] == ["H264", "Generic", "Opus"]
    assert [track for _, track in found] == [VIDEO, None, sound]
    assert describe(["H264"]) == "1 track (H264)"
