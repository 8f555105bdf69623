"""The window, its playlists and what `get` answers."""

import gzip
import struct
import sys
from datetime import UTC, datetime
from pathlib import Path

import boxes
import pytest
from fragments import AUDIO, AUDIO_ALONE, VIDEO, VIDEO_SMALL, VIDEO_UNKNOWN, Source, make_run
from real.playlists import Playlist, read_media, read_multivariant

from rtspkit.errors import LocalProtocolError
from rtspkit.media import AccessUnit, Fragment, Track
from rtspkit.muxer import Muxer, Response
from rtspkit.store import DirectoryStore

WALL = 1_700_000_000.75
FIRST = 1_700_000_000


def make(tracks: tuple[Track, ...] = (VIDEO, AUDIO), **options: object) -> Muxer:
    return Muxer(tracks, now=1000.0, wall=WALL, **options)  # type: ignore[arg-type]


def feed(muxer: Muxer, source: Source, seconds: float) -> None:
    until = source.time + seconds
    while source.time < until - 1e-6:
        fragment = source.fragment()
        muxer.write(fragment, now=1000.0 + source.time, wall=WALL + source.time)


def get(muxer: Muxer, name: str) -> Response:
    response = muxer.get(name)
    assert response is not None
    return response


def text(response: Response) -> str:
    assert response.status == 200, response
    assert isinstance(response.body, tuple)
    return b"".join(response.body).decode()


def playlist(muxer: Muxer) -> Playlist:
    return read_media(text(get(muxer, "stream.m3u8")))


def msns(muxer: Muxer) -> list[int]:
    return [segment.msn - FIRST for segment in playlist(muxer).segments]


def status(muxer: Muxer, msn: int) -> int:
    return get(muxer, f"{muxer.epoch}/seg_{FIRST + msn}.mp4").status


def test_numbers_start_at_the_unix_seconds_of_the_start() -> None:
    muxer = make()
    feed(muxer, Source(), 9)
    assert playlist(muxer).media_sequence == FIRST
    other = make(first_msn=7, first_discontinuity=9)
    feed(other, Source(), 9)
    assert (playlist(other).media_sequence, playlist(other).discontinuity_sequence) == (7, 9)


def test_a_successor_is_told_where_to_go_on() -> None:
    muxer, source = make(), Source()
    feed(muxer, source, 9)
    muxer.interrupt()
    feed(muxer, source, 9)
    last = playlist(muxer).segments[-1]
    continuation = muxer.continuation
    msn, discontinuity = continuation.msn, continuation.discontinuity
    assert msn > last.msn
    assert discontinuity == last.discontinuity + 1


@pytest.mark.parametrize(
    ("year", "least", "most"), [(2026, 0, 53_000), (2027, 52_000, 106_000), (2036, 525_000, 600_000)]
)
def test_discontinuities_start_small_and_grow_with_the_years(year: int, least: int, most: int) -> None:
    """hls.js walks an array of that length at each playlist."""
    wall = datetime(year, 7, 1, tzinfo=UTC).timestamp()
    first, later = (Muxer([VIDEO], now=0, wall=wall + seconds)._segmenter.next_numbers[1] - 1 for seconds in (0, 600))
    assert least <= first < most
    assert later == first + 1


def test_the_first_playlist_comes_with_the_first_segment() -> None:
    muxer = make()
    source = Source()
    feed(muxer, source, 4)
    assert muxer.get("stream.m3u8") is None
    feed(muxer, source, 1)
    assert msns(muxer) == [0]


def test_the_window_slides_and_what_left_stays_for_its_own_duration() -> None:
    muxer = make()
    source = Source(gop=2)
    feed(muxer, source, 24)
    muxer.flush()
    feed(muxer, source, 2)  # closes the sixth
    assert msns(muxer) == [0, 1, 2, 3, 4, 5]
    feed(muxer, source, 4)  # the seventh: the first has left the list at 29 s of media
    assert msns(muxer) == [1, 2, 3, 4, 5, 6]
    assert status(muxer, 0) == 200
    feed(muxer, source, 2)
    assert status(muxer, 0) == 200
    feed(muxer, source, 1)
    assert status(muxer, 0) == 404
    assert status(muxer, 1) == 200
    assert status(muxer, 8) == 404  # not closed yet


