"""Tracks whose clocks drift apart for hours stay together on the output, and dates stay with the wall clock."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from heapq import merge

import pytest
from boxes import fragments as read_fragments
from fragments import PPS, SPS
from rtp_camera import AUDIO

from rtspkit.clocks import TrackClocks
from rtspkit.errors import LocalProtocolError
from rtspkit.media import SAMPLE, H264Parameters, Track
from rtspkit.packetizer import interleaved_frame, ntp_timestamp, rtp_packet, sender_report
from rtspkit.rtp import Receiver, SenderReport, parse_rtcp
from rtspkit.segmenter import Segmenter
from rtspkit.segments import InitSection, Output, Segment, SegmentData

WALL = 1_780_000_000.0
SECOND = 10**9
UNITS_A_SECOND = 25 + 48_000 / 1024
TRACKS = (Track(0, "video", "h264", 90_000, H264Parameters(SPS, (PPS,))), AUDIO)


@dataclass
class World:
    """A camera whose clocks are off, a network with jitter, a receiver that reads ten times a second, a muxer.

    Args:
        units: how many of both tracks.
        video, audio: how much faster (ppm) the track's clock is than the host's.
        camera: the same of the camera's wall clock.
        reports: seconds between sender reports; None: none come.
        jitter: seconds by which a unit may be late.
        fps: pictures a second, by the video's clock.
        sound_late: seconds that sound takes longer to be sent than a picture.
        wall_off: seconds that the camera's wall clock is off.
        wall_clock: what its wall clock shows at a time, where that is nothing usual.
        report_off: seconds by which the reports of the sound have timestamps of another time.
        stamp: the timestamp (from the first) of a unit of a track, where that is not as the clock has it.
        ssrc: the SSRC of that unit.
        has_origin: RTP-Info says where the tracks began.
        tick: seconds between two reads.
        parts: seconds of a part.
    """

    units: int
    video: float = 0.0
    audio: float = 0.0
    camera: float = 0.0
    reports: float | None = 5.0
    jitter: float = 0.02
    fps: int = 25
    sound_late: float = 0.03
    wall_off: float = 3.0
    has_origin: bool = True
    tick: float = 0.1
    parts: float | None = None
    wall_clock: Callable[[float], float] | None = None
    report_off: float = 0.0
    stamp: Callable[[int, int, int], int] = lambda _track, ticks, _number: ticks
    ssrc: Callable[[int, int], int] = lambda track, _number: 11 + track
    off: list[float] = field(default_factory=list)  # sound from picture, s, fragment by fragment
    dates: list[float] = field(default_factory=list)  # from the instant of the segment's first picture
    spread: float = 0.0  # the most that the units of a track in one fragment are apart from each other's times
    ends: dict[int, int] = field(default_factory=dict)  # decode times
    sounds: int = 0

    def __post_init__(self) -> None:
        self.times = (1 / self.fps / (1 + self.video / 1e6), 1024 / 48_000 / (1 + self.audio / 1e6))

    def packets(self) -> Iterator[tuple[float, bytes]]:
        """What is sent, in the order in which it arrives."""
        rng = random.Random(1)
        seconds = self.units / UNITS_A_SECOND
        ends = [0.0, 0.0]

        def media(index: int) -> Iterator[tuple[float, int, bytes]]:
            step = (90_000 // self.fps, 1024)[index]
            head = struct.Struct("!BBHBBHII").pack
            start = 0xFFFF0000 if index else 1000
            number = 0
            while True:
                at = number * self.times[index]  # when it was captured, by the host's clock
                if at > seconds:
                    return
                label = b"%08x" % number
                if index:
                    payload = b"\0\x10" + struct.pack("!H", (len(label) + 1) << 3) + b"a" + label
                else:
                    payload = (b"\x65\x88" if number % (2 * self.fps) == 0 else b"\x41\x9a") + label + b"\x80"
                sent = at + (self.sound_late if index else 0.0) + rng.random() * self.jitter
                # one connection: nothing passes what was sent before
                arrival = ends[index] = max(ends[index], sent)
                size = 12 + len(payload)
                timestamp = (start + self.stamp(index, number * step, number)) & 0xFFFFFFFF
                yield arrival, number, head(0x24, 2 * index, size, 0x80, 0x80 | 96 + index, number & 0xFFFF,
                                            timestamp, self.ssrc(index, number)) + payload  # fmt: skip
                number += 1

        def sender_reports() -> Iterator[tuple[float, int, bytes]]:
            at = 1.0
            while self.reports and at < seconds:
                for index, rate in enumerate((90_000, 48_000)):
                    ticks = round((at + self.report_off * index) * (1 + (self.video, self.audio)[index] / 1e6) * rate)
                    wall = WALL + self.wall_off + at * (1 + self.camera / 1e6)
                    if self.wall_clock is not None:
                        wall = self.wall_clock(at)
                    start = 0xFFFF0000 if index else 1000
                    packet = sender_report(
                        ssrc=11 + index, ntp=ntp_timestamp(wall), timestamp=start + ticks, packet_count=0, octet_count=0
                    )
                    yield at + rng.random() * self.jitter, 0, interleaved_frame(2 * index + 1, packet)
                    at += self.reports / 2

        for arrival, _, packet in merge(media(0), media(1), sender_reports()):
            yield arrival, packet

    def play(self) -> World:
        receiver = Receiver(fragment_duration=self.parts or 1.0, low_latency=self.parts is not None)
        for track, origin in zip(TRACKS, (1000, 0xFFFF0000), strict=True):
            channels = (2 * track.index, 2 * track.index + 1)
            receiver.add_track(
                track, payload_type=96 + track.index, channels=channels, origin=origin if self.has_origin else None
            )
        clocks = TrackClocks(TRACKS)
        segmenter = Segmenter(
            TRACKS, segment_duration=4.0, segment_max_size=50_000_000, first_msn=1, part_duration=self.parts
        )
        self.segmenter = segmenter
        self.starts: dict[int, float] = {}
        due, pending = self.tick, bytearray()
        looked = 0.0
        for arrival, packet in self.packets():
            if arrival >= due:
                at = 1000.0 + due
                receiver.feed(pending, round(at * SECOND))
                pending.clear()
                due = arrival // self.tick * self.tick + self.tick
                for index, data in receiver.take_rtcp():
                    for report in parse_rtcp(data).sender_reports:
                        clocks.report(receiver, index, report, round(at * SECOND), WALL + at - 1000)
                if at - looked >= 5.0:
                    looked = at
                    clocks.observe(receiver, round(at * SECOND))
                for fragment in receiver.take_fragments():
                    self.judge(segmenter.write(fragment, now=at, wall=WALL + at - 1000))
            pending += packet
        return self

    def judge(self, outputs: list[Output]) -> None:
        for output in outputs:
            if isinstance(output, InitSection):
                self.ends.clear()
            if isinstance(output, Segment) and not output.is_gap:
                self.dates.append(output.date / 1e6 - self.starts.pop(output.msn) - WALL)
            if isinstance(output, SegmentData):
                [found] = read_fragments(output.data)
                means = []
                for run in found.runs:
                    rate = (90_000, 48_000)[run.track_id - 1]
                    label = 6 if run.track_id == 1 else 1
                    unit = self.times[run.track_id - 1]
                    assert run.dts == self.ends.get(run.track_id, run.dts)
                    self.ends[run.track_id] = run.dts + sum(sample.duration for sample in run.samples)
                    samples = [sample for sample in run.samples if sample.size > 8]  # others are silence
                    if not samples:
                        continue
                    captured = [int(sample.data[label : label + 8], 16) * unit for sample in samples]
                    offsets = [sample.pts / rate - time for sample, time in zip(samples, captured, strict=True)]
                    self.spread = max(self.spread, max(offsets) - min(offsets))
                    means.append(offsets[-1])
                    if run.track_id == 1:
                        self.starts.setdefault(output.msn, captured[0])
                    else:
                        self.sounds += len(captured)
                if len(means) == 2:
                    self.off.append(means[1] - means[0])

    def is_together(self, within: float = 0.05) -> None:
        """What holds whatever the clocks do."""
        stats = self.segmenter.stats
        assert max(map(abs, self.off)) <= within
        assert self.spread < 0.02
        assert (stats.discontinuities, stats.time_jumps, stats.dropped_units, stats.silent_units) == (0, 0, 0, 0)
        assert stats.restamped_units == stats.dropped_fragments == stats.awaiting_sync == 0
        assert max(self.dates) - min(self.dates) < 0.25
        assert min(self.dates) > -0.05
        assert len(self.off) > self.units / UNITS_A_SECOND - 5
        assert self.sounds > self.units / UNITS_A_SECOND / self.times[1] - 100


@pytest.mark.parametrize(
    ("video", "audio", "reports", "has_origin"),
    [
        (200, 0, 5.0, True),
        (-200, 200, 5.0, False),
        (-200, 200, None, True),
        pytest.param(0, -200, 5.0, True, marks=pytest.mark.slow),
        pytest.param(0, 200, None, False, marks=pytest.mark.slow),
        pytest.param(200, -200, None, False, marks=pytest.mark.slow),
    ],
)
def test_four_hours_of_clocks_that_are_off(video: float, audio: float, reports: float | None, has_origin: bool) -> None:
    World(1_000_000, video=video, audio=audio, reports=reports, has_origin=has_origin, camera=50).play().is_together()


@pytest.mark.parametrize("reports", [2.5, 5.0])
@pytest.mark.parametrize("off", [0.2, 0.3, 0.6, 0.9, 2.0])
@pytest.mark.parametrize("wrong", [0, 6])
def test_one_wrong_sender_report_moves_nothing(reports: float, off: float, wrong: int) -> None:
    """GStreamer's first one of the sound, on a busy machine."""

    class Once(World):
        """Its report with the number `wrong` is off."""

    asked = iter(range(10_000))
    # it is asked once a report, of either track
    Once.report_off = property(lambda _: off if next(asked) == 2 * wrong + 1 else 0.0, lambda *_: None)  # type: ignore[assignment]
    Once(6000, reports=reports).play().is_together()


