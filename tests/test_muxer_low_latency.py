"""The muxer with parts: what is told when, what is waited for, and what stands where media are absent."""

from dataclasses import dataclass, field
from typing import Any

import boxes
import pytest
from fragments import AUDIO, AUDIO_ALONE, VIDEO, VIDEO_SMALL, Source, make_run
from real.playlists import attributes, read_media

from rtspkit.media import Fragment, Track
from rtspkit.muxer import Continuation, Muxer
from rtspkit.responses import Response

FIRST = 1_700_000_000
WALL = 1_700_000_000.0
START = 1000.0
#: 25 units a second.
UNIT = 3600


@dataclass
class Feed:
    """A camera of 25 pictures a second whose fragments end where the muxer asks for it, and the muxer."""

    options: dict[str, Any] = field(default_factory=dict)
    tracks: tuple[Track, ...] = (VIDEO,)
    gop: int = 25
    now: float = START
    pts: int = 0
    until_sync: int = 0

    def __post_init__(self) -> None:
        defaults: dict[str, Any] = {"segment_duration": 1.0, "segment_count": 7, "part_duration": 0.2, "epoch": "e"}
        options = defaults | self.options
        self.muxer = Muxer(self.tracks, now=self.now, wall=WALL + self.now - START, **options)
        self.times: list[int] = []
        self.is_sync = False

    def run(self, seconds: float, *, unit: int = UNIT, size: int = 100) -> "Feed":
        """So much media, unit by unit, as they come."""
        until = self.now + seconds - 1e-6
        while self.now < until:
            if self.until_sync == 0:
                self.flush(self.pts, size)
                self.until_sync, self.is_sync = self.gop, True
            self.until_sync -= 1
            self.times.append(self.pts)
            self.pts += unit
            self.now += unit / 90_000
            cut = self.muxer.next_cut
            if (cut is not None and self.pts >= cut) or (cut is None and len(self.times) * unit >= 18_000 - unit / 2):
                self.flush(None, size)
        return self

    def flush(self, next_pts: int | None, size: int) -> None:
        if not self.times:
            return
        run = make_run(0, self.times, size=size, sync=self.is_sync, arrival=self.now)
        fragment = Fragment(self.tracks, (run,), is_sync=self.is_sync, next_pts=next_pts)
        self.times, self.is_sync = [], False
        self.muxer.write(fragment, now=self.now, wall=WALL + self.now - START)

    def silence(self, seconds: float) -> "Feed":
        """Nothing comes; the muxer's clock goes on."""
        until = self.now + seconds
        while (due := self.muxer.next_timeout()) is not None and due <= until:
            self.now = max(self.now, due)
            self.muxer.handle_timeout(now=self.now, wall=WALL + self.now - START)
        self.now = until
        return self

    def back(self) -> "Feed":
        """The camera comes back with new time."""
        self.muxer.interrupt()
        self.times, self.until_sync, self.pts = [], 0, 0
        return self

    def get(self, name: str = "stream.m3u8", msn: int | None = None, part: int | None = None) -> Response | None:
        return self.muxer.get(name, msn, part)

    def lines(self, *, skip: bool = False) -> list[str]:
        response = self.muxer.get("stream.m3u8", skip=skip)
        assert response is not None
        return text(response).splitlines()

    def parts(self) -> list[dict[str, str]]:
        return [attributes(line.partition(":")[2]) for line in self.lines() if line.startswith("#EXT-X-PART:")]

    @property
    def hint(self) -> str:
        (line,) = [line for line in self.lines() if line.startswith("#EXT-X-PRELOAD-HINT:")]
        return attributes(line.partition(":")[2])["URI"]


def text(response: Response | None) -> str:
    assert response is not None
    assert isinstance(response.body, tuple)
    return b"".join(response.body).decode()


def status(response: Response | None) -> int | None:
    return None if response is None else response.status


def header(response: Response | None, name: str) -> str:
    assert response is not None
    return dict(response.headers)[name]


