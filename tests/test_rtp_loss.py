"""What becomes of video that packets are missing of: keep, drop, skip (`CameraOptions.loss_policy`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from rtp_camera import AUDIO, T0, nal_units
from test_rtp_senders_properties import H264, H265, Video

from rtspkit.errors import LocalProtocolError
from rtspkit.limits import Limits
from rtspkit.media import AccessUnit, Track
from rtspkit.packetizer import Payload, interleaved_frame, packetize_aac, rtp_packet
from rtspkit.rtp import Receiver, access_units, track_stats

POLICIES = ["keep", "drop", "skip"]
both = pytest.mark.parametrize("video", [H264, H265], ids=["h264", "h265"])
each_policy = pytest.mark.parametrize("policy", POLICIES)


def slice_(video: Video, kind: int, number: int, *, first: bool = True) -> bytes:
    """Of a picture; 28 bytes behind the header, so three fragments."""
    header = bytes((0x60 | kind,)) if video is H264 else bytes((kind << 1, 1))
    return header + bytes((0xA0 if first else 0x20, 1 + number, *([0x55] * 25), 0x80))


def picture(video: Video, number: int) -> list[bytes]:
    """Two slices; numbers 0 and 5 are sync samples."""
    kind = 1 if number % 5 else 5 if video is H264 else 19
    return [slice_(video, kind, number), slice_(video, kind, number, first=False)]


#: Of each picture there are so many packets: three of each slice.
EACH = 6


@dataclass
class Seen:
    """What came of eight pictures: their numbers, which of them are marked, which are sync samples."""

    numbers: list[int]
    damaged: list[int]
    sync: list[int]
    units: list[AccessUnit]
    receiver: Receiver

    @property
    def left_out(self) -> int:
        return track_stats(self.receiver, 0).units_left_out


class Camera:
    """Sends pictures of either codec in fragments to a receiver of that policy."""

    def __init__(self, video: Video, policy: str, **options: Any) -> None:
        self.video = video
        self.receiver = Receiver(loss_policy=policy, **{"fragment_duration": 3600, **options})
        self.receiver.add_track(Track(0, "video", video.codec, 90000), payload_type=96, channels=(0, 1), origin=0)
        self.sequence = 65500

    def payloads(self, number: int, marker: str = "last") -> list[Payload]:
        made = [payload for nal in picture(self.video, number) for payload in self.video.payloads([nal], max_size=13)]
        assert len(made) == EACH
        if marker == "last":
            return [payload._replace(marker=i == EACH - 1) for i, payload in enumerate(made)]
        return made if marker == "each" else [payload._replace(marker=False) for payload in made]

    def send(self, number: int, payloads: list[Payload], lost: frozenset[int] | set[int] = frozenset()) -> None:
        """A picture, without those of its packets."""
        for place, payload in enumerate(payloads):
            packet = rtp_packet(
                payload.data,
                payload_type=96,
                sequence=self.sequence,
                timestamp=3600 * number,
                ssrc=7,
                marker=payload.marker,
            )
            self.sequence = (self.sequence + 1) % 65536
            if place not in lost:
                self.receiver.feed(interleaved_frame(0, packet), T0 + 40_000_000 * number)

    def seen(self) -> Seen:
        self.receiver.finish()
        units = [unit for fragment in self.receiver.take_fragments() for unit in access_units(fragment)]
        counted = track_stats(self.receiver, 0)
        assert counted.units == len(units)
        assert counted.damaged_units == sum(unit.damaged for unit in units)
        numbers = [unit.pts // 3600 for unit in units]
        return Seen(
            numbers,
            [unit.pts // 3600 for unit in units if unit.damaged],
            [unit.pts // 3600 for unit in units if unit.is_sync],
            units,
            self.receiver,
        )


def through(
    video: Video, policy: str, lost: dict[int, set[int]], *, marker: str = "last", count: int = 8, **options: Any
) -> Seen:
    """Eight pictures; of some of them packets are lost."""
    camera = Camera(video, policy, **options)
    for number in range(count):
        camera.send(number, camera.payloads(number, marker), lost.get(number, set()))
    return camera.seen()


def is_whole(video: Video, unit: AccessUnit) -> bool:
    return nal_units(unit.data) == picture(video, unit.pts // 3600)


# -- what was lost ----------------------------------------------------------------------------------------------------

WITHIN = {
    "the start of a fragmented slice": {0},
    "its middle": {1},
    "its end": {2},
    "a slice": {0, 1, 2},
    "the start of the last slice": {3},
    "the last slice, with the marker": {3, 4, 5},
    "the packet with the marker": {5},
}


@both
@pytest.mark.parametrize("lost", WITHIN.values(), ids=WITHIN)
def test_packets_of_a_picture(video: Video, lost: set[int]) -> None:
    keep, drop, skip = (through(video, policy, {2: lost}) for policy in POLICIES)
    assert keep.numbers == list(range(8))
    assert keep.damaged[0] == 2
    assert drop.numbers == [0, 1, 3, 4, 5, 6, 7]
    assert drop.damaged == [3]  # a hole is before it
    assert skip.numbers == [0, 1, 5, 6, 7]
    assert skip.damaged == [5]
    assert [keep.left_out, drop.left_out, skip.left_out] == [0, 1, 3]
    for one in (drop, skip):
        assert one.sync == [0, 5]
        assert all(is_whole(video, unit) for unit in one.units)


@both
def test_whole_pictures(video: Video) -> None:
    keep, drop, skip = (through(video, policy, {2: set(range(EACH))}) for policy in POLICIES)
    assert keep.numbers == drop.numbers == [0, 1, 3, 4, 5, 6, 7]
    assert keep.damaged == drop.damaged == [3]
    assert (skip.numbers, skip.damaged) == ([0, 1, 5, 6, 7], [5])
    assert [keep.left_out, drop.left_out, skip.left_out] == [0, 0, 2]


@both
def test_the_end_of_a_picture_and_the_beginning_of_the_next(video: Video) -> None:
    lost = {2: {4, 5}, 3: {0, 1, 2}}
    keep, drop, skip = (through(video, policy, lost) for policy in POLICIES)
    assert keep.numbers == list(range(8))
    assert (drop.numbers, drop.damaged, drop.left_out) == ([0, 1, 4, 5, 6, 7], [4], 2)
    assert (skip.numbers, skip.damaged, skip.left_out) == ([0, 1, 5, 6, 7], [5], 3)


@both
def test_a_sync_sample_that_is_not_whole_is_none(video: Video) -> None:
    """Nothing begins with it; the next one has to be waited for."""
    keep, drop, skip = (through(video, policy, {2: {1}, 5: {1}}, count=12) for policy in POLICIES)
    assert (keep.numbers, keep.sync) == (list(range(12)), [0, 10])
    assert (drop.numbers, drop.sync) == ([0, 1, 3, 4, 6, 7, 8, 9, 10, 11], [0, 10])
    assert (skip.numbers, skip.sync, skip.damaged) == ([0, 1, 10, 11], [0, 10], [10])
    assert skip.left_out == 8


@both
def test_a_whole_sync_sample_behind_the_loss_comes_at_once(video: Video) -> None:
    skip = through(video, "skip", {4: set(range(EACH))})
    assert (skip.numbers, skip.damaged, skip.left_out) == ([0, 1, 2, 3, 5, 6, 7], [5], 0)


@both
def test_before_the_first_sync_sample_what_is_whole_comes(video: Video) -> None:
    """Nobody can show it; but a camera that sends no sync sample is told from one that sends nothing."""
    keep, drop, skip = (through(video, policy, {0: {1}, 2: {1}}) for policy in POLICIES)
    assert keep.numbers == list(range(8))
    assert drop.numbers == skip.numbers == [1, 3, 4, 5, 6, 7]
    assert not skip.receiver.awaits_sync


@both
@each_policy
def test_nothing_is_lost(video: Video, policy: str) -> None:
    for marker in ("last", "each", "never"):
        seen = through(video, policy, {}, marker=marker)
        assert (seen.numbers, seen.damaged, seen.left_out) == (list(range(8)), [], 0)
        assert all(is_whole(video, unit) for unit in seen.units)


# -- what was never sent right ----------------------------------------------------------------------------------------


def without_flag(video: Video, payloads: list[Payload], flag: int) -> list[Payload]:
    """FUs without their start, or their end."""
    at = video.header
    return [one._replace(data=one.data[:at] + bytes((one.data[at] & ~flag,)) + one.data[at + 1 :]) for one in payloads]


@both
@pytest.mark.parametrize(("flag", "broken"), [(0x80, 1), (0x40, 0)], ids=["start", "end"])
def test_fragments_without_start_or_end(video: Video, flag: int, broken: int) -> None:
    """With no packet lost; of such a picture the other slice is kept."""
    numbers = {"keep": list(range(8)), "drop": [0, 1, 3, 4, 5, 6, 7], "skip": [0, 1, 5, 6, 7]}
    for policy in POLICIES:
        camera = Camera(video, policy)
        for number in range(8):
            payloads = camera.payloads(number)
            camera.send(number, without_flag(video, payloads[:3], flag) + payloads[3:] if number == 2 else payloads)
        seen = camera.seen()
        assert seen.numbers == numbers[policy]
        assert seen.damaged == {"keep": [2], "drop": [3], "skip": [5]}[policy]
        assert (track_stats(seen.receiver, 0).broken, track_stats(seen.receiver, 0).lost) == (broken, 0)


@both
@each_policy
def test_types_that_change_within_a_fragmented_unit(video: Video, policy: str) -> None:
    """Tiandy: the first fragment's counts, and nothing is missing."""
    camera = Camera(video, policy)
    for number in range(8):
        first, *rest = camera.payloads(number)
        at = video.header
        mixed = [one._replace(data=one.data[:at] + bytes((one.data[at] ^ 4,)) + one.data[at + 1 :]) for one in rest[:2]]
        camera.send(number, [first, *mixed, *rest[2:]] if number == 2 else [first, *rest])
    seen = camera.seen()
    assert (seen.numbers, seen.damaged, seen.left_out) == (list(range(8)), [], 0)
    assert all(is_whole(video, unit) for unit in seen.units)