@pytest.mark.soak
@pytest.mark.timeout(900)
@pytest.mark.parametrize("reports", [5.0, None])
def test_three_days(reports: float | None) -> None:
    World(round(3 * 86_400 * UNITS_A_SECOND), video=200, audio=-200, reports=reports).play().is_together()


@pytest.mark.parametrize("parts", [None, 0.2])
@pytest.mark.parametrize(("jitter", "tick", "fps"), [(0.0, 0.02, 30), (0.1, 0.1, 15), (0.02, 0.1, 30)])
def test_whatever_the_network_and_the_rate(jitter: float, tick: float, fps: int, parts: float | None) -> None:
    for reports in (5.0, None):
        world = World(150_000, video=150, audio=-150, jitter=jitter, tick=tick, fps=fps, reports=reports, parts=parts)
        world.play().is_together()


def jumping(at: float) -> float:
    return WALL + at + random.Random(at).uniform(-1e5, 1e5)


@pytest.mark.parametrize(
    "wall_clock",
    [
        lambda _: -2_208_988_800.0,
        lambda _: WALL,
        lambda at: at,
        lambda at: 2_085_978_400 + at,
        lambda at: WALL + 3 * at,
        lambda at: WALL + at + (30.0 if at > 400 else 0.0),
        lambda at: WALL + at - (3600.0 if at > 400 else 0.0),
        jumping,
    ],
    ids=["NTP 0", "stands", "1970", "2036", "three times as fast", "set forth", "set back", "jumps"],
)
def test_reports_that_are_nonsense_do_no_harm(wall_clock: Callable[[float], float]) -> None:
    World(100_000, video=-200, audio=200, wall_clock=wall_clock).play().is_together()


