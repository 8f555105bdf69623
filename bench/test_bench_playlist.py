"""Playlists of a window of six segments: made when something is new, and answered from what was made."""

from __future__ import annotations

from typing import Any

import pytest
from fragments import Source

from rtspkit.muxer import Muxer


def full_muxer() -> Muxer:
    """A muxer whose window is full."""
    source = Source(gop=2.0)
    muxer = Muxer(source.tracks, segment_duration=4.0, segment_count=6, now=0.0, wall=1_800_000_000.0)
    for second in range(40):
        muxer.write(source.fragment(), now=float(second), wall=1_800_000_000.0 + second)
    return muxer


@pytest.mark.benchmark(group="a playlist")
@pytest.mark.parametrize("is_new", [False, True], ids=["kept", "made anew"])
def test_media_playlist(benchmark: Any, is_new: bool) -> None:
    muxer = full_muxer()

    def answer() -> Any:
        if is_new:
            muxer._changed()  # as after a segment: text, ETag and gzip form are made again
        return muxer.get("stream.m3u8")

    response = benchmark(answer)
    assert response.status == 200
    assert b"".join(response.body).count(b"#EXTINF") == 6
