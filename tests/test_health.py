"""How a camera is, as data: rates, clocks, ages, timings; that of real counters and of clocks that drift for days."""

from __future__ import annotations

import random
from dataclasses import asdict, replace
from typing import Any

import pytest
from rtp_camera import AUDIO, IDR, OTHER_SPS, PPS, SECOND, SPS, T0, VIDEO, Camera, P

from rtspkit.health import CameraHealth, HealthMonitor, Timings, TrackHealth
from rtspkit.media import Track
from rtspkit.packetizer import ntp_timestamp
from rtspkit.quirks import SENTENCES
from rtspkit.rtp import SenderReport

TRACKS = (VIDEO, AUDIO)
WALL = 1.7e9


def ns(seconds: float) -> int:
    return T0 + round(seconds * SECOND)


class Watched:
    """A camera with video and audio, and who watches it."""

    def __init__(self) -> None:
        self.camera = Camera(audio=True)
        self.monitor = HealthMonitor(ns(-1))

    def play(self, first: float, last: float, *, rate: float = 1.0) -> None:
        """25 pictures a second, a GOP of two seconds, and sound; looked at as a shell does."""
        for i in range(round(first * 25), round(last * 25)):
            at = i / 25
            self.camera.picture(*((IDR,) if i % 50 == 0 else (P + b"\1" * 985,)), at=at * rate, now=at)
            if i % 5 == 0:
                self.camera.sound(*[b"a" * 100] * 3, at=at, now=at)
                self.monitor.observe(ns(at), self.camera.receiver, TRACKS)

    def health(self, now: float, **options: Any) -> CameraHealth:
        return self.monitor.health(ns(now), self.camera.receiver, TRACKS, **{"transport": "tcp"} | options)

    def video(self, now: float, **options: Any) -> TrackHealth:
        return self.health(now, **options).tracks[0]

    def report(self, now: float, timestamp: int, *, wall: float | None = None, track: Track = VIDEO) -> None:
        ntp = ntp_timestamp(WALL + now if wall is None else wall)
        report = SenderReport(1, ntp, timestamp % 2**32, 0, 0)
        self.monitor.sender_report(track, report, ns(now), WALL + now)


def test_before_anything() -> None:
    health = Watched().health(0, transport=None)
    assert health.timings == Timings()
    assert health.bitrate is None
    assert health.transport is None
    video = health.tracks[0]
    assert (video.packets, video.units, video.sync_samples, video.jitter) == (0, 0, 0, 0.0)
    told = {name for name, value in asdict(video).items() if value is not None}
    assert told.isdisjoint({"sender_report_age", "clock_drift", "clock_offset", "units_per_second", "bitrate"})
    assert told.isdisjoint({"gop_units", "gop_duration", "last_sync_age", "last_packet_age"})


def test_rates() -> None:
    watched = Watched()
    watched.play(0, 20)
    health = watched.health(20)
    video, audio = health.tracks
    assert video.units_per_second == pytest.approx(25, rel=0.02)
    assert video.bitrate == pytest.approx(25 * 8 * 1000, rel=0.05)
    assert audio.units_per_second == pytest.approx(15, rel=0.05)
    assert health.bitrate == video.bitrate + audio.bitrate  # type: ignore[operator]
    assert (video.kind, video.codec, audio.kind, audio.codec) == ("video", "h264", "audio", "aac")
    watched.monitor.observe(ns(22.5), watched.camera.receiver, TRACKS)
    watched.monitor.observe(ns(40), watched.camera.receiver, TRACKS)
    assert watched.video(45).units_per_second == 0


def test_rates_are_those_of_late() -> None:
    watched = Watched()
    watched.play(0, 20)
    for i in range(100, 140):  # five a second
        watched.camera.picture(P, at=i / 5)
        watched.monitor.observe(ns(i / 5), watched.camera.receiver, TRACKS)
    assert watched.video(28).units_per_second < 15  # a few seconds of before are in it
    for i in range(140, 180):
        watched.camera.picture(P, at=i / 5)
        watched.monitor.observe(ns(i / 5), watched.camera.receiver, TRACKS)
    assert watched.video(36).units_per_second == pytest.approx(5, rel=0.05)


