"""Single access units -> fragments: what has to wait, and for how long at most. More is in `test_muxer`."""

from fragments import AUDIO, VIDEO

from rtspkit.collector import Collector
from rtspkit.limits import DEFAULT_LIMITS
from rtspkit.media import SAMPLE_SIZE, AccessUnit, Fragment, Track


def make() -> Collector:
    return Collector((VIDEO, AUDIO), VIDEO, part_duration=None, now=1000.0, wall=1_700_000_000.0)


def taken(collector: Collector, track: Track, times: range, data: bytes = b"x") -> list[Fragment]:
    found = []
    for pts in times:
        unit = AccessUnit(track, pts, pts == 0, data, 1000.0 + pts / track.clock_rate)
        found += collector.take(unit, now=None, wall=None, next_cut=None)
    return found


def test_sound_alone_does_not_gather_for_ever() -> None:
    """A camera whose video stays away: a fragment each three seconds."""
    fragments = taken(make(), AUDIO, range(0, 48_000 * 60, 1024))
    assert len(fragments) == 19
    assert all([run.track for run in fragment.runs] == [1] for fragment in fragments)


def test_sound_whose_clock_stands_is_bounded_too() -> None:
    collector = make()
    fragments = []
    for _ in range(40):
        fragments += taken(collector, AUDIO, range(1), bytes(1_000_000))
    sizes = [sum(len(memoryview(run.data)) for run in fragment.runs) for fragment in fragments]
    assert len(sizes) == 2
    assert max(sizes) <= DEFAULT_LIMITS.fragment_size


def test_video_is_bounded_by_its_size() -> None:
    fragments = taken(make(), VIDEO, range(0, 90_000, 90), bytes(100_000))
    assert fragments[0].is_sync
    assert all(memoryview(fragment.runs[0].data).nbytes <= DEFAULT_LIMITS.fragment_size for fragment in fragments)


def test_parts_of_reordered_pictures_are_counted() -> None:
    """I P B B P B B …: what fills a part is how many units there are, not when the last of them is shown."""
    collector = Collector((VIDEO,), VIDEO, part_duration=0.2, now=1000.0, wall=1_700_000_000.0)
    order = [0, *(shown + 3 * group for group in range(20) for shown in (3, 1, 2))]
    counts = []
    for number, shown in enumerate(order):
        unit = AccessUnit(VIDEO, shown * 3600, number == 0, b"x", 1000.0 + number / 25)
        fragments = collector.take(unit, now=None, wall=None, next_cut=None)
        counts += [len(memoryview(fragment.runs[0].samples)) // SAMPLE_SIZE for fragment in fragments]
    assert set(counts[1:]) == {5}
    assert 4 <= counts[0] <= 6
