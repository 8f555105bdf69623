"""STREAMINFO: what is written is what is read, and what cannot be said is refused."""

import struct

import pytest

from rtspkit import codecs, flac
from rtspkit.errors import RemoteProtocolError, UnsupportedError
from rtspkit.media import FLACParameters, Track


@pytest.mark.parametrize(
    ("rate", "channels", "block"),
    [(8000, 1, 320), (11_025, 1, 448), (16_000, 2, 640), (44_100, 2, 1776), (48_000, 8, 1920), (192_000, 2, 4096)],
)
def test_stream_info(rate: int, channels: int, block: int) -> None:
    parameters = flac.build_parameters(rate, channels)
    assert flac.parse_stream_info(parameters.stream_info) == flac.StreamInfo(rate, channels, 16, block)
    assert struct.unpack(">HH", parameters.stream_info[:4]) == (block, block)
    assert parameters.stream_info[4:10] == bytes(6)
    assert parameters.stream_info[18:] == bytes(16)
    track = Track(0, "audio", "flac", rate, parameters)
    assert codecs.codec_string(track) == "fLaC"
    assert codecs.unit_ticks(track) == block
    assert codecs.sound(track) == codecs.Sound(rate, channels, "FLAC")


def test_as_other_people_write_it() -> None:
    # libFLAC 1.4.2: 44.1 kHz, stereo, 16 bits, blocks of 4096
    data = bytes.fromhex("1000100000000e001b310ac442f000000000") + bytes(16)
    assert flac.parse_stream_info(data) == flac.StreamInfo(44_100, 2, 16, 4096)


@pytest.mark.parametrize(("rate", "channels"), [(0, 1), (-1, 1), (65_536, 1), (400_000, 1), (8000, 0), (8000, 9)])
def test_what_flac_cannot_be(rate: int, channels: int) -> None:
    with pytest.raises(UnsupportedError, match="FLAC has no"):
        flac.build_parameters(rate, channels)


@pytest.mark.parametrize("data", [b"", bytes(33), bytes(34), bytes(35), b"\1\0" * 8 + bytes(18)])
def test_what_is_no_stream_info(data: bytes) -> None:
    if len(data) == 34 and data[0]:
        data = data[:10] + bytes(24)  # a rate of 0
    with pytest.raises(RemoteProtocolError, match="STREAMINFO"):
        flac.parse_stream_info(data)
    track = Track(0, "audio", "flac", 8000, FLACParameters(data))
    assert codecs.sound(track) is None