def test_the_list_never_falls_under_three_target_durations() -> None:
    muxer = make(segment_count=1)
    feed(muxer, Source(gop=4), 30)
    assert msns(muxer) == [4, 5, 6]
    assert playlist(muxer).duration >= 12


def test_memory_holds_the_window_the_open_segment_and_one_more() -> None:
    muxer = make()
    source = Source(gop=2, size=15_000)  # 3 Mbit/s
    most = 0
    for _ in range(80):
        feed(muxer, source, 1)
        buffers: dict[int, int] = {}
        store = muxer._store
        for held in (*store._whole.values(), *store._open.values()):  # type: ignore[attr-defined]
            for buffer in held:
                buffers[id(buffer)] = sys.getsizeof(buffer)
        most = max(most, sum(buffers.values()))
    assert 9_000_000 < most <= 13_000_000


def test_a_segment_is_its_fragments_unjoined() -> None:
    muxer = make()
    feed(muxer, Source(gop=2), 12)
    response = get(muxer, f"{muxer.epoch}/seg_{FIRST}.mp4")
    assert isinstance(response.body, tuple)
    assert len(response.body) == 4
    assert response.body[0] is get(muxer, f"{muxer.epoch}/seg_{FIRST}.mp4").body[0]  # type: ignore[index]
    assert len(boxes.fragments(b"".join(response.body))) == 4


def test_init_sections_live_as_long_as_segments_that_need_them() -> None:
    muxer = make(segment_count=3, segment_duration=1)
    source = Source()
    for number in range(12):
        feed(muxer, source, 4)
        muxer.interrupt()
        listed = playlist(muxer).segments
        assert {get(muxer, str(segment.init)).status for segment in listed} == {200}
        if number > 2:
            assert get(muxer, f"{muxer.epoch}/init_0.mp4").status == 404
    assert len(muxer._window._inits) <= 3


def test_headers_and_validators() -> None:
    muxer = make()
    source = Source()
    feed(muxer, source, 10)
    stream = get(muxer, "stream.m3u8")
    assert dict(stream.headers)["cache-control"] == "max-age=0, s-maxage=2"
    assert dict(stream.headers)["content-type"] == "application/vnd.apple.mpegurl"
    assert stream.gzipped is not None
    assert gzip.decompress(stream.gzipped).decode() == text(stream)
    assert get(muxer, "stream.m3u8") is stream  # made once, for every viewer
    index = get(muxer, "index.m3u8")
    assert dict(index.headers)["cache-control"] == "public, max-age=10"
    media = get(muxer, f"{muxer.epoch}/seg_{FIRST}.mp4")
    assert dict(media.headers) == {"content-type": "video/mp4", "cache-control": "public, max-age=3600, immutable"}
    feed(muxer, source, 4)
    newer = get(muxer, "stream.m3u8")
    assert newer.etag != stream.etag
    assert len({newer.etag, index.etag, media.etag, make().epoch}) == 4
    one_second = make(segment_duration=1)
    feed(one_second, Source(), 5)
    assert dict(get(one_second, "stream.m3u8").headers)["cache-control"] == "max-age=0, s-maxage=1"