@both
def test_a_picture_over_its_limit_is_a_loss(video: Video) -> None:
    """It is given up whatever the policy; what refers to it goes with it."""
    numbers = []
    for policy in POLICIES:
        camera = Camera(video, policy, limits=Limits(access_unit_size=100))
        for number in range(8):
            payloads = camera.payloads(number)
            camera.send(number, payloads[:-1] + payloads[1:2] * 9 + payloads[-1:] if number == 2 else payloads)
        numbers.append(camera.seen().numbers)
    assert numbers == [[0, 1, 3, 4, 5, 6, 7], [0, 1, 3, 4, 5, 6, 7], [0, 1, 5, 6, 7]]


# -- markers ----------------------------------------------------------------------------------------------------------


@both
def test_a_marker_on_each_slice_tells_of_no_end(video: Video) -> None:
    """The last slices are missing of a picture that had ended: it is taken back."""
    for lost in ({3, 4, 5}, {5}):
        keep, drop, skip = (through(video, policy, {2: lost}, marker="each") for policy in POLICIES)
        assert keep.numbers == list(range(8))
        assert drop.numbers == [0, 1, 3, 4, 5, 6, 7]
        assert skip.numbers == [0, 1, 5, 6, 7]
        assert all(is_whole(video, unit) for unit in drop.units + skip.units)


