"""Whatever comes, in whatever order: what the segmenter and the muxer give is legal HLS."""

import struct
from dataclasses import dataclass, field
from itertools import pairwise

import boxes
from fragments import AUDIO, AUDIO_ALONE, VIDEO, VIDEO_OTHER, VIDEO_SMALL, VIDEO_UNKNOWN, make_run
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from real.playlists import read_media

from rtspkit.media import Fragment, Run, Track
from rtspkit.muxer import Muxer
from rtspkit.segmenter import InitSection, Output, Segment, SegmentData, Segmenter

FIRST = 1_700_000_000


@dataclass
class Step:
    """One thing that happens: a fragment, or the loss of the camera where `units` is None."""

    units: int | None
    unit: int  # ticks between pictures
    is_sync: bool
    jump: int  # ticks from where time would go on
    outliers: list[tuple[int, int]]  # place, ticks off
    next_pts: str
    audio_units: int
    audio_jump: int
    audio_outlier: int | None
    discontinuity: bool
    tracks: int
    size: int
    broken: str
    seconds: float  # from the step before
    wall_clock: float | None
    shuffle: bool


ODD = st.one_of(
    st.just(0),
    st.integers(-200, 200),
    st.sampled_from([-900_000, -45_000, 45_000, 180_000, 360_000, 449_999, 450_001, 900_000, 90_000 * 3600 * 7]),
    st.integers(-(2**40), 2**40),
)


@st.composite
def steps(draw: st.DrawFn) -> Step:
    plain = draw(st.integers(0, 3)) > 0
    rare = st.just(False) if plain else st.booleans()
    units = draw(st.integers(0, 40)) if not plain else draw(st.integers(1, 30))
    if draw(rare) and draw(st.booleans()):
        return Step(None, 1, False, 0, [], "", 0, 0, None, False, 0, 0, "", 1.0, None, False)
    return Step(
        units=units,
        unit=draw(st.sampled_from([3600, 3000, 3750, 18_000, 1500, 90_000, 400_000] if plain else [1, 3600, 600_000])),
        is_sync=draw(st.booleans()),
        jump=0 if plain else draw(ODD),
        outliers=[] if plain else draw(st.lists(st.tuples(st.integers(0, 39), ODD), max_size=3)),
        next_pts=draw(st.sampled_from(["exact", "none"] if plain else ["exact", "none", "mad", "back"])),
        audio_units=draw(st.integers(0, 60)),
        audio_jump=0 if plain else draw(ODD),
        audio_outlier=None if plain else draw(st.none() | ODD),
        discontinuity=draw(rare),
        tracks=0 if plain else draw(st.integers(0, 4)),
        size=draw(st.integers(0, 300)),
        broken="" if plain else draw(st.sampled_from(["", "", "", "table", "sizes", "empty"])),
        seconds=draw(st.floats(0, 20)),
        wall_clock=draw(st.none() | st.floats(0, 4e9)),
        shuffle=draw(rare),
    )