def test_sync_samples() -> None:
    watched = Watched()
    watched.play(0, 5)
    video, audio = watched.health(6).tracks
    assert (video.gop_units, video.gop_duration, video.sync_samples) == (50, 2.0, 3)
    assert video.last_sync_age == pytest.approx(2)
    assert video.last_packet_age == pytest.approx(6 - 4.96)
    assert audio.gop_units is audio.gop_duration is None
    assert audio.sync_samples == audio.units == 75


def test_counters() -> None:
    watched = Watched()
    camera = watched.camera
    camera.picture(SPS, PPS, IDR, at=0)
    camera.video.sequence += 3
    camera.picture(OTHER_SPS, PPS, IDR, at=1)
    camera.packet(b"\x80\xc8\0\5", 1, channel=1)
    camera.packet(b"\x80", 1)
    health = watched.health(2)
    video = health.tracks[0]
    assert (video.packets, video.lost, video.damaged_units, video.parameter_changes) == (6, 3, 1, 1)
    assert (video.rtcp_packets, video.rtcp_broken, video.broken) == (1, 1, 1)
    assert video.bytes == 6 * 12 + 2 * len(PPS + IDR) + len(SPS + OTHER_SPS)
    assert health.bytes == camera.receiver.bytes_received
    assert video.quirks == ("parameter-sets-only-in-band",)


def test_kind_of_jitter() -> None:
    watched = Watched()
    watched.camera.picture(IDR, at=0)
    watched.camera.picture(P, at=1, now=1.5)
    assert watched.video(2).jitter == pytest.approx(0.5 / 16, abs=1e-4)
    kinds = {transport: watched.video(2, transport=transport).jitter_kind for transport in ("tcp", "udp", "multicast")}
    assert kinds == {"tcp": "arrival", "udp": "rfc3550", "multicast": "rfc3550"}


def test_timings() -> None:
    watched = Watched()
    watched.monitor.reached("connect", ns(-0.9))
    watched.monitor.reached("describe", ns(-0.7))
    watched.monitor.reached("describe", ns(-0.6))
    assert watched.health(0).timings == Timings(connect=pytest.approx(0.1), describe=pytest.approx(0.3))
    watched.monitor.reached("play", ns(-0.5))
    watched.camera.sound(b"a", at=0)
    watched.camera.picture(P, at=0.5)
    assert watched.health(1).timings.first_packet == 1
    assert watched.health(1).timings.first_sync is None  # of the audio it means nothing
    watched.camera.picture(IDR, at=1.5)
    watched.camera.picture(IDR, at=2.5)
    assert watched.health(3).timings == Timings(
        connect=pytest.approx(0.1),
        describe=pytest.approx(0.3),
        play=pytest.approx(0.5),
        first_packet=1.0,
        first_sync=2.5,
    )
    assert list(asdict(watched.health(3))["timings"]) == ["connect", "describe", "play", "first_packet", "first_sync"]


def test_what_the_shell_knows_is_passed_on() -> None:
    health = Watched().health(0, transport="udp", reconnects=3, last_error="it hung up", quirks=["cseq"])
    assert (health.transport, health.reconnects, health.last_error, health.quirks) == (
        "udp",
        3,
        "it hung up",
        ("cseq",),
    )


# -- sender reports ---------------------------------------------------------------------------------------------------


def test_age_and_wall_clock() -> None:
    watched = Watched()
    watched.report(1, 0, wall=WALL + 1 - 7200)
    video, audio = watched.health(4).tracks
    assert video.sender_report_age == 3
    assert video.clock_offset == pytest.approx(-7200, abs=1e-3)
    assert video.clock_drift is None
    assert audio.sender_report_age is None
    assert video.quirks == ()
    watched.report(5, 0, wall=5.0)  # 1970
    assert watched.video(6).quirks == ("sender-report-clock-wrong",)
    assert watched.monitor.quirks(watched.camera.receiver, 0) == ("sender-report-clock-wrong",)
    assert not watched.monitor.quirks(watched.camera.receiver, 1)