@both
def test_a_marker_on_each_slice_of_a_whole_picture_behind_a_loss(video: Video) -> None:
    """It goes on after its first slice as it began: marked, and whole. The one before the hole is in doubt."""
    keep, drop, skip = (through(video, policy, {2: set(range(EACH))}, marker="each") for policy in POLICIES)
    assert keep.numbers == [0, 1, 3, 4, 5, 6, 7]
    assert drop.numbers == [0, 3, 4, 5, 6, 7]
    assert skip.numbers == [0, 5, 6, 7]
    assert (drop.damaged, skip.damaged) == ([3], [5])
    assert (drop.sync, skip.sync) == ([0, 5], [0, 5])


@both
def test_a_sync_sample_whose_last_slices_are_lost_behind_a_marker(video: Video) -> None:
    skip = through(video, "skip", {2: {1}, 5: {3, 4, 5}}, marker="each", count=12)
    assert (skip.numbers, skip.sync) == ([0, 1, 10, 11], [0, 10])


@both
def test_without_markers_what_is_before_the_hole_is_in_doubt(video: Video) -> None:
    """Nothing tells whether the missing packets were its own."""
    drop, skip = (through(video, policy, {2: set(range(EACH))}, marker="never") for policy in ("drop", "skip"))
    assert drop.numbers == [0, 3, 4, 5, 6, 7]
    assert skip.numbers == [0, 5, 6, 7]


