"""Stories for property tests of the viewer side: what a camera may come to do, as a list of steps."""

from dataclasses import dataclass, field

from fragments import AUDIO, AUDIO_ALONE, VIDEO, VIDEO_OTHER, VIDEO_SMALL, VIDEO_UNKNOWN, make_run
from hypothesis import strategies as st

from rtspkit.media import Fragment, Run, Track

#: Media sequence number that the muxers of the stories start at.
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
