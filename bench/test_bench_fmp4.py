"""Writing a second of media as one fMP4 fragment: the compiled writer and the plain one of the tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import reference_fmp4
from stream import TRACKS
from test_bench_rtp import prepared

from rtspkit.fmp4 import write_fragment
from rtspkit.rtp import Receiver


def fragment_runs(ticks: list[bytes]) -> list[tuple[int, int, int, int, int, bytes, bytes, int]]:
    """The rows of a second of media, as the segmenter passes them."""
    receiver = prepared(Receiver)
    for data in ticks:
        receiver.feed(data, 1_000_000_000)
    receiver.finish()
    (fragment,) = receiver.take_fragments()
    units = {0: 3600, 1: 1024}
    return [
        (run.track + 1, 0, 0, TRACKS[run.track].clock_rate, units[run.track], bytes(run.samples), bytes(run.data), 0)
        for run in fragment.runs
    ]


@pytest.mark.benchmark(group="a fragment of fMP4")
@pytest.mark.parametrize("write", [write_fragment, reference_fmp4.write_fragment], ids=["compiled", "plain Python"])
def test_write_fragment(
    benchmark: Any, ticks: list[bytes], write: Callable[..., tuple[bytes, tuple[int, ...]]]
) -> None:
    runs = fragment_runs(ticks)
    data, _ = benchmark(write, 1, runs)
    assert len(data) > 350_000