def drift_of(
    watched: Watched, seconds: int, millionths: float, *, delay: float = 0.1, every: int = 5, first: int = 0
) -> float | None:
    """Reports of a clock that runs fast by so much, through a reader that looks every `delay` seconds."""
    chance = random.Random(1)
    for second in range(first, first + seconds, every):
        timestamp = 2**32 - 90000 + round(second * (1 + millionths / 1e6) * 90000)
        watched.report(second + chance.random() * delay, timestamp)
    return watched.video(first + seconds).clock_drift


@pytest.mark.parametrize("millionths", [0.0, 200.0, -200.0, 30.0])
@pytest.mark.parametrize(("seconds", "exact_to"), [(1200, 30), (3600, 10), (86400, 1.5)])
def test_drift(millionths: float, seconds: int, exact_to: float) -> None:
    assert drift_of(Watched(), seconds, millionths) == pytest.approx(millionths, abs=exact_to)


def test_drift_over_three_days() -> None:
    assert drift_of(Watched(), 3 * 86400, 200, every=30) == pytest.approx(200, abs=2)


def test_drift_takes_a_while() -> None:
    assert drift_of(Watched(), 600, 200) is None
    assert drift_of(Watched(), 700, 200) is not None


def test_a_congested_network_does_not_look_like_drift() -> None:
    watched = Watched()
    for second in range(0, 7200, 5):
        congestion = 0.4 if 1000 < second < 1500 or second % 300 == 0 else 0.0
        watched.report(second + congestion, second * 90000)
    assert watched.video(7200).clock_drift == pytest.approx(0, abs=1)


def test_a_jump_is_no_drift() -> None:
    watched = Watched()
    assert drift_of(watched, 3600, 100) == pytest.approx(100, abs=10)
    watched.report(3600, 5)  # its clock was set
    assert watched.video(3600).clock_drift is None
    for second in range(3605, 7200, 5):
        watched.report(second, 5 + round((second - 3600) * 90000 * (1 - 50e-6)))
    assert watched.video(7200).clock_drift == pytest.approx(-50, abs=2)


def test_another_source_begins_anew() -> None:
    watched = Watched()
    assert drift_of(watched, 3600, 100) is not None
    report = SenderReport(2, ntp_timestamp(WALL), 3600 * 90000, 0, 0)
    watched.monitor.sender_report(VIDEO, report, ns(3600), WALL)
    assert watched.video(3600).clock_drift is None


def test_reports_of_nonsense() -> None:
    watched = Watched()
    chance = random.Random(2)
    for second in range(0, 3600, 5):
        watched.report(second, chance.getrandbits(32), wall=chance.uniform(-1e9, 2**31))
    assert watched.video(3600).clock_drift is None
    for _ in range(100):  # all at one instant
        watched.report(3600, 0)
    assert watched.video(3600).clock_drift is None


# -- clock rates ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rate", "is_wrong"), [(1.0, False), (1.5, False), (10.0, True), (0.1, True), (-1.0, True)])
def test_clock_rate(rate: float, is_wrong: bool) -> None:
    watched = Watched()
    watched.play(0, 20, rate=rate)
    video, audio = watched.health(20).tracks
    assert ("clock-rate-wrong" in video.quirks) == is_wrong
    assert audio.quirks == ()
    assert set(video.quirks) <= set(SENTENCES)


def test_a_recorder_sends_what_it_has_kept() -> None:
    watched = Watched()
    for i in range(250):
        watched.camera.picture(IDR if i % 50 == 0 else P, at=i / 25, now=i / 250)
    watched.play(10, 30)
    assert "clock-rate-wrong" not in watched.video(30).quirks


def test_a_track_more_than_at_the_last_look() -> None:
    watched = Watched()
    watched.play(0, 5)
    receiver = watched.camera.receiver
    receiver.add_track(replace(AUDIO, index=2), payload_type=98, channels=(4, 5))
    tracks = (*TRACKS, replace(AUDIO, index=2))
    assert watched.monitor.health(ns(6), receiver, tracks, transport="tcp").tracks[2].bitrate is None
    watched.monitor.observe(ns(8), receiver, tracks)
    assert watched.monitor.health(ns(20), receiver, tracks, transport="tcp").tracks[0].bitrate is not None