def test_the_multivariant_playlist_comes_with_the_parameter_sets_and_then_stays() -> None:
    muxer = make((VIDEO_UNKNOWN, AUDIO))
    assert muxer.get("index.m3u8") is None
    rings: list[bool] = []
    muxer.subscribe(lambda: rings.append(muxer.get("index.m3u8") is not None))
    source = Source((VIDEO_SMALL, AUDIO), size=5000)
    feed(muxer, source, 1)
    assert rings == [True]
    (guessed,) = read_multivariant(text(get(muxer, "index.m3u8")))
    assert guessed.attributes["CODECS"] == "avc1.42C01E,mp4a.40.2"
    assert "AVERAGE-BANDWIDTH" not in guessed.attributes
    feed(muxer, source, 9)
    index = get(muxer, "index.m3u8")
    (variant,) = read_multivariant(text(index))
    assert variant.attributes["FRAME-RATE"] == "25.000"
    assert variant.attributes["RESOLUTION"] == "640x360"
    # 1 Mbit/s, and room for more
    assert 1_000_000 < int(variant.attributes["AVERAGE-BANDWIDTH"]) < 1_200_000
    assert 1_200_000 < int(variant.attributes["BANDWIDTH"]) < 1_500_000
    muxer.interrupt()
    feed(muxer, source, 30)
    assert get(muxer, "index.m3u8") is index
    source.size = 12_000
    feed(muxer, source, 10)
    (variant,) = read_multivariant(text(get(muxer, "index.m3u8")))
    assert int(variant.attributes["BANDWIDTH"]) > 2_400_000


def test_another_text_has_another_validator() -> None:
    """Also where no segment has closed in between: a viewer asks in the gap, and the camera comes back as another."""
    muxer = make()
    feed(muxer, Source(), 10)
    muxer.interrupt()
    before = get(muxer, "index.m3u8")
    feed(muxer, Source((VIDEO_SMALL, AUDIO), start=20), 1)
    after = get(muxer, "index.m3u8")
    assert text(after) != text(before)
    assert after.etag != before.etag


def test_new_parameters_are_announced() -> None:
    muxer = make()
    feed(muxer, Source(), 10)
    assert "1920x1080" in text(get(muxer, "index.m3u8"))
    source = Source((VIDEO_SMALL, AUDIO), start=10)
    feed(muxer, source, 10)
    assert "640x360" in text(get(muxer, "index.m3u8"))
    assert "avc1.42C01E" in text(get(muxer, "index.m3u8"))
    assert [segment.starts_discontinuity for segment in playlist(muxer).segments] == [False, False, False, True, False]


@pytest.mark.parametrize(
    ("msn", "part", "expected"),
    [
        (None, None, 200),
        (0, None, 200),
        (FIRST, None, 200),
        (FIRST + 3, 0, 200),
        (FIRST + 4, None, 400),
        (10**18, None, 400),
        (-1, None, 400),
        (None, 0, 400),
    ],
)
def test_delivery_directives_are_checked_but_not_waited_for(msn: int | None, part: int | None, expected: int) -> None:
    muxer = make()
    feed(muxer, Source(), 10)
    assert msns(muxer)[-1] == 1
    response = muxer.get("stream.m3u8", msn, part)
    assert response is not None
    assert response.status == expected


@pytest.mark.parametrize("file", ["seg_1.mp4", "init_9.mp4", "seg_1700000007.mp4"])
def test_media_that_are_not_there(file: str) -> None:
    muxer = make()
    feed(muxer, Source(), 10)
    gone = get(muxer, f"{muxer.epoch}/{file}")
    assert gone.status == 404
    assert ("cache-control", "max-age=1") in gone.headers
    other = get(muxer, f"{'0' * 32}/{file}")
    assert other.status == 503
    assert ("retry-after", "1") in other.headers
    assert isinstance(other.body, tuple)
    assert other.body[0].count(b"\n") == 1


@pytest.mark.parametrize("name", ["", "x", "../x", "e/seg_1.ts", "seg_1.mp4", "e/seg_01.mp4", "e/seg_.mp4", "e/../x"])
def test_names_outside_the_grammar(name: str) -> None:
    muxer = make()
    feed(muxer, Source(), 10)
    assert get(muxer, name).status == 404


def test_epochs_cannot_be_guessed() -> None:
    epochs = {make().epoch for _ in range(20)}
    assert len(epochs) == 20
    assert all(len(epoch) == 32 and int(epoch, 16) >= 0 for epoch in epochs)
    assert make(epoch="own-1").epoch == "own-1"


@pytest.mark.parametrize(
    "options",
    [{"epoch": "a/b"}, {"epoch": ""}, {"segment_count": 0}, {"segment_duration": 0}, {"segment_max_size": 0}],
)
def test_arguments_out_of_range_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(LocalProtocolError):
        make(**options)


