"""From RTP packets to access units: depacketizing, loss, one timeline for all tracks."""

from __future__ import annotations

from itertools import pairwise

import pytest
from rtp_camera import (
    IDR,
    LATER_IDR_SLICE,
    LATER_SLICE,
    PPS,
    SPS,
    VIDEO,
    Camera,
    P,
    avcc,
    packets_of,
    pts,
)

from rtspkit.media import H264Parameters
from rtspkit.packetizer import RTPSender, packetize_h264, rtp_packet, stap_a

# -- access units -----------------------------------------------------------------------------------------------------


def test_access_unit() -> None:
    camera = Camera()
    camera.picture(b"\x09\x10", b"\x06\x05sei\x80", IDR, LATER_SLICE, b"\x0c\xff", at=0.25)
    (unit,) = camera.units()
    assert unit.track is VIDEO
    assert unit.data == avcc(b"\x06\x05sei\x80", IDR, LATER_SLICE)
    assert unit.pts == 22500
    assert unit.is_sync
    assert not unit.damaged
    assert not unit.discontinuity
    assert unit.wall_clock is None
    assert unit.arrival == 50.25


@pytest.mark.parametrize("mark", [True, False])
def test_units_end_with_marker_or_timestamp(mark: bool) -> None:
    camera = Camera()
    for i in range(4):
        camera.picture(IDR, LATER_IDR_SLICE, at=i, mark=mark, max_size=5)
    units = camera.units()
    assert [unit.data for unit in units] == [avcc(IDR, LATER_IDR_SLICE)] * 4
    assert pts(units) == [0, 90000, 180000, 270000]


def test_marker_ends_a_unit_at_once() -> None:
    camera = Camera()
    camera.picture(IDR, at=0)
    camera.receiver.flush()
    assert len(camera.fragments(end=False)) == 1


def test_marker_on_every_slice() -> None:
    camera = Camera()
    for at in (0, 0.04):
        for nal in (P, LATER_SLICE, LATER_SLICE):
            camera.picture(nal, at=at)
    assert [unit.data for unit in camera.units()] == [avcc(P, LATER_SLICE, LATER_SLICE)] * 2
    assert camera.counted().units == 2


def test_two_pictures_with_one_timestamp_stay_two() -> None:
    camera = Camera()
    camera.picture(P, at=0)
    camera.picture(P, at=0)
    assert [unit.data for unit in camera.units()] == [avcc(P)] * 2


def test_marker_on_sei_ends_nothing() -> None:
    camera = Camera()
    for nal in (SPS, PPS, b"\x06\x05sei\x80", IDR):
        camera.picture(nal, at=0)
    (unit,) = camera.units()
    assert unit.data == avcc(b"\x06\x05sei\x80", IDR)


def test_annex_b_in_one_nal_unit() -> None:
    camera = Camera()
    (packet,) = camera.video.packets(packetize_h264([SPS + b"\0\0\0\1" + PPS + b"\0\0\1" + IDR]), 0)
    camera.packet(packet, 0)
    (unit,) = camera.units()
    assert unit.data == avcc(IDR)
    assert unit.is_sync
    assert unit.track.parameters == H264Parameters(SPS, (PPS,))


def fragments_of(nal: bytes, *ends: int) -> list[bytes]:
    """FU-A payloads of a NAL unit, cut behind so many bytes each."""
    bounds = [1, *sorted(ends), len(nal)]
    return [
        bytes(((nal[0] & 0xE0) | 28, (0x80 * (i == 0) | 0x40 * (i == len(bounds) - 2)) | nal[0] & 0x1F)) + nal[a:b]
        for i, (a, b) in enumerate(pairwise(bounds))
    ]


#: What V380 sends as one NAL unit, and cuts into fragments where it is too long for a packet.
ANNEX_B = SPS + b"\0\0\0\1" + PPS + b"\0\0\1" + IDR