def samples(feed: Feed, uri: str) -> list[boxes.Sample]:
    response = feed.get(uri)
    assert response is not None
    assert isinstance(response.body, tuple)
    return [
        sample
        for buffer in response.body
        for fragment in boxes.fragments(buffer)
        for run in fragment.runs
        if run.track_id == 1
        for sample in run.samples
    ]


# -- the first part -------------------------------------------------------------------------------------------


def test_everything_but_media_is_there_at_once() -> None:
    feed = Feed()
    assert status(feed.get("index.m3u8")) == 200
    assert status(feed.get("e/init_0.mp4")) == 200
    assert feed.get() is None
    assert not feed.muxer.has_media


def test_the_first_playlist_comes_with_the_first_part() -> None:
    feed = Feed().run(0.16)
    assert feed.get() is None
    feed.run(0.04)
    assert [part["URI"] for part in feed.parts()] == ["e/part_0.mp4"]
    assert feed.parts()[0]["INDEPENDENT"] == "YES"
    assert len(samples(feed, "e/part_0.mp4")) == 5
    assert feed.lines()[1:7] == [
        "#EXT-X-VERSION:7",
        "#EXT-X-TARGETDURATION:4",
        "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=0.660000",
        "#EXT-X-PART-INF:PART-TARGET=0.220000",
        f"#EXT-X-MEDIA-SEQUENCE:{FIRST}",
        f"#EXT-X-DISCONTINUITY-SEQUENCE:{feed.muxer.continuation.discontinuity - 1}",
    ]
    playlist = read_media("\n".join(feed.lines()))
    assert [(segment.is_gap, segment.duration) for segment in playlist.segments] == [(True, 4.0)] * 3


def test_its_bytes_are_the_segments() -> None:
    feed = Feed().run(1.4)
    segment = feed.get(f"e/seg_{FIRST + 3}.mp4")
    assert segment is not None
    bodies = [feed.get(f"e/part_{number}.mp4") for number in range(5)]
    assert segment.body == tuple(buffer for body in bodies if body is not None for buffer in body.body)  # type: ignore[union-attr]


def test_audio_alone_has_parts_too() -> None:
    feed = Feed(tracks=(AUDIO_ALONE,))
    for number in range(12):
        times = range(number * 9 * 1024, (number + 1) * 9 * 1024, 1024)
        run = make_run(0, times, all_sync=True, size=20, arrival=feed.now)
        feed.now += 9 * 1024 / 48_000
        feed.muxer.write(Fragment(feed.tracks, (run,), is_sync=True), now=feed.now, wall=WALL + feed.now - START)
    assert feed.muxer.part_target == 220_000
    assert {part["DURATION"] for part in feed.parts()} == {"0.192000"}


# -- who waits ------------------------------------------------------------------------------------------------


def test_requests_wait_for_what_comes_next() -> None:
    feed = Feed().run(1.4)  # a segment of five parts, and two more parts
    open_msn = FIRST + 4
    held = [(open_msn, 2), (open_msn, None), (open_msn, 15), (open_msn + 1, 0), (open_msn + 1, None)]
    there = [(open_msn, 1), (open_msn - 1, None), (open_msn - 1, 4), (open_msn - 1, 99), (0, None), (0, 0)]
    assert [status(feed.get(msn=msn, part=part)) for msn, part in held] == [None] * 5
    assert [status(feed.get(msn=msn, part=part)) for msn, part in there] == [200] * 6
    feed.run(0.2)
    assert [status(feed.get(msn=msn, part=part)) for msn, part in held] == [200, None, None, None, None]
    feed.run(0.4)
    assert feed.get(msn=open_msn) is None  # its five parts are there, but not that it ends with them
    feed.run(0.2)
    assert [status(feed.get(msn=msn, part=part)) for msn, part in held] == [200, 200, 200, 200, None]


def test_a_part_behind_the_last_means_the_first_of_the_next_segment() -> None:
    feed = Feed().run(1.0)
    assert feed.get(msn=FIRST + 3, part=5) is None
    feed.run(0.2)
    assert status(feed.get(msn=FIRST + 3, part=5)) == 200


