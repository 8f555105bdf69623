"""From access units to fragments: where they are cut, parameter sets, units that are too large."""

from __future__ import annotations

import struct

import pytest
from rtp_camera import (
    IDR,
    LATER_SLICE,
    OTHER_PPS,
    OTHER_SPS,
    PPS,
    SECOND,
    SECOND_PPS,
    SPS,
    T0,
    Camera,
    P,
    avcc,
    packets_of,
    pts,
)

from rtspkit.limits import Limits
from rtspkit.media import SAMPLE_SIZE, Fragment, H264Parameters, Track
from rtspkit.packetizer import (
    RTPSender,
    interleaved_frame,
    packetize_aac,
    packetize_h264,
    rtp_packet,
)
from rtspkit.rtp import (
    Receiver,
    access_units,
)

# -- fragments --------------------------------------------------------------------------------------------------------


def fragment_pts(fragments: list[Fragment]) -> list[list[int]]:
    return [pts(access_units(fragment)) for fragment in fragments]


def test_fragment_is_cut_before_a_sync_sample() -> None:
    camera = Camera(fragment_duration=10)
    for i in range(7):
        camera.picture(IDR if i % 3 == 0 else P, at=i * 0.04)
    fragments = camera.fragments()
    assert fragment_pts(fragments) == [[0, 3600, 7200], [10800, 14400, 18000], [21600]]
    assert [fragment.is_sync for fragment in fragments] == [True] * 3
    assert [fragment.next_pts for fragment in fragments] == [10800, 21600, None]


def test_fragment_is_cut_by_its_duration() -> None:
    camera = Camera(fragment_duration=0.1)
    camera.picture(IDR, at=0)
    for i in range(1, 7):
        camera.picture(P, at=i * 0.04)
    fragments = camera.fragments()
    assert fragment_pts(fragments) == [[0, 3600, 7200], [10800, 14400, 18000], [21600]]
    assert [fragment.is_sync for fragment in fragments] == [True, False, False]
    assert [fragment.next_pts for fragment in fragments] == [10800, 21600, None]


def test_fragment_is_cut_by_its_size() -> None:
    camera = Camera(limits=Limits(fragment_size=10_000))
    camera.picture(IDR, at=0)
    for i in range(1, 5):
        camera.picture(P + b"x" * 4000, at=i * 0.04)
    fragments = camera.fragments()
    assert fragment_pts(fragments) == [[0, 3600, 7200, 10800], [14400]]
    assert fragments[0].next_pts is None


def test_standing_timestamps_do_not_keep_a_fragment_open() -> None:
    camera = Camera(fragment_duration=1)
    for i in range(10):
        camera.picture(P, at=0, now=i / 2)
    fragments = camera.fragments()
    assert [len(run) for run in fragment_pts(fragments)] == [4, 4, 2]
    assert [fragment.next_pts for fragment in fragments] == [None] * 3


def test_audio_does_not_wait_for_video_for_ever() -> None:
    camera = Camera(audio=True, fragment_duration=1)
    for i in range(8):
        camera.sound(b"a", at=i)
    fragments = camera.fragments()
    assert [len(run) for run in fragment_pts(fragments)] == [3, 3, 2]
    assert not any(fragment.is_sync for fragment in fragments)


