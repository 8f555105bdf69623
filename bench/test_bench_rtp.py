"""Receiving a second of a camera, found in ten pieces: the compiled receiver and the plain one of the tests."""

from __future__ import annotations

from typing import Any

import pytest
import reference_rtp
from stream import H265_TRACKS, TRACKS, camera_ticks

from rtspkit.media import Track
from rtspkit.rtp import Receiver


def prepared(kind: type, tracks: tuple[Track, ...] = TRACKS) -> Any:
    """A receiver of that kind that has its tracks."""
    receiver = kind()
    for track in tracks:
        channels = (2 * track.index, 2 * track.index + 1)
        receiver.add_track(track, payload_type=96 + track.index, channels=channels, origin=0, unit_ticks=1024)
    return receiver


def receive(receiver: Any, ticks: list[bytes]) -> int:
    """Feeds it; returns the bytes of media that came out."""
    now = 1_000_000_000
    for data in ticks:
        receiver.feed(data, now)
        now += 100_000_000
    receiver.finish()
    return sum(len(run.data) for fragment in receiver.take_fragments() for run in fragment.runs)


@pytest.mark.benchmark(group="a second of RTP")
@pytest.mark.parametrize(
    ("kind", "rounds"), [(Receiver, 500), (reference_rtp.Receiver, 30)], ids=["compiled", "plain Python"]
)
def test_receive(benchmark: Any, ticks: list[bytes], kind: type, rounds: int) -> None:
    # every round needs a receiver that has not seen these sequence numbers
    size = benchmark.pedantic(receive, setup=lambda: ((prepared(kind), ticks), {}), rounds=rounds, warmup_rounds=3)
    assert size > 350_000


@pytest.mark.benchmark(group="a second of RTP, by codec")
@pytest.mark.parametrize("tracks", [TRACKS, H265_TRACKS], ids=["H.264", "H.265"])
def test_receive_by_codec(benchmark: Any, tracks: tuple[Track, ...]) -> None:
    ticks = camera_ticks(1, is_h265=tracks is H265_TRACKS)
    size = benchmark.pedantic(
        receive, setup=lambda: ((prepared(Receiver, tracks), ticks), {}), rounds=2000, warmup_rounds=100
    )
    assert size > 350_000