@pytest.mark.parametrize(
    ("msn", "part"),
    [
        (FIRST + 6, None),
        (FIRST + 6, 0),
        (FIRST + 100, 1),
        (2**62, None),
        (-1, None),
        (None, 3),
        (FIRST + 4, 50),
        (FIRST + 5, 50),
    ],
)
def test_nobody_waits_for_what_is_far_ahead(msn: int | None, part: int | None) -> None:
    feed = Feed().run(1.4)
    response = feed.get(msn=msn, part=part)
    assert status(response) == 400
    assert header(response, "cache-control") == "max-age=1"


def test_how_far_ahead_a_part_may_be() -> None:
    """The draft's Advance Part Limit: three seconds, in parts."""
    feed = Feed().run(1.4)
    assert feed.get(msn=FIRST + 4, part=15) is None
    assert status(feed.get(msn=FIRST + 4, part=16)) == 400


def test_the_announced_part_is_waited_for() -> None:
    feed = Feed().run(1.0)
    assert feed.hint == "e/part_5.mp4"
    assert feed.get(feed.hint) is None
    assert status(feed.get("e/part_6.mp4")) == 404
    assert status(feed.get("e/part_99999999999.mp4")) == 404
    feed.run(0.2)  # a new segment begins with it
    assert status(feed.get("e/part_5.mp4")) == 200


def test_what_was_waited_for_may_be_cached() -> None:
    feed = Feed().run(1.4)
    assert header(feed.get(msn=FIRST + 4, part=1), "cache-control") == "public, max-age=24"
    assert header(feed.get(), "cache-control") == "max-age=0, s-maxage=1"
    assert header(feed.get("e/part_6.mp4"), "cache-control") == "public, max-age=3600, immutable"
    assert text(feed.get(msn=FIRST + 4, part=1)) == text(feed.get())


def test_subscribers_are_called_once_a_part() -> None:
    feed, calls = Feed(), []
    feed.muxer.subscribe(lambda: calls.append(feed.now))
    feed.run(3.0)
    assert len(calls) == 15


# -- the list -------------------------------------------------------------------------------------------------


def test_parts_leave_the_list_and_stay_for_three_target_durations() -> None:
    feed = Feed().run(20)
    listed = [part["URI"] for part in feed.parts()]
    assert len(listed) == 30  # five whole segments, of which one ended four seconds before the last, and the open one
    # 3 s to 4 s, listed until 9 s are whole, so to be had until 21 s
    assert status(feed.get("e/part_15.mp4")) == 200
    feed.run(1.4)
    assert status(feed.get("e/part_15.mp4")) == 404
    assert status(feed.get(listed[0])) == 200


def test_a_delta_update_leaves_out_what_is_old() -> None:
    feed = Feed({"segment_count": 40}).run(60)
    full, delta = feed.lines(), feed.lines(skip=True)
    assert full[1] == delta[1] == "#EXT-X-VERSION:9"
    assert "CAN-SKIP-UNTIL=24.0" in full[3]
    (skip,) = [line for line in delta if line.startswith("#EXT-X-SKIP:")]
    skipped = int(skip.partition("=")[2])
    whole = len(read_media("\n".join(full)).segments)
    assert whole - skipped == len(read_media("\n".join(delta)).segments) == 25  # 24 s, and what ends right before
    assert delta[-20:] == full[-20:]


def test_a_short_list_has_no_delta_updates() -> None:
    feed = Feed().run(30)
    assert "CAN-SKIP" not in feed.lines()[3]
    assert feed.lines(skip=True) == feed.lines()


def test_a_sync_sample_in_the_midst_ends_no_part_too_soon() -> None:
    feed = Feed(gop=12).run(10)  # 0.48 s; segments of 1.44
    parts = feed.parts()
    durations = [float(part["DURATION"]) for part in parts]
    assert max(durations) <= 0.22
    segments = [index for index, part in enumerate(parts) if "INDEPENDENT" in part]
    assert all(duration >= 0.187 for index, duration in enumerate(durations) if index + 1 not in segments)