def test_audio_alone_makes_fragments() -> None:
    receiver = Receiver(fragment_duration=1)
    receiver.add_track(Track(0, "audio", "aac", 48000), payload_type=97, channels=(0, 1), origin=0)
    sender = RTPSender(payload_type=97, ssrc=1)
    for i in range(5):
        for packet in sender.packets(packetize_aac([b"a"]), 24000 * i):
            receiver.feed(interleaved_frame(0, packet), T0 + i * SECOND // 2)
    receiver.finish()
    fragments = receiver.take_fragments()
    assert fragment_pts(fragments) == [[0, 24000], [48000, 72000], [96000]]
    assert all(fragment.is_sync and fragment.next_pts is None for fragment in fragments)


def test_sync_with_audio_before_and_behind() -> None:
    camera = Camera(audio=True, fragment_duration=10)
    camera.sound(b"a", at=0)
    for i in range(4):
        camera.picture(IDR if i % 2 == 0 else P, at=i)
        camera.sound(b"a", at=i + 0.5)
    fragments = camera.fragments()
    assert [[run.track for run in fragment.runs] for fragment in fragments] == [[0, 1], [0, 1]]
    assert [fragment.is_sync for fragment in fragments] == [True, True]
    assert fragment_pts(fragments) == [[0, 0, 24000, 90000, 72000], [180000, 120000, 270000, 168000]]


def test_fragments_cut_while_an_audio_unit_arrives() -> None:
    camera = Camera(audio=True, fragment_duration=10)
    camera.picture(IDR, at=0)
    camera.sound(b"first", at=0)
    pieces = camera.audio.packets(packetize_aac([b"second" * 50], max_size=104), 1024)
    camera.packet(pieces[0], 0.02, channel=2)
    camera.picture(IDR, at=0.04)
    for piece in pieces[1:]:
        camera.packet(piece, 0.05, channel=2)
    fragments = camera.fragments()
    assert [[bytes(run.data) for run in fragment.runs] for fragment in fragments] == [
        [avcc(IDR), b"first"],
        [avcc(IDR), b"second" * 50],
    ]


def test_audio_unit_cut_short_by_loss_spoils_nothing() -> None:
    camera = Camera(audio=True, fragment_duration=10)
    camera.sound(b"first", at=0)
    pieces = camera.audio.packets(packetize_aac([b"second" * 50], max_size=104), 1024)
    camera.packet(pieces[0], 0.02, channel=2)
    camera.audio.sequence += 1
    camera.sound(b"third", b"fourth", at=0.04)
    camera.receiver.flush()
    camera.sound(b"fifth", at=0.1)
    units = camera.units()
    assert [unit.data for unit in units] == [b"first", b"third", b"fourth", b"fifth"]
    assert [unit.damaged for unit in units] == [False, True, False, False]


def test_next_audio_unit_of_a_broken_one_is_taken_whole() -> None:
    camera = Camera(audio=True)
    pieces = camera.audio.packets(packetize_aac([b"x" * 300], max_size=104), 0)
    camera.packet(pieces[0], 0, channel=2)
    camera.audio.sequence -= len(pieces) - 1
    camera.sound(b"one", b"two", at=1)
    units = camera.units()
    assert [unit.data for unit in units] == [b"one", b"two"]
    assert units[0].damaged


def test_fragment_media_outlive_the_receiver_and_cannot_be_written() -> None:
    camera = Camera()
    camera.picture(IDR, at=0)
    (fragment,) = camera.fragments()
    del camera
    (run,) = fragment.runs
    view = memoryview(run.data)
    assert view.readonly
    assert len(run.data) == len(view) == len(avcc(IDR))  # type: ignore[arg-type]
    assert bytes(view) == avcc(IDR)
    assert len(bytes(run.samples)) == SAMPLE_SIZE
    assert struct.unpack("=qqII", run.samples) == (0, T0, len(avcc(IDR)), 1)


@pytest.mark.parametrize("holder", ["fragment", "run", "media", "view", "nobody"])
def test_memory_is_used_again_only_where_nobody_refers_to_it(holder: str) -> None:
    camera = Camera(fragment_duration=0.0)
    kept: list[object] = []
    copies = []
    for number in range(12):
        camera.picture(P + bytes([number + 1]) * 9000, at=0.04 * number)
        for fragment in camera.fragments(end=False):
            run = fragment.runs[0]
            copies.append(bytes(run.data))
            kept += {
                "fragment": [fragment],
                "run": [run],
                "media": [run.data],
                "view": [memoryview(run.data)[8:]],
                "nobody": [],
            }[holder]
        fragment = run = None
    assert len(copies) == 11
    assert [copy[-1] for copy in copies] == list(range(1, 12))
    for one, copy in zip(kept, copies, strict=False):
        run = one.runs[0] if isinstance(one, Fragment) else one
        assert bytes(getattr(run, "data", run)) in {copy, copy[8:]}


def test_flush_keeps_the_unit_that_arrives() -> None:
    camera = Camera()
    camera.picture(IDR, at=0)
    packets = packets_of(camera, P, at=0.04)
    for packet in packets[:-1]:
        camera.packet(packet, 0.04)
    camera.receiver.flush()
    assert fragment_pts(camera.fragments(end=False)) == [[0]]
    camera.receiver.flush()
    assert camera.fragments(end=False) == []
    camera.packet(packets[-1], 0.05)
    assert [unit.data for unit in camera.units()] == [avcc(P)]


SECOND_SPS, PPS_OF_SECOND_SPS = b"\x67\x42\xc0\x1f\x40", b"\x68\x48"  # both with id 1
OF_SECOND_SPS = b"\x65\x88\x48"  # macroblock 0, an I slice, PPS 1


# -- parameter sets ---------------------------------------------------------------------------------------------------


def test_parameter_sets_in_band() -> None:
    camera = Camera()
    camera.picture(SPS, PPS, IDR, at=0)
    (fragment,) = camera.fragments()
    assert fragment.tracks[0].parameters == H264Parameters(SPS, (PPS,))
    assert [unit.data for unit in access_units(fragment)] == [avcc(IDR)]


def test_changed_parameter_set_begins_a_fragment() -> None:
    camera = Camera(fragment_duration=10)
    camera.picture(SPS, PPS, IDR, at=0)
    camera.picture(P, at=0.04)
    camera.picture(OTHER_SPS, PPS, IDR, at=0.08)
    camera.picture(OTHER_SPS, OTHER_PPS, b"\x41\x9a", at=0.12)
    fragments = camera.fragments()
    assert fragment_pts(fragments) == [[0, 3600], [7200], [10800]]
    assert [fragment.tracks[0].parameters for fragment in fragments] == [
        H264Parameters(SPS, (PPS,)),
        H264Parameters(OTHER_SPS, (PPS,)),
        H264Parameters(OTHER_SPS, (OTHER_PPS,)),
    ]
    assert [fragment.next_pts for fragment in fragments] == [7200, 10800, None]


def test_picture_parameter_sets_of_another_sps_are_left_out() -> None:
    """The stream goes on with an SPS of id 1; what was sent with id 0 before is not in force any more."""
    camera = Camera(fragment_duration=10)
    camera.picture(SPS, PPS, IDR, at=0)
    camera.picture(SECOND_SPS, PPS_OF_SECOND_SPS, OF_SECOND_SPS, at=1)
    assert [fragment.tracks[0].parameters for fragment in camera.fragments()] == [
        H264Parameters(SPS, (PPS,)),
        H264Parameters(SECOND_SPS, (PPS_OF_SECOND_SPS,)),
    ]


def test_the_sps_of_the_picture_is_in_force() -> None:
    """Two with each IDR picture; which one it is of, its slices say."""
    camera = Camera(fragment_duration=10)
    of_unknown = b"\x65\x88\x68"  # macroblock 0, an I slice, PPS 2
    for i, picture in enumerate([OF_SECOND_SPS, IDR, IDR, OF_SECOND_SPS, of_unknown, b"\x65\x04\x21", IDR]):
        camera.picture(SPS, PPS, SECOND_SPS, PPS_OF_SECOND_SPS, picture, at=i)
    first, second = H264Parameters(SPS, (PPS,)), H264Parameters(SECOND_SPS, (PPS_OF_SECOND_SPS,))
    fragments = camera.fragments()
    assert [fragment.tracks[0].parameters for fragment in fragments] == [second, first, first, *[second] * 3, first]
    assert fragments[1].tracks is fragments[2].tracks


def test_repeated_parameter_sets_change_nothing() -> None:
    camera = Camera(fragment_duration=10)
    for i in range(3):
        camera.picture(SPS, PPS, SECOND_PPS, IDR, at=i)
    fragments = camera.fragments()
    assert len(fragments) == 3
    assert fragments[0].tracks is fragments[1].tracks is fragments[2].tracks
    assert fragments[0].tracks[0].parameters == H264Parameters(SPS, (PPS, SECOND_PPS))


def test_a_parameter_set_that_changes_and_changes_back_is_no_change() -> None:
    camera = Camera(fragment_duration=10)
    camera.picture(SPS, PPS, IDR, at=0)
    camera.picture(OTHER_SPS, SPS, IDR, at=1)
    first, second = camera.fragments()
    assert first.tracks is second.tracks


def test_parameter_sets_in_front_with_the_timestamp_before() -> None:
    """Reolink: SPS and PPS carry the timestamp of the picture before them."""
    camera = Camera(fragment_duration=10)
    camera.picture(SPS, PPS, IDR, at=0)
    camera.picture(P, at=0.04)
    camera.picture(OTHER_SPS, at=0.04)
    camera.picture(PPS, at=0.04)
    camera.picture(IDR, at=0.08)
    fragments = camera.fragments()
    assert fragment_pts(fragments) == [[0, 3600], [7200]]
    assert fragments[0].next_pts is None  # 3600 would be a lie


def test_announced_rubbish_gives_way_to_what_is_sent() -> None:
    receiver = Receiver()
    rubbish = H264Parameters(b"\xe9\x00\xf0", (b"\0\0\0\0", b"", b"\x68"))
    receiver.add_track(Track(0, "video", "h264", 90000, rubbish), payload_type=96, channels=(0, 1))
    for packet in RTPSender(payload_type=96, ssrc=1).packets(packetize_h264([SPS, PPS, IDR]), 0):
        receiver.feed(interleaved_frame(0, packet), T0)
    receiver.finish()
    (fragment,) = receiver.take_fragments()
    assert fragment.tracks[0].parameters == H264Parameters(SPS, (PPS,))


@pytest.mark.parametrize(
    "broken", [b"\x67", b"\x67\x42\xc0", b"\x67\x42\xc0\x1f\x04\x20", b"\x68", b"\x68\x00\x00", b"\x67" + b"x" * 2000]
)
def test_broken_parameter_sets_are_counted(broken: bytes) -> None:
    camera = Camera()
    camera.picture(SPS, PPS, IDR, at=0)
    camera.picture(broken, IDR, at=1, max_size=60000)
    fragments = camera.fragments()
    assert {fragment.tracks[0].parameters for fragment in fragments} == {H264Parameters(SPS, (PPS,))}
    assert camera.counted().broken == 1


# -- units that are too large -----------------------------------------------------------------------------------------


def test_unit_over_its_size_is_dropped_and_the_next_one_comes() -> None:
    camera = Camera(limits=Limits(access_unit_size=1000))
    camera.picture(IDR, at=0)
    camera.picture(P + b"x" * 5000, LATER_SLICE, at=0.04, max_size=300)
    camera.picture(P + b"x" * 5000, LATER_SLICE, at=0.08, max_size=6000)
    camera.picture(P, at=0.12)
    units = camera.units()
    assert [unit.data for unit in units] == [avcc(IDR), avcc(P)]
    assert [unit.damaged for unit in units] == [False, True]
    assert camera.counted().broken == 2


def test_given_up_unit_does_not_go_on_in_the_one_before() -> None:
    camera = Camera(limits=Limits(nal_unit_count=2))
    camera.picture(IDR, at=0)
    camera.picture(P, LATER_SLICE, LATER_SLICE, at=0.04)
    camera.picture(LATER_SLICE, at=0.04)
    camera.picture(P, at=0.08)
    data = [unit.data for unit in camera.units()]
    assert data[0] == avcc(IDR)
    assert data[-1] == avcc(P)


@pytest.mark.parametrize("flags", [0x80, 0xC0])
def test_fragment_that_begins_over_the_limit(flags: int) -> None:
    """It is given up before anything of it lies anywhere."""
    camera = Camera(limits=Limits(access_unit_size=100))
    for i, size in enumerate((50, 200, 200, 10)):
        camera.packet(
            rtp_packet(
                bytes([0x7C, flags | 1]) + b"\x88" * size, payload_type=96, sequence=i, timestamp=i, ssrc=1, marker=True
            ),
            i,
        )
    assert camera.receiver.error is None
    assert camera.counted().broken == 2
    assert [len(unit.data) for unit in camera.units()] == ([55, 15] if flags == 0xC0 else [])


# -- low latency ------------------------------------------------------------------------------------------------------


def test_low_latency_does_not_wait_for_the_next_unit() -> None:
    camera = Camera(fragment_duration=0.2, low_latency=True)
    taken = []
    for i in range(11):
        camera.picture(P if i else IDR, at=i * 0.04)
        taken.append(len(camera.fragments(end=False)))
    assert taken == [0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0]


def test_low_latency_cuts_where_it_is_told() -> None:
    camera = Camera(fragment_duration=0.2, low_latency=True)
    taken = []
    for i in range(8):
        if i == 2:
            camera.receiver.cut_at(4 * 3600 - 500)  # the fifth unit is due after it
        camera.picture(P if i else IDR, at=i * 0.04)
        taken += fragment_pts(camera.fragments(end=False))
    assert taken == [[0, 3600, 7200, 10800]]


def test_low_latency_takes_a_new_rate_at_once() -> None:
    camera = Camera(fragment_duration=0.2, low_latency=True)
    for i in range(5):
        camera.picture(P if i else IDR, at=i * 0.04)
    for i in range(4):
        camera.picture(P, at=0.2 + i * 0.1)
    assert [len(run) for run in fragment_pts(camera.fragments(end=False))] == [5, 2, 2]


def test_low_latency_with_markers_that_lie() -> None:
    """A marker on every slice: what follows may belong to the picture, so its end shows with the next one only."""
    camera = Camera(fragment_duration=0.08, low_latency=True)
    for i in range(6):
        for nal in (P if i else IDR, LATER_SLICE):
            camera.picture(nal, at=i * 0.04)
    fragments = camera.fragments()
    # with the third it shows that they come in order
    assert fragment_pts(fragments) == [[0, 3600, 7200], [10800, 14400], [18000]]
    assert all(unit.data == avcc(P, LATER_SLICE) for unit in access_units(fragments[1]))


@pytest.mark.parametrize(
    "order",
    [
        [0, 3, 1, 2, 6, 4, 5, 9, 7, 8, 12, 10, 11, 15, 13, 14, 18, 16, 17],
        [0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13],
        [0, 4, 2, 1, 3, 8, 6, 5, 7, 12, 10, 9, 11, 16, 14, 13, 15, 20, 18, 17, 19],  # B-pictures in a pyramid
        [0, 4, 2, 1, 3, 6, 5, 7, 9, 8, 10, 11, 15, 13, 14, 12, 16],  # as many as pay
    ],
)
def test_low_latency_with_reordered_pictures(order: list[int]) -> None:
    """A fragment ends with the unit that fills it, which is counted: its pts says little."""
    camera = Camera(fragment_duration=0.2, low_latency=True)
    taken = []
    order = [0, 2, 1, 4, 3, *(5 + shown for shown in order)]
    for i, shown in enumerate(order):
        if i % 5 == 1:
            camera.receiver.cut_at((i + 4) * 3600 - 1000)
        camera.picture(P if i else IDR, at=shown * 0.04, now=i * 0.04)
        taken.append(sum(map(len, fragment_pts(camera.fragments(end=False)))))
    assert taken == [5 if i % 5 == 4 else 0 for i in range(len(order))]


def test_low_latency_of_audio_alone() -> None:
    receiver = Receiver(fragment_duration=0.2, low_latency=True)
    receiver.add_track(Track(0, "audio", "aac", 48000), payload_type=97, channels=(0, 1), origin=0)
    sender = RTPSender(payload_type=97, ssrc=1)
    for i in range(20):
        for packet in sender.packets(packetize_aac([b"a"]), 1024 * i):
            receiver.feed(interleaved_frame(0, packet), T0 + i * SECOND // 47)
    assert [len(run) for run in fragment_pts(receiver.take_fragments())] == [9, 9]  # 192 ms are nearest to 200


def test_latency_may_change_in_the_midst() -> None:
    """What has come so far stays for the next fragment."""
    camera = Camera(fragment_duration=0.2, low_latency=True)
    taken = []
    for i in range(60):
        if i == 22:
            camera.receiver.set_latency(1.0, False)
        elif i == 52:
            camera.receiver.set_latency(0.2, True)
        camera.picture(P if i else IDR, at=i * 0.04)
        taken += [(i, len(times)) for times in fragment_pts(camera.fragments(end=False))]
    assert taken == [(4, 5), (9, 5), (14, 5), (19, 5), (45, 25), (52, 7), (56, 5)]


def test_a_cut_counts_for_one_fragment_and_with_low_latency_only() -> None:
    camera = Camera(fragment_duration=10)
    camera.receiver.cut_at(3600)
    for i in range(4):
        camera.picture(P if i else IDR, at=i * 0.04)
    assert not camera.fragments(end=False)
