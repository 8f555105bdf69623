"""What cameras get wrong in RTP and is put up with: each habit is noted by its id, and a good camera has none.

That the media are right all the same is shown in `test_rtp_units.py` and `test_corpus_rtp.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from rtp_camera import IDR, LATER_SLICE, OTHER_PPS, OTHER_SPS, PPS, SECOND_PPS, SPS, T0, VIDEO, Camera, P

from rtspkit._rtp import QUIRKS
from rtspkit.media import H264Parameters
from rtspkit.packetizer import bye, ntp_timestamp, rtp_packet, sender_report
from rtspkit.quirks import SENTENCES
from rtspkit.rtp import Receiver

SEI = b"\x06\x05\x04junk\x80"


class Habitual(Camera):
    """Sends single payloads as they are."""

    def payload(self, data: bytes, *, at: float, marker: bool = False, payload_type: int = 96) -> None:
        packet = rtp_packet(
            data,
            payload_type=payload_type,
            sequence=self.video.sequence,
            timestamp=round(at * 90000),
            ssrc=self.video.ssrc,
            marker=marker,
        )
        self.video.sequence = (self.video.sequence + 1) % 65536
        self.packet(packet, at)

    def report(self, ssrc: int) -> None:
        data = sender_report(ssrc=ssrc, ntp=ntp_timestamp(1.7e9), timestamp=0, packet_count=0, octet_count=0)
        self.packet(data, 0.0, channel=1)


def flir_m400(camera: Habitual) -> None:
    for i in range(12):
        camera.picture(IDR if i == 0 else P, at=i / 25, mark=False)


def ivel(camera: Habitual) -> None:
    camera.payload(SEI, at=0, marker=True)
    camera.payload(IDR, at=0, marker=True)


def marker_on_each_slice(camera: Habitual) -> None:
    camera.payload(IDR, at=0, marker=True)
    camera.payload(LATER_SLICE, at=0, marker=True)


def costar_hd(camera: Habitual) -> None:
    camera.payload(b"\x7c\xc5" + IDR[1:], at=0, marker=True)


def tiandy(camera: Habitual) -> None:
    camera.payload(b"\x7c\x85" + IDR[1:], at=0)
    camera.payload(b"\x7c\x41more", at=0, marker=True)


def empty_fragments(camera: Habitual) -> None:
    camera.payload(b"\x7c\x85" + IDR[1:], at=0)
    camera.payload(b"\x7c\x05", at=0)
    camera.payload(b"\x7c\x45more", at=0, marker=True)


def v380(camera: Habitual) -> None:
    camera.payload(b"\0\0\0\1".join((b"", SPS, PPS, IDR)), at=0, marker=True)


def stap_a_filled_up(camera: Habitual) -> None:
    camera.payload(b"\x78" + len(IDR).to_bytes(2, "big") + IDR + bytes(4), at=0, marker=True)


def geovision(camera: Habitual) -> None:
    camera.picture(IDR, at=0)
    camera.payload(b"junk", at=0, payload_type=50)
    camera.picture(P, at=1)


def adts(camera: Habitual) -> None:
    camera.sound(bytes.fromhex("fff15080011ffc") + b"a", at=0)


def clock_stands(camera: Habitual) -> None:
    for i in range(4):
        camera.picture(IDR, at=0, now=i)


def intelbras(camera: Habitual) -> None:
    for i in (0, 1, 3600, 3, 4):
        camera.picture(IDR, at=i, now=min(i, 2))


def tapo(camera: Habitual) -> None:
    camera.picture(IDR, at=0)
    camera.report(ssrc=5)


def sets_only_in_band(camera: Habitual) -> None:
    camera.picture(SPS, PPS, IDR, at=0)


def new_source(camera: Habitual) -> None:
    camera.picture(IDR, at=0)
    camera.video.ssrc += 1
    camera.picture(P, at=1)


def new_sequence(camera: Habitual) -> None:
    camera.picture(IDR, at=0)
    camera.video.sequence = 20000
    camera.picture(P, at=1)
    camera.picture(P, at=2)


def forty_slices(camera: Habitual) -> None:
    camera.picture(IDR, *[LATER_SLICE] * 39, at=0)


@pytest.mark.parametrize(
    ("name", "habit"),
    [
        ("marker-never-set", flir_m400),
        ("marker-on-sei", ivel),
        ("marker-within-picture", marker_on_each_slice),
        ("fu-start-and-end", costar_hd),
        ("nal-type-changes-in-fu", tiandy),
        ("empty-fragment", empty_fragments),
        ("annexb-in-rtp", v380),
        ("stap-padding", stap_a_filled_up),
        ("junk-payload-type", geovision),
        ("adts-in-aac", adts),
        ("timestamps-stand", clock_stands),
        ("timestamp-outlier", intelbras),
        ("unknown-ssrc-in-rtcp", tapo),
        ("parameter-sets-only-in-band", sets_only_in_band),
        ("ssrc-changes", new_source),
        ("sequence-restarts", new_sequence),
        ("many-slices", forty_slices),
    ],
)
def test_a_habit_is_noted(name: str, habit: Callable[[Habitual], None]) -> None:
    camera = Habitual(audio=True)
    habit(camera)
    track = 1 if name == "adts-in-aac" else 0
    also = {"parameter-sets-only-in-band"} if habit is v380 else set()
    if habit in {clock_stands, intelbras}:
        also.add("parameter-sets-only-in-sdp")  # or nowhere at all
    assert set(camera.receiver.quirks(track)) == {name} | also
    assert camera.receiver.quirks(1 - track) == ()
    units = camera.units()
    assert units
    assert units[0].is_sync
    assert camera.counted().lost == camera.counted().broken == 0


def announced(parameters: H264Parameters | None) -> Habitual:
    camera = Habitual()
    camera.receiver = Receiver()
    camera.receiver.add_track(replace(VIDEO, parameters=parameters), payload_type=96, channels=(0, 1), origin=0)
    return camera


def test_a_good_camera_has_none() -> None:
    camera = announced(H264Parameters(SPS, (PPS,)))
    for i in range(100):
        nals = (SPS, PPS, SEI, IDR, b"\x65\x13\x24later") if i % 25 == 0 else (P, LATER_SLICE)
        camera.picture(*nals, at=i / 25, max_size=8)
    camera.report(camera.video.ssrc)
    camera.packet(bye(camera.video.ssrc), 4.0, channel=1)
    assert camera.receiver.quirks(0) == ()
    camera = Habitual(audio=True)
    for i in range(20):
        camera.sound(b"a", b"b", at=i / 10)
    assert camera.receiver.quirks(1) == ()


def test_parameter_sets_only_in_the_description() -> None:
    camera = announced(H264Parameters(SPS, (PPS,)))
    camera.picture(IDR, at=0)
    assert camera.receiver.quirks(0) == ()
    camera.picture(IDR, at=1)
    assert camera.receiver.quirks(0) == ("parameter-sets-only-in-sdp",)


def test_junk_between_packets_is_not_missing() -> None:
    """A payload type nobody asked for, such as comfort noise, has numbers of the same sequence (RFC 3550, 5.1)."""
    camera = Habitual()
    camera.picture(IDR, at=0)
    camera.payload(b"junk", at=0.5, payload_type=13)
    camera.picture(P, at=1)
    camera.video.ssrc += 1  # of another source it says nothing
    camera.payload(b"junk", at=1.5, payload_type=13)
    camera.video.ssrc -= 1
    camera.picture(P, at=2)
    assert camera.counted().discarded == 2
    assert camera.counted().lost == 1
    assert [unit.damaged for unit in camera.units()] == [False, False, True]


def test_parameter_changes() -> None:
    camera = announced(H264Parameters(SPS, (PPS,)))
    camera.picture(SPS, PPS, IDR, at=0)
    camera.picture(SPS, PPS, SECOND_PPS, IDR, at=1)  # one more is no change
    assert camera.counted().parameter_changes == 0
    camera.picture(OTHER_SPS, OTHER_PPS, IDR, at=2)
    assert camera.counted().parameter_changes == 1
    camera.picture(SPS, PPS, IDR, at=3)
    assert camera.counted().parameter_changes == 2


def test_groups_of_pictures() -> None:
    camera = Camera()
    for i in range(60):
        camera.picture(IDR if i in {5, 30} else P, at=i / 25, mark=i != 5)
    counted = camera.counted()
    assert (counted.sync_samples, counted.gop_units, counted.gop_ticks) == (2, 25, 90000)
    assert counted.first_sync_arrival == T0 + 200_000_000
    assert counted.sync_arrival == T0 + 1_200_000_000
    assert (counted.first_arrival, counted.arrival) == (T0, T0 + 2_360_000_000)
    assert counted.ticks == 59 * 3600


def test_a_sync_sample_that_goes_on_counts_once() -> None:
    camera = Camera()
    for at in (0, 1):
        for slice_ in (IDR, b"\x65\x13\x24later", b"\x65\x13\x24later"):
            camera.picture(slice_, at=at)
        camera.picture(P, at=at + 0.5)
    counted = camera.counted()
    assert (counted.units, counted.sync_samples, counted.gop_units, counted.gop_ticks) == (4, 2, 2, 90000)


def test_bytes_and_reports() -> None:
    camera = Habitual()
    camera.picture(IDR, at=0)
    camera.picture(IDR, at=0, now=0)
    assert camera.counted().bytes == 2 * (12 + len(IDR))
    for data in (bye(1), bye(1) + bye(2), bye(1) + b"junk junk", b"\x80\xcb", b"\x80\xcb\0\5", b"none", b""):
        camera.packet(data, 0.0, channel=1)
    assert camera.counted().reports == 7
    assert camera.counted().broken_reports == 3


def test_each_has_its_sentence() -> None:
    assert len(QUIRKS) == 18
    assert set(QUIRKS) <= set(SENTENCES)