def test_a_gop_longer_than_the_target_is_cut_inside() -> None:
    """R34: ten minutes without a sync sample."""
    feed = Feed(gop=15_000).run(60)
    segments = [segment for segment in read_media("\n".join(feed.lines())).segments if not segment.is_gap]
    assert all(3.5 < segment.duration < 4.5 for segment in segments)
    assert not any("INDEPENDENT" in part for part in feed.parts())


def test_another_picture_size_is_a_discontinuity() -> None:
    """R36."""
    feed = Feed().run(1.4)
    feed.tracks, feed.until_sync = (VIDEO_SMALL,), 0
    feed.run(0.4)
    lines = feed.lines()
    at = lines.index("#EXT-X-DISCONTINUITY")
    assert lines[at + 1] == '#EXT-X-MAP:URI="e/init_1.mp4"'
    assert lines[at + 3] == '#EXT-X-PART:DURATION=0.200000,URI="e/part_7.mp4",INDEPENDENT=YES'
    assert "RESOLUTION=640x360" in text(feed.get("index.m3u8"))


# -- absent media ---------------------------------------------------------------------------------------------


def test_a_camera_that_is_away_leaves_a_gap() -> None:
    feed = Feed().run(5.4)
    feed.muxer.interrupt()
    feed.silence(9)
    lines = feed.lines()
    playlist = read_media("\n".join(lines))
    gaps = [segment for segment in playlist.segments[-2:] if segment.is_gap]
    assert [gap.duration for gap in gaps] == [4.0, 4.0]
    assert playlist.segments[-1].msn == FIRST + 3 + 5 + 2  # the numbers go on: three first gaps, six segments, two gaps
    assert lines[-2].endswith(",GAP=YES")
    assert text(feed.get("e/gap.mp4")) == "\0\0\0\x08free"
    assert feed.get(feed.hint) is None

    back_at = feed.now - START
    feed.back().run(0.4)
    lines = feed.lines()
    at = lines.index("#EXT-X-DISCONTINUITY")
    assert lines[at + 1] == '#EXT-X-MAP:URI="e/init_1.mp4"'
    # decode time has gone on with the clock and the list, 12 s of gaps before the first media
    number = next(part["URI"] for part in feed.parts()[::-1] if "INDEPENDENT" in part)
    (first, *_) = samples(feed, number)
    assert first.dts / 90_000 == pytest.approx(12 + back_at, abs=0.5)
    assert first.is_sync


def test_a_gap_shorter_than_the_target_is_none() -> None:
    """R08: away for a third of a second."""
    feed = Feed().run(5.4).silence(0.3).back().run(1.0)
    lines = feed.lines()
    assert "#EXT-X-DISCONTINUITY" in lines
    assert not any("GAP=YES" in line for line in lines)


def test_late_media_that_are_not_absent_lose_nothing() -> None:
    """The list has to grow in 1.5 target durations, so the open segment is closed; what comes then goes on."""
    feed = Feed(gop=100).run(3.0).silence(2.0)
    feed.muxer.handle_timeout(now=feed.now, wall=WALL)
    feed.run(3.0)
    assert "#EXT-X-DISCONTINUITY" not in feed.lines()
    assert feed.muxer.media_stats.awaiting_sync == 0
    assert feed.muxer.media_stats.gaps == 0


def test_slow_pictures_make_segments_without_parts() -> None:
    feed = Feed().run(5.0)
    feed.gop = 4
    feed.run(20, unit=45_000)  # two a second
    lines = feed.lines()
    assert not any(line.startswith("#EXT-X-PART:") for line in lines)
    assert {segment.duration for segment in read_media("\n".join(lines)).segments[-3:]} == {2.0}
    feed.gop = 25
    feed.run(8)
    assert len(feed.parts()) >= 20
    assert "#EXT-X-DISCONTINUITY" not in feed.lines()