@pytest.mark.parametrize("start_code", [b"", b"\0\0\0\1", b"\0\0\1"])
@pytest.mark.parametrize("first", range(2, len(ANNEX_B)))
def test_annex_b_in_fragments_cut_at_every_byte(first: int, start_code: bytes) -> None:
    """A start code may be cut in two, or in three."""
    stream = start_code + ANNEX_B
    for second in (None, first + 1, first + 2):
        ends = [end for end in (first, second) if end is not None and end < len(stream)]
        camera = Camera()
        for number, data in enumerate(fragments_of(stream, *ends)):
            sequence = (camera.video.sequence + number) % 65536
            packet = rtp_packet(
                data, payload_type=96, sequence=sequence, timestamp=0, ssrc=camera.video.ssrc, marker=data[1] & 0x40 > 0
            )
            camera.packet(packet, 0)
        (unit,) = camera.units()
        assert unit.data == avcc(IDR)
        assert (unit.is_sync, unit.damaged) == (True, False)
        assert unit.track.parameters == H264Parameters(SPS, (PPS,))
        assert camera.counted().broken == 0


def payloads(camera: Camera, *data: bytes) -> None:
    """Packets with these payloads; the last has the marker."""
    for number, one in enumerate(data):
        sequence = (camera.video.sequence + number) % 65536
        marker = number == len(data) - 1
        packet = rtp_packet(one, payload_type=96, sequence=sequence, timestamp=0, ssrc=camera.video.ssrc, marker=marker)
        camera.packet(packet, 0)


@pytest.mark.parametrize("place", range(4))
def test_empty_fragments(place: int) -> None:
    """At the start, in the midst, as the end; and an FU without even its header."""
    pieces = fragments_of(IDR, 2, 3)
    empty = [b"\x7c\x85", b"\x7c\x05", b"\x7c\x45"][min(place, 2)]
    if place == 0:
        pieces[0:1] = [empty, bytes((0x7C, 0x05)) + pieces[0][2:]]
    elif place == 2:
        pieces[-1:] = [bytes((0x7C, 0x05)) + pieces[-1][2:], empty]
    else:
        pieces.insert(1, empty if place == 1 else b"\x7c")
    camera = Camera()
    payloads(camera, *pieces)
    (unit,) = camera.units()
    assert unit.data == avcc(IDR)
    assert (unit.is_sync, unit.damaged, camera.counted().broken) == (True, False, place == 3)


def test_a_type_that_changes_within_fragments_is_the_first_ones() -> None:
    """Tiandy."""
    first, *rest = fragments_of(IDR, 2, 3)
    camera = Camera()
    payloads(camera, first, *(one[:1] + bytes((one[1] ^ 4,)) + one[2:] for one in rest))
    (unit,) = camera.units()
    assert (unit.data, unit.is_sync, unit.damaged) == (avcc(IDR), True, False)


def test_a_fragment_that_is_start_and_end() -> None:
    """CostarHD; and another one begins before the last has ended."""
    camera = Camera()
    payloads(camera, b"\x7c\xc5" + IDR[1:], fragments_of(LATER_IDR_SLICE, 2)[0], b"\x7c\xc5" + LATER_IDR_SLICE[1:])
    (unit,) = camera.units()
    assert unit.data == avcc(IDR, LATER_IDR_SLICE)
    assert (unit.is_sync, unit.damaged) == (False, True)


@pytest.mark.parametrize("count", range(5))
def test_zeros_behind_an_aggregation(count: int) -> None:
    """Some cameras fill packets up: one zero is no size, two are none, four are two that are none."""
    camera = Camera()
    payloads(camera, stap_a([SPS, PPS, IDR]) + bytes(count))
    (unit,) = camera.units()
    assert (unit.data, unit.is_sync, unit.damaged) == (avcc(IDR), True, False)
    assert camera.counted().broken == 0


