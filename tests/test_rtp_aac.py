"""AAC units over several packets that each say how much of the unit they have, as gortsplib (MediaMTX) sends them."""

from __future__ import annotations

from typing import Any

import pytest
from reference_rtp import Receiver as ReferenceReceiver
from reference_rtp import plain
from rtp_camera import T0

from rtspkit.limits import DEFAULT_LIMITS, Limits
from rtspkit.media import AACParameters, AccessUnit, Track
from rtspkit.packetizer import interleaved_frame, rtp_packet
from rtspkit.rtp import Receiver, access_units

#: Four units: one that is small, three in three pieces.
UNITS = [[b"small"], *([bytes([number + i]) * size for i, size in enumerate((1000, 900, 50))] for number in (1, 4, 7))]
WHOLE = [b"".join(unit) for unit in UNITS]


def packets(units: list[list[bytes]], *, marked: bool = True) -> list[bytes]:
    """One packet for each piece; the last of a unit has the marker."""
    pieces = [(number, piece, piece is unit[-1]) for number, unit in enumerate(units) for piece in unit]
    return [
        rtp_packet(
            (16).to_bytes(2, "big") + (len(piece) << 3).to_bytes(2, "big") + piece,
            payload_type=97,
            sequence=(65533 + sequence) % 65536,
            timestamp=number * 1024,
            ssrc=1,
            marker=marked and is_last,
        )
        for sequence, (number, piece, is_last) in enumerate(pieces)
    ]


def fed(factory: Any, sent: list[bytes], limits: Limits) -> Any:
    receiver = factory(fragment_duration=3600, limits=limits)
    track = Track(0, "audio", "aac", 48000, AACParameters(b"\x11\x90"))
    receiver.add_track(track, payload_type=97, channels=(0, 1), origin=0)
    for packet in sent:
        receiver.feed(interleaved_frame(0, packet), T0)
    receiver.finish()
    return receiver


def receive(sent: list[bytes], limits: Limits = DEFAULT_LIMITS) -> list[AccessUnit]:
    """What becomes of packets, which is the same for the reference."""
    receiver, model = fed(Receiver, sent, limits), fed(ReferenceReceiver, sent, limits)
    assert receiver.stats(0) == model.stats(0)
    assert plain(receiver) == plain(model)
    return [unit for part in fed(Receiver, sent, limits).take_fragments() for unit in access_units(part)]


def test_pieces_come_together() -> None:
    units = receive(packets(UNITS))
    assert [(unit.pts, unit.data, unit.damaged) for unit in units] == [
        (1024 * number, data, False) for number, data in enumerate(WHOLE)
    ]


@pytest.mark.parametrize("lost", [4, 5, 6], ids=["first lost", "middle lost", "last lost"])
def test_a_lost_piece_takes_its_unit_and_no_other(lost: int) -> None:
    sent = packets(UNITS)
    del sent[lost]
    units = receive(sent)
    assert [unit.data for unit in units] == [WHOLE[0], WHOLE[1], WHOLE[3]]
    assert [unit.damaged for unit in units] == [False, False, True]


def test_too_long() -> None:
    endless = [bytes([number]) * 1000 for number in range(20, 25)]  # the third is too much
    units = receive(packets([*UNITS[:2], endless, *UNITS[2:]]), Limits(access_unit_size=2500))
    assert [unit.data for unit in units] == WHOLE
    assert [unit.damaged for unit in units] == [False, False, True, False]


def test_whatever_is_lost_no_unit_is_made_of_pieces() -> None:
    """But for a last piece that comes alone: it is like a small unit, and those are never left out."""
    sent = packets(UNITS)
    allowed = {*WHOLE, *(unit[-1] for unit in UNITS)}
    for lost in range(0, 1 << len(sent), 2):  # all but the first
        units = receive([packet for number, packet in enumerate(sent) if not lost >> number & 1])
        assert {unit.data for unit in units} <= allowed
        assert all(unit.damaged for unit in units if unit.data not in WHOLE)


@pytest.mark.parametrize("lost", [1, 2, 3])
def test_units_that_say_they_are_whole_come_after_loss(lost: int) -> None:
    """Small ones in any case, large ones of a sender without markers, too."""
    small = packets([[bytes([number]) * 300] for number in range(6)])
    del small[lost]
    assert len(receive(small)) == 5
    large = packets([[bytes([number]) * 1000] for number in range(6)], marked=False)
    del large[lost]
    data = [unit.data[0] for unit in receive(large)]
    assert data == [number for number in range(5) if number not in {lost - 1, lost}]  # what was open may not be whole