def test_a_segment_lasts_a_second_at_least() -> None:
    muxer = make(segment_duration=0.2)
    feed(muxer, Source(gop=0.2), 10)
    assert all(segment.duration >= 1 for segment in playlist(muxer).segments)


def test_subscribers_are_told_of_every_segment_and_of_the_end() -> None:
    muxer = make()
    rings = []
    muxer.subscribe(bell := lambda: rings.append(None))
    feed(muxer, Source(), 4)
    assert len(rings) == 0
    feed(muxer, Source(start=4), 5)
    assert len(rings) == 2
    muxer.close()
    assert len(rings) == 3
    assert get(muxer, "stream.m3u8").status == 503
    muxer.unsubscribe(bell)
    muxer.unsubscribe(bell)
    muxer.close()
    muxer.write(Source().fragment(), now=0.0, wall=0.0)
    muxer.interrupt()
    assert len(rings) == 3


def test_figures() -> None:
    muxer = make()
    assert muxer.stats.last_segment_at is None
    feed(muxer, Source(), 9)
    assert muxer.stats.started_at == 1000
    assert muxer.stats.last_segment_at == 1009.0
    assert muxer.stats.segments == 2
    assert muxer.stats.bytes > 9 * 25 * 100
    assert muxer.media_stats.fragments == 9
    assert muxer.target_duration == 4
    assert muxer.tracks == (VIDEO, AUDIO)