@pytest.mark.parametrize("header", [0x60, 0x78, 0x79, 0x7B, 0x7C, 0x7E, 0x7F])
def test_types_that_only_packets_have_are_no_nal_units(header: int) -> None:
    """Nor is type 0; in an aggregation, or in fragments, they are left out."""
    camera = Camera()
    payloads(camera, stap_a([IDR, bytes((header,)) + b"junk"]), *fragments_of(bytes((header,)) + b"junk", 3))
    (unit,) = camera.units()
    assert (unit.data, unit.is_sync, unit.damaged) == (avcc(IDR), True, False)


def test_adts_headers_are_taken_off() -> None:
    camera = Camera(audio=True)
    for header in (bytes.fromhex("fff15080021ffc"), bytes.fromhex("fff05080025ffc0000")):
        length = len(header) + 9
        framed = bytearray(header + b"aac bytes")
        framed[3] = framed[3] & 0xFC | length >> 11
        framed[4] = length >> 3 & 0xFF
        framed[5] = (length & 7) << 5 | framed[5] & 0x1F
        camera.sound(bytes(framed), at=0)
    assert [unit.data for unit in camera.units()] == [b"aac bytes"] * 2


def test_audio_units_in_one_packet_follow_one_another() -> None:
    camera = Camera(audio=True)
    camera.sound(b"one", b"two", b"three", at=1)
    units = camera.units()
    assert [unit.data for unit in units] == [b"one", b"two", b"three"]
    assert pts(units) == [48000, 49024, 50048]


def test_units_of_both_tracks_in_order_of_arrival() -> None:
    camera = Camera(audio=True)
    camera.picture(IDR, at=0)
    camera.sound(b"a", at=0.01)
    camera.picture(P, at=0.04)
    camera.sound(b"b", at=0.05)
    assert [unit.track.kind for unit in camera.units()] == ["video", "audio", "video", "audio"]


# -- recovery points --------------------------------------------------------------------------------------------------

#: SEI: recovery_frame_cnt 0, exact_match_flag 1 (D.1.8); alone, and behind user data of 300 bytes.
RECOVERY_POINT = b"\x06\x06\x01\xc4\x80"
BEHIND_OTHERS = b"\x06\x05\xff\x2d" + b"u" * 300 + RECOVERY_POINT[1:]


@pytest.mark.parametrize("sei", [RECOVERY_POINT, BEHIND_OTHERS])
def test_recovery_points_where_no_idr_picture_comes(sei: bytes) -> None:
    """Some encoders send no other places to start; ten seconds after an IDR picture they count, too."""
    camera = Camera()
    camera.picture(P, at=0)
    camera.picture(sei, P, LATER_SLICE, at=1)
    camera.picture(P, at=2)
    camera.picture(sei, IDR, at=3)
    camera.picture(sei, P, at=13)
    camera.picture(sei, P, at=13.1)
    camera.picture(IDR, at=14)
    camera.picture(sei, P, at=15)
    units = camera.units()
    assert [unit.is_sync for unit in units] == [False, True, False, True, False, True, True, False]
    assert units[1].data == avcc(sei, P, LATER_SLICE)


@pytest.mark.parametrize(
    "sei",
    [
        b"\x06\x06\x01\x44\x80",  # only after some pictures
        b"\x06\x05\x04junk\x80",
        b"\x06\x06\x01",
        b"\x06\x06",
        b"\x06\xff\xff",
        b"\x06\x05\x40\x06\x01\xc4\x80",  # another message, which is longer than it is
        b"\x06",
    ],
)
def test_what_is_no_recovery_point(sei: bytes) -> None:
    camera = Camera()
    camera.picture(sei, P, at=0)
    assert [unit.is_sync for unit in camera.units()] == [False]


