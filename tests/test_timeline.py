"""Two tracks on one output time."""

from fragments import AUDIO, VIDEO, make_run

from rtspkit.media import Fragment
from rtspkit.restamp import survey
from rtspkit.segments import SegmenterStats
from rtspkit.timeline import Timeline, run_of


def test_both_tracks_begin_together_behind_the_longer_one() -> None:
    timeline = Timeline(VIDEO, AUDIO, SegmenterStats())
    assert timeline.other is not None
    timeline.begin(90_000, 0)
    assert (timeline.lead.shift, timeline.other.time.shift) == (-90_000, -48_000)
    timeline.lead.end, timeline.other.time.end = 450_000, 245_760  # sound has 0.12 s more
    timeline.begin(0, timeline.lead.end)
    assert timeline.lead.shift == 460_800
    assert timeline.other.time.shift == timeline.other.time.end == 245_760


def test_sound_is_shown_as_much_later_as_pictures() -> None:
    timeline = Timeline(VIDEO, AUDIO, SegmenterStats())
    assert timeline.other is not None
    run = make_run(0, [0, 10_800, 3600, 7200])
    timeline.begin(0, 0)
    timeline.decoding.look(run, survey(run), None, last=None, step_back=45_000)
    order = timeline.decoding.order
    assert order is not None
    timeline.make_room(run, timeline.decoding.successors(order, run, 0, 900_000))
    assert timeline.decoding.delay >= 3600
    assert timeline.other.time.shift == timeline.decoding.delay * 48 // 90
    # what sound was moved by on its own account is forgotten with the next jump
    timeline.other.time.shift += 1000
    timeline.shift_by(9000)
    assert timeline.other.time.shift == (9000 + timeline.decoding.delay) * 48 // 90
    # both are as far from where a segment begins
    assert timeline.ahead(make_run(0, [90_000]), 0) == timeline.ahead(make_run(1, [48_000]), 0) == 1_100_000
    assert timeline.ahead(make_run(2, [0]), 0) is None


def test_sound_beside_pieces_of_the_pictures() -> None:
    timeline = Timeline(VIDEO, AUDIO, SegmenterStats())
    sound = make_run(1, range(0, 48_000, 1024), all_sync=True)
    fragment = Fragment((VIDEO, AUDIO), (make_run(0, range(0, 90_000, 3600)), sound), is_sync=True)
    assert run_of(fragment, 1) is sound
    assert run_of(fragment, 2) is None
    pieces = timeline.spread_beside(fragment, [45_000, 90_000])
    assert [len(bytes(piece.data)) for piece in pieces if piece is not None] == [2400, 2300]
    assert list(Timeline(VIDEO, None, SegmenterStats()).spread_beside(fragment, [1, 2])) == [None, None]