# -- what others have to do with it -----------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", ["keep", "skip"])
def test_pictures_that_refer_to_what_was_lost_stay_behind_the_sync_sample(policy: str) -> None:
    """H.265: RASL pictures of a CRA picture behind a loss; RADL pictures refer to nothing before it."""
    camera = Camera(H265, policy)
    for number, kind in enumerate([19, 1, 1, 1, 21, 9, 6, 1, 21, 9]):
        camera.send(number, [Payload(slice_(H265, kind, number), True)], {0} if number == 1 else set())
    assert camera.seen().numbers == {"keep": [0, 2, 3, 4, 6, 7, 8, 9], "skip": [0, 4, 6, 7, 8, 9]}[policy]


@both
def test_a_sync_sample_is_awaited(video: Video) -> None:
    """As long as pictures are left out for it, and no longer: whoever reads the receiver may ask the camera."""
    states = {}
    for policy in POLICIES:
        camera, states[policy] = Camera(video, policy), []
        for number in range(8):
            camera.send(number, camera.payloads(number), {1} if number == 2 else set())
            camera.receiver.take_fragments()
            assert camera.receiver.ready is camera.receiver.awaits_sync
            states[policy].append(camera.receiver.awaits_sync)
    assert states["keep"] == states["drop"] == [False] * 8
    assert states["skip"] == [number in (2, 3, 4) for number in range(8)]


@both
def test_the_first_pictures_behind_a_hole_come_soon(video: Video) -> None:
    """Three of them; what was before the hole does not wait for the sync sample either."""
    camera, lost = Camera(video, "skip", fragment_duration=0.2), {12: {1}, 15: set(range(EACH))}
    found = []
    for number in range(31):
        camera.send(number, camera.payloads(number), lost.get(number, set()))
        taken = camera.receiver.take_fragments()
        found += [(number, [unit.pts // 3600 for unit in access_units(fragment)]) for fragment in taken]
    assert found[2:6] == [(16, [10, 11]), (23, [20, 21, 22]), (25, [23, 24]), (30, [25, 26, 27, 28, 29])]


@each_policy
def test_sound_is_not_asked(policy: str) -> None:
    """Units of it are whole or absent, and need none before them."""
    receiver = Receiver(loss_policy=policy)
    receiver.add_track(Track(0, "video", "h264", 90000), payload_type=96, channels=(0, 1))
    receiver.add_track(AUDIO, payload_type=97, channels=(2, 3), origin=0)
    for number, payload in enumerate(packetize_aac([b"sound"] * 6, per_packet=1)):
        packet = rtp_packet(
            payload.data, payload_type=97, sequence=number, timestamp=1024 * number, ssrc=1, marker=payload.marker
        )
        if number != 2:
            receiver.feed(interleaved_frame(2, packet), T0)
    receiver.finish()
    (fragment,) = receiver.take_fragments()
    assert [(unit.pts // 1024, unit.damaged) for unit in access_units(fragment)] == [
        (number, number == 3) for number in (0, 1, 3, 4, 5)
    ]
    assert track_stats(receiver, 1).units_left_out == 0


@pytest.mark.parametrize("policy", ["", "KEEP", "dropp", None, 1])
def test_other_policies_there_are_none(policy: Any) -> None:
    with pytest.raises(LocalProtocolError, match="it is keep, drop or skip"):
        Receiver(loss_policy=policy)