def test_a_recovery_point_with_a_hole_is_no_sync_sample() -> None:
    camera = Camera()
    camera.picture(P, at=0)
    packets = packets_of(camera, RECOVERY_POINT, P, LATER_SLICE, at=0.04, max_size=5)
    for packet in packets[:-2] + packets[-1:]:
        camera.packet(packet, 0.04)
    assert [(unit.is_sync, unit.damaged) for unit in camera.units()] == [(False, False), (False, True)]


# -- loss -------------------------------------------------------------------------------------------------------------
def test_lost_fragment_damages_the_unit() -> None:
    camera = Camera()
    camera.picture(IDR, at=0)
    lossy = packets_of(camera, P, LATER_SLICE, at=0.04)
    for packet in lossy[:1] + lossy[2:]:
        camera.packet(packet, 0.04)
    camera.picture(P, at=0.08)
    units = camera.units()
    assert [unit.data for unit in units] == [avcc(IDR), avcc(LATER_SLICE), avcc(P)]
    assert [unit.damaged for unit in units] == [False, True, False]
    counted = camera.counted()
    assert counted.lost == 1
    assert (counted.units, counted.damaged_units) == (3, 1)


@pytest.mark.parametrize("missing", range(9))
def test_idr_picture_with_a_hole_is_no_sync_sample(missing: int) -> None:
    camera = Camera()
    camera.picture(P, at=0)
    packets = packets_of(camera, IDR, LATER_IDR_SLICE, LATER_IDR_SLICE, at=0.04, max_size=5)
    del packets[missing]
    for packet in packets:
        camera.packet(packet, 0.04)
    camera.picture(P, at=0.08)
    assert not any(unit.is_sync for unit in camera.units())


def test_idr_picture_with_a_hole_and_markers_everywhere_is_no_sync_sample() -> None:
    camera = Camera()
    camera.picture(IDR, at=0)
    camera.video.sequence += 1
    for _ in range(3):
        camera.picture(LATER_IDR_SLICE, at=0)
    units = camera.units()
    assert [unit.is_sync for unit in units] == [True, False]
    assert units[1].data == avcc(LATER_IDR_SLICE, LATER_IDR_SLICE, LATER_IDR_SLICE)


def test_after_a_slice_with_a_marker_a_picture_may_have_lost_its_end() -> None:
    """Once it is known that the markers lie; what follows says so too, and neither is a place to start."""
    camera = Camera()
    for at in (0, 1):
        camera.picture(IDR, at=at)
        if at:
            camera.video.sequence += 1
        else:
            camera.picture(LATER_IDR_SLICE, at=at)
    camera.picture(P, at=2)
    units = camera.units()
    assert [(unit.is_sync, unit.damaged) for unit in units] == [(True, False), (False, True), (False, True)]
    assert camera.counted().damaged_units == 2


def test_whole_idr_after_loss_is_a_sync_sample() -> None:
    camera = Camera()
    camera.picture(P, at=0)
    camera.video.sequence += 5
    camera.picture(IDR, at=1)
    unit = camera.units()[1]
    assert unit.is_sync
    assert unit.damaged
    assert camera.counted().lost == 5


def test_late_and_doubled_packets_are_dropped() -> None:
    camera = Camera()
    packets = [packet for i in range(4) for packet in packets_of(camera, IDR, at=i, max_size=1400)]
    for i in (0, 2, 1, 2, 3):
        camera.packet(packets[i], i)
    assert pts(camera.units()) == [0, 180000, 270000]
    assert camera.counted().late == 1
    assert camera.counted().duplicates == 1


def test_sequence_that_begins_anew_is_believed_after_two_packets() -> None:
    camera = Camera()
    camera.picture(IDR, at=0)
    camera.video.sequence = 20000
    for i in range(1, 5):
        camera.picture(IDR, at=i)
    assert pts(camera.units()) == [0, 180000, 270000, 360000]
    counted = camera.counted()
    assert counted.restarts == 1
    assert counted.late == 1
    assert counted.lost == 0


