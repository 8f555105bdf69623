"""H.265 over RTP: payloads, pictures, parameter sets, and which leading pictures come out."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from rtp_camera import T0, nal_units
from test_h264 import BitWriter
from test_h265 import OTHER_PPS, PPS, SPS, SPS_ODD, VPS, nal

from rtspkit.media import AccessUnit, H265Parameters, Track
from rtspkit.packetizer import RTPSender, interleaved_frame, packetize_h265, rtp_packet
from rtspkit.rtp import Receiver, TrackStats, access_units, track_stats

TRACK = Track(0, "video", "h265", 90000, H265Parameters(VPS, SPS, (PPS,)))
SECOND_PPS = nal(BitWriter().ue(1, 0).u(8, 0), 34)
AUD, SEI, SUFFIX_SEI = b"\x46\x01\x50", b"\x4e\x01\x05\x80", b"\x50\x01\x84\x80"
END_OF_SEQUENCE = b"\x48\x01"


def slice_(kind: int, text: bytes = b"slice", *, first: bool = True) -> bytes:
    return bytes((kind << 1, 1, 0xA0 if first else 0x20)) + text


IDR, CRA, BLA, TRAIL, RADL, RASL = (slice_(kind) for kind in (19, 21, 16, 1, 6, 9))
LATER = slice_(1, first=False)


class Camera:
    """Sends H.265 to a receiver."""

    def __init__(self, parameters: H265Parameters | None = TRACK.parameters) -> None:  # type: ignore[assignment]
        self.receiver = Receiver(fragment_duration=3600)
        self.receiver.add_track(replace(TRACK, parameters=parameters), payload_type=96, channels=(0, 1), origin=0)
        self.sender = RTPSender(payload_type=96, ssrc=1, sequence=65000)

    def picture(self, *nals: bytes, at: int, max_size: int = 1400, aggregate: bool = False, lost: bool = False) -> None:
        """One unit, of the `at`-th 25th of a second."""
        payloads = packetize_h265(nals, max_size=max_size, aggregate=aggregate)
        for packet in self.sender.packets(payloads, 3600 * at):
            if not lost:
                self.receiver.feed(interleaved_frame(0, packet), T0 + at * 40_000_000)

    def payload(self, data: bytes, *, at: int = 0, marker: bool = False) -> None:
        packet = rtp_packet(
            data, payload_type=96, sequence=self.sender.sequence, timestamp=3600 * at, ssrc=1, marker=marker
        )
        self.sender.sequence += 1
        self.receiver.feed(interleaved_frame(0, packet), T0 + at * 40_000_000)

    def units(self) -> list[AccessUnit]:
        self.receiver.finish()
        assert self.receiver.error is None
        return [unit for fragment in self.receiver.take_fragments() for unit in access_units(fragment)]

    def counted(self) -> TrackStats:
        return track_stats(self.receiver, 0)


@pytest.mark.parametrize("max_size", [4, 5, 12, 1400])
@pytest.mark.parametrize("aggregate", [False, True])
def test_pictures_come_out_as_they_went_in(max_size: int, aggregate: bool) -> None:
    camera = Camera()
    pictures = [
        [AUD, VPS, SPS, PPS, SEI, IDR, slice_(19, b"second", first=False)],
        [TRAIL, LATER, SUFFIX_SEI],
        [SEI, CRA, b"\x4c\x01filler\x80"],
    ]
    for at, nals in enumerate(pictures):
        camera.picture(*nals, at=at, max_size=max_size, aggregate=aggregate)
    units = camera.units()
    assert [nal_units(unit.data) for unit in units] == [pictures[0][4:], pictures[1], pictures[2][:2]]
    assert [unit.is_sync for unit in units] == [True, False, True]
    assert [unit.pts for unit in units] == [0, 3600, 7200]
    assert not any(unit.damaged for unit in units)
    assert camera.receiver.quirks(0) == ()
    counted = camera.counted()
    assert (counted.broken, counted.discarded, counted.lost, counted.parameter_changes) == (0, 0, 0, 0)


@pytest.mark.parametrize(
    ("kind", "is_sync"),
    [(0, False), (1, False), (16, True), (18, True), (19, True), (20, True), (21, True), (22, False)],
)
def test_decoding_can_start_at_irap_pictures(kind: int, is_sync: bool) -> None:
    camera = Camera()
    camera.picture(slice_(kind), at=0)
    assert [unit.is_sync for unit in camera.units()] == [is_sync]


# -- leading pictures -------------------------------------------------------------------------------------------------


def came(*pictures: bytes, lost: tuple[int, ...] = ()) -> list[int]:
    """Which of the pictures come out: their types."""
    camera = Camera()
    for at, picture in enumerate(pictures):
        camera.picture(picture, at=at, lost=at in lost)
    units = camera.units()
    assert camera.counted().broken == 0
    return [nal_units(unit.data)[0][0] >> 1 for unit in units]


def test_where_a_stream_begins_nothing_that_refers_to_what_was_before_comes_out() -> None:
    """Dahua and Hikvision with H.265+ begin in the midst of an open group of pictures, at a CRA picture."""
    assert came(CRA, RASL, RASL, TRAIL, CRA, RASL, TRAIL) == [21, 1, 21, 9, 1]
    assert came(TRAIL, CRA, RASL, TRAIL) == [1, 21, 1]
    assert came(IDR, RADL, TRAIL, CRA, RASL, TRAIL) == [19, 6, 1, 21, 9, 1]


def test_leading_pictures_that_refer_to_nothing_before_stay() -> None:
    assert came(CRA, RADL, TRAIL) == [21, 6, 1]


def test_a_broken_link_has_no_leading_pictures() -> None:
    assert came(IDR, TRAIL, BLA, RASL, RADL, TRAIL, CRA, RASL) == [19, 1, 16, 6, 1, 21, 9]


def test_after_loss_what_refers_to_the_group_before_is_left_out() -> None:
    assert came(IDR, TRAIL, TRAIL, CRA, RASL, TRAIL, CRA, RASL, lost=(2,)) == [19, 1, 21, 1, 21, 9]
    assert came(IDR, TRAIL, CRA, RASL, TRAIL, CRA, RASL, lost=(4,)) == [19, 1, 21, 9, 21]


def test_an_end_of_sequence_ends_what_can_be_referred_to() -> None:
    camera = Camera()
    camera.picture(IDR, END_OF_SEQUENCE, at=0)
    camera.picture(CRA, at=1)
    camera.picture(RASL, at=2)
    camera.picture(TRAIL, at=3)
    units = camera.units()
    assert [nal_units(unit.data) for unit in units] == [[IDR], [CRA], [TRAIL]]
    assert not any(unit.damaged for unit in units)


# -- markers ----------------------------------------------------------------------------------------------------------


def test_a_picture_goes_on_after_a_marker_that_lied() -> None:
    camera = Camera()
    for data in (
        IDR,
        slice_(19, b"b", first=False),
        b"\x60\x01" + len(LATER).to_bytes(2, "big") + LATER,  # AP
        b"\x62\x01\x81\x20part",  # FU of a later slice
        b"\x62\x01\x41two",
    ):
        camera.payload(data, marker=data[:3] != b"\x62\x01\x81")
    camera.payload(TRAIL, at=1, marker=True)
    units = camera.units()
    assert [nal_units(unit.data) for unit in units] == [
        [IDR, slice_(19, b"b", first=False), LATER, b"\x02\x01\x20parttwo"],
        [TRAIL],
    ]
    assert units[0].is_sync
    assert camera.receiver.quirks(0) == ("marker-within-picture",)


def test_sei_that_stands_behind_slices_belongs_to_them() -> None:
    """Whether the slice before it had the marker or not; in a packet of its own, an AP or an FU."""
    for behind in (
        [SUFFIX_SEI],
        [b"\x60\x01" + len(SUFFIX_SEI).to_bytes(2, "big") + SUFFIX_SEI],
        [b"\x62\x01\xa8\x84", b"\x62\x01\x68\x80"],
    ):
        for mark in (True, False):
            camera = Camera()
            camera.payload(IDR, marker=mark)
            for number, data in enumerate(behind):
                camera.payload(data, marker=number == len(behind) - 1)
            camera.payload(TRAIL, at=1, marker=True)
            assert [nal_units(unit.data) for unit in camera.units()] == [[IDR, SUFFIX_SEI], [TRAIL]]


def test_two_pictures_of_one_timestamp_are_two() -> None:
    camera = Camera()
    camera.payload(IDR, marker=True)
    camera.payload(TRAIL, marker=True)
    assert [nal_units(unit.data) for unit in camera.units()] == [[IDR], [TRAIL]]


def test_without_markers_the_timestamp_ends_a_picture() -> None:
    camera = Camera()
    for at in range(12):
        camera.payload(IDR if at == 0 else TRAIL, at=at)
    assert len(camera.units()) == 12
    assert camera.receiver.quirks(0) == ("marker-never-set",)


def test_a_marker_on_sei_ends_nothing() -> None:
    camera = Camera()
    camera.payload(SEI, marker=True)
    camera.payload(IDR, marker=True)
    assert [nal_units(unit.data) for unit in camera.units()] == [[SEI, IDR]]
    assert camera.receiver.quirks(0) == ("marker-on-sei",)


# -- what senders get wrong -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("payloads", "quirk"),
    [
        ([b"\x62\x01\xd3" + IDR[2:]], "fu-start-and-end"),
        ([b"\x62\x01\x93\xa0", b"\x62\x01\x41slice"], "nal-type-changes-in-fu"),
        ([b"\x62\x01\x93\xa0", b"\x62\x01\x13", b"\x62\x01\x53slice"], "empty-fragment"),
        ([b"\x60\x01\0\x08" + IDR + bytes(6)], "stap-padding"),
        ([b"\0\0\0\1" + b"\0\0\1".join((VPS, SPS, PPS, IDR))], "annexb-in-rtp"),
        ([b"\0\0\0\1".join((VPS, SPS, PPS, IDR))], "annexb-in-rtp"),
        # Amatek: all of it in fragments that call themselves a VPS, or nothing at all, cut within a start code
        (
            [b"\x62\x01\xa0" + VPS[2:] + b"\0\0", b"\x62\x01\x60\0\1" + SPS + b"\0\0\1" + PPS + b"\0\0\1" + IDR],
            "annexb-in-rtp",
        ),
        ([b"\x62\0\x80\0\1" + VPS, b"\x62\0\x40\0\0\0\1" + SPS + b"\0\0\1" + IDR], "annexb-in-rtp"),
    ],
)  # fmt: skip
def test_habits(payloads: list[bytes], quirk: str) -> None:
    camera = Camera()
    for number, data in enumerate(payloads):
        camera.payload(data, marker=number == len(payloads) - 1)
    (unit,) = camera.units()
    assert nal_units(unit.data) == [IDR]
    assert unit.is_sync
    assert not unit.damaged
    assert camera.receiver.quirks(0) == (quirk,)
    assert camera.counted().broken == 0


def fragments_of(data: bytes, *ends: int) -> list[bytes]:
    """FUs of a NAL unit, or of what is sent as one, cut behind so many bytes each."""
    bounds = [2, *sorted(ends), len(data)]
    header, kind = bytes((data[0] & 0x81 | 49 << 1, data[1])), data[0] >> 1 & 0x3F
    return [
        header + bytes(((0x80 * (i == 0)) | (0x40 * (i == len(bounds) - 2)) | kind,)) + data[a:b]
        for i, (a, b) in enumerate(pairwise(bounds))
    ]


#: What Amatek and V380 send as one NAL unit.
ANNEX_B = VPS + b"\0\0\0\1" + SPS + b"\0\0\1" + PPS + b"\0\0\1" + IDR


@pytest.mark.parametrize("start_code", [b"", b"\0\0\0\1", b"\0\0\1"])
@pytest.mark.parametrize("first", range(3, len(ANNEX_B)))
def test_annex_b_in_fragments_cut_at_every_byte(first: int, start_code: bytes) -> None:
    """A start code may be cut in two, or in three."""
    stream = start_code + ANNEX_B
    for second in (None, first + 1, first + 2):
        camera = Camera(None)
        pieces = fragments_of(stream, *(end for end in (first, second) if end is not None and end < len(stream)))
        for data in pieces:
            camera.payload(data, marker=data is pieces[-1])
        (unit,) = camera.units()
        assert nal_units(unit.data) == [IDR]
        assert (unit.is_sync, unit.damaged) == (True, False)
        assert unit.track.parameters == H265Parameters(VPS, SPS, (PPS,))


@pytest.mark.parametrize("place", [0, 1, 2])
def test_empty_fragments(place: int) -> None:
    """At the start, in the midst, as the end."""
    pieces = fragments_of(IDR, 3, 5)
    empty = pieces[0][:2] + bytes((pieces[place][2],))
    middle = bytes((19,))
    if place == 1:
        pieces.insert(1, empty)
    else:
        pieces[place] = pieces[place][:2] + middle + pieces[place][3:]
        pieces.insert(0 if place == 0 else 3, empty)
    camera = Camera()
    for data in pieces:
        camera.payload(data, marker=data is pieces[-1])
    (unit,) = camera.units()
    assert nal_units(unit.data) == [IDR]
    assert (unit.is_sync, unit.damaged, camera.counted().broken) == (True, False, 0)


@pytest.mark.parametrize("count", range(5))
def test_zeros_behind_an_aggregation(count: int) -> None:
    camera = Camera()
    camera.payload(b"\x60\x01" + len(IDR).to_bytes(2, "big") + IDR + bytes(count), marker=True)
    (unit,) = camera.units()
    assert (nal_units(unit.data), unit.is_sync, unit.damaged) == ([IDR], True, False)
    assert camera.counted().broken == 0


@pytest.mark.parametrize(
    ("data", "broken", "discarded"),
    [
        (b"\x02", 1, 0),  # half a header
        (b"\x62\x01", 1, 0),  # no FU header
        (b"\x62\x01\x13more", 1, 0),  # the middle of nothing
        (b"\x60\x01\0\x09abc", 1, 0),  # an AP that ends within its unit
        (b"\x60\x01\0\x01a", 1, 0),  # a NAL unit of a byte
        (b"\x46\0\x50", 1, 0),  # a temporal id below 0
        (b"\x44\x01\x00", 1, 0),  # a PPS without its number
        (b"\x42\x01\x01", 1, 0),  # an SPS without its level
        (b"\x40\x01", 1, 0),
        (b"\x64\x01junk", 0, 1),  # PACI
        (b"\x7e\x01junk", 0, 1),  # nobody's type
        (b"", 0, 0),
    ],
)
def test_what_cannot_be_is_counted(data: bytes, broken: int, discarded: int) -> None:
    camera = Camera()
    camera.picture(IDR, at=0)
    camera.payload(data, at=1)
    camera.picture(TRAIL, at=2)
    assert [nal_units(unit.data) for unit in camera.units()] == [[IDR], [TRAIL]]
    counted = camera.counted()
    assert (counted.broken, counted.discarded) == (broken, discarded)


def test_types_of_packets_are_no_nal_units() -> None:
    camera = Camera()
    inner = b"\x62\x01\x93junk"
    camera.payload(b"\x60\x01" + b"".join(len(one).to_bytes(2, "big") + one for one in (inner, IDR)), marker=True)
    assert [nal_units(unit.data) for unit in camera.units()] == [[IDR]]


def test_loss_within_a_picture() -> None:
    camera = Camera()
    camera.picture(IDR, at=0)
    packets = camera.sender.packets(packetize_h265([slice_(20, b"long" * 9)], max_size=12), 3600)
    for packet in packets[:1] + packets[2:]:
        camera.receiver.feed(interleaved_frame(0, packet), T0)
    camera.picture(TRAIL, at=2)
    camera.picture(TRAIL, at=3)
    units = camera.units()
    assert [nal_units(unit.data) for unit in units] == [[IDR], [TRAIL], [TRAIL]]
    assert [unit.damaged for unit in units] == [False, True, False]
    assert camera.counted().lost == 1


# -- parameter sets ---------------------------------------------------------------------------------------------------


def test_parameter_sets_only_in_band() -> None:
    camera = Camera(None)
    camera.picture(TRAIL, at=0)
    camera.picture(VPS, SPS, PPS, SECOND_PPS, IDR, at=1)
    units = camera.units()
    assert [unit.track.parameters for unit in units] == [None, H265Parameters(VPS, SPS, (PPS, SECOND_PPS))]
    assert camera.receiver.quirks(0) == ("parameter-sets-only-in-band",)


@pytest.mark.parametrize(
    ("changed", "parameters"),
    [
        ((VPS[:-1] + b"\x91", SPS, PPS), H265Parameters(VPS[:-1] + b"\x91", SPS, (PPS,))),
        ((SPS_ODD,), H265Parameters(VPS, SPS_ODD, (PPS,))),
        ((OTHER_PPS,), H265Parameters(VPS, SPS, (OTHER_PPS,))),
    ],
)
def test_changed_parameter_sets(changed: tuple[bytes, ...], parameters: H265Parameters) -> None:
    camera = Camera()
    camera.picture(VPS, SPS, PPS, IDR, at=0)
    camera.picture(*changed, IDR, at=1)
    units = camera.units()
    assert [unit.track.parameters for unit in units] == [TRACK.parameters, parameters]
    assert camera.counted().parameter_changes == 1


def test_picture_parameter_sets_of_another_sps_are_left_out() -> None:
    camera = Camera()
    layers = BitWriter().u(4, 0).u(3, 2).u(1, 1).u(88, 1).u(8, 93)  # three, the first with all of its own
    layers.u(2, 3).u(2, 1).u(12, 0).u(88, 1).u(8, 90).u(8, 93)
    other, third = nal(layers.ue(5).u(8, 7), 33), nal(BitWriter().ue(2, 5).u(8, 1), 34)
    camera.picture(SECOND_PPS, IDR, at=0)
    camera.picture(VPS, other, third, b"\x26\x01\x98\x80", at=1)  # of PPS 2
    units = camera.units()
    assert [unit.track.parameters for unit in units] == [
        H265Parameters(VPS, SPS, (PPS, SECOND_PPS)),
        H265Parameters(VPS, other, (third,)),
    ]


def test_the_sps_of_the_picture_is_in_force() -> None:
    camera = Camera()
    other, its_own = nal(BitWriter().u(8, 1).u(96, 1).ue(3).u(8, 1), 33), nal(BitWriter().ue(2, 3).u(8, 1), 34)
    of_other = b"\x26\x01\x98\x80"  # the first segment, PPS 2
    for i, picture in enumerate([b"\x26\x01\xa0\x80", of_other, of_other, IDR]):
        camera.picture(VPS, SPS, PPS, other, its_own, picture, at=i)
    second = H265Parameters(VPS, other, (its_own,))
    units = camera.units()
    assert [unit.track.parameters for unit in units] == [TRACK.parameters, second, second, TRACK.parameters]
    assert camera.counted().parameter_changes == 2


def test_parameter_sets_of_other_layers_are_left_out() -> None:
    camera = Camera()
    layer_1, layer_32 = SPS_ODD[:1] + b"\x09" + SPS_ODD[2:], b"\x45" + OTHER_PPS[1:]
    camera.picture(VPS, SPS, PPS, layer_1, layer_32, IDR, at=0)
    units = camera.units()
    assert [nal_units(unit.data) for unit in units] == [[IDR]]
    assert {unit.track.parameters for unit in units} == {TRACK.parameters}
    assert (camera.counted().broken, camera.counted().parameter_changes) == (0, 0)


@pytest.mark.parametrize(
    "broken", [SPS[:15], nal(BitWriter().u(8, 1).u(96, 1).ue(16), 33), b"\x42\1\x0f" + SPS_ODD[3:]]
)
def test_an_sps_without_an_id_is_broken(broken: bytes) -> None:
    camera = Camera()
    camera.picture(broken, IDR, at=0)
    (unit,) = camera.units()
    assert unit.track.parameters == TRACK.parameters
    assert camera.counted().broken == 1


def test_sets_in_the_description_that_are_none() -> None:
    camera = Camera(H265Parameters(PPS, b"", (b"\x44", PPS)))
    camera.picture(VPS, SPS, IDR, at=0)
    (unit,) = camera.units()
    assert unit.track.parameters == TRACK.parameters
