"""The text of both playlists."""

from collections.abc import Sequence
from datetime import UTC, datetime
from fractions import Fraction

import pytest
from fragments import AUDIO, AUDIO_ALONE, SPS, SPS_SMALL, VIDEO, VIDEO_SMALL, VIDEO_UNKNOWN
from hypothesis import given
from hypothesis import strategies as st
from real.playlists import read_media, read_multivariant

from rtspkit.errors import RtspkitError
from rtspkit.h264 import parse_sps
from rtspkit.media import H264Parameters, Track
from rtspkit.playlist import (
    ServerControl,
    codecs,
    edge_text,
    frame_rate,
    hint_text,
    media_playlist,
    multivariant_playlist,
    resolution,
    segment_text,
)
from rtspkit.segments import Part, Segment


def segment(msn: int, *, number: int = 50, tag: bool = False, init: int = 0, duration: int = 4_000_000) -> Segment:
    return Segment(
        msn=msn,
        duration=duration,
        date=1_767_866_400_000_000 + (msn - 100) * 4_000_000,
        init=init,
        discontinuity=tag,
        discontinuity_number=number,
        is_independent=True,
        size=1,
        units=100,
    )


def listing(segments: Sequence[Segment], *, target_duration: int = 4, control: ServerControl | None = None) -> str:
    """The media playlist of these segments, as a window makes it."""
    inits = [None, *(one.init for one in segments)]
    texts = [
        segment_text(one, epoch="e", with_map=one.init != before) for before, one in zip(inits, segments, strict=False)
    ]
    return media_playlist(texts, target_duration=target_duration, first=segments[0], control=control)


def test_a_media_playlist() -> None:
    text = listing([segment(100), segment(101, duration=3_999_989), segment(102, tag=True, number=51, init=1)])
    assert text == "\n".join(
        (
            "#EXTM3U",
            "#EXT-X-VERSION:7",
            "#EXT-X-TARGETDURATION:4",
            "#EXT-X-MEDIA-SEQUENCE:100",
            "#EXT-X-DISCONTINUITY-SEQUENCE:50",
            '#EXT-X-MAP:URI="e/init_0.mp4"',
            "#EXT-X-PROGRAM-DATE-TIME:2026-01-08T10:00:00.000Z",
            "#EXTINF:4.000000,",
            "e/seg_100.mp4",
            "#EXT-X-PROGRAM-DATE-TIME:2026-01-08T10:00:04.000Z",
            "#EXTINF:3.999989,",
            "e/seg_101.mp4",
            "#EXT-X-DISCONTINUITY",
            '#EXT-X-MAP:URI="e/init_1.mp4"',
            "#EXT-X-PROGRAM-DATE-TIME:2026-01-08T10:00:08.000Z",
            "#EXTINF:4.000000,",
            "e/seg_102.mp4",
            "",
        )
    )


def test_a_low_latency_playlist() -> None:
    parts = (Part(0, 200_000, True), Part(1, 199_989, False))
    gaps = (Part(4, 220_000, False, is_gap=True), Part(4, 180_000, False, is_gap=True))
    listed = [
        segment(100, duration=400_000),
        segment(101, duration=399_989)._replace(parts=parts),
        segment(102, duration=400_000)._replace(is_gap=True, parts=gaps),
    ]
    texts = [segment_text(one, epoch="e", with_map=not i, with_parts=i > 0) for i, one in enumerate(listed)]
    edge = segment(103, tag=True, number=51, init=1)._replace(parts=(Part(4, 200_000, True),))
    texts += [edge_text(edge, epoch="e", with_map=True), hint_text(5, epoch="e")]
    control = ServerControl(220_000, 24)
    assert media_playlist(texts, target_duration=4, first=listed[0], control=control).splitlines() == [
        "#EXTM3U",
        "#EXT-X-VERSION:9",
        "#EXT-X-TARGETDURATION:4",
        "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=0.660000,CAN-SKIP-UNTIL=24.0",
        "#EXT-X-PART-INF:PART-TARGET=0.220000",
        "#EXT-X-MEDIA-SEQUENCE:100",
        "#EXT-X-DISCONTINUITY-SEQUENCE:50",
        '#EXT-X-MAP:URI="e/init_0.mp4"',
        "#EXT-X-PROGRAM-DATE-TIME:2026-01-08T10:00:00.000Z",
        "#EXTINF:0.400000,",
        "e/seg_100.mp4",
        "#EXT-X-PROGRAM-DATE-TIME:2026-01-08T10:00:04.000Z",
        '#EXT-X-PART:DURATION=0.200000,URI="e/part_0.mp4",INDEPENDENT=YES',
        '#EXT-X-PART:DURATION=0.199989,URI="e/part_1.mp4"',
        "#EXTINF:0.399989,",
        "e/seg_101.mp4",
        "#EXT-X-PROGRAM-DATE-TIME:2026-01-08T10:00:08.000Z",
        '#EXT-X-PART:DURATION=0.220000,URI="e/gap.mp4",GAP=YES',
        '#EXT-X-PART:DURATION=0.180000,URI="e/gap.mp4",GAP=YES',
        "#EXT-X-GAP",
        "#EXTINF:0.400000,",
        "e/gap.mp4",
        "#EXT-X-DISCONTINUITY",
        '#EXT-X-MAP:URI="e/init_1.mp4"',
        "#EXT-X-PROGRAM-DATE-TIME:2026-01-08T10:00:12.000Z",
        '#EXT-X-PART:DURATION=0.200000,URI="e/part_4.mp4",INDEPENDENT=YES',
        '#EXT-X-PRELOAD-HINT:TYPE=PART,URI="e/part_5.mp4"',
    ]


