"""Whatever comes, in whatever order: playlists are legal, agree with each other, and what they list is there."""

import struct

from fragments import AUDIO, VIDEO
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from real.playlists import read_media
from stories import FIRST, Camera, Step, steps

from rtspkit.media import Fragment, Run
from rtspkit.muxer import Muxer


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
