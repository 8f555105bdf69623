"""Opus packets: how long they last, and what silence is."""

from __future__ import annotations

import pytest

from rtspkit import opus


@pytest.mark.parametrize(
    ("packet", "samples"),
    [
        ("00", 480),  # SILK, narrow band, 10 ms
        ("18", 2880),
        ("60", 480),  # hybrid
        ("68", 960),
        ("80", 120),  # CELT
        ("f8fffe", 960),
        ("fcfffe", 960),  # stereo
        ("f9fffefffe", 1920),  # two of one size
        ("fa02fffefffe", 1920),  # two of any size
        ("fb03fffefffefffe", 2880),
        ("8330", 5760),  # 48 of 2.5 ms
        ("1b02", 5760),  # 2 of 60 ms
        ("", 0),
        ("fb", 0),  # the number of frames is missing
        ("fb00", 0),
        ("fb07", 0),  # 140 ms
        ("8331", 0),
        ("ff3f", 0),
    ],
)
def test_packet_samples(packet: str, samples: int) -> None:
    assert opus.packet_samples(bytes.fromhex(packet)) == samples


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("samples", [120, 240, 480, 960, 1440, 1920, 2880, 3840, 4800, 5760])
def test_silence_lasts_as_long_as_it_should(samples: int, channels: int) -> None:
    packet = opus.silent_packet(samples, channels)
    assert packet is not None
    assert opus.packet_samples(packet) == samples
    assert packet[0] >> 2 & 1 == channels - 1


@pytest.mark.parametrize("samples", [0, -960, 1, 119, 961, 5880, 960 * 7])
def test_no_packet_lasts_so_long(samples: int) -> None:
    assert opus.silent_packet(samples, 1) is None
