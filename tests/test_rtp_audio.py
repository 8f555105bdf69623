"""Sound that comes in packets of one unit: Opus, G.711, G.722, G.726, L16."""

from __future__ import annotations

import pytest
from rtp_camera import T0

from rtspkit.limits import DEFAULT_LIMITS, Limits
from rtspkit.media import AccessUnit, Codec, Track
from rtspkit.packetizer import interleaved_frame, rtp_packet
from rtspkit.rtp import Receiver, access_units, track_stats

WHOLE: list[Codec] = ["opus", "pcma", "pcmu", "g722", "g726", "l16"]


def receive(
    codec: Codec, packets: list[tuple[int, int, bytes]], *, limits: Limits = DEFAULT_LIMITS, block_size: int = 1
) -> tuple[list[AccessUnit], Receiver]:
    """What becomes of packets: sequence number, timestamp, payload."""
    receiver = Receiver(limits=limits)
    receiver.add_track(
        Track(0, "audio", codec, 8000), payload_type=97, channels=(0, 1), origin=0, block_size=block_size
    )
    for sequence, timestamp, payload in packets:
        packet = rtp_packet(payload, payload_type=97, sequence=sequence, timestamp=timestamp, ssrc=1)
        receiver.feed(interleaved_frame(0, packet), T0)
    receiver.finish()
    return [unit for fragment in receiver.take_fragments() for unit in access_units(fragment)], receiver


@pytest.mark.parametrize("codec", WHOLE)
def test_each_packet_is_a_unit(codec: Codec) -> None:
    units, receiver = receive(codec, [(65535, 0, b"\xf8one"), (0, 160, b"\xf8two"), (2, 480, b"\x00" * 1000)])
    assert [(unit.pts, unit.data, unit.is_sync, unit.damaged) for unit in units] == [
        (0, b"\xf8one", True, False),
        (160, b"\xf8two", True, False),
        (480, b"\x00" * 1000, True, True),
    ]
    assert track_stats(receiver, 0).lost == 1


def test_packets_without_media_and_of_too_much_are_broken() -> None:
    limits = Limits(access_unit_size=100)
    units, receiver = receive("pcma", [(1, 0, b""), (2, 160, bytes(101)), (3, 320, bytes(100))], limits=limits)
    assert [(unit.pts, len(unit.data)) for unit in units] == [(320, 100)]
    assert track_stats(receiver, 0).broken == 2


def test_samples_come_whole() -> None:
    units, receiver = receive("l16", [(1, 0, bytes(8)), (2, 2, bytes(6)), (3, 4, bytes(4))], block_size=4)
    assert [len(unit.data) for unit in units] == [8, 4]
    assert track_stats(receiver, 0).broken == 1


@pytest.mark.parametrize(
    ("packet", "is_whole"),
    [
        ("f8", True),  # nothing to be heard (DTX)
        ("f8fffe", True),
        ("f9fffefffe", True),
        ("f9", True),
        ("f9fffeff", False),  # two frames that are not of one size
        ("fa", False),
        ("fa02fffefffe", True),
        ("fa05fffefffe", False),  # the first has more than there is
        ("fafc", False),
        ("fafc00" + 252 * "aa", True),
        ("fafc01" + 252 * "aa", False),
        ("fb", False),
        ("fb00", False),
        ("fb03fffefffefffe", True),
        ("fb06", True),
        ("fb07", False),  # 140 ms
        ("1b02", True),
        ("1b03", False),
        ("6b06", True),  # hybrid, 20 ms each
        ("6b07", False),
        ("8330", True),
        ("8331", False),
    ],
)
def test_what_is_no_opus_packet_is_broken(packet: str, is_whole: bool) -> None:
    units, receiver = receive("opus", [(1, 0, bytes.fromhex(packet)), (2, 960, b"\xf8\xff\xfe")])
    assert [unit.data.hex() for unit in units] == [packet] * is_whole + ["f8fffe"]
    assert track_stats(receiver, 0).broken == (not is_whole)
