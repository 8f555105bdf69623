"""No picture is decoded after it is shown, whatever patterns an encoder uses and however its pictures are cut."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from boxes import fragments as read_fragments
from fragments import VIDEO
from hypothesis import given, settings
from hypothesis import strategies as st
from livecamera import Receiver, Unit
from test_h264 import BitWriter

from rtspkit import h264
from rtspkit.media import H264Parameters, Track
from rtspkit.segmenter import Segmenter
from rtspkit.segments import SegmentData

UNIT = 3600
#: What follows a picture until one is shown behind all before it, by how far behind that picture each is shown.
GROUPS = {"P": [1], "one B": [2, 1], "two": [3, 1, 2], "pyramid": [4, 2, 1, 3], "deeper": [8, 4, 2, 1, 3, 6, 5, 7]}
# Main 4.0, 640x368, pic_order_cnt_type 0, no VUI: nobody knows how many pictures are reordered
_SPS = BitWriter().u(8, 77).u(8, 0).u(8, 40).ue(0, 0, 0, 2, 4).u(1, 0).ue(39, 22).u(4, 0b1100).nal()
SILENT = replace(VIDEO, parameters=H264Parameters(_SPS, VIDEO.parameters.pps))


def shown(groups: list[str], gop: int = 50) -> list[tuple[int, bool]]:
    """When each picture is shown, and whether it is a sync sample, closed GOPs of about so many."""
    found, at, since = [(0, True)], 0, 1
    for name in groups:
        if since >= gop:
            at, since = at + 1, 1
            found.append((at, True))
        found += [(at + behind, False) for behind in GROUPS[name]]
        at, since = at + len(GROUPS[name]), since + len(GROUPS[name])
    return found


def play(track: Track, pictures: list[tuple[int, bool]], part_duration: float | None) -> list[tuple[int, int]]:
    """Decode and presentation time of each picture on the output."""
    segmenter = Segmenter(
        (track,), segment_duration=2.0, segment_max_size=10**8, first_msn=1, part_duration=part_duration
    )
    receiver = Receiver((track,), duration=part_duration or 1.0, low_latency=part_duration is not None)
    found = []
    for number, (place, is_sync) in enumerate(pictures):
        at = 1000 + number * 0.04
        done = receiver.take(Unit(at, 0, place * UNIT, is_sync, b"x"))
        while done:
            for fragment in done:
                for output in segmenter.write(fragment, now=at, wall=1e9 + at):
                    if isinstance(output, SegmentData):
                        [written] = read_fragments(output.data)
                        found += [(sample.dts, sample.pts) for sample in written.runs[0].samples]
            done = receiver.cut_at(segmenter.next_cut) if part_duration is not None else []
    assert segmenter.stats.time_jumps == segmenter.stats.restamped_units == 0
    return found


@pytest.mark.parametrize("part_duration", [None, 0.2, 0.5])
@pytest.mark.parametrize("track", [VIDEO, SILENT], ids=["the SPS says", "it does not"])
@pytest.mark.parametrize("name", GROUPS)
def test_a_pattern(name: str, track: Track, part_duration: float | None) -> None:
    pictures = shown([name] * 60)
    times = play(track, pictures, part_duration)
    assert len(times) >= 50
    assert h264.parse_sps(_SPS).max_num_reorder_frames is None
    assert all(dts <= pts for dts, pts in times)
    assert all(before < after for (before, _), (after, _) in pairwise(times))
    delays = [pts - place * UNIT - times[0][1] for (_, pts), (place, _) in zip(times, pictures, strict=False)]
    if track is VIDEO and name != "deeper":  # it says two
        assert set(delays) == {0}
    assert delays == sorted(delays)
    assert delays[-1] <= 2 * UNIT
    if name == "P":
        assert all(dts == pts for dts, pts in times)


@given(st.lists(st.sampled_from(sorted(GROUPS)), min_size=30, max_size=60), st.sampled_from([None, 0.2, 0.5]))
@settings(max_examples=60, deadline=None)
def test_patterns_that_change(groups: list[str], part_duration: float | None) -> None:
    pictures = shown(["pyramid", *groups])
    times = play(VIDEO, pictures, part_duration)
    assert all(before < after for (before, _), (after, _) in pairwise(times))
    late = [dts - pts for dts, pts in times if dts > pts]
    assert not late or (part_duration is not None and "deeper" in groups)
    delays = [pts - place * UNIT for (_, pts), (place, _) in zip(times, pictures, strict=False)]
    assert delays == sorted(delays)
    assert delays[-1] - delays[0] <= 2 * UNIT


@pytest.mark.parametrize("part_duration", [None, 0.2])
def test_one_picture_that_is_stamped_too_late_delays_nothing(part_duration: float | None) -> None:
    pictures = [(place + (4 if place in {60, 130} else 0), not place % 50) for place in range(200)]
    times = play(VIDEO, pictures, part_duration)
    assert {pts - place * UNIT for (_, pts), (place, _) in zip(times, pictures, strict=False)} == {times[0][1]}
    assert len(times) > 140
