"""Sound that comes in packets of one unit: Opus, G.711, G.722, G.726, L16."""

from __future__ import annotations

import pytest
from rtp_camera import T0

from rtspkit.limits import Limits
from rtspkit.media import AccessUnit, Codec, Track
from rtspkit.packetizer import interleaved_frame, rtp_packet
from rtspkit.rtp import Receiver, access_units, track_stats

WHOLE: list[Codec] = ["opus", "pcma", "pcmu", "g722", "g726", "l16"]


def receive(
    codec: Codec, packets: list[tuple[int, int, bytes]], **options: Limits
) -> tuple[list[AccessUnit], Receiver]:
    """What becomes of packets: sequence number, timestamp, payload."""
    receiver = Receiver(**options)  # type: ignore[arg-type]
    receiver.add_track(Track(0, "audio", codec, 8000), payload_type=97, channels=(0, 1), origin=0)
    for sequence, timestamp, payload in packets:
        packet = rtp_packet(payload, payload_type=97, sequence=sequence, timestamp=timestamp, ssrc=1)
        receiver.feed(interleaved_frame(0, packet), T0)
    receiver.finish()
    return [unit for fragment in receiver.take_fragments() for unit in access_units(fragment)], receiver


@pytest.mark.parametrize("codec", WHOLE)
def test_each_packet_is_a_unit(codec: Codec) -> None:
    units, receiver = receive(codec, [(65535, 0, b"one"), (0, 160, b"two"), (2, 480, b"\x00" * 1000)])
    assert [(unit.pts, unit.data, unit.is_sync, unit.damaged) for unit in units] == [
        (0, b"one", True, False),
        (160, b"two", True, False),
        (480, b"\x00" * 1000, True, True),
    ]
    assert track_stats(receiver, 0).lost == 1


def test_packets_without_media_and_of_too_much_are_broken() -> None:
    limits = Limits(access_unit_size=100)
    units, receiver = receive("pcma", [(1, 0, b""), (2, 160, bytes(101)), (3, 320, bytes(100))], limits=limits)
    assert [(unit.pts, len(unit.data)) for unit in units] == [(320, 100)]
    assert track_stats(receiver, 0).broken == 2