def test_one_stray_sequence_number_changes_nothing() -> None:
    camera = Camera()
    camera.picture(IDR, at=0)
    camera.video.sequence += 20000
    camera.picture(IDR, at=1)
    camera.video.sequence -= 20001
    camera.picture(IDR, at=2)
    assert pts(camera.units()) == [0, 180000]
    assert camera.counted().restarts == 0


def test_sequence_wraps() -> None:
    camera = Camera()
    camera.video.sequence = 65534
    for i in range(5):
        camera.picture(IDR, at=i)
    assert len(camera.units()) == 5
    counted = camera.counted()
    assert counted.lost == counted.late == counted.restarts == 0
    assert counted.first_sequence == 65534
    assert counted.extended_sequence == 65538


def test_timestamp_wraps() -> None:
    start = 2**32 - 90000
    camera = Camera(origins=(start, None))
    for i in range(4):
        camera.picture(IDR, at=start / 90000 + i, now=i)
    assert pts(camera.units()) == [0, 90000, 180000, 270000]


def test_new_ssrc_joins_the_timeline() -> None:
    camera = Camera()
    camera.picture(IDR, at=0)
    camera.picture(P, at=0.04)
    camera.video = RTPSender(payload_type=96, ssrc=0x33333333, sequence=7)
    camera.picture(IDR, at=20000, now=1.04)
    camera.picture(P, at=20000.04, now=1.08)
    units = camera.units()
    assert pts(units) == [0, 3600, 93600, 97200]
    assert units[2].is_sync
    counted = camera.counted()
    assert (counted.restarts, counted.lost, counted.ssrc, counted.first_sequence) == (1, 0, 0x33333333, 7)


def test_new_ssrc_with_everything_else_going_on_loses_nothing() -> None:
    """Some cameras change it with every GOP; the arrival, quantised by the reads, is not needed then."""
    camera = Camera()
    for i in range(6):
        camera.video.ssrc = i // 2
        camera.picture(IDR, at=i * 0.04, now=i // 3)
    units = camera.units()
    assert pts(units) == [3600 * i for i in range(6)]
    assert not any(unit.damaged for unit in units)


def test_silence_of_days_does_not_overflow() -> None:
    camera = Camera(audio=True)
    camera.picture(IDR, at=0)
    camera.video.ssrc += 1
    days = 40 * 86400
    camera.picture(IDR, at=12345, now=days)
    camera.sound(b"a", at=1, now=days)
    assert [(unit.track.kind, unit.pts) for unit in camera.units()] == [
        ("video", 0),
        ("video", days * 90000),
        ("audio", days * 48000),
    ]


# -- the common zero --------------------------------------------------------------------------------------------------


def test_rtp_info_gives_the_common_zero() -> None:
    camera = Camera(audio=True, origins=(900, 4800))
    camera.picture(IDR, at=0.21, now=0)
    camera.sound(b"a", at=0.2, now=0.5)
    assert pts(camera.units()) == [18000, 4800]


def test_wrong_rtp_info_is_not_believed() -> None:
    camera = Camera(audio=True, origins=(0, 0))
    camera.picture(IDR, at=30000, now=0)
    camera.sound(b"a", at=20000, now=0.5)
    assert pts(camera.units()) == [0, 24000]


def test_without_rtp_info_the_arrival_decides() -> None:
    camera = Camera(audio=True, origins=(None, None))
    camera.picture(IDR, at=30000, now=0)
    camera.sound(b"a", at=20000, now=0.25)
    camera.sound(b"b", at=20000.5, now=3)
    assert pts(camera.units()) == [0, 12000, 36000]


def test_recorder_may_begin_some_seconds_after_its_zero() -> None:
    camera = Camera(audio=True)
    camera.picture(IDR, at=8, now=0)
    camera.sound(b"a", at=8.1, now=0.3)
    assert pts(camera.units()) == [8 * 90000, 8.1 * 48000]