def test_segments_in_a_directory(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    muxer = make(store=store)
    source = Source()
    feed(muxer, source, 45)
    listed = playlist(muxer)
    for segment in listed.segments:
        body = get(muxer, segment.uri).body
        assert isinstance(body, Path)
        assert body.parent == tmp_path
        assert boxes.fragments(body.read_bytes())
    # the window, one that has left, the open one, the init section
    assert len(list(tmp_path.iterdir())) == 9
    muxer.close()
    assert list(tmp_path.iterdir()) == []


# -- one unit at a time -----------------------------------------------------------------------------------


def units(tracks: tuple[Track, ...], seconds: int, *, gop: int = 50, start: int = 0) -> list[AccessUnit]:
    """Access units of all tracks in the order of their times."""
    found = []
    for track in tracks:
        step = 3600 if track.kind == "video" else 1024
        for index, pts in enumerate(range(0, seconds * track.clock_rate, step)):
            is_sync = track.kind == "audio" or index % gop == 0
            moment = pts / track.clock_rate
            found.append(
                AccessUnit(track, pts + start * track.clock_rate, is_sync, bytes([index & 255]) * 50, 1000.0 + moment)
            )
    return sorted(found, key=lambda unit: unit.arrival)


@pytest.mark.parametrize("tracks", [(VIDEO,), (VIDEO, AUDIO), (AUDIO_ALONE,)])
def test_units_written_by_hand_become_segments(tracks: tuple[Track, ...]) -> None:
    muxer = make(tracks)
    written = units(tracks, 12)
    for unit in written:
        muxer.write_unit(unit)
    muxer.interrupt()
    listed = playlist(muxer)
    assert listed.target_duration in {4, 5}
    assert listed.duration == pytest.approx(12, abs=0.03)
    samples = [
        (run.track_id, sample.data)
        for segment in listed.segments
        for fragment in boxes.fragments(b"".join(get(muxer, segment.uri).body))  # type: ignore[arg-type]
        for run in fragment.runs
        for sample in run.samples
    ]
    for track in tracks:
        sent = [unit.data for unit in written if unit.track is track]
        assert [data for number, data in samples if number == track.index + 1] == sent
    assert listed.segments[0].time is not None
    assert listed.segments[0].time.timestamp() == pytest.approx(WALL, abs=0.01)


def test_units_without_an_arrival_are_timed_by_themselves() -> None:
    muxer = make((VIDEO,))
    for unit in units((VIDEO,), 25):
        muxer.write_unit(AccessUnit(unit.track, unit.pts, unit.is_sync, unit.data))
    times = [segment.time.timestamp() for segment in playlist(muxer).segments if segment.time]
    assert times[0] == pytest.approx(WALL, abs=0.1)
    assert times[-1] - times[0] == pytest.approx(4 * (len(times) - 1), abs=0.1)


def test_units_after_a_reconnect_and_with_new_parameters() -> None:
    muxer = make((VIDEO, AUDIO))
    for unit in units((VIDEO, AUDIO), 6):
        muxer.write_unit(unit)
    later = units((VIDEO, AUDIO), 6, start=900)
    first = later[0]
    later[0] = AccessUnit(first.track, first.pts, first.is_sync, first.data, first.arrival, discontinuity=True)
    for unit in later:
        muxer.write_unit(unit)
    for unit in units((VIDEO_SMALL, AUDIO), 6, start=906):
        muxer.write_unit(unit)
    muxer.interrupt()
    assert [s.starts_discontinuity for s in playlist(muxer).segments] == [False, False, True, False, True, False]
    assert muxer.media_stats.discontinuities == 2
    assert muxer.tracks[0] == VIDEO_SMALL


def test_an_absurd_time_does_not_end_the_muxer() -> None:
    muxer = make((VIDEO,))
    for unit in units((VIDEO,), 20):
        pts = unit.pts + (2**50 if unit.pts == 180_000 + 3600 * 7 else 0)
        muxer.write_unit(AccessUnit(VIDEO, pts, unit.is_sync, unit.data, unit.arrival))
    assert not any(segment.starts_discontinuity for segment in playlist(muxer).segments)
    assert playlist(muxer).duration == pytest.approx(16)


@pytest.mark.parametrize(
    ("pts", "arrival", "message"),
    [
        (2**63, 0.0, "pts"),
        (-(2**63) - 1, 1001.0, "pts"),
        (2**2000, 0.0, "pts"),
        (90_000.0, 1001.0, "pts"),
        (float("nan"), 0.0, "pts"),
        (90_000, float("nan"), "arrival"),
        (90_000, float("inf"), "arrival"),
        (90_000, 1e300, "arrival"),
    ],
)
@pytest.mark.parametrize("at", [0, 1, 25, 99])  # the first, in the middle, before a sync sample, before the last
def test_a_unit_with_an_impossible_time_is_refused(at: int, pts: int, arrival: float, message: str) -> None:
    """And has left no trace: the good ones become what they had become without it."""
    results = []
    for is_offered in (False, True):
        muxer = make((VIDEO,), epoch="e")
        for number, unit in enumerate(units((VIDEO,), 10)):
            if is_offered and number == at:
                bad = AccessUnit(VIDEO_SMALL, pts, True, b"bad", arrival, True, True, 1.0)
                with pytest.raises(LocalProtocolError, match=f"^a unit's {message} [^\n]*$"):
                    muxer.write_unit(bad)
            muxer.write_unit(unit)
        muxer.interrupt()
        bodies = [get(muxer, segment.uri).body for segment in playlist(muxer).segments]
        results.append((text(get(muxer, "stream.m3u8")), bodies, muxer.stats, muxer.media_stats, muxer.tracks))
    assert results[0] == results[1]


def test_the_last_times_that_fit_are_taken() -> None:
    for pts in (-(2**63), 2**63 - 1):
        muxer = make((VIDEO,))
        muxer.write_unit(AccessUnit(VIDEO, pts, True, b"data", 1000.0))
        muxer.interrupt()


def test_times_that_no_number_can_hold_are_counted() -> None:
    muxer = make((VIDEO,))
    table = struct.pack("=qqII", 2**62, 0, 1, 1)
    muxer.write(Fragment((VIDEO,), (make_run(0, [0]),), is_sync=True), now=1000.0, wall=WALL)
    run = make_run(0, [0])
    muxer.write(
        Fragment((VIDEO,), (type(run)(0, table, b"x"),), is_sync=True, next_pts=-(2**63)), now=1000.0, wall=WALL
    )
    assert muxer.media_stats.fragments + muxer.media_stats.dropped_fragments == 2