def test_silent_audio_reaches_the_edge() -> None:
    """R48: announced audio that never comes."""
    feed = Feed(tracks=(VIDEO, AUDIO)).run(3.0)
    ends = []
    for number in range(10, 15):
        response = feed.get(f"e/part_{number}.mp4")
        assert response is not None
        (fragment,) = [one for buffer in response.body for one in boxes.fragments(buffer)]  # type: ignore[union-attr]
        video, audio = fragment.runs
        ends.append(video.end / 90_000 - audio.end / 48_000)
    assert max(ends) < 0.03


def test_sound_that_comes_with_a_long_fragment_is_spread_over_its_parts() -> None:
    muxer = Muxer((VIDEO, AUDIO), part_duration=0.2, epoch="e", now=START, wall=WALL)
    source = Source()
    for second in range(1, 4):
        muxer.write(source.fragment(), now=START + second, wall=WALL + second)
    for number in range(5, 14):
        response = muxer.get(f"e/part_{number}.mp4")
        assert response is not None
        runs = [run for buffer in response.body for one in boxes.fragments(buffer) for run in one.runs]  # type: ignore[union-attr]
        ends = [max(run.end for run in runs if run.track_id == track) for track in (1, 2)]
        assert abs(ends[0] / 90_000 - ends[1] / 48_000) < 0.03


# -- another muxer in its place -------------------------------------------------------------------------------


def test_a_successor_keeps_the_targets_and_goes_on_with_the_numbers() -> None:
    feed = Feed({"part_duration": 0.5, "segment_duration": 6.0}).run(3.0)
    left = feed.muxer.continuation
    assert (left.target_duration, left.part_target) == (6, 572_000)  # 13 units of 40 ms, half a second rounded up
    other = Feed({"continues": left}, gop=50).run(4.0)
    lines = other.lines()
    assert "#EXT-X-TARGETDURATION:6" in lines
    assert "#EXT-X-PART-INF:PART-TARGET=0.572000" in lines
    assert read_media("\n".join(lines)).media_sequence >= left.msn
    assert read_media("\n".join(lines)).discontinuity_sequence == left.discontinuity


def test_a_target_that_was_told_is_kept_without_parts_too() -> None:
    feed = Feed({"part_duration": None, "continues": Continuation(7, 8, 5)}).run(20)
    assert "#EXT-X-TARGETDURATION:5" in feed.lines()


# -- slow cameras, and those that never rest ------------------------------------------------------------------


@pytest.mark.parametrize("tracks", [(VIDEO,), (VIDEO, AUDIO)])
def test_a_camera_of_one_picture_a_second_is_watched_from_the_start(tracks: tuple[Track, ...]) -> None:
    feed = Feed(tracks=tracks, gop=2).run(20, unit=90_000)
    playlist = read_media("\n".join(feed.lines()))
    media = [segment for segment in playlist.segments if not segment.is_gap]
    assert feed.muxer.part_target == 1_100_000
    assert sum(segment.duration for segment in media) > 10
    assert feed.muxer.media_stats.discontinuities == 0
    assert feed.muxer.media_stats.restamped_units == 0


def test_a_lasting_change_to_one_picture_a_second_loses_no_time() -> None:
    feed = Feed().run(5.0)
    before = feed.muxer.continuation.msn
    feed.gop = 2
    feed.run(12, unit=90_000)
    media = [segment for segment in read_media("\n".join(feed.lines())).segments if segment.msn >= before - 1]
    assert sum(segment.duration for segment in media) == pytest.approx(12, abs=2.5)
    assert feed.muxer.media_stats.time_jumps == 0


def test_parameter_sets_that_change_all_the_time_are_no_flood() -> None:
    feed = Feed(gop=1)
    for number in range(250):  # ten seconds
        feed.tracks = (VIDEO_SMALL,) if number % 2 else (VIDEO,)
        feed.run(0.04)
    assert feed.muxer.media_stats.discontinuities <= 20
    assert feed.muxer.media_stats.last_error == "parameter sets change too often"