def test_a_delta_update_says_how_much_it_leaves_out() -> None:
    listed = [segment(number) for number in range(100, 103)]
    texts = [segment_text(listed[2], epoch="e", with_map=False)]
    lines = media_playlist(
        texts, target_duration=4, first=listed[0], control=ServerControl(220_000, 24), skipped=2
    ).splitlines()
    assert "#EXT-X-MEDIA-SEQUENCE:100" in lines
    assert lines[-4:] == [
        "#EXT-X-SKIP:SKIPPED-SEGMENTS=2",
        "#EXT-X-PROGRAM-DATE-TIME:2026-01-08T10:00:08.000Z",
        "#EXTINF:4.000000,",
        "e/seg_102.mp4",
    ]


def test_the_discontinuity_sequence_counts_tags_that_have_left() -> None:
    listed = [
        segment(100),
        segment(101, tag=True, number=51, init=1),
        segment(102, number=51, init=1),
        segment(103, tag=True, number=52, init=2),
    ]
    seen: dict[int, int] = {}
    for start, sequence in enumerate((50, 50, 51, 51)):
        playlist = read_media(listing(listed[start:]))
        assert playlist.discontinuity_sequence == sequence
        for entry in playlist.segments:
            # the tag that goes and the sequence number that comes leave every segment where it was
            assert seen.setdefault(entry.msn, entry.discontinuity) == entry.discontinuity


def test_no_promise_is_made_that_a_long_gop_would_break() -> None:
    text = listing([segment(100)])
    assert "INDEPENDENT" not in text
    assert "CAN-BLOCK-RELOAD" not in text
    assert "ENDLIST" not in text


@given(st.integers(0, 4_102_444_800_000_000))
def test_any_date_is_written_as_the_calendar_has_it(microseconds: int) -> None:
    one = Segment(1, 1_000_000, microseconds, 0, False, 1, True, 1, 1)
    (entry,) = read_media(listing([one], target_duration=1)).segments
    expected = datetime.fromtimestamp((microseconds + 500) // 1000 // 1000, UTC)
    assert entry.time is not None
    assert entry.time.replace(microsecond=0) == expected
    assert entry.time.microsecond == (microseconds + 500) // 1000 % 1000 * 1000


def test_a_multivariant_playlist() -> None:
    text = multivariant_playlist(
        (VIDEO, AUDIO), bandwidth=3_800_000, average_bandwidth=3_100_000, measured_frame_rate=25.0
    )
    (variant,) = read_multivariant(text)
    assert variant.uri == "stream.m3u8"
    assert variant.attributes == {
        "BANDWIDTH": "3800000",
        "AVERAGE-BANDWIDTH": "3100000",
        "CODECS": "avc1.640028,mp4a.40.2",
        "RESOLUTION": "1920x1080",
        "FRAME-RATE": "30.000",  # the parameter set's word goes before what was measured
    }


def test_what_is_not_known_is_left_out() -> None:
    # what is measured is units a second, of audio too
    text = multivariant_playlist((AUDIO_ALONE,), bandwidth=100_000, average_bandwidth=None, measured_frame_rate=15.625)
    assert text.splitlines()[2] == '#EXT-X-STREAM-INF:BANDWIDTH=100000,CODECS="mp4a.40.2"'


def test_what_it_says_besides_stays_on_its_line() -> None:
    text = multivariant_playlist(
        (AUDIO_ALONE,),
        bandwidth=1,
        average_bandwidth=None,
        measured_frame_rate=None,
        session_data={"rtspkit.one": "the camera sends M-JPEG; \u00e4", "rtspkit.two": 'a"b\r\nc\x7f'},
    )
    assert text.splitlines()[2:4] == [
        '#EXT-X-SESSION-DATA:DATA-ID="rtspkit.one",VALUE="the camera sends M-JPEG; \u00e4"',
        '#EXT-X-SESSION-DATA:DATA-ID="rtspkit.two",VALUE="a_b__c_"',
    ]
    assert [variant.uri for variant in read_multivariant(text)] == ["stream.m3u8"]


def test_the_measured_frame_rate_stands_in_for_one_that_is_not_said() -> None:
    assert parse_sps(SPS_SMALL).frame_rate is None
    text = multivariant_playlist((VIDEO_SMALL,), bandwidth=1, average_bandwidth=None, measured_frame_rate=12.5)
    assert "FRAME-RATE=12.500" in text
    assert "RESOLUTION=640x360" in text
    assert parse_sps(SPS).frame_rate == Fraction(30)


def test_an_sps_that_cannot_be_read_costs_its_attributes_only() -> None:
    track = Track(0, "video", "h264", 90_000, H264Parameters(SPS[:4], (b"\x68",)))
    assert codecs((track,)) == "avc1.640028"
    assert resolution((track,)) is None
    assert frame_rate((track,)) is None


def test_missing_parameters_are_an_error() -> None:
    with pytest.raises(RtspkitError, match="track 1: its parameter sets"):
        codecs((VIDEO_UNKNOWN,))