def test_reports_count_unless_they_cannot_be_right() -> None:
    """The arrival does not tell how long sound takes within the camera, but that it does not take a second."""
    world = World(30_000, report_off=0.2).play()
    assert world.off[-1] == pytest.approx(-0.2, abs=0.02)
    for off in (1.5, -1.5, 40.0):
        World(30_000, report_off=off).play().is_together()


def of_sound(change: Callable[[int, int], int]) -> Callable[[int, int, int], int]:
    """The timestamps of sound are other ones than its clock shows (ticks, number)."""
    return lambda track, ticks, number: change(ticks, number) if track else ticks


@pytest.mark.parametrize("reports", [5.0, None])
@pytest.mark.parametrize(
    "stamp",
    [
        of_sound(lambda ticks, _: 10 * ticks),
        of_sound(lambda ticks, _: ticks // 10),
        of_sound(lambda ticks, _: 2 * ticks),
        of_sound(lambda ticks, _: ticks * 48 // 44),
        of_sound(lambda _ticks, _number: 0),
        of_sound(lambda ticks, number: min(ticks, 1024 * 2000)),
        of_sound(lambda ticks, _: -ticks),
    ],
    ids=["10", "a tenth", "2", "48 for 44", "0", "0 after a while", "-1"],
)
def test_sound_whose_clock_is_wrong_is_heard_beside_the_picture(
    stamp: Callable[[int, int, int], int], reports: float | None
) -> None:
    world = World(20_000, stamp=stamp, reports=reports).play()
    assert max(map(abs, world.off[60:])) < 0.1
    assert len(world.off) > 270
    assert world.sounds > 0.98 * 20_000 / UNITS_A_SECOND / world.times[1]
    assert world.segmenter.stats.discontinuities == 0


@pytest.mark.parametrize("parts", [None, 0.2])
@pytest.mark.parametrize("track", [0, 1])
@pytest.mark.parametrize("is_reset", [True, False])
def test_an_ssrc_that_changes_every_ten_seconds(track: int, is_reset: bool, parts: float | None) -> None:
    """R39: the timeline is joined, and nothing adds up; timestamps begin anew with it, or go on."""
    units = (250, 470)[track]

    def stamp(which: int, ticks: int, number: int) -> int:
        if which != track or not is_reset:
            return ticks
        return ticks - ticks // max(1, number) * (number // units * units) + number // units * 77_777_777

    def ssrc(which: int, number: int) -> int:
        return 11 + which + (100 * (number // units) if which == track else 0)

    World(40_000, stamp=stamp, ssrc=ssrc, reports=None, parts=parts).play().is_together()


@pytest.mark.parametrize("jump", [0.7, -0.7, 300.0, -300.0])
@pytest.mark.parametrize("track", [0, 1])
def test_a_clock_that_jumps_is_followed_by_the_other_track(track: int, jump: float) -> None:
    rate = (90_000, 48_000)[track]
    number_then = (1000, 1880)[track]  # after 40 s

    def stamp(which: int, ticks: int, number: int) -> int:
        return ticks + (round(jump * rate) if which == track and number > number_then else 0)

    world = World(20_000, stamp=stamp, reports=None).play()
    assert max(map(abs, world.off[:38])) < 0.05
    assert max(map(abs, world.off[80:])) < 0.05
    assert world.sounds > 0.95 * 20_000 / UNITS_A_SECOND / world.times[1]


class Clock:
    """A camera whose wall clock somebody sets, with a picture and a report every five seconds."""

    def __init__(self) -> None:
        self.receiver = Receiver()
        self.receiver.add_track(TRACKS[0], payload_type=96, channels=(0, 1), origin=0)
        self.clocks = TrackClocks(TRACKS[:1])
        self.at = 0

    def reports(self, *walls: float) -> list[float | None]:
        """What the wall clock of the last picture is after each report; all are from the true time."""
        found = []
        for wall in walls:
            self.at += 5
            packet = rtp_packet(
                b"\x65\x88", payload_type=96, sequence=self.at, timestamp=90_000 * self.at, ssrc=1, marker=True
            )
            now = (1000 + self.at) * SECOND
            self.receiver.feed(interleaved_frame(0, packet), now)
            report = SenderReport(1, ntp_timestamp(WALL + self.at + wall), 90_000 * self.at, 0, 0)
            self.clocks.report(self.receiver, 0, report, now, WALL + self.at)
            clock = self.receiver.wall_clock(0, 90_000 * self.at)
            found.append(None if clock is None else round(clock - WALL - self.at, 3))
        return found


def test_a_clock_that_is_set_is_believed_when_it_has_said_so_for_a_while() -> None:
    camera = Clock()
    assert camera.reports(2.0, 2.1, 2.0) == [2.0, 2.1, 2.0]
    assert camera.reports(-3600, -3600, -3600, -3600) == [2.0, 2.0, -3600, -3600]
    assert camera.reports(1800, -3600, 7000, -3600) == [-3600] * 4


def test_a_clock_of_another_year_is_nobodys_wall_clock() -> None:
    camera = Clock()
    assert camera.reports(-WALL, -WALL, -WALL, 3e8, 3e8, 3e8) == [None] * 6
    assert camera.reports(1, 1, 1) == [None, None, 1]


def test_a_track_is_moved_slowly_and_far_at_once() -> None:
    receiver = Receiver()
    receiver.add_track(TRACKS[0], payload_type=96, channels=(0, 1), origin=0)

    def pts(number: int) -> int:
        packet = rtp_packet(b"\x65\x88", payload_type=96, sequence=number, timestamp=3600 * number, ssrc=1, marker=True)
        receiver.feed(interleaved_frame(0, packet), 1000 * SECOND + number * SECOND // 25)
        receiver.flush()
        [fragment] = receiver.take_fragments()
        return SAMPLE.unpack(bytes(fragment.runs[0].samples))[0] - 3600 * number

    receiver.set_shift(0, 700)
    assert pts(0) == 700  # nothing has been given out yet
    receiver.set_shift(0, 740)
    assert [pts(number) for number in range(1, 5)] == [718, 736, 740, 740]
    receiver.set_shift(0, 733)
    assert [pts(number) for number in range(5, 7)] == [733, 733]
    receiver.set_shift(0, -90_000)
    assert pts(7) == -90_000 == receiver.shift(0)
    for end in (2**59, -(2**59)):  # four times the way from one to the other fits in 64 bits
        receiver.set_shift(0, end)
        assert receiver.shift(0) == end
        with pytest.raises(LocalProtocolError, match="out of range"):
            receiver.set_shift(0, end + (1 if end > 0 else -1))