@dataclass
class Camera:
    """Makes fragments of steps."""

    with_video: bool
    with_audio: bool
    video: int = 0
    audio: int = 0
    last: tuple[tuple[int, ...], tuple[Track, ...]] | None = None
    now: float = 1000.0
    tables: dict[tuple[int, ...], tuple[Track, ...]] = field(default_factory=dict)

    def tracks(self, number: int) -> tuple[Track, ...]:
        if not self.with_video:
            table: tuple[Track, ...] = (AUDIO_ALONE,)
        else:
            video = (VIDEO, VIDEO_OTHER, VIDEO_SMALL, VIDEO_UNKNOWN, VIDEO)[number]
            table = (video, AUDIO) if self.with_audio else (video,)
            if number == 4:  # another list of codecs
                table = (*table, Track(len(table), "video", "h264", 90_000, None))[::-1]
        return self.tables.setdefault((number,), table)

    def fragment(self, step: Step) -> Fragment:
        assert step.units is not None
        self.now += step.seconds
        tracks = self.tracks(step.tracks)
        runs: list[Run] = []
        next_pts = None
        lead = step.units
        if self.with_video and lead:
            self.video += step.jump
            times = [self.video + index * step.unit for index in range(lead)]
            self.video += lead * step.unit
            for place, ticks in step.outliers:
                if place < lead:
                    times[place] += ticks
            if step.shuffle:
                times = [pts for pair in zip(times[1::2], times[::2], strict=False) for pts in pair] or times
            arrival = self.now if step.seconds < 10 else 0.0
            runs.append(make_run(0, times, size=step.size, sync=step.is_sync, arrival=arrival))
            exact = self.video
            next_pts = {"exact": exact, "none": None, "mad": exact + 2**41, "back": times[0] - 7}[step.next_pts]
        count = step.audio_units
        if self.with_audio and count:
            self.audio += step.audio_jump
            times = [self.audio + index * 1024 for index in range(count)]
            if step.audio_outlier is not None:
                times[count // 2] += step.audio_outlier
            self.audio += count * 1024
            runs.append(make_run(1 if self.with_video else 0, times, size=7, all_sync=True))
        if runs:
            first = runs[0]
            match step.broken:
                case "table":
                    runs[0] = Run(first.track, bytes(first.samples)[:-5], first.data)
                case "sizes":
                    runs[0] = Run(first.track, first.samples, bytes(first.data)[:-1] or b"x")
                case "empty":
                    runs[0] = Run(first.track, b"", b"")
        return Fragment(
            tracks, tuple(runs), step.is_sync or not self.with_video, step.discontinuity, next_pts, step.wall_clock
        )


def check_outputs(outputs: list[Output], *, leader: int, rates: dict[int, int], starts_sync: bool) -> None:
    """The rules of one muxer's whole life."""
    segments = [output for output in outputs if isinstance(output, Segment)]
    for before, after in pairwise(segments):
        assert after.msn == before.msn + 1
        assert after.discontinuity_number == before.discontinuity_number + after.discontinuity
        assert (after.init != before.init) == after.discontinuity
    if segments:
        assert segments[0].msn == segments[0].discontinuity_number == FIRST
        assert not segments[0].discontinuity
    by_msn = {segment.msn: segment for segment in segments}

    ends: dict[int, int] = {}
    anew = True
    sequence_number = 0
    of_segment: dict[int, list[boxes.Sample]] = {}
    for output in outputs:
        if isinstance(output, InitSection):
            anew = True
            continue
        if isinstance(output, Segment):
            continue
        (fragment,) = boxes.fragments(output.data)
        assert fragment.sequence_number == sequence_number + 1
        sequence_number += 1
        fresh, anew = anew, anew and all(run.track_id != leader for run in fragment.runs)
        for run in fragment.runs:
            for one, next_one in pairwise(run.samples):
                assert next_one.dts > one.dts
            assert all(sample.duration > 0 for sample in run.samples)
            end = ends.get(run.track_id, 0)
            if fresh:
                assert run.dts >= end
            elif run.track_id == leader and rates[leader] == 90_000:
                assert run.dts == end
            else:
                assert run.dts == end or run.dts - end > 0.2 * rates[run.track_id]
            if run.track_id == leader:
                if fresh and starts_sync:
                    assert run.samples[0].is_sync
                of_segment.setdefault(output.msn, []).extend(run.samples)
                if rates[leader] == 90_000:
                    # pictures are shown near the time they are decoded: no jump hides in an offset
                    assert all(abs(s.composition_offset) <= 20 * 90_000 for s in run.samples)
            ends[run.track_id] = run.end
    if rates[leader] == 90_000:
        for msn, samples in of_segment.items():
            if msn in by_msn:
                ticks = samples[-1].dts + samples[-1].duration - samples[0].dts
                assert by_msn[msn].duration == (ticks * 1_000_000 + 45_000) // 90_000
                assert by_msn[msn].units == len(samples)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(
    story=st.lists(steps(), max_size=40),
    tracks=st.sampled_from([(True, True), (True, False), (False, True)]),
    duration=st.sampled_from([1.0, 2.0, 4.0, 6.0, 11.0]),
    max_size=st.sampled_from([2000, 50 << 20]),
)
def test_any_story_gives_legal_segments(
    story: list[Step], tracks: tuple[bool, bool], duration: float, max_size: int
) -> None:
    camera = Camera(*tracks)
    segmenter = Segmenter(
        camera.tracks(0),
        segment_duration=duration,
        segment_max_size=max_size,
        first_msn=FIRST,
        use_absolute_timestamp=max_size == 2000,
    )
    outputs: list[Output] = []
    target = None
    for step in story:
        new = (
            segmenter.interrupt()
            if step.units is None
            else segmenter.write(camera.fragment(step), now=camera.now, wall=1.7e9 + camera.now)
        )
        outputs += new
        if target is not None:
            assert segmenter.target_duration == target
        target = segmenter.target_duration
    outputs += segmenter.interrupt()
    for output in outputs:
        if isinstance(output, Segment):
            assert segmenter.target_duration is not None
            assert 0 < output.duration < segmenter.target_duration * 1_000_000 + 500_000
    rates = {1: 90_000, 2: 48_000} if tracks[0] else {1: 48_000}
    check_outputs(outputs, leader=1, rates=rates, starts_sync=tracks[0])
    if max_size != 2000:
        dates = [(output.date, output.duration) for output in outputs if isinstance(output, Segment)]
        for (date, length), (next_date, _) in pairwise(dates):
            assert next_date >= date + length - length // 1000
    stats = segmenter.stats
    written = sum(isinstance(output, SegmentData) for output in outputs)
    assert stats.fragments == written


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(
    story=st.lists(steps(), max_size=60),
    duration=st.sampled_from([1.0, 2.0, 4.0]),
    count=st.integers(1, 7),
)
def test_any_story_gives_legal_playlists(story: list[Step], duration: float, count: int) -> None:
    camera = Camera(with_video=True, with_audio=True)
    muxer = Muxer(
        camera.tracks(0), segment_duration=duration, segment_count=count, epoch="e", now=1000.0, wall=float(FIRST)
    )
    target = None
    numbers: dict[int, tuple[int, float, str | None]] = {}
    last_first = 0
    for step in story:
        if step.units is None:
            muxer.interrupt()
        else:
            muxer.write(camera.fragment(step), now=camera.now, wall=FIRST + camera.now)
        response = muxer.get("stream.m3u8")
        if response is None:
            assert not numbers
            continue
        assert isinstance(response.body, tuple)
        playlist = read_media(b"".join(response.body).decode())
        assert target in {None, playlist.target_duration}
        target = playlist.target_duration
        assert playlist.media_sequence >= last_first
        last_first = playlist.media_sequence
        assert playlist.duration >= 3 * target or playlist.media_sequence == FIRST
        assert len(playlist.segments) >= min(count, playlist.segments[-1].msn - FIRST + 1)
        for segment in playlist.segments:
            assert round(segment.duration) <= target
            assert segment.time is not None
            facts = (segment.discontinuity, segment.duration, segment.init)
            assert numbers.setdefault(segment.msn, facts) == facts
            assert segment.init is not None
            for uri in (segment.uri, segment.init):
                media = muxer.get(uri)
                assert media is not None
                assert media.status == 200


@settings(max_examples=100, deadline=None)
@given(samples=st.binary(max_size=100), data=st.binary(max_size=60), audio=st.binary(max_size=100))
def test_any_bytes_as_a_table_of_samples_are_survived(samples: bytes, data: bytes, audio: bytes) -> None:
    muxer = Muxer((VIDEO, AUDIO), now=0.0, wall=1e9)
    for is_sync in (True, False, True):
        runs = (Run(0, samples, data), Run(1, audio, data))
        muxer.write(Fragment((VIDEO, AUDIO), runs, is_sync=is_sync), now=1.0, wall=1e9 + 1)
    good = struct.pack("=qqII", 0, 0, 3, 1)
    muxer.interrupt()
    muxer.write(Fragment((VIDEO, AUDIO), (Run(0, good, b"abc"),), is_sync=True), now=1.0, wall=1e9 + 1)
    muxer.interrupt()
    assert muxer.get("stream.m3u8") is not None
